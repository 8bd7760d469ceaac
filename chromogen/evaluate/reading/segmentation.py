"""How far a segmentation is from the mask: overlap, distance of the outlines, and what a threshold does with every pixel.

Masks may have any number of dimensions: a slice, or a volume. A class that neither mask holds is found right: its Dice and IoU
are 1, its distance 0. Means over classes and cases are therefore high where most classes are absent; state how many are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy import ndimage

from chromogen.evaluate import agreement

Classes = Integer[np.ndarray, "..."]
Mask = Bool[np.ndarray, "..."]
Probability = Float[np.ndarray, "..."]


def dice_of_classes(prediction: Classes, target: Classes, classes: int) -> Float[np.ndarray, " classes"]:
    """2 |both| / (|prediction| + |target|) of each class 0..classes-1 of one case; 1 where both are empty."""
    both, first, second = _counted(prediction, target, classes)
    return _shares(2 * both, first + second)


def iou_of_classes(prediction: Classes, target: Classes, classes: int) -> Float[np.ndarray, " classes"]:
    """|both| / |either| of each class 0..classes-1 of one case; 1 where both are empty. It is Dice / (2 - Dice)."""
    both, first, second = _counted(prediction, target, classes)
    return _shares(both, first + second - both)


def hd95(prediction: Mask, target: Mask, spacing_mm: Sequence[float]) -> float:
    """95th percentile of the distances between two outlines in mm: the larger of the two directions.

    From each pixel of one outline to the nearest of the other. The outline of a mask is its pixels that touch one outside it
    along an axis; beyond the image's border lies outside. Axes of length 1 are none: (H, W, 1) is (H, W). 0 when both
    masks are empty, infinity when one is. `spacing_mm`: one length an axis, in the order of the axes. Other software pools
    both directions before it takes the percentile.
    """
    for role, mask in (("prediction", prediction), ("target", target)):
        if mask.dtype != bool or mask.shape != prediction.shape or mask.ndim != len(spacing_mm):
            raise ValueError(
                f"HD95 needs two boolean masks of one shape and a spacing for each of its axes, got a {role} of "
                f"{mask.dtype} {mask.shape} and {len(spacing_mm)} spacings"
            )
    if any(not length > 0 for length in spacing_mm):
        raise ValueError(f"a spacing is a length in mm above 0, got {tuple(spacing_mm)}")
    if not prediction.any() or not target.any():
        return 0.0 if prediction.any() == target.any() else math.inf
    lengths = [length for length, count in zip(spacing_mm, prediction.shape, strict=True) if count > 1]
    if not lengths:
        return 0.0  # one pixel, in both
    prediction, target = prediction.squeeze(), target.squeeze()
    outlines = [mask & ~ndimage.binary_erosion(mask) for mask in (prediction, target)]
    far = [ndimage.distance_transform_edt(~outline, sampling=lengths) for outline in outlines]
    return float(max(np.percentile(far[1][outlines[0]], 95), np.percentile(far[0][outlines[1]], 95)))


@dataclass(frozen=True)
class PixelCounts:
    """How many pixels were called right and wrong. What is 0/0 is NaN."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def sensitivity(self) -> float:
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def specificity(self) -> float:
        return _ratio(self.true_negative, self.true_negative + self.false_positive)

    @property
    def precision(self) -> float:
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def accuracy(self) -> float:
        right = self.true_positive + self.true_negative
        return _ratio(right, right + self.false_positive + self.false_negative)


def pixel_counts(probability: Probability, target: Mask, inside: Mask | None = None, threshold: float = 0.5) -> PixelCounts:
    """Count pixels whose probability reaches `threshold` against a boolean mask, `inside` a field of view (None: everywhere).

    On fundus images the black surround is right for free: without its mask, accuracy and specificity are too high.
    """
    values, truth = _within(probability, target, inside)
    called = values >= threshold
    both = int(np.count_nonzero(called & truth))
    first, second = int(np.count_nonzero(called)), int(np.count_nonzero(truth))
    return PixelCounts(both, first - both, second - both, truth.size - first - second + both)


def pixel_auc(probability: Probability, target: Mask, inside: Mask | None = None) -> float:
    """Probability that a pixel of the mask scores higher than one outside it, ties counting half; NaN without either kind."""
    values, truth = _within(probability, target, inside)
    return agreement.auc(truth, values)


def precision_recall_auc(probability: Probability, target: Mask, inside: Mask | None = None) -> float:
    """Area under precision over sensitivity: for thin vessels, where nearly every pixel is background. NaN without a vessel.

    The sum over all distinct thresholds of precision x gain in sensitivity (average precision); straight lines between the
    points would promise what no threshold gives (Davis and Goadrich, ICML 2006). Chance is the share of the mask.
    """
    values, truth = _within(probability, target, inside)
    positives = int(np.count_nonzero(truth))
    if not positives:
        return math.nan
    order = np.argsort(-values, kind="stable")
    last_of_its_value = np.append(np.flatnonzero(np.diff(values[order])), truth.size - 1)
    found = np.cumsum(truth[order])[last_of_its_value]
    return float((np.diff(found, prepend=0) / positives * (found / (last_of_its_value + 1))).sum())


def _counted(prediction: Classes, target: Classes, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of each class: in both, in the prediction, in the target."""
    found = []
    for role, mask in (("prediction", prediction), ("target", target)):
        if mask.dtype.kind not in "iu" or mask.shape != prediction.shape:
            raise ValueError(
                f"expected two masks of whole numbers of one shape, got {prediction.dtype} {prediction.shape} and "
                f"{target.dtype} {target.shape}"
            )
        if mask.size and not 0 <= int(mask.min()) <= int(mask.max()) < classes:
            raise ValueError(f"the {role} holds the classes {mask.min()} to {mask.max()}; there are 0-{classes - 1}")
        found.append(np.bincount(mask.ravel(), minlength=classes))
    return np.bincount(target[prediction == target].ravel(), minlength=classes), found[0], found[1]


def _within(probability: Probability, target: Mask, inside: Mask | None) -> tuple[np.ndarray, np.ndarray]:
    if target.dtype != bool or probability.shape != target.shape:
        raise ValueError(
            f"expected a probability for each pixel of a boolean mask, got {probability.dtype} {probability.shape} and "
            f"{target.dtype} {target.shape}"
        )
    if not np.isfinite(probability).all():
        raise ValueError("a probability is not finite (NaN or infinity)")
    if inside is None:
        return probability.ravel(), target.ravel()
    if inside.dtype != bool or inside.shape != target.shape:
        raise ValueError(f"expected a boolean field of view of shape {target.shape}, got {inside.dtype} {inside.shape}")
    return probability[inside], target[inside]


def _shares(above: np.ndarray, below: np.ndarray) -> Float[np.ndarray, " classes"]:
    return np.where(below > 0, above / np.maximum(below, 1), 1.0)


def _ratio(above: int, below: int) -> float:
    return above / below if below else math.nan
