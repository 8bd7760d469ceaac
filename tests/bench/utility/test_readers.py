from pathlib import Path

import numpy as np
import pytest
import torch

from chromogen.bench.utility.readers import Reading, batches_of, reader_of, trained, turn_of, turned
from chromogen.data.cases.prepared import Prepared
from chromogen.evaluate.reading.usefulness import MIXTURES, draws
from chromogen.methods.classifier import Classifier
from chromogen.methods.detector import Detector
from chromogen.methods.segmenter import Segmenter
from chromogen.tensors import CaseBatch
from chromogen.train.schedule import factor
from tests.bench.prepared_sets import brains, squares

CPU = torch.device("cpu")


def boxed(rows: int, columns: int) -> CaseBatch:
    """Two boxes, also drawn into the image and the mask."""
    boxes = torch.tensor([[[1.0, 2, 3, 5, 9], [0, 0, 0, 0, 0], [2, 0, 1, 7, 2]]])
    plane = torch.zeros(1, rows, columns, dtype=torch.int64)
    for kind, x0, y0, x1, y1 in boxes[0].int().tolist():
        plane[:, y0:y1, x0:x1] = kind
    whole = plane[:, None].float()
    return {
        "images": whole[:, None], "lines": whole, "organ": whole, "mask": plane, "boxes": boxes, "index": torch.zeros(1).long()
    }  # fmt: skip


@pytest.mark.parametrize(("shape", "turns"), [((16, 16), range(8)), ((16, 24), (0, 2, 4, 6))])
def test_labels_turn_with_the_images(shape: tuple[int, int], turns: range) -> None:
    seen = set()
    for turn in turns:
        case = turned(boxed(*shape), turn)
        drawn = torch.zeros_like(case["mask"])
        for kind, x0, y0, x1, y1 in case["boxes"][0].int().tolist():
            drawn[:, y0:y1, x0:x1] = kind
        assert torch.equal(drawn, case["mask"]) and torch.equal(case["images"][:, 0, 0].long(), case["mask"])
        assert torch.equal(case["boxes"][0, 1], torch.zeros(5)) and case["mask"].shape[1:] == shape
        seen.add(drawn.numpy().tobytes())
    assert len(seen) == len(list(turns))
    twice = turned(turned(boxed(*shape), 4), 4)
    assert torch.equal(twice["boxes"], boxed(*shape)["boxes"])


def test_augmented_images_of_a_case_differ_and_none_is_the_case_itself() -> None:
    for case in range(5):
        chosen = [turn_of(case + 5 * k, 5, square=True) for k in range(7)]
        assert sorted(chosen) == list(range(1, 8))
    assert {turn_of(item, 1, square=False) for item in range(9)} == {2, 4, 6}


def test_a_reader_is_shown_what_the_schedule_says(tmp_path: Path) -> None:
    real, made = Prepared(brains(tmp_path / "real")), Prepared(brains(tmp_path / "made", ("train",) * 6, "synthetic", 7))
    mixture, reading = MIXTURES[24], Reading(steps=6, batch_size=2)  # 1 + 1, synthetic first
    wanted = draws(mixture, 6, 12, seed=3)
    batches = list(batches_of(real, made, mixture, reading, seed=3))
    assert len(batches) == 6 and [len(batch["index"]) for batch in batches] == [2] * 6
    shown = torch.cat([batch["images"] for batch in batches]).numpy()
    members = real.of_split("train")
    for image, origin, item in zip(shown, wanted.origin, wanted.item, strict=True):
        expected = made.arrays["images"][item] if origin else real.arrays["images"][members[item]]
        assert np.array_equal(image, expected.astype(np.float32))
    assert list(wanted.origin[:6]) == [1] * 6 and list(wanted.origin[6:]) == [0] * 6


def test_no_reader_is_shown_a_test_or_validation_case(tmp_path: Path) -> None:
    real, made = Prepared(brains(tmp_path / "real")), Prepared(brains(tmp_path / "made", ("train",) * 18, "synthetic", 7))
    allowed = {int(k) for k in real.of_split("train")}
    for row in (1, 7, 16, 23):  # row 23: three augmented images of each
        for batch in batches_of(real, made, MIXTURES[row - 1], Reading(20, 2), seed=0):
            for number, image in zip(batch["index"], batch["images"], strict=True):
                from_made = np.array_equal(image, made.arrays["images"][int(number)]) if number < len(made) else False
                assert from_made or int(number) in allowed


def test_boxes_of_sets_with_other_numbers_of_rows_are_joined(tmp_path: Path) -> None:
    real = Prepared(squares(tmp_path / "real", "boxes"))
    made = Prepared(squares(tmp_path / "made", "boxes", ("train",) * 6, "synthetic"))
    made.arrays["boxes"] = np.pad(made.arrays["boxes"], ((0, 0), (0, 2), (0, 0)))
    batch = next(batches_of(real, made, MIXTURES[14], Reading(1, 12), seed=0))
    assert batch["boxes"].shape == (12, 3, 5) and bool((batch["boxes"][..., 0] > 0).any())


def test_the_reader_fits_the_label(tmp_path: Path) -> None:
    assert reader_of(Prepared(brains(tmp_path / "m")), 8) == Segmenter(2, 1, 2, 8)
    assert reader_of(Prepared(squares(tmp_path / "c", "category")), 8) == Classifier(1, 1, 2, 8)
    assert reader_of(Prepared(squares(tmp_path / "b", "boxes")), 8) == Detector(1, 1, 1, 8, size_px=32)


def test_training_repeats_itself_and_keeps_the_best_step_on_validation(tmp_path: Path) -> None:
    real = Prepared(squares(tmp_path / "c", "category"))
    readers = [trained(real, None, MIXTURES[0], Reading(4, 2, 4), 5, "balanced_accuracy", CPU) for _ in range(2)]
    states = [reader.nets.state_dict() for reader in readers]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    reader = readers[0]
    best = max(value for _, value in reader.curve)
    assert [step for step, _ in reader.curve] == [1, 2, 3, 4] and reader.seconds_per_step > 0
    assert reader.step == next(step for step, value in reader.curve if value == best)
    assert not reader.nets["reader"].training


@pytest.mark.parametrize("label", ["category", "boxes"])
def test_a_reader_learns_as_a_plain_loop_does(label: str, tmp_path: Path) -> None:
    """Written out with an Adam of its own and the schedule by hand: the same weights to the last bit."""
    real, reading = Prepared(squares(tmp_path / label, label)), Reading(4, 2, 4)
    score = "balanced_accuracy" if label == "category" else "average_precision"
    method = reader_of(real, 4)
    (player,) = method.players().values()
    torch.manual_seed(5)
    nets = method.networks().train()
    adam = torch.optim.Adam(nets.parameters(), player.optimizer.lr, player.optimizer.betas)
    after = {}
    for step, batch in enumerate(batches_of(real, None, MIXTURES[0], reading, 5)):
        adam.param_groups[0]["lr"] = player.optimizer.lr * factor(player.schedule, step / 4)
        for update in method.step(nets, batch, step / 4):
            (losses,) = update.values()
            adam.zero_grad()
            torch.stack(list(losses.values())).sum().backward()
            adam.step()
        after[step + 1] = {key: value.clone() for key, value in nets.state_dict().items()}
    reader = trained(real, None, MIXTURES[0], reading, 5, score, CPU)
    assert all(torch.equal(value, reader.nets.state_dict()[key]) for key, value in after[reader.step].items())


def test_a_loss_that_is_not_finite_ends_a_reader_with_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Prepared(squares(tmp_path / "c", "category"))
    images = real.arrays["images"].copy()
    images[real.of_split("train")] = np.nan
    monkeypatch.setitem(real.arrays, "images", images)
    with pytest.raises(FloatingPointError, match="the reader's loss is not finite at step 1$"):
        trained(real, None, MIXTURES[0], Reading(4, 2, 4), 5, "balanced_accuracy", CPU)
