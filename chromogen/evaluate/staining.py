"""Whether the stain is there in the right amount: mean DAB, how it follows the real one, and whether it rises with HER2.

These look at amounts and ask for no alignment. A correlation over all images can be high only because the classes differ;
`within` compares images of the same class, where a prediction that merely guesses the class earns nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chromogen.color import White, dab_density
from chromogen.tensors import Uint8Image


def mean_dab(image: Uint8Image, white: White | None = None) -> float:
    """Mean DAB optical density (decadic, along the DAB vector) of an IHC image under the light `white` in unit RGB.

    Give a prediction and its target the same light, `chromogen.color.background(target)`: glass in these scans is not white.
    """
    return float(dab_density(image, white).mean(dtype=np.float64))


@dataclass(frozen=True)
class Correlation:
    """Pearson's r of one value an image, predicted against real; NaN where it is not defined.

    overall: over all images. between: over the means of the classes. within: over the images after the mean of their class is
    subtracted. Two points always lie on a line, so fewer than three (or no spread) give NaN.
    """

    overall: float
    between: float
    within: float


def correlation(level: Sequence[int | None], predicted: Sequence[float], real: Sequence[float]) -> Correlation:
    """Correlate `predicted` with `real`. Images whose `level` is None count in `overall` only."""
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(real, dtype=np.float64)
    if not len(level) == len(x) == len(y):
        raise ValueError(f"expected equally many levels and values, got {len(level)}, {len(x)} and {len(y)}")
    means_x, means_y = class_means(level, x), class_means(level, y)
    shared = [(k, one) for k, one in enumerate(level) if one is not None and list(level).count(one) > 1]
    rest_x = [x[k] - means_x[one] for k, one in shared]
    rest_y = [y[k] - means_y[one] for k, one in shared]
    return Correlation(_pearson(x, y), _pearson([*means_x.values()], [*means_y.values()]), _pearson(rest_x, rest_y))


def class_means(level: Sequence[int | None], values: Sequence[float] | np.ndarray) -> dict[int, float]:
    """Mean of the values of each HER2 level that occurs, lowest level first; values without a level are left out."""
    present = sorted({one for one in level if one is not None})
    return {one: float(np.mean([value for at, value in zip(level, values, strict=True) if at == one])) for one in present}


@dataclass(frozen=True)
class Ordering:
    """How many pairs of HER2 classes stand in the wrong order, of how many that occur (6 when all four classes do)."""

    violations: int
    pairs: int
    means: dict[int, float]


def ordering_violations(level: Sequence[int | None], dab: Sequence[float]) -> Ordering:
    """Class means of DAB must rise strictly, 0 < 1+ < 2+ < 3+; each pair that does not (a tie included) is a violation."""
    means = class_means(level, dab)
    pairs = [(low, high) for low in means for high in means if low < high]
    return Ordering(sum(not means[low] < means[high] for low, high in pairs), len(pairs), means)


def _pearson(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(a) < 3:
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt(float(a @ a) * float(b @ b))
    # A spread at the level of rounding is no spread: class residuals of equal values are 1e-17, not 0.
    return float(a @ b) / spread if spread > 1e-15 else math.nan
