import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn import metrics

from chromogen.evaluate.reading.detection import (
    COCO_OVERLAPS,
    FALSE_PER_IMAGE,
    Found,
    average_precision,
    fit_of_matched_boxes,
    froc,
    mean_average_precision,
    nms,
    overlaps,
)

EVERY = settings(deadline=None, max_examples=30)


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 40, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(4, 25, (count, 2))], axis=1)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    both = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def images(seed: int, count: int = 4) -> tuple[list[Found], list[np.ndarray]]:
    """True boxes of two classes (and a filling row), and found ones: some near them, some anywhere. No two scores are equal."""
    rng = np.random.default_rng(seed)
    found, truth = [], []
    for _ in range(count):
        real = random_boxes(rng, int(rng.integers(0, 4)))
        classes = rng.integers(1, 3, len(real))
        truth.append(np.concatenate([np.column_stack([classes, real]), np.zeros((1, 5))]))
        near = np.repeat(real, 2, axis=0) + rng.uniform(-3, 3, (2 * len(real), 4))
        boxes = np.concatenate([near, random_boxes(rng, 3)])
        called = np.concatenate([np.repeat(classes, 2), rng.integers(1, 3, 3)])
        found.append(Found(boxes, rng.random(len(boxes)), called))
    return found, truth


@EVERY
@given(seed=st.integers(0, 2**32 - 1))
def test_overlaps_equal_plain_arithmetic(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = random_boxes(rng, 5), random_boxes(rng, 4)
    assert overlaps(a, b) == pytest.approx(np.array([[overlap(x, y) for y in b] for x in a]))
    assert overlaps(a[:1] * 0, b).tolist() == [[0.0] * 4]


@EVERY
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 25), named=st.booleans())
def test_nms_equals_brute_force(seed: int, count: int, named: bool) -> None:
    rng = np.random.default_rng(seed)
    boxes, scores, classes = random_boxes(rng, count), rng.integers(0, 8, count) / 8, rng.integers(1, 3, count)
    left = sorted(range(count), key=lambda k: (-scores[k], k))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [k for k in left if (named and classes[k] != classes[best]) or overlap(boxes[k], boxes[best]) <= 0.45]
    assert nms(boxes, scores, classes if named else None).tolist() == kept


def called_by_hand(found: list[Found], truth: list[np.ndarray], category: int, least: float, coco: bool) -> list[tuple]:
    """(score, hit, falls on no true box) of each found box of a class, surest first over all images."""
    order = sorted(((s, n, k) for n, one in enumerate(found) for k, s in enumerate(one.scores) if one.classes[k] == category))
    taken: set[tuple[int, int]] = set()
    made = []
    for score, n, k in reversed(order):
        real = [m for m in range(len(truth[n])) if truth[n][m, 0] == category]
        free = [m for m in real if (n, m) not in taken]
        values = {m: overlap(found[n].boxes[k], truth[n][m, 1:]) for m in (free if coco else real)}
        best = max(values, key=lambda m: values[m], default=None)
        on_one = any(overlap(found[n].boxes[k], truth[n][m, 1:]) >= least for m in real)
        hit = best is not None and values[best] >= least and (n, best) not in taken
        if hit:
            taken.add((n, best))
        made.append((score, hit, not on_one))
    return made


@EVERY
@given(seed=st.integers(0, 2**32 - 1), least=st.sampled_from([0.3, 0.5, 0.75]), coco=st.booleans())
def test_average_precision_equals_its_definition(seed: int, least: float, coco: bool) -> None:
    found, truth = images(seed)
    for category in (1, 2):
        truths = sum(int((boxes[:, 0] == category).sum()) for boxes in truth)
        value = average_precision(found, truth, category, least, "coco" if coco else "voc")
        if not truths:
            assert math.isnan(value)
            continue
        hits = [hit for _, hit, _ in called_by_hand(found, truth, category, least, coco)]
        points = [(sum(hits[: k + 1]) / truths, sum(hits[: k + 1]) / (k + 1)) for k in range(len(hits))]

        def best_from(sensitivity: float, points: list[tuple[float, float]] = points) -> float:
            return max((p for r, p in points if r >= sensitivity - 1e-12), default=0.0)

        if coco:
            expected = sum(best_from(k / 100) for k in range(101)) / 101
        else:
            expected = sum(best_from(k / truths) for k in range(1, truths + 1)) / truths
        assert value == pytest.approx(expected)


def test_average_precision_is_that_of_scikit_learn_where_precision_only_falls() -> None:
    truth = [np.array([[1.0, 0, 0, 10, 10]]), np.array([[1.0, 0, 0, 10, 10]]), np.array([[1.0, 0, 0, 10, 10]])]
    hit, miss = [0.0, 0, 10, 9], [20.0, 20, 30, 30]
    found = [
        Found(np.array([hit, miss]), np.array([0.9, 0.2]), np.array([1, 1])),
        Found(np.array([hit]), np.array([0.8]), np.array([1])),
        Found(np.array([miss, hit]), np.array([0.5, 0.4]), np.array([1, 1])),
    ]
    expected = metrics.average_precision_score([1, 1, 0, 1, 0], [0.9, 0.8, 0.5, 0.4, 0.2])
    assert average_precision(found, truth, 1) == pytest.approx(expected) == pytest.approx((1 + 1 + 3 / 4) / 3)
    # at the sensitivities 0-0.66 precision 1 (67 points), above that 3/4 (34)
    assert average_precision(found, truth, 1, protocol="coco") == pytest.approx((67 + 34 * 0.75) / 101)
    assert average_precision(found, truth, 1, 0.95) == 0.0


def test_a_second_box_on_a_lesion_is_false_for_voc_but_may_take_a_free_one_for_coco() -> None:
    truth = [np.array([[1.0, 0, 0, 10, 10], [1.0, 0, 3, 10, 13]])]
    found = [Found(np.array([[0.0, 0, 10, 10], [0, 1, 10, 11]]), np.array([0.9, 0.8]), np.array([1, 1]))]
    assert average_precision(found, truth, 1) == 0.5
    assert average_precision(found, truth, 1, protocol="coco") == 1.0


def test_mean_over_classes_that_occur_and_overlaps() -> None:
    truth = [np.array([[1.0, 0, 0, 10, 10], [2.0, 20, 20, 30, 30], [0, 0, 0, 0, 0]])]
    # an overlap of 0.72 with class 1; class 2 is missed; class 3 does not occur
    boxes = np.array([[0.0, 0, 10, 7.2], [20, 20, 30, 30]])
    found = [Found(boxes, np.array([0.9, 0.8]), np.array([1, 3]))]
    assert mean_average_precision(found, truth) == 0.5
    assert mean_average_precision(found, truth, COCO_OVERLAPS, "coco") == pytest.approx(0.5 * 5 / 10)  # .5 to .7 of .5 to .95
    assert len(COCO_OVERLAPS) == 10 and COCO_OVERLAPS[-1] == 0.95
    assert math.isnan(mean_average_precision(found, [np.zeros((0, 5))]))


def test_coco_counts_the_hundred_surest_boxes_of_a_class_in_an_image() -> None:
    truth = [np.array([[1.0, 0, 0, 10, 10]])]
    boxes = np.concatenate([np.tile([[50.0, 50, 60, 60]], (100, 1)), [[0, 0, 10, 10]]])
    found = [Found(boxes, np.linspace(1, 0.1, 101), np.ones(101, dtype=int))]
    assert average_precision(found, truth, 1, protocol="coco") == 0.0
    assert average_precision(found, truth, 1) == pytest.approx(1 / 101)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("seed", range(3))
def test_cocos_hundred_boxes_are_of_a_class_as_in_pycocotools(seed: int) -> None:
    """120 sure boxes of one class do not crowd out those of another."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(2):
        corners = rng.uniform(0, 60, (6, 2))
        truth.append(np.concatenate([np.repeat([1, 2], 3)[:, None], corners, corners + 20], axis=1))
        moved = truth[-1][:, 1:] + rng.normal(0, 1.5, (6, 1))
        wrong = rng.uniform(0, 60, (230, 2))
        boxes = np.concatenate([moved, np.concatenate([wrong, wrong + 15], axis=1)])
        classes = np.concatenate([truth[-1][:, 0], np.repeat([1, 2], [120, 110])]).astype(np.int64)
        found.append(Found(boxes, rng.permutation(len(boxes)) / len(boxes), classes))
    coco = COCO()
    coco.dataset = {
        "images": [{"id": 1}, {"id": 2}],
        "categories": [{"id": 1}, {"id": 2}],
        "annotations": [
            {"id": 10 * (image + 1) + k, "image_id": image + 1, "category_id": int(kind), "iscrowd": 0, "area": 400.0,
             "bbox": [x0, y0, x1 - x0, y1 - y0]}
            for image, rows in enumerate(truth) for k, (kind, x0, y0, x1, y1) in enumerate(rows.tolist())
        ],
    }  # fmt: skip
    coco.createIndex()
    called = coco.loadRes(
        [
            {"image_id": image + 1, "category_id": int(kind), "score": float(score), "bbox": [x0, y0, x1 - x0, y1 - y0]}
            for image, one in enumerate(found)
            for (x0, y0, x1, y1), score, kind in zip(one.boxes.tolist(), one.scores, one.classes, strict=True)
        ]
    )
    scored = COCOeval(coco, called, "bbox")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert mean_average_precision(found, truth, COCO_OVERLAPS, "coco") == pytest.approx(scored.stats[0], abs=1e-9)


@EVERY
@given(seed=st.integers(0, 2**32 - 1), category=st.sampled_from([1, None]), ties=st.booleans())
def test_froc_equals_every_threshold_by_hand(seed: int, category: int | None, ties: bool) -> None:
    found, truth = images(seed)
    if ties:
        found = [Found(one.boxes, np.round(one.scores, 1), one.classes) for one in found]
    if category is None:
        one_class = [Found(one.boxes, one.scores, np.ones_like(one.classes)) for one in found]
        truth_of_one = [np.column_stack([boxes[:, 0] > 0, boxes[:, 1:]]) for boxes in truth]
    else:
        one_class, truth_of_one = found, truth
    truths = sum(int((boxes[:, 0] == 1).sum()) for boxes in truth_of_one)
    values = froc(found, truth, category)
    if not truths:
        assert all(math.isnan(value) for value in values.values())
        return
    points = [(0.0, 0.0)]
    for threshold in {float(s) for one in found for s in one.scores}:
        sure = [
            Found(one.boxes[one.scores >= threshold], one.scores[one.scores >= threshold], one.classes[one.scores >= threshold])
            for one in one_class
        ]
        hit = false = 0
        for one, boxes in zip(sure, truth_of_one, strict=True):
            mine, real = one.boxes[one.classes == 1], boxes[boxes[:, 0] == 1, 1:]
            best = [max(range(len(real)), key=lambda m: overlap(box, real[m])) if len(real) else None for box in mine]
            on = [m if m is not None and overlap(box, real[m]) >= 0.5 else None for box, m in zip(mine, best, strict=True)]
            hit += len({m for m in on if m is not None})
            false += sum(m is None for m in on)
        points.append((false / len(found), hit / truths))
    for rate in FALSE_PER_IMAGE:
        assert values[rate] == pytest.approx(max(s for f, s in points if f <= rate))


def test_froc_by_hand() -> None:
    truth = [np.array([[1.0, 0, 0, 10, 10], [1.0, 20, 20, 30, 30]]), np.zeros((0, 5))]
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 10, 10], [40, 40, 50, 50], [20, 20, 30, 30]])
    found = [
        Found(boxes, np.array([0.9, 0.85, 0.8, 0.3]), np.ones(4, dtype=int)),
        Found(np.array([[0.0, 0, 9, 9]]), np.array([0.5]), np.ones(1, dtype=int)),
    ]
    # one hit, the same once more, false, false, the other: over two images
    assert froc(found, truth, false_per_image=(0.25, 0.5, 0.99, 1.0)) == {0.25: 0.5, 0.5: 0.5, 0.99: 0.5, 1.0: 1.0}


def test_fit_of_matched_boxes_by_hand() -> None:
    truth = [np.array([[1.0, 0, 0, 10, 10], [2.0, 20, 20, 30, 30], [1.0, 40, 40, 44, 44]])]
    boxes = np.array([[0.0, 0, 10, 8], [0, 0, 10, 10], [20, 20, 30, 24], [20, 20, 30, 30], [60, 60, 70, 70]])
    found = [Found(boxes, np.array([0.9, 0.6, 0.5, 0.4, 0.9]), np.array([1, 1, 2, 2, 1]))]
    # 0.8 for the surest on the first (the second on it does not count), 0.4 for class 2 (the better one is not sure enough)
    assert fit_of_matched_boxes(found, truth) == pytest.approx((0.8 + 0.4) / 2)
    assert math.isnan(fit_of_matched_boxes(found, truth, score=0.95))


def test_wrong_arrays_are_sentences() -> None:
    with pytest.raises(ValueError, match="with a score and a class each"):
        Found(np.zeros((2, 4)), np.zeros(1), np.zeros(2, dtype=int))
    nothing = Found(np.zeros((0, 4)), np.zeros(0), np.zeros(0, dtype=int))
    with pytest.raises(ValueError, match="of the same images, got 1 and 0"):
        average_precision([nothing], [], 1)
    with pytest.raises(ValueError, match="rows of class, x0, y0, x1, y1"):
        average_precision([nothing], [np.zeros((2, 4))], 1)
    assert average_precision([nothing], [np.array([[1.0, 0, 0, 5, 5]])], 1) == 0.0
    assert froc([nothing], [np.array([[1.0, 0, 0, 5, 5]])])[8.0] == 0.0
