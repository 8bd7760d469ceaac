"""How sure a number is: bootstrap intervals over images or slides, paired tests of two entries, and Holm's correction.

Patches of one slide resemble each other. Where it is known which slide an image is from, give `groups`: whole slides are then
drawn, left out and flipped together. Everything is drawn from `seed` in blocks of fixed size, each with a stream of its own,
so that a result depends on the seed and never on the number of workers.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int64
from scipy import stats

Statistic = Callable[[np.ndarray], float]
Method = Literal["bca", "percentile"]
Values = Sequence[float] | np.ndarray
Groups = Sequence[Any] | None

DRAWS = 10_000
CONFIDENCE = 0.95
BLOCK, BLOCK_VALUES = 500, 2_000_000  # draws a block, and the most numbers one holds
# On skewed values (gamma, shape 2) 95 % intervals held the truth in 81 % of 400 trials at 5 images, 89 % at 10, 91 % at 20
# and 94 % at 40.
FEW = 20


@dataclass(frozen=True)
class Interval:
    """A statistic with its bootstrap interval; low and high are NaN where there is none, and `note` says why.

    units: what was drawn, images or (with groups) slides.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    images: int
    units: int
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two entries on the same images: mean difference, first minus second, and two p values (two-sided, not corrected).

    wilcoxon_p: signed-rank test of the images' differences; with groups of one mean difference a group, each counting once.
    permutation_p: how often a mean difference at least as far from 0 comes up when the sign of each image's differences (with
    groups: of each group's together) is drawn at random; all signs are tried when there are no more than `DRAWS` ways.
    """

    difference: Interval
    wilcoxon_p: float
    permutation_p: float


@dataclass(frozen=True)
class Block:
    """Some draws of a bootstrap; `counts` makes them, the same each time."""

    groups: Int64[np.ndarray, " images"]
    draws: int
    stream: np.random.SeedSequence

    def counts(self) -> Int64[np.ndarray, "draws images"]:
        """How often each image takes part in each draw: as often as its group was drawn."""
        units = int(self.groups.max()) + 1
        drawn = np.random.default_rng(self.stream).integers(units, size=(self.draws, units))
        drawn += units * np.arange(self.draws)[:, None]
        per_unit = np.bincount(drawn.ravel(), minlength=self.draws * units).reshape(self.draws, units)
        return per_unit[:, self.groups]


def blocks(groups: Int64[np.ndarray, " images"], draws: int, seed: int) -> list[Block]:
    """The blocks of a bootstrap over the groups numbered 0..G-1 in `groups`, smaller the more images there are."""
    size = max(1, min(BLOCK, BLOCK_VALUES // len(groups)))
    return [Block(groups, count, stream) for count, stream in _streams(draws, size, seed)]


def numbered(groups: Groups, images: int) -> Int64[np.ndarray, " images"]:
    """Number the groups from 0; without groups every image is its own. ValueError when there is not one group an image."""
    if groups is None:
        return np.arange(images)
    if len(groups) != images:
        raise ValueError(f"expected a group (slide) for each of {images} images, got {len(groups)}")
    place = {name: k for k, name in enumerate(dict.fromkeys(groups))}
    return np.array([place[name] for name in groups], dtype=np.int64)


def resampled(
    values: Values,
    statistic: Statistic | None = None,
    groups: Groups = None,
    draws: int = DRAWS,
    seed: int = 0,
    workers: int = 1,
) -> Float[np.ndarray, " draws"]:
    """The statistic of `draws` bootstrap samples. Arguments as in `interval`."""
    rows, numbers = _checked(values, groups)

    def of_block(block: Block) -> np.ndarray:
        counts = block.counts()
        if statistic is None:
            return counts @ rows / counts.sum(axis=1)
        return np.array([statistic(np.repeat(rows, count, axis=0)) for count in counts], dtype=np.float64)

    return np.concatenate(_mapped(of_block, blocks(numbers, draws, seed), workers))


def interval(
    values: Values,
    statistic: Statistic | None = None,
    groups: Groups = None,
    method: Method = "bca",
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
    workers: int = 1,
) -> Interval:
    """Bootstrap interval of a statistic of the images' values; None is their mean (of images, also with groups).

    values: one row an image, (images,) or (images, columns). statistic: such an array to a float. method: `percentile`, or
    `bca`, which corrects bias and skewness (Efron, J. Am. Stat. Assoc. 82:171, 1987; acceleration from leaving out one image
    or group at a time). Draws on which the statistic is NaN are left out, and the note counts them. ValueError for values that
    are not finite.
    """
    if not 0 < confidence < 1 or draws < 1:
        raise ValueError(f"confidence lies between 0 and 1 and draws is at least 1, got {confidence} and {draws}")
    rows, numbers = _checked(values, groups)
    if statistic is None and rows.ndim != 1:
        raise ValueError(f"the mean needs one value an image, got an array of shape {rows.shape}; name a statistic")
    units = int(numbers.max()) + 1
    estimate = _mean(rows) if statistic is None else float(statistic(rows))
    if units < 2:
        note = f"only one {'image' if groups is None else 'group'}: no interval"
        return Interval(estimate, math.nan, math.nan, confidence, len(rows), units, note)
    found = resampled(rows, statistic, groups, draws, seed, workers)
    defined = found[~np.isnan(found)]
    notes = []
    if units < FEW:
        what = "images" if groups is None else "groups"
        notes.append(f"only {units} {what}: the interval is too narrow for its confidence")
    if len(defined) < draws:
        notes.append(f"undefined on {draws - len(defined)} of {draws} draws, which were left out")
    if not len(defined) or math.isnan(estimate):
        return Interval(estimate, math.nan, math.nan, confidence, len(rows), units, "; ".join(notes))
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    if method == "bca":
        tails = _bca_tails(tails, defined, estimate, _left_out(rows, numbers, statistic))
    low, high = np.quantile(defined, tails)
    return Interval(estimate, float(low), float(high), confidence, len(rows), units, "; ".join(notes))


def compare(
    first: Values,
    second: Values,
    groups: Groups = None,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
    workers: int = 1,
) -> Comparison:
    """Compare two entries by their values on the same images, in the same order. ValueError for values that are not finite."""
    if len(first) != len(second):
        raise ValueError(f"both entries need a value for the same images, got {len(first)} and {len(second)}")
    differences = _checked(first, groups)[0] - _checked(second, groups)[0]
    found = interval(differences, None, groups, "bca", confidence, draws, seed, workers)
    numbers = numbered(groups, len(differences))
    sums = np.bincount(numbers, weights=differences)
    note = found.note
    if 2.0 ** (1 - len(sums)) > 1 - confidence:  # even when all have one sign
        text = f"too few for any test to reach p = {1 - confidence:.2g}"
        note = "; ".join(filter(None, [note, text]))
    permutation = _sign_flip_p(sums, draws, seed, workers)
    wilcoxon = _signed_rank_p(differences if groups is None else sums / np.bincount(numbers))
    return Comparison(Interval(**{**vars(found), "note": note}), wilcoxon, permutation)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction for several comparisons (Scand. J. Stat. 6:65, 1979); NaN stays NaN and does not count."""
    adjusted = [math.nan] * len(p_values)
    order = sorted((k for k, p in enumerate(p_values) if not math.isnan(p)), key=lambda k: p_values[k])
    highest = 0.0
    for done, k in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - done) * p_values[k]))
        adjusted[k] = highest
    return adjusted


def _left_out(rows: np.ndarray, numbers: np.ndarray, statistic: Statistic | None) -> Float[np.ndarray, " units"]:
    """The jackknife: the statistic (None: the mean) of all images but those of one group, for each group."""
    if statistic is None:
        sizes = np.bincount(numbers)
        return (rows.sum() - np.bincount(numbers, weights=rows)) / (len(rows) - sizes)
    return np.array([statistic(rows[numbers != unit]) for unit in range(int(numbers.max()) + 1)], dtype=np.float64)


def _bca_tails(tails: np.ndarray, found: np.ndarray, estimate: float, left_out: np.ndarray) -> np.ndarray:
    """The quantiles to take instead of `tails`. An estimate beyond all draws counts as half a draw from the edge."""
    slack = 1e-12 * float(np.abs(found).max())  # a draw of every group once is the estimate, summed in another order
    below = (np.mean(found < estimate - slack) + np.mean(found <= estimate + slack)) / 2
    edge = 0.5 / len(found)
    bias = stats.norm.ppf(np.clip(below, edge, 1 - edge))
    spread = left_out.mean() - left_out
    power = float((spread**2).sum()) ** 1.5
    # Equal values leave rounding errors: no spread, hence no skewness. A jackknife that is NaN somewhere has none either.
    acceleration = float((spread**3).sum()) / (6 * power) if power > 1e-30 else 0.0
    shifted = bias + stats.norm.ppf(tails)
    return stats.norm.cdf(bias + shifted / (1 - acceleration * shifted))


def _sign_flip_p(sums: Float[np.ndarray, " units"], draws: int, seed: int, workers: int) -> float:
    """Two-sided p of the sum under random signs: exact while there are at most `draws` ways, else (1 + hits) / (1 + draws)."""
    units, bar = len(sums), abs(float(sums.sum())) * (1 - 1e-9)  # a sum of the same numbers in another order still counts
    if units < 2:
        return math.nan
    if 2**units <= draws:
        ways = np.arange(2**units)
        totals = np.zeros(len(ways))
        for unit, value in enumerate(sums):
            totals += np.where(ways >> unit & 1, value, -value)
        return float(np.mean(np.abs(totals) >= bar))

    def hits(part: tuple[int, np.random.SeedSequence]) -> int:
        signs = 2.0 * np.random.default_rng(part[1]).integers(2, size=(part[0], units), dtype=np.int8) - 1.0
        return int(np.count_nonzero(np.abs(signs @ sums) >= bar))

    parts = _streams(draws, max(1, min(BLOCK, BLOCK_VALUES // units)), seed)
    return (1 + sum(_mapped(hits, parts, workers))) / (1 + draws)


def _signed_rank_p(differences: Float[np.ndarray, " units"]) -> float:
    """SciPy's Wilcoxon signed-rank test with zeros left out; without any difference p is 1, below two units NaN."""
    if len(differences) < 2:
        return math.nan
    return float(stats.wilcoxon(differences).pvalue) if np.any(differences) else 1.0


def _streams(draws: int, size: int, seed: int) -> list[tuple[int, np.random.SeedSequence]]:
    """How many draws each block holds, at most `size`, and its own stream."""
    streams = np.random.SeedSequence(seed).spawn(-(-draws // size))
    return [(min(size, draws - k * size), stream) for k, stream in enumerate(streams)]


def _checked(values: Values, groups: Groups) -> tuple[np.ndarray, np.ndarray]:
    rows = np.asarray(values, dtype=np.float64)
    if not len(rows):
        raise ValueError("there are no images to draw from")
    if not np.isfinite(rows).all():
        where = int(np.argwhere(~np.isfinite(rows))[0][0])
        raise ValueError(
            f"the value of image {where} is not finite (NaN or infinite); leave that image out or give it a number"
        )
    return rows, numbered(groups, len(rows))


def _mapped(work: Callable[[Any], Any], parts: Sequence[Any], workers: int) -> list[Any]:
    if workers <= 1:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, parts))


def _mean(values: np.ndarray) -> float:
    return float(values.mean())
