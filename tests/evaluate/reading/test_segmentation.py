import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from scipy.spatial.distance import cdist
from sklearn import metrics

from chromogen.evaluate.reading.segmentation import (
    dice_of_classes,
    hd95,
    iou_of_classes,
    pixel_auc,
    pixel_counts,
    precision_recall_auc,
)

EVERY = settings(deadline=None, max_examples=25)


@EVERY
@given(seed=st.integers(0, 2**32 - 1), shape=st.sampled_from([(7, 9), (4, 5, 6)]))
def test_dice_and_iou_equal_scikit_learn(seed: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    target, prediction = (rng.integers(0, 3, shape).astype(np.uint8) for _ in range(2))
    flat = (target.ravel(), prediction.ravel())
    expected = metrics.f1_score(*flat, labels=[0, 1, 2], average=None, zero_division=1)
    assert dice_of_classes(prediction, target, 3) == pytest.approx(expected)
    found = iou_of_classes(prediction, target, 3)
    assert found == pytest.approx(metrics.jaccard_score(*flat, labels=[0, 1, 2], average=None, zero_division=1))
    assert found == pytest.approx(expected / (2 - expected))


def test_overlap_by_hand_with_a_class_that_is_nowhere_and_one_that_is_missed() -> None:
    target = np.array([[0, 1, 1, 1]])
    prediction = np.array([[0, 0, 1, 3]])
    assert dice_of_classes(prediction, target, 4).tolist() == [2 * 1 / 3, 2 * 1 / 4, 1.0, 0.0]
    assert iou_of_classes(prediction, target, 4).tolist() == [1 / 2, 1 / 3, 1.0, 0.0]
    with pytest.raises(ValueError, match="the prediction holds the classes 0 to 3; there are 0-2"):
        dice_of_classes(prediction, target, 3)
    with pytest.raises(ValueError, match="whole numbers of one shape"):
        dice_of_classes(prediction / 2, target, 4)


def outline(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask that touch one outside it along an axis, by plain loops."""
    padded = np.pad(mask, 1)
    found = []
    for place in np.argwhere(padded):
        steps = [place + sign * np.eye(mask.ndim, dtype=int)[axis] for axis in range(mask.ndim) for sign in (-1, 1)]
        if not all(padded[tuple(step)] for step in steps):
            found.append(place - 1)
    return np.array(found)


@EVERY
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(12, 15), (6, 7, 8)]),
    spacing=st.tuples(*[st.floats(0.2, 5.0)] * 3),
)
def test_hd95_equals_all_distances_between_the_outlines(
    seed: int, shape: tuple[int, ...], spacing: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(seed)
    masks = [ndimage.gaussian_filter(rng.normal(size=shape), 1.5) > 0.05 for _ in range(2)]
    if not all(mask.any() for mask in masks):
        return
    lengths = np.array(spacing[: len(shape)])
    between = cdist(*(outline(mask) * lengths for mask in masks))
    expected = max(np.percentile(between.min(axis=1), 95), np.percentile(between.min(axis=0), 95))
    assert hd95(*masks, lengths.tolist()) == pytest.approx(expected)
    assert hd95(*masks[::-1], lengths.tolist()) == pytest.approx(expected)


def test_hd95_knows_the_spacing_of_each_axis_and_empty_masks() -> None:
    first, second, empty = (np.zeros((8, 8), dtype=bool) for _ in range(3))
    first[1, 1] = second[4, 5] = True
    assert hd95(first, second, (2.0, 0.5)) == pytest.approx(math.hypot(3 * 2, 4 * 0.5))
    assert hd95(empty, empty, (1, 1)) == 0 and hd95(first, first, (1, 1)) == 0
    assert hd95(first, empty, (1, 1)) == hd95(empty, first, (1, 1)) == math.inf
    with pytest.raises(ValueError, match="a spacing for each of its axes"):
        hd95(first, second, (1, 1, 1))
    with pytest.raises(ValueError, match="above 0"):
        hd95(first, second, (1, 0))
    with pytest.raises(ValueError, match="a target of int64"):
        hd95(first, second.astype(int), (1, 1))


@EVERY
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    place=st.integers(0, 3),
    thick=st.floats(0.1, 9),
)
def test_hd95_does_not_depend_on_axes_of_length_1(seed: int, shape: list[int], place: int, thick: float) -> None:
    rng = np.random.default_rng(seed)
    first, second = (rng.random(shape) < 0.5 for _ in range(2))
    steps = rng.uniform(0.3, 3, len(shape)).tolist()
    where = min(place, len(shape))
    grown = [np.expand_dims(mask, where) for mask in (first, second)]
    assert hd95(*grown, [*steps[:where], thick, *steps[where:]]) == hd95(first, second, steps)


def test_hd95_of_a_slice_in_three_writings() -> None:
    """Two squares, the smaller inside: 4 px from outline to outline. With a third axis every pixel was outline, 0 apart."""
    outer, inner = np.ones((11, 11), bool), np.zeros((11, 11), bool)
    inner[4:7, 4:7] = True
    for axis, steps in ((None, (1, 1)), (0, (9, 1, 1)), (2, (1, 1, 9))):
        masks = [mask if axis is None else np.expand_dims(mask, axis) for mask in (outer, inner)]
        assert hd95(*masks, steps) == pytest.approx(np.percentile(outline_distances(), 95))


def outline_distances() -> list[float]:
    """From every pixel of the border of 11 x 11 to the nearest of the square of 3 x 3 in its middle."""
    border = [(r, c) for r in range(11) for c in range(11) if r in (0, 10) or c in (0, 10)]
    return [math.hypot(max(4 - r, 0, r - 6), max(4 - c, 0, c - 6)) for r, c in border]


def scored(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities with many ties, a mask, and a field of view that holds both kinds of pixels."""
    rng = np.random.default_rng(seed)
    probability = rng.integers(0, 6, (9, 11)) / 5
    target, inside = rng.random((9, 11)) < 0.4, rng.random((9, 11)) < 0.7
    inside[0, :2], target[0, :2] = True, [True, False]
    return probability, target, inside


@EVERY
@given(seed=st.integers(0, 2**32 - 1))
def test_areas_equal_scipy_and_scikit_learn_within_the_field_of_view(seed: int) -> None:
    probability, target, inside = scored(seed)
    truth, values = target[inside], probability[inside]
    u = stats.mannwhitneyu(values[truth], values[~truth]).statistic
    assert pixel_auc(probability, target, inside) == pytest.approx(u / (truth.sum() * (~truth).sum()))
    expected = metrics.average_precision_score(truth, values)
    assert precision_recall_auc(probability, target, inside) == pytest.approx(expected)
    everywhere = metrics.average_precision_score(target.ravel(), probability.ravel())
    assert precision_recall_auc(probability, target) == pytest.approx(everywhere)
    assert pixel_auc(probability, target) == pytest.approx(metrics.roc_auc_score(target.ravel(), probability.ravel()))


@EVERY
@given(seed=st.integers(0, 2**32 - 1))
def test_counts_equal_scikit_learn_within_the_field_of_view(seed: int) -> None:
    probability, target, inside = scored(seed)
    truth, called = target[inside], probability[inside] >= 0.6
    found = pixel_counts(probability, target, inside, threshold=0.6)
    assert [found.true_negative, found.false_positive, found.false_negative, found.true_positive] == (
        metrics.confusion_matrix(truth, called, labels=[False, True]).ravel().tolist()
    )
    assert found.sensitivity == pytest.approx(metrics.recall_score(truth, called))
    assert found.specificity == pytest.approx(metrics.recall_score(~truth, ~called))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truth, called))
    if called.any():
        assert found.precision == pytest.approx(metrics.precision_score(truth, called))


def test_what_is_0_of_0_is_not_a_number() -> None:
    none, low = np.zeros((3, 3), dtype=bool), np.zeros((3, 3))
    found = pixel_counts(low, none)
    assert math.isnan(found.sensitivity) and math.isnan(found.precision) and found.specificity == found.accuracy == 1
    assert math.isnan(pixel_auc(low, none)) and math.isnan(precision_recall_auc(low, none))


def test_wrong_arrays_are_sentences() -> None:
    none, low = np.zeros((3, 3), dtype=bool), np.zeros((3, 3))
    with pytest.raises(ValueError, match="each pixel of a boolean mask"):
        pixel_auc(low[:2], none)
    with pytest.raises(ValueError, match="field of view of shape \\(3, 3\\)"):
        pixel_auc(low, none, none[:2])
    with pytest.raises(ValueError, match="not finite"):
        pixel_auc(low + np.nan, none)
