from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn

from chromogen.bench.utility.measures import floor, lacking, lacking_sentence, measured
from chromogen.data.cases.prepared import Prepared
from tests.bench.prepared_sets import brains, squares

CPU = torch.device("cpu")


class Answers:
    """A method that reads what it is told to, case after case, for each modality."""

    def __init__(self, answers: list[list[Any]]) -> None:
        self.answers, self.asked = answers, [0] * len(answers)

    def read(self, nets: nn.ModuleDict, images: torch.Tensor, modality: int) -> Any:
        first = self.asked[modality]
        self.asked[modality] += len(images)
        given = self.answers[modality][first : first + len(images)]
        return torch.stack(given) if isinstance(given[0], torch.Tensor) else given


def test_masks_are_scored_as_scikit_learn_does(tmp_path: Path) -> None:
    prepared = Prepared(brains(tmp_path / "m"))
    numbers = prepared.of_split("test")
    generator = torch.Generator().manual_seed(0)
    lesion = [[torch.rand(32, 32, generator=generator) for _ in numbers] for _ in range(2)]
    answers = Answers([[torch.stack([1 - one, one]) for one in each] for each in lesion])
    found = measured(answers, nn.ModuleDict(), prepared, numbers, CPU, batch=2)
    dice, whole_dice, mse, auc, sensitivity, accuracy = [], [], [], [], [], []
    for each in lesion:
        truth = [prepared.arrays["mask"][k].ravel() for k in numbers]
        called = [(one > 0.5).numpy().ravel() for one in each]
        pairs = list(zip(truth, called, strict=True))
        scores = [metrics.f1_score(*pair) if pair[0].any() else float(not pair[1].any()) for pair in pairs]
        whole_dice.append(np.mean(scores))
        dice.append(np.mean([score for score, one in zip(scores, truth, strict=True) if one.any()]))
        inside = np.concatenate([prepared.arrays["organ"][k].ravel() > 0 for k in numbers])
        all_truth, all_called = np.concatenate(truth)[inside], np.concatenate(called)[inside]
        auc.append(metrics.roc_auc_score(all_truth, np.concatenate([one.numpy().ravel() for one in each])[inside]))
        mse.append(metrics.mean_squared_error(np.concatenate(truth), np.concatenate([one.numpy().ravel() for one in each])))
        sensitivity.append(metrics.recall_score(all_truth, all_called))
        accuracy.append(metrics.accuracy_score(all_truth, all_called))
    expected = {
        "dice": whole_dice, "dice_of_lesions": dice, "mse": mse, "auc": auc, "sensitivity": sensitivity, "accuracy": accuracy
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx({key: np.mean(one) for key, one in expected.items()})


def test_categories_are_scored_over_the_cases_whose_class_is_known(tmp_path: Path) -> None:
    prepared = Prepared(squares(tmp_path / "c", "category", ("train",) * 2 + ("test",) * 5))
    prepared.arrays["category"] = np.array([0, 1, 0, 1, -1, 1, 0])
    read = [torch.tensor(one) for one in ([0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.6, 0.4], [0.3, 0.7])]
    found = measured(Answers([read]), nn.ModuleDict(), prepared, np.arange(2, 7), CPU)
    truth, score = [0, 1, 1, 0], [0.1, 0.8, 0.4, 0.7]
    called = [int(one > 0.5) for one in score]
    assert found == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, called),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, called),
            "macro_f1": metrics.f1_score(truth, called, average="macro"),
            "auc": metrics.roc_auc_score(truth, score),
        }
    )


def test_boxes_found_and_missed(tmp_path: Path) -> None:
    prepared = Prepared(squares(tmp_path / "b", "boxes", ("train",) * 2 + ("test",) * 4))
    truth = prepared.arrays["boxes"][[2, 3, 4, 5]]
    none = (torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    hit = (torch.tensor(truth[1, :1, 1:]), torch.tensor([0.9]), torch.tensor([1]))
    found = measured(Answers([[none, hit, none, none]]), nn.ModuleDict(), prepared, np.arange(2, 6), CPU)
    assert found == pytest.approx({"average_precision": 0.5, "iou": 1.0, "sensitivity_at_1": 0.5})  # one of two squares
    nothing = measured(Answers([[none] * 4]), nn.ModuleDict(), prepared, np.arange(2, 6), CPU)
    assert nothing == floor(prepared, np.arange(2), np.arange(2, 6)) == dict.fromkeys(nothing, 0.0)


def test_the_floor_is_what_a_reader_of_the_commonest_class_scores(tmp_path: Path) -> None:
    prepared = Prepared(squares(tmp_path / "c", "category", ("train",) * 3 + ("test",) * 5))
    train, test = prepared.of_split("train"), prepared.of_split("test")
    least = floor(prepared, train, test)  # two of three training cases are of class 0, and two of five test cases
    assert least == pytest.approx({"accuracy": 0.4, "balanced_accuracy": 0.5, "macro_f1": 0.4 / 1.4, "auc": 0.5})
    always = Answers([[torch.tensor([0.7, 0.3])] * 5])
    assert measured(always, nn.ModuleDict(), prepared, test, CPU) == pytest.approx(least)


def test_the_floor_of_masks_is_that_of_a_reader_of_nothing(tmp_path: Path) -> None:
    prepared = Prepared(brains(tmp_path / "m"))
    numbers = prepared.of_split("test")
    nothing = torch.stack([torch.ones(32, 32), torch.zeros(32, 32)])
    found = measured(Answers([[nothing] * 3] * 2), nn.ModuleDict(), prepared, numbers, CPU)
    assert found == pytest.approx(floor(prepared, prepared.of_split("train"), numbers))
    assert found["dice_of_lesions"] == 0 and found["auc"] == 0.5 and found["sensitivity"] == 0 and found["specificity"] == 1


def test_a_test_split_without_lesions_is_refused(tmp_path: Path) -> None:
    prepared = Prepared(brains(tmp_path / "m"))
    prepared.arrays["mask"] = np.zeros_like(prepared.arrays["mask"])
    with pytest.raises(ValueError, match="no test case bears a lesion"):
        floor(prepared, prepared.of_split("train"), prepared.of_split("test"))
    one_class = Prepared(squares(tmp_path / "c", "category", ("train", "train", "test")))
    with pytest.raises(ValueError, match="of one class"):
        floor(one_class, one_class.of_split("train"), one_class.of_split("test"))


def test_cases_that_lack_a_class_are_counted(tmp_path: Path) -> None:
    """Counted again case by case; in words, what is in every case is not named."""
    masks = Prepared(brains(tmp_path / "m"))
    changed = masks.arrays["mask"].copy()
    changed[:4] = 0
    masks.arrays["mask"] = changed
    numbers = np.arange(6)
    without = sum(not changed[k].any() for k in numbers)
    assert lacking(masks, numbers) == {"lesion": without} and without >= 4
    assert lacking_sentence(masks, numbers, "test cases") == f"Of 6 test cases {without} lack lesion."
    boxes = Prepared(squares(tmp_path / "b", "boxes"))  # every second one has a square
    assert lacking(boxes, np.arange(5)) == {"square": 3}
    classes = Prepared(squares(tmp_path / "c", "category"))
    assert lacking(classes, np.arange(5)) == {"none": 2, "square": 3}
    assert lacking_sentence(boxes, np.array([1, 3]), "cases") == "Of 2 cases none lacks a class."
