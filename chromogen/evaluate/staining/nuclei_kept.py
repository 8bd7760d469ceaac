"""How many nuclei of the H&E are still there in the virtual IHC made from it.

A virtual stain lies on its H&E pixel by pixel, so this asks for no real IHC and is not spoiled by sections that do not match.
Where nuclei are dense, points thrown at random also find partners; `chance` says how many, and should stand beside the rest.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial import cKDTree

from chromogen.evaluate.staining.her2.nuclei import SEARCH_EOSIN, find_nuclei, he_densities, ihc_densities, outside
from chromogen.tensors import Uint8Image
from chromogen.tissue import unseen

RADIUS_UM = 3.0  # about the radius of a nucleus
SHIFTS_UM = ((0.0, 40.0), (40.0, 0.0), (0.0, -40.0), (-40.0, 0.0))  # several cells on

Points = Float64[np.ndarray, "points 2"]


@dataclass(frozen=True)
class Kept:
    """Nuclei found in the source, in the prediction and in both, one to one; `chance` is the F1 of shifted nuclei."""

    in_source: int
    in_prediction: int
    in_both: int
    chance: float

    @property
    def recall(self) -> float:
        """Share of the source's nuclei found again; NaN when it has none."""
        return self.in_both / self.in_source if self.in_source else float("nan")

    @property
    def precision(self) -> float:
        """Share of the prediction's nuclei that the source has; 0 when the prediction lost all of them."""
        if self.in_prediction:
            return self.in_both / self.in_prediction
        return 0.0 if self.in_source else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision; NaN when neither image has a nucleus."""
        return _f1(self.in_both, self.in_source, self.in_prediction)


def nuclei_kept(prediction: Uint8Image, source: Uint8Image, mpp: float, radius_um: float = RADIUS_UM) -> Kept:
    """Match the nuclei of a (virtual) IHC image with those of the H&E image it lies on, within `radius_um`.

    Both are uint8 RGB of one size, `mpp` is um per pixel. Padding and ink of the source are left out. A blurred or a flat
    prediction has few nuclei or none and scores low.
    Raises ValueError for other arrays, unequal sizes or an `mpp` outside 0.1-2.
    """
    if prediction.shape != source.shape:
        sizes = [f"{image.shape[1]}x{image.shape[0]} px" for image in (prediction, source)]
        raise ValueError(f"the prediction is {sizes[0]}, its source {sizes[1]}; compare images of equal size")
    if not radius_um > 0:
        raise ValueError(f"the radius must be above 0 um, got {radius_um:g}")
    hidden = unseen(source)
    real = outside(find_nuclei(he_densities(source, hidden), mpp, brown=False), hidden)
    # the finer search of the HER2 read-out finds as many nuclei in a blur of 2 px as in the sharp image
    made = outside(find_nuclei(ihc_densities(prediction, hidden), mpp, SEARCH_EOSIN), hidden)
    size = np.array(source.shape[:2], dtype=np.float64)
    moved = [(real + np.array(shift) / mpp) % size for shift in SHIFTS_UM]
    by_chance = [_f1(len(mutual_nearest(other, made, radius_um / mpp)), len(real), len(made)) for other in moved]
    both = len(mutual_nearest(real, made, radius_um / mpp))
    return Kept(len(real), len(made), both, float(np.mean(by_chance)))


def mutual_nearest(first: Points, second: Points, radius: float) -> Int64[np.ndarray, "pairs 2"]:
    """Pairs (row of `first`, row of `second`) that are each other's nearest and at most `radius` apart: one to one."""
    if not len(first) or not len(second):
        return np.empty((0, 2), dtype=np.int64)
    away, there = cKDTree(second).query(first)
    _, back = cKDTree(first).query(second)
    rows = np.flatnonzero((away <= radius) & (back[there] == np.arange(len(first))))
    return np.stack([rows, there[rows]], axis=1).astype(np.int64)


def _f1(both: int, source: int, prediction: int) -> float:
    return 2 * both / (source + prediction) if source + prediction else float("nan")
