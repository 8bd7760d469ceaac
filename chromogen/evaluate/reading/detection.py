"""How well boxes are found: average precision, sensitivity at so many false boxes an image, and how well boxes fit.

A box is x0, y0, x1, y1 in px with x0 < x1 and y0 < y1; in front of a true one stands its class, from 1 (0 fills up rows).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int64

Boxes = Float[np.ndarray, "boxes 4"]
TrueBoxes = Float[np.ndarray, "boxes 5"]
Protocol = Literal["voc", "coco"]
COCO_BOXES = 100  # of a class in an image
COCO_OVERLAPS = tuple(k / 100 for k in range(50, 100, 5))
FALSE_PER_IMAGE = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)  # of the LUNA16 challenge
HIT, AGAIN, FALSE = 1, 0, -1  # what a found box is: a true box's first, another one of the same, or of none


@dataclass(frozen=True)
class Found:
    """The boxes found in one image, in any order, with a score (more is surer) and a class (from 1) each."""

    boxes: Boxes
    scores: Float[np.ndarray, " boxes"]
    classes: Int64[np.ndarray, " boxes"]

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.scores), 4) or len(self.classes) != len(self.scores):
            shapes = f"{self.boxes.shape}, {self.scores.shape} and {self.classes.shape}"
            raise ValueError(f"expected boxes (N, 4) with a score and a class each, got shapes {shapes}")


@dataclass(frozen=True)
class Calls:
    """All found boxes of one class, surest first: the score and what each is (HIT, AGAIN or FALSE)."""

    scores: Float[np.ndarray, " found"]
    kinds: Int64[np.ndarray, " found"]
    overlaps: Float[np.ndarray, " found"]  # with the true box it was held against
    truths: int
    images: int


def overlaps(first: Boxes, second: Float[np.ndarray, "others 4"]) -> Float[np.ndarray, "boxes others"]:
    """Intersection over union of every box of one set with every box of the other, in [0, 1]."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    both = np.maximum(sides, 0).prod(axis=2)
    either = _areas(a)[:, None] + _areas(b)[None] - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def nms(
    boxes: Boxes, scores: Float[np.ndarray, " boxes"], classes: Int64[np.ndarray, " boxes"] | None = None, overlap: float = 0.45
) -> Int64[np.ndarray, " kept"]:
    """Places of the boxes that are kept, surest first: each goes that overlaps a surer kept one of its class by more.

    Of equal scores the one that stands first is the surer.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    ranked = np.asarray(boxes)[order]
    same: Bool[np.ndarray, "boxes boxes"] = np.ones((len(order), len(order)), dtype=bool)
    if classes is not None:
        same = classes[order][:, None] == classes[order][None]
    rivals = (overlaps(ranked, ranked) > overlap) & same
    alive = np.ones(len(order), dtype=bool)
    for number in range(len(order)):
        if alive[number]:
            alive[number + 1 :] &= ~rivals[number, number + 1 :]
    return order[alive]


def calls(
    found: Sequence[Found],
    truth: Sequence[TrueBoxes],
    category: int | None = None,
    overlap: float = 0.5,
    protocol: Protocol = "voc",
) -> Calls:
    """Hold the found boxes of one class (None: of all, whatever their class) against the true ones, surest first.

    A box hits the true one it overlaps most, by `overlap` or more; a true one is hit once. What falls on a true box that is
    taken is AGAIN (`voc`), or looks for the next best free one (`coco`). Of equal scores, the earlier image goes first.
    """
    if len(found) != len(truth):
        raise ValueError(f"expected found and true boxes of the same images, got {len(found)} and {len(truth)}")
    parts = [_one_image(*pair, category, overlap, protocol) for pair in zip(found, truth, strict=True)]
    scores = np.concatenate([part[0] for part in parts]) if parts else np.zeros(0)
    order = np.argsort(-scores, kind="stable")
    kinds, fits = (np.concatenate([part[k] for part in parts])[order] if parts else np.zeros(0) for k in (1, 2))
    return Calls(scores[order], kinds.astype(np.int64), fits, sum(part[3] for part in parts), len(found))


def average_precision(
    found: Sequence[Found], truth: Sequence[TrueBoxes], category: int, overlap: float = 0.5, protocol: Protocol = "voc"
) -> float:
    """Area under precision over sensitivity, each precision being the best one at that sensitivity or a higher one.

    `voc`: at all points, as VOC since 2010. `coco`: the mean at the sensitivities 0, 0.01, ..., 1; of every image the 100
    surest boxes of the class count, as in pycocotools. NaN when no image holds the class.
    """
    if protocol == "coco":
        found = [_surest(_chosen(one, one.classes == category), COCO_BOXES) for one in found]
    made = calls(found, truth, category, overlap, protocol)
    if not made.truths:
        return math.nan
    hits = np.cumsum(made.kinds == HIT)
    sensitivity = hits / made.truths
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    if protocol == "voc":
        return float((np.diff(sensitivity, prepend=0.0) * precision).sum())
    place = np.searchsorted(sensitivity, np.linspace(0, 1, 101), side="left")
    return float(np.append(precision, 0.0)[np.minimum(place, len(precision))].mean())


def mean_average_precision(
    found: Sequence[Found],
    truth: Sequence[TrueBoxes],
    overlap_thresholds: Sequence[float] = (0.5,),
    protocol: Protocol = "voc",
) -> float:
    """Mean of the average precisions of the classes that occur and of the overlaps; NaN without a true box.

    AP@.5 of VOC 2010 as it stands; COCO's AP with `COCO_OVERLAPS` and "coco".
    """
    present = sorted({int(k) for boxes in truth for k in boxes[:, 0] if k > 0})
    values = [average_precision(found, truth, k, x, protocol) for k in present for x in overlap_thresholds]
    return float(np.mean(values)) if values else math.nan


def froc(
    found: Sequence[Found],
    truth: Sequence[TrueBoxes],
    category: int | None = None,
    overlap: float = 0.5,
    false_per_image: Sequence[float] = FALSE_PER_IMAGE,
) -> dict[float, float]:
    """Highest sensitivity that some threshold gives with at most so many false boxes an image, for each of them.

    A second box on a true one is neither a hit nor false, as in LUNA16 (whose curve joins the points by straight lines; this
    one does not). Boxes of equal score are found together. The mean of the values is LUNA16's score. NaN without a true box.
    """
    made = calls(found, truth, category, overlap)
    if not made.truths:
        return {rate: math.nan for rate in false_per_image}
    last = np.append(np.flatnonzero(np.diff(made.scores)), len(made.scores) - 1) if len(made.scores) else np.zeros(0, int)
    sensitivity = np.append(0.0, np.cumsum(made.kinds == HIT)[last] / made.truths)
    rates = np.append(0.0, np.cumsum(made.kinds == FALSE)[last] / made.images)
    return {rate: float(sensitivity[rates <= rate].max()) for rate in false_per_image}


def fit_of_matched_boxes(found: Sequence[Found], truth: Sequence[TrueBoxes], score: float = 0.5) -> float:
    """Mean overlap of the boxes surer than `score` or as sure that overlap a true box of their class; each true box once.

    NaN when no box does. It says nothing about boxes missed or made up: read it beside the average precision.
    """
    sure = [_chosen(one, one.scores >= score) for one in found]
    present = sorted({int(k) for boxes in truth for k in boxes[:, 0] if k > 0})
    fits: list[float] = []
    for category in present:
        made = calls(sure, truth, category, overlap=np.nextafter(0, 1), protocol="coco")
        fits += [float(x) for x in made.overlaps[made.kinds == HIT]]
    return float(np.mean(fits)) if fits else math.nan


def _one_image(
    found: Found, truth: TrueBoxes, category: int | None, overlap: float, protocol: Protocol
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Scores, kinds and overlaps of the found boxes of a class in one image, surest first; how many true ones it has."""
    _check_true(truth)
    real = truth[(truth[:, 0] > 0) if category is None else (truth[:, 0] == category)][:, 1:]
    chosen = found if category is None else _chosen(found, found.classes == category)
    order = np.argsort(-chosen.scores, kind="stable")
    between = overlaps(chosen.boxes[order], real)
    kinds, fits = np.full(len(order), FALSE), np.zeros(len(order))
    free = np.ones(len(real), dtype=bool)
    for number, row in enumerate(between if len(real) else []):
        best = int(np.argmax(np.where(free, row, -1.0) if protocol == "coco" and free.any() else row))
        fits[number] = row[best]
        if row[best] >= overlap:
            kinds[number] = HIT if free[best] else AGAIN
            free[best] = False
    return chosen.scores[order], kinds, fits, len(real)


def _check_true(truth: TrueBoxes) -> None:
    if truth.ndim != 2 or truth.shape[1] != 5:
        raise ValueError(f"true boxes are rows of class, x0, y0, x1, y1, got an array of shape {truth.shape}")


def _chosen(found: Found, which: np.ndarray) -> Found:
    return Found(found.boxes[which], found.scores[which], found.classes[which])


def _surest(found: Found, count: int) -> Found:
    return _chosen(found, np.argsort(-found.scores, kind="stable")[:count])


def _areas(boxes: Boxes) -> Float[np.ndarray, " boxes"]:
    return np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
