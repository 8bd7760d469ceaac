"""Whether the stain is there in the right amount: densities of one pair, how they follow the real ones, and the HER2 order.

Most of these look at amounts and ask for no alignment; only `dice` needs it, and `tile_dice` forgives what stays inside a
tile. A correlation over all images can be high only because the classes differ; `within` compares images of the same class,
where a prediction that merely guesses the class earns nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from chromogen.color import White, dab_density
from chromogen.evaluate.agreement import dice
from chromogen.tensors import Uint8Image
from chromogen.tissue import unseen

Density = Float[np.ndarray, "height width"]
Values = Float[np.ndarray, " pixels"]  # of one image, least first
Shares = Float[np.ndarray, " bins"]

CUT_OFFS = (0.2, 0.4, 0.6)  # weak, moderate, strong: the DAB densities QuPath proposes for its three positive classes
TOP_DENSITY, BINS = 2.0, 100  # bins of 0.02 OD; 8-bit tissue seldom passes 2 OD, and what does counts in the last bin
OWN_BINS = 256
FLOOR = 1e-10  # added to every bin, so that an empty one does not make the divergence infinite
TILE_PX = 32
DARKEST_SHARE = 0.1
AMOUNTS = ("dab", *(f"positive_area_{cut}" for cut in CUT_OFFS), "top_decile", "integrated")


def mean_dab(image: Uint8Image, white: White | None = None) -> float:
    """Mean DAB optical density (decadic, along the DAB vector) of an IHC image under the light `white` in unit RGB.

    Padding and ink do not count. Give a prediction and its target the same light, `chromogen.color.background(target)`: glass
    in these scans is not white.
    """
    return float(Dab(dab_density(image, white), unseen(image)).values.mean(dtype=np.float64))


@dataclass(frozen=True)
class Divergence:
    """How far two density histograms are apart, in nats.

    kl: Kullback-Leibler of the prediction from the target, sum p_pred log(p_pred / p_real). js: Jensen-Shannon, the mean of
    both sides' divergence from their average, in [0, log 2]; its square root is SciPy's `jensenshannon`.
    """

    kl: float
    js: float


def histogram_divergence(prediction: Density, target: Density, own_range: bool = False) -> Divergence:
    """Compare the histograms of two DAB densities. Direction and bins change the value, so here they are fixed.

    By default 100 bins of 0.02 OD over [0, 2], what lies beyond counted in the outermost bins, so that values of different
    pairs can be compared; 1e-10 is added to every bin's share. `own_range` is the variant of ODA-GAN's followers: 256 bins
    over [0, the largest density of the two + 1e-6], 1e-10 added to the density of every bin.
    """
    _check_densities(prediction, target)
    return _divergence(_ordered(prediction), _ordered(target), own_range)


def _divergence(prediction: Values, target: Values, own_range: bool) -> Divergence:
    top, bins, floor = TOP_DENSITY, BINS, FLOOR
    if own_range:
        top, bins = float(max(prediction[-1], target[-1])) + 1e-6, OWN_BINS
        floor = FLOOR * top / OWN_BINS
    p, q = (_shares(ordered, bins, top) for ordered in (prediction, target))
    p, q = ((share + floor) / (share + floor).sum() for share in (p, q))
    middle = (p + q) / 2
    return Divergence(_kl(p, q), (_kl(p, middle) + _kl(q, middle)) / 2)


def wasserstein(prediction: Density, target: Density) -> float:
    """Mean distance in OD that density must move to turn one image's distribution into the other's (1-D Wasserstein-1)."""
    _check_densities(prediction, target)
    return _moved(_ordered(prediction), _ordered(target))


def positive_area(density: Density, cut_off: float) -> float:
    """Percentage of pixels whose DAB density lies above `cut_off`."""
    return 100.0 * int(np.count_nonzero(density > cut_off)) / density.size


def tile_dice(prediction: Density, target: Density, cut_off: float, tile_px: int = TILE_PX) -> float:
    """Dice of positive area by tiles of 32 px: 2 sum(min) / sum(both) of the pixels above `cut_off` in each tile.

    Where in its tile a pixel lies does not matter, so displacements much smaller than a tile cost little. Never below the
    plain Dice; equal to it for tiles of 1 px. Tiles at the right and lower edge may be smaller. NaN when nothing is positive.
    """
    _check_densities(prediction, target)
    return _overlap(*(_tile_counts(density > cut_off, tile_px) for density in (prediction, target)))


def top_decile(density: Density) -> float:
    """Mean DAB density of the tenth of the pixels (at least one) that is stained darkest."""
    return _top_decile(_ordered(density))


def integrated_density(density: Density, cut_off: float = CUT_OFFS[0]) -> float:
    """Sum of the DAB density over the pixels above `cut_off`, in OD x pixels: it grows with the image.

    Fiji's "integrated density" reads a grey value of the DAB channel instead, so the two share a meaning and not a scale.
    """
    return float(density[density > cut_off].sum(dtype=np.float64))


def dab_measures(prediction: Uint8Image, target: Uint8Image, white: White) -> dict[str, float]:
    """Every staining number of one pair, under one light for both: `chromogen.color.background(target)`.

    Where the target is padding or ink nothing counts.

    Amounts come twice, NAME of the prediction and NAME_target: mean density `dab` (OD), `positive_area_0.2` (and 0.4, 0.6;
    percent), `top_decile` (OD), `integrated` (OD x pixels). Distances: `dab_error` (of the means, absolute, OD),
    `dab_wasserstein` (OD), `dab_kl` and `dab_js` (fixed bins, nats), `dab_kl_own_range` and `dab_js_own_range`. Overlap:
    `dice_0.2`, `tile_dice_0.2` and so on, NaN where neither image holds anything positive.
    """
    hidden = unseen(target)
    return Dab(dab_density(prediction, white), hidden).measures(Dab(dab_density(target, white), hidden))


class Dab:
    """One image's DAB density and what is found out about it once, however many others it is compared with.

    What is `hidden` (padding and ink of the target, `chromogen.tissue.unseen`) counts nowhere; two images that are compared
    hide the same.
    """

    def __init__(self, density: Density, hidden: Bool[np.ndarray, "height width"] | None = None) -> None:
        _check_densities(density, density)
        self.density = density
        self.shown = None if hidden is None or hidden.all() else ~hidden

    @cached_property
    def values(self) -> Density | Values:
        """The densities that count, in no order."""
        return self.density if self.shown is None else self.density[self.shown]

    @cached_property
    def ordered(self) -> Values:
        return _ordered(self.values)

    @cached_property
    def above(self) -> dict[float, Bool[np.ndarray, "height width"]]:
        """Where the density lies above each cut-off and counts."""
        return {cut: self.density > cut if self.shown is None else (self.density > cut) & self.shown for cut in CUT_OFFS}

    @cached_property
    def tiles(self) -> dict[float, Int64[np.ndarray, "rows columns"]]:
        """Pixels above each cut-off in each tile."""
        return {cut: _tile_counts(mask, TILE_PX) for cut, mask in self.above.items()}

    @cached_property
    def amounts(self) -> dict[str, float]:
        """The numbers of this image alone, by the names in `AMOUNTS`."""
        return {
            "dab": float(self.values.mean(dtype=np.float64)),
            **{
                f"positive_area_{cut}": 100.0 * int(np.count_nonzero(mask)) / self.values.size
                for cut, mask in self.above.items()
            },
            "top_decile": _top_decile(self.ordered),
            "integrated": float(self.density[self.above[CUT_OFFS[0]]].sum(dtype=np.float64)),
        }

    def measures(self, target: "Dab") -> dict[str, float]:
        """`dab_measures` of this prediction and a target's."""
        _check_densities(self.density, target.density)
        if self.values.size != target.values.size:
            raise ValueError("a prediction and its target must hide the same pixels; give both the target's `unseen`")
        found = self.amounts | {f"{name}_target": value for name, value in target.amounts.items()}
        found["dab_error"] = abs(found["dab"] - found["dab_target"])
        found["dab_wasserstein"] = _moved(self.ordered, target.ordered)
        for ending, own_range in (("", False), ("_own_range", True)):
            divergence = _divergence(self.ordered, target.ordered, own_range)
            found |= {f"dab_kl{ending}": divergence.kl, f"dab_js{ending}": divergence.js}
        found |= {f"dice_{cut}": dice(self.above[cut], target.above[cut]) for cut in CUT_OFFS}
        return found | {f"tile_dice_{cut}": _overlap(self.tiles[cut], target.tiles[cut]) for cut in CUT_OFFS}


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


@dataclass(frozen=True)
class Calibration:
    """The straight line virtual = intercept + slope * real of least squares; perfect is 1 and 0.

    A slope below 1 stains strong cases too weakly and weak ones too strongly. r2: share of the variance of the virtual values
    that the line explains; it says nothing of slope and intercept. NaN below three images or without spread.
    """

    slope: float
    intercept: float
    r2: float


def calibration(predicted: Sequence[float], real: Sequence[float]) -> Calibration:
    """Fit virtual values to the real ones of the same images."""
    y, x = np.asarray(predicted, dtype=np.float64), np.asarray(real, dtype=np.float64)
    if len(x) != len(y):
        raise ValueError(f"expected as many virtual values as real ones, got {len(y)} and {len(x)}")
    spread = x - x.mean() if len(x) else x
    if len(x) < 3 or not float(spread @ spread) > 1e-15:
        return Calibration(math.nan, math.nan, math.nan)
    slope = float(spread @ (y - y.mean())) / float(spread @ spread)
    return Calibration(slope, float(y.mean() - slope * x.mean()), _pearson(x, y) ** 2)


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


@dataclass(frozen=True)
class Tracking:
    """How one amount of the virtual images follows that of the real ones, over images."""

    correlation: Correlation
    calibration: Calibration
    ordering: Ordering


def tracking(level: Sequence[int | None], images: Sequence[Mapping[str, float]]) -> dict[str, Tracking]:
    """`Tracking` of each amount of `dab_measures`, given the level and the measures of each image.

    The overall correlation of `top_decile` is what some papers call P-r.
    """
    found = {}
    for name in AMOUNTS:
        made, real = [image[name] for image in images], [image[f"{name}_target"] for image in images]
        found[name] = Tracking(correlation(level, made, real), calibration(made, real), ordering_violations(level, made))
    return found


def _check_densities(prediction: Density, target: Density) -> None:
    for name, density in (("prediction", prediction), ("target", target)):
        if density.ndim != 2 or density.size == 0:
            raise ValueError(f"the density of the {name} must have the shape (H, W) with pixels in it, got {density.shape}")
    if prediction.shape != target.shape:
        sizes = [f"{density.shape[1]}x{density.shape[0]} px" for density in (prediction, target)]
        raise ValueError(f"the prediction is {sizes[0]}, its target {sizes[1]}; compare images of equal size")


def _ordered(density: Density | Values) -> Values:
    """The densities, least first."""
    values = np.ascontiguousarray(density).ravel()
    if values[0] == values[-1] and (values == values[0]).all():  # a flat control is in order
        return values
    if values.dtype != np.float32 or values.min() < 0:
        return np.sort(values)
    # floats that are not negative stand in the order of their bits, by which torch sorts twice as fast
    ordered: Values = torch.from_numpy(values.view(np.int32)).sort().values.numpy().view(np.float32)
    return ordered


def _moved(prediction: Values, target: Values) -> float:
    return float(np.abs(prediction - target).mean(dtype=np.float64))


def _top_decile(ordered: Values) -> float:
    count = max(1, round(DARKEST_SHARE * ordered.size))
    return float(ordered[-count:].mean(dtype=np.float64))


def _shares(ordered: Values, bins: int, top: float) -> Shares:
    """Share of pixels in each of `bins` equal bins over [0, top]; what lies outside counts in the outermost bins."""
    edges = np.arange(1, bins)
    below, above = np.zeros(bins - 1, dtype=np.int64), np.full(bins - 1, ordered.size)
    while (
        below < above
    ).any():  # halving for all edges at once: a search that would scale every pixel first takes 5 times as long
        middle = (below + above) // 2
        under = ordered[np.minimum(middle, ordered.size - 1)].astype(np.float64) * (bins / top) < edges
        below, above = np.where(under & (below < above), middle + 1, below), np.where(under, above, middle)
    return np.diff(below, prepend=0, append=ordered.size) / ordered.size


def _kl(p: Shares, q: Shares) -> float:
    return max(0.0, float(p @ np.log(p / q)))  # rounding may leave -1e-17


def _tile_counts(mask: np.ndarray, tile_px: int) -> Int64[np.ndarray, "rows columns"]:
    small = np.uint8 if tile_px < 256 else np.int64  # bytes hold the sum of a column of a tile, and are added many at once
    rows = np.stack([mask[top : top + tile_px].sum(axis=0, dtype=small) for top in range(0, len(mask), tile_px)])
    return np.add.reduceat(rows, np.arange(0, mask.shape[1], tile_px), axis=1, dtype=np.int64)


def _overlap(prediction: Int64[np.ndarray, "rows columns"], target: Int64[np.ndarray, "rows columns"]) -> float:
    """2 sum(min) / sum(both) of the counts in tiles; NaN when there are none."""
    total = int(prediction.sum()) + int(target.sum())
    return 2.0 * int(np.minimum(prediction, target).sum()) / total if total else math.nan


def _pearson(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float:
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(a) < 3:
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    spread = math.sqrt(float(a @ a) * float(b @ b))
    # A spread at the level of rounding is no spread: class residuals of equal values are 1e-17, not 0.
    return float(a @ b) / spread if spread > 1e-15 else math.nan
