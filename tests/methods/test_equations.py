"""Equations (13) to (16) and (22) of Qu's thesis in the forms that the tests of the methods leave out, once more in NumPy."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from chromogen.losses.reading import Form
from chromogen.methods.classifier import Classifier
from chromogen.methods.detector import Detector
from chromogen.methods.segmenter import Segmenter
from chromogen.nets.ssd import BoxReading
from tests.losses.test_detection import loss_by_hand
from tests.methods.synthesis_cases import Say, cases, numbers, small, updates
from tests.methods.test_renderer import STILL, by_hand, drawn_by_hand

FIXED = {"placement": STILL, "noise_low": 0.55, "noise_high": 0.55}


def squares(values: np.ndarray) -> float:
    return float(np.mean(values**2))


def test_equations_13_and_14_as_the_thesis_has_them_regress_the_number_of_the_modality() -> None:
    method = replace(small("renderer:thesis", **FIXED), lines_from="batch", lesion=False, registration=False)
    nets, batch = by_hand(), cases()
    nets["critic"] = Say(lambda x: (0.5 * x, 3 * x))
    x, x_g = [image.numpy() for image in batch["images"].unbind(1)], drawn_by_hand(batch)
    critic, renderer = updates(method, nets, batch)
    assert numbers(critic["critic"]) == pytest.approx(
        {
            "real": sum(squares(0.5 * x[i] - 1) for i in range(2)),
            "made": sum(squares(0.5 * x_g[i]) for i in range(2)),
            "class": sum(squares(3 * x[i] - i) + squares(3 * x_g[i] - i) for i in range(2)),
        },
        rel=1e-4,
    )
    wanted = {"gan": sum(squares(0.5 * x_g[i] - 1) for i in range(2)), "class": sum(squares(3 * x_g[i] - i) for i in range(2))}
    assert numbers(renderer["renderer"]) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("form", ["native", "squares"])
def test_equation_15_of_an_image_class(form: Form) -> None:
    """Both cases are of class 1, which is drawn as 0.1 more everywhere."""
    method = small("renderer", label="category", form=form, weight_lesion=3.0, registration=False, **FIXED)
    nets, batch = by_hand(), cases()
    batch["category"], batch["mask"] = torch.ones(2, dtype=torch.int64), torch.ones(2, 32, 32, dtype=torch.int64)
    nets["reader"] = Say(lambda x, i: torch.stack([(1 + i) * x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], dim=1))
    wanted = 0.0
    for i, x_g in enumerate(drawn_by_hand(batch)):
        scores = np.stack([(1 + i) * x_g.mean((1, 2, 3)), 1 - x_g.mean((1, 2, 3))], axis=1)
        if form == "squares":
            wanted += squares(scores - [0, 1])
        else:
            wanted += np.mean(np.log(np.exp(scores).sum(1)) - scores[:, 1])
    assert numbers(updates(method, nets, batch)[1]["renderer"])["lesion"] == pytest.approx(3 * wanted, rel=1e-4)


PLACES = np.array([[14.0, 16, 19, 20], [13, 15, 20, 21], [0, 0, 8, 8], [24, 24, 32, 32], [0, 16, 8, 24], [8, 0, 16, 8]])
SAID = np.array([[0.5, 1.0], [-0.3, 0.2], [1.5, -1.0], [0.2, 0.9], [0.4, 0.1], [2.0, 1.9]])


class Detects(nn.Module):
    """Offsets and scores are multiples of how bright an image is."""

    def forward(self, x: torch.Tensor, i: int) -> BoxReading:
        bright = (1 + i) * x.mean((1, 2, 3))[:, None, None]
        return BoxReading(bright * torch.ones(len(x), 6, 4), bright * torch.tensor(SAID).float(), torch.tensor(PLACES).float())


def found_by_hand(x: np.ndarray, i: int, boxes: torch.Tensor) -> tuple[float, float]:
    bright = (1 + i) * x.mean((1, 2, 3))[:, None, None]
    return loss_by_hand(bright * np.ones((len(x), 6, 4)), bright * SAID, PLACES, boxes.numpy().astype(float))


def test_equation_15_of_boxes() -> None:
    """A box is drawn as its class's plane, which here covers what the mask of these cases covers."""
    method = small("renderer", label="boxes", weight_lesion=3.0, registration=False, **FIXED)
    nets, batch = by_hand(), cases()
    nets["reader"] = Detects()
    wanted = sum(sum(found_by_hand(x_g, i, batch["boxes"])) for i, x_g in enumerate(drawn_by_hand(batch)))
    assert numbers(updates(method, nets, batch)[1]["renderer"])["lesion"] == pytest.approx(3 * wanted, rel=1e-4)


def test_equation_16_of_three_modalities_with_the_agreement_of_translations() -> None:
    method = small(
        "renderer", modalities=3, label="none", weight_registration=0.9, weight_agreement=0.4, registration_from=0.0,
        registration_until=0.0, **FIXED,
    )  # fmt: skip
    nets, batch = by_hand(), cases(modalities=3)
    bright = (0.3, 0.6, 1.0)
    nets["renderer"] = Say(lambda fused, label: torch.stack([b * fused for b in bright], dim=1))
    nets["critic"] = Say(lambda x: (x, torch.cat([x, -x, 2 * x], dim=1)))
    s, organ = batch["lines"].numpy(), batch["organ"].numpy()
    x_g = [b * (s + 0.55 * organ * (1 - s)) for b in bright]
    into = {i: [(0.5 + i) * x_g[j] for j in range(3) if j != i] for i in range(3)}
    found = numbers(updates(method, nets, batch)[1]["renderer"])
    registration = sum(squares(x_g[i] - translated) for i in range(3) for translated in into[i])
    agreement = sum(squares(first - second) for first, second in into.values())
    assert found["registration"] == pytest.approx(0.9 * registration, rel=1e-4)
    assert found["agreement"] == pytest.approx(0.4 * agreement, rel=1e-4)


def four(**label: torch.Tensor) -> Any:
    """Two cases of 4x4 px in two modalities."""
    images = torch.arange(64, dtype=torch.float32).reshape(2, 2, 1, 4, 4) / 64
    plain = torch.ones(2, 1, 4, 4)
    return {"images": images, "lines": plain, "organ": plain, "index": torch.arange(2), **label}


@pytest.mark.parametrize("form", ["native", "squares"])
def test_equation_22_of_a_mask_on_4_by_4_px(form: Form) -> None:
    mask = torch.tensor([[[0, 0, 1, 1], [0, 1, 1, 0], [0] * 4, [1, 0, 0, 0]], [[0] * 4, [0] * 4, [1] * 4, [0, 0, 0, 1]]])
    method = Segmenter(
        modalities=2, form=form, class_weights=(0.5, 25.0) if form == "squares" else (), weight_cross_entropy=2.0,
        weight_dice=3.0, weight_squares=5.0,
    )  # fmt: skip
    batch, nets = four(mask=mask), nn.ModuleDict({"reader": Say(lambda x, i: torch.cat([(1 + i) * x, 2 - x], dim=1))})
    entropy = overlap = weighted = 0.0
    for i in range(2):
        x, is_one = batch["images"][:, i, 0].numpy(), mask.numpy() == 1
        none, one = np.exp((1 + i) * x), np.exp(2 - x)
        p = one / (none + one)
        entropy -= np.mean(np.log(np.where(is_one, p, 1 - p)))
        overlap += 1 - (2 * p[is_one].sum() + 1) / (p.sum() + is_one.sum() + 1)
        weighted += 0.5 * squares(none / (1 + none) - ~is_one) + 25 * squares(one / (1 + one) - is_one)
    (update,) = updates(method, nets, batch)
    wanted = {"squares": 5 * weighted} if form == "squares" else {"cross_entropy": 2 * entropy, "dice": 3 * overlap}
    assert numbers(update["reader"]) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("form", ["native", "squares"])
def test_equation_22_of_an_image_class_on_4_by_4_px(form: Form) -> None:
    batch = four(category=torch.tensor([2, 0]))
    method = Classifier(modalities=2, classes=3, form=form, weight_cross_entropy=2.0, weight_squares=0.5)
    reader = Say(lambda x, i: torch.stack([x[:, 0, 0, 0], (1 + i) * x[:, 0, 3, 3], x.mean((1, 2, 3))], dim=1))
    wanted = 0.0
    for i in range(2):
        x = batch["images"][:, i, 0].numpy()
        scores = np.stack([x[:, 0, 0], (1 + i) * x[:, 3, 3], x.mean((1, 2))], axis=1)
        if form == "squares":
            wanted += squares(scores - np.array([[0, 0, 1], [1, 0, 0]]))
        else:
            wanted += np.mean(np.log(np.exp(scores).sum(1)) - scores[[0, 1], [2, 0]])
    (update,) = updates(method, nn.ModuleDict({"reader": reader}), batch)
    term, weight = ("squares", 0.5) if form == "squares" else ("cross_entropy", 2.0)
    assert numbers(update["reader"]) == pytest.approx({term: weight * wanted}, rel=1e-5)


def test_equation_22_of_boxes() -> None:
    method = Detector(modalities=2, weight_class=2.0, weight_place=3.0)
    batch = cases()
    each = [found_by_hand(batch["images"][:, i].numpy(), i, batch["boxes"]) for i in range(2)]
    (update,) = updates(method, nn.ModuleDict({"reader": Detects()}), batch)
    wanted = {"class": 2 * (each[0][0] + each[1][0]), "place": 3 * (each[0][1] + each[1][1])}
    assert numbers(update["reader"]) == pytest.approx(wanted, rel=1e-4)
