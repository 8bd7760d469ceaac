import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.losses import detection


def random_boxes(rng: np.random.Generator, count: int, size: float = 64.0) -> np.ndarray:
    sides = rng.uniform(4, 30, (count, 2))
    corner = rng.uniform(-4, size - 10, (count, 2))
    return np.concatenate([corner, corner + sides], axis=1)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def match_by_hand(truth: np.ndarray, defaults: np.ndarray) -> tuple[list[int], list[int]]:
    """Class of each default box and the number of its true box (-1: none that matters)."""
    real = [k for k in range(len(truth)) if truth[k, 0] > 0]
    category, which = [], []
    for box in defaults:
        values = {k: overlap(box, truth[k, 1:]) for k in real}
        best = max(values, key=lambda k: values[k]) if values else -1
        most = values[best] if values else 0.0
        category.append(int(truth[best, 0]) if most >= 0.6 else 0 if most < 0.4 else -1)
        which.append(best)
    pairs = sorted(((overlap(defaults[d], truth[k, 1:]), d, k) for d in range(len(defaults)) for k in real), reverse=True)
    taken_defaults, taken_truths = set(), set()
    for value, d, k in pairs:
        if value > 0 and d not in taken_defaults and k not in taken_truths:
            taken_defaults.add(d)
            taken_truths.add(k)
            category[d], which[d] = int(truth[k, 0]), k
    return category, which


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), defaults=st.integers(1, 30), truths=st.integers(0, 5))
def test_matching_equals_brute_force(seed: int, defaults: int, truths: int) -> None:
    rng = np.random.default_rng(seed)
    default_boxes = random_boxes(rng, defaults)
    near = default_boxes[rng.integers(defaults, size=truths)] + rng.uniform(-2, 2, (truths, 4))
    boxes = np.where(rng.random((truths, 1)) < 0.6, near, random_boxes(rng, truths))
    truth = np.column_stack([rng.integers(0, 3, truths), boxes]) if truths else np.zeros((0, 5))
    category, held = detection.matched(torch.from_numpy(truth), torch.from_numpy(default_boxes))
    expected, which = match_by_hand(truth, default_boxes)
    assert category.tolist() == expected
    for number, place in enumerate(which):
        if expected[number] > 0:
            assert held[number].tolist() == pytest.approx(truth[place, 1:].tolist())


def test_every_lesion_is_matched_however_badly_it_fits() -> None:
    defaults = torch.tensor([[0.0, 0, 40, 40], [30, 30, 60, 60]])
    truth = torch.tensor([[2.0, 1, 1, 4, 4], [0, 0, 0, 0, 0]])
    assert detection.matched(truth, defaults)[0].tolist() == [2, 0]
    outside = torch.tensor([[2.0, 100, 100, 110, 110]])
    assert detection.matched(outside, defaults)[0].tolist() == [0, 0]


def test_two_lesions_that_like_one_default_box_get_one_each() -> None:
    defaults = torch.tensor([[0.0, 0, 20, 20], [10, 10, 60, 60]])
    truth = torch.tensor([[1.0, 0, 0, 20, 20], [2.0, 2, 2, 20, 20]])
    assert detection.matched(truth, defaults)[0].tolist() == [1, 2]


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 20))
def test_decoding_gives_back_what_was_encoded(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, defaults = (torch.from_numpy(random_boxes(rng, count)) for _ in range(2))
    torch.testing.assert_close(detection.decode(detection.encode(boxes, defaults), defaults), boxes)


def test_encoding_by_hand() -> None:
    offsets = detection.encode(torch.tensor([10.0, 20, 30, 60]), torch.tensor([0.0, 10, 20, 30]))
    # centres (20, 40) and (10, 20), sizes (20, 40) and (20, 20)
    assert offsets.tolist() == pytest.approx([10 / 20 / 0.1, 20 / 20 / 0.1, 0, math.log(2) / 0.2])


def loss_by_hand(offsets: np.ndarray, scores: np.ndarray, defaults: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    kind = place = 0.0
    positives = 0
    for n in range(len(truth)):
        category, which = match_by_hand(truth[n], defaults)
        entropy = np.log(np.exp(scores[n]).sum(1)) - scores[n][np.arange(len(defaults)), np.maximum(category, 0)]
        matched = [d for d in range(len(defaults)) if category[d] > 0]
        background = sorted((entropy[d] for d in range(len(defaults)) if category[d] == 0), reverse=True)
        kind += sum(entropy[d] for d in matched) + sum(background[: 3 * max(1, len(matched))])
        for d in matched:
            wanted = detection.encode(torch.from_numpy(truth[n][which[d], 1:]), torch.from_numpy(defaults[d])).numpy()
            for difference in np.abs(wanted - offsets[n, d]):
                place += 0.5 * difference**2 if difference < 1 else difference - 0.5
        positives += len(matched)
    return kind / max(1, positives), place / max(1, positives)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), truths=st.integers(0, 4))
def test_the_loss_equals_plain_loops(seed: int, truths: int) -> None:
    rng = np.random.default_rng(seed)
    defaults = random_boxes(rng, 25)
    offsets, scores = rng.normal(size=(2, 25, 4)), rng.normal(size=(2, 25, 4))
    boxes = defaults[rng.integers(25, size=(2, truths))] + rng.uniform(-2, 2, (2, truths, 4))
    truth = np.concatenate([rng.integers(0, 4, (2, truths, 1)), boxes], axis=2)
    tensors = [torch.from_numpy(x.astype(np.float32)) for x in (offsets, scores, defaults, truth)]
    found = detection.ssd(*tensors)
    assert [float(x) for x in found] == pytest.approx(loss_by_hand(offsets, scores, defaults, truth), rel=1e-3, abs=1e-5)


def test_a_batch_without_lesions_still_teaches_background() -> None:
    defaults = torch.from_numpy(random_boxes(np.random.default_rng(0), 10)).float()
    scores = torch.zeros(2, 10, 2, requires_grad=True)
    offsets = torch.zeros(2, 10, 4, requires_grad=True)
    for truth in (torch.zeros(2, 0, 5), torch.zeros(2, 3, 5)):
        kind, place = detection.ssd(offsets, scores, defaults, truth)
        assert kind.item() == pytest.approx(2 * 3 * math.log(2), rel=1e-5) and place.item() == 0
        for gradient in torch.autograd.grad(kind + place, (scores, offsets)):
            assert bool(torch.isfinite(gradient).all())


def test_wrong_boxes_are_a_sentence() -> None:
    defaults = torch.tensor([[0.0, 0, 20, 20]])
    with pytest.raises(ValueError, match="no width or no height"):
        detection.matched(torch.tensor([[1.0, 5, 5, 5, 9]]), defaults)
    with pytest.raises(ValueError, match="of class 3; this reader knows the classes 1-2"):
        detection.ssd(torch.zeros(1, 1, 4), torch.zeros(1, 1, 3), defaults, torch.tensor([[[3.0, 1, 1, 5, 5]]]))
