import dataclasses

import pytest
import torch

from chromogen import methods
from chromogen.losses import detection
from chromogen.method import Measured
from chromogen.methods.detector import FOUND_COLOUR, METHOD, SOURCE, TRUE_COLOUR, VARIANTS, Detector
from chromogen.nets.ssd import BoxReading
from chromogen.tensors import CaseBatch
from chromogen.train.step import make_optimizers, train_step


def cases(count: int = 3, modalities: int = 1, channels: int = 1, size: int = 32) -> CaseBatch:
    """A bright box of class 1 in the upper half and a dark one of class 2 in the lower, on grey; the last case has only one."""
    generator = torch.Generator().manual_seed(0)
    images = 0.4 + 0.2 * torch.rand(count, modalities, channels, size, size, generator=generator)
    boxes = torch.zeros(count, 3, 5)
    for number in range(count):
        for place, (category, value) in enumerate([(1, 1.0), (2, 0.0)]):
            if number == count - 1 and category == 2:
                continue
            width, height = torch.randint(6, 13, (2,), generator=generator).tolist()
            x, y = int(torch.randint(0, size - 13, (1,), generator=generator)), place * size // 2 + 1
            images[number, :, :, y : y + height, x : x + width] = value
            boxes[number, place] = torch.tensor([category, x, y, x + width, y + height])
    plain = torch.ones(count, 1, size, size)
    return {"images": images, "lines": plain, "organ": plain, "boxes": boxes, "index": torch.arange(count)}


@pytest.mark.parametrize("variant", ["", "thesis"])
def test_it_learns_a_small_batch_and_every_weight_learns(variant: str) -> None:
    torch.manual_seed(0)
    method = VARIANTS[variant] if variant else METHOD
    optimizer = dataclasses.replace(method.optimizer, lr=3e-3) if variant else method.optimizer
    method = dataclasses.replace(method, channels=1, classes=2, width=8, size_px=32, optimizer=optimizer)
    nets, batch = method.networks().train(), cases()
    optimizers = make_optimizers(method.players(), nets)
    before = {name: p.detach().clone() for name, p in nets.named_parameters()}
    for _ in range(60):
        terms = train_step(method, nets, optimizers, [batch], 0.0)
    assert not [name for name, p in nets.named_parameters() if torch.equal(p, before[name])]
    found = method.measure(nets.eval(), batch)
    assert float(found["score"]) > 0.9, (found, terms)
    assert float(found["sensitivity_at_1_0"]) > 0.9 and float(found["fit_0"]) > 0.6
    shown = method.pictures(nets, batch)
    assert shown.shape == (3, 3, 32, 32) and 0 <= float(shown.min()) <= float(shown.max()) <= 1
    for colour in (TRUE_COLOUR, FOUND_COLOUR):
        assert bool((shown == torch.tensor(colour)[:, None, None]).all(1).any())


def said(boxes: list[list[float]], scores: list[list[float]]) -> BoxReading:
    """A reading whose default boxes are `boxes`, not moved, with these probabilities of background and classes."""
    return BoxReading(torch.zeros(1, len(boxes), 4), torch.tensor([scores]).clamp(min=1e-9).log(), torch.tensor(boxes))


def test_of_boxes_on_one_another_the_surer_stays_unless_of_another_class() -> None:
    boxes = [[-5.0, 2, 10, 12], [1, 2, 10, 13], [0, 0, 10, 12], [20, 20, 20, 30], [14, 14, 40, 40]]
    scores = [[0.1, 0.9, 0.0], [0.2, 0.8, 0.0], [0.3, 0.0, 0.7], [0.0, 1.0, 0.0], [0.395, 0.6, 0.005]]
    method = Detector(classes=2)
    ((found, sure, classes),) = method._boxes(said(boxes, scores), 32, 32)
    assert found.tolist() == [[0, 2, 10, 12], [0, 0, 10, 12], [14, 14, 32, 32]]  # cut at the border; without area: gone
    assert sure.tolist() == pytest.approx([0.9, 0.7, 0.6], abs=1e-4) and classes.tolist() == [1, 2, 1]
    ((found, _, _),) = dataclasses.replace(method, most_boxes=1)._boxes(said(boxes, scores), 32, 32)
    assert len(found) == 1
    ((found, _, _),) = dataclasses.replace(method, least_score=0.65)._boxes(said(boxes, scores), 32, 32)
    assert len(found) == 2
    ((found, sure, classes),) = dataclasses.replace(method, least_score=0.95)._boxes(said(boxes[:3], scores[:3]), 32, 32)
    assert found.shape == (0, 4) and sure.shape == classes.shape == (0,)


def test_without_a_box_in_the_batch_there_is_no_score() -> None:
    torch.manual_seed(0)
    method = Detector(classes=2, width=4, size_px=32)
    batch = cases()
    batch["boxes"].zero_()
    assert bool(method.measure(method.networks().eval(), batch)["score"].isnan())


def test_presets_have_the_values_of_the_specification() -> None:
    thesis = VARIANTS["thesis"]
    assert (thesis.channels, thesis.width, thesis.size_px, thesis.shapes) == (3, 64, 512, "wide")
    assert (thesis.smallest, thesis.largest, thesis.most_overlap) == (0.05, 0.9, 0.45)
    assert thesis.weight_class == thesis.weight_place == 1 and thesis.optimizer.lr == 1e-5
    assert (detection.SAME, detection.OTHER, detection.NEGATIVES, detection.VARIANCES) == (0.6, 0.4, 3, (0.1, 0.2))
    assert isinstance(METHOD, Measured) and METHOD.released == ("reader",)
    assert SOURCE.task == "reading" and "detector" in methods.available("reading")


def test_terms_of_a_step_are_the_equations_times_their_weights() -> None:
    torch.manual_seed(0)
    batch = cases(modalities=2)
    method = Detector(modalities=2, classes=2, width=4, size_px=32, weight_class=2.0, weight_place=3.0)
    nets = method.networks()
    (update,) = list(method.step(nets, batch, 0.0))
    each = [detection.ssd(*nets["reader"](batch["images"][:, m], m), batch["boxes"]) for m in range(2)]
    torch.testing.assert_close(update["reader"]["class"], 2.0 * (each[0][0] + each[1][0]))
    torch.testing.assert_close(update["reader"]["place"], 3.0 * (each[0][1] + each[1][1]))


def test_wrong_values_and_cases_are_sentences() -> None:
    with pytest.raises(ValueError, match="size_px is at least 32, got 16"):
        Detector(size_px=16)
    with pytest.raises(ValueError, match="0 < smallest < largest <= 1"):
        Detector(smallest=0.9, largest=0.5)
    method = Detector(width=4, size_px=32)
    with pytest.raises(ValueError, match="of class 2; this reader knows the classes 1-1"):
        next(method.step(method.networks(), cases(), 0.0))
    unlabelled = cases()
    del unlabelled["boxes"]
    with pytest.raises(ValueError, match="have no boxes"):
        next(method.step(method.networks(), unlabelled, 0.0))
