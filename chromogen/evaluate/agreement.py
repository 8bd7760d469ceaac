"""How well two readers agree: HER2 classes by name, scores by rank, masks by overlap.

Classes are written down once, in their order, and keep their place when one of them is absent: a weighted kappa over the
classes that happen to occur would count 0 against 3+ as one step where 1+ and 2+ are missing. What is 0/0 is NaN, never 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy import stats

Weights = Literal["none", "linear", "quadratic"]
Values = Sequence[float] | np.ndarray
Mask = Bool[np.ndarray, "..."]


@dataclass(frozen=True)
class Confusion:
    """How often each real class (row) was called each class (column), in the order of `classes`."""

    classes: tuple[Any, ...]
    counts: Int64[np.ndarray, "real predicted"]

    @property
    def accuracy(self) -> float:
        """Share of cases on the diagonal; NaN without cases."""
        return _ratio(np.trace(self.counts), self.counts.sum())

    @property
    def recall(self) -> dict[Any, float]:
        """Of the cases that are of a class, the share called so; NaN for a class that does not occur."""
        return self._shares(self.counts.sum(axis=1))

    @property
    def precision(self) -> dict[Any, float]:
        """Of the cases called a class, the share that are of it; NaN for a class that is never called."""
        return self._shares(self.counts.sum(axis=0))

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that occur; NaN without cases."""
        present = [value for value in self.recall.values() if not math.isnan(value)]
        return float(np.mean(present)) if present else math.nan

    def kappa(self, weights: Weights = "none") -> float:
        """Cohen's kappa: 1 - disagreement found / disagreement expected of two independent readers with these marginals.

        A disagreement counts 1 (none), the distance of the two classes in `classes` (linear) or its square (quadratic).
        1 is agreement, 0 chance, negative worse. NaN when both readers use one and the same class only (or without cases).
        """
        place = np.arange(len(self.classes))
        distance = np.abs(place[:, None] - place[None, :])
        cost = {"none": (distance > 0).astype(int), "linear": distance, "quadratic": distance**2}[weights]
        expected = np.outer(self.counts.sum(axis=1), self.counts.sum(axis=0))
        found = float((cost * self.counts).sum()) * int(self.counts.sum())
        by_chance = float((cost * expected).sum())
        return 1.0 - found / by_chance if by_chance > 0 else math.nan

    def _shares(self, totals: np.ndarray) -> dict[Any, float]:
        right = np.diagonal(self.counts)
        return {name: _ratio(right[k], totals[k]) for k, name in enumerate(self.classes)}


def confusion(real: Sequence[Any], predicted: Sequence[Any], classes: Sequence[Any]) -> Confusion:
    """Count real against predicted classes. `classes`: all of them, lowest first; another one is a ValueError."""
    if len(real) != len(predicted):
        raise ValueError(f"expected as many predicted classes as real ones, got {len(predicted)} and {len(real)}")
    place = {name: k for k, name in enumerate(classes)}
    if len(place) != len(classes):
        raise ValueError(f"each class is named once, got {', '.join(map(str, classes))}")
    counts = np.zeros((len(place), len(place)), dtype=np.int64)
    for case, (row, column) in enumerate(zip(real, predicted, strict=True)):
        for role, name in (("real", row), ("predicted", column)):
            if name not in place:
                raise ValueError(f"case {case} has the {role} class {name!r}; there are: {', '.join(map(str, classes))}")
        counts[place[row], place[column]] += 1
    return Confusion(tuple(place), counts)


def auc(positive: Sequence[bool] | np.ndarray, score: Values) -> float:
    """Probability that a positive case scores higher than a negative one, ties counting half (Mann-Whitney U / pairs).

    NaN when all cases are positive or none is.
    """
    is_positive, scores = np.asarray(positive, dtype=bool), _finite("score", score)
    _equal_lengths(is_positive, scores)
    above, below = int(is_positive.sum()), int((~is_positive).sum())
    if not above or not below:
        return math.nan
    rank_sum = float(stats.rankdata(scores)[is_positive].sum())
    return (rank_sum - above * (above + 1) / 2) / (above * below)


def class_aucs(real: Sequence[Any], scores: Float[np.ndarray, "cases classes"], classes: Sequence[Any]) -> dict[Any, float]:
    """AUC of each class against all others by its own column of `scores`; NaN for a class that no case or every case is of."""
    columns = np.asarray(scores, dtype=np.float64)
    if columns.shape != (len(real), len(classes)):
        raise ValueError(f"expected scores of shape ({len(real)} cases, {len(classes)} classes), got {columns.shape}")
    unknown = sorted({str(one) for one in real if one not in classes})
    if unknown:
        raise ValueError(f"no class is called {', '.join(unknown)}; there are: {', '.join(map(str, classes))}")
    return {name: auc([one == name for one in real], columns[:, k]) for k, name in enumerate(classes)}


def macro_auc(real: Sequence[Any], scores: Float[np.ndarray, "cases classes"], classes: Sequence[Any]) -> float:
    """Plain mean of the one-against-the-others AUCs of the classes that have one; NaN when none has."""
    defined = [value for value in class_aucs(real, scores, classes).values() if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def spearman(x: Values, y: Values) -> float:
    """Spearman's rho: Pearson's r of the ranks, ties averaged. NaN below three cases or where all of one side are tied."""
    return _rank_correlation(x, y, stats.spearmanr)


def kendall(x: Values, y: Values) -> float:
    """Kendall's tau-b: (concordant - discordant) pairs over the geometric mean of the pairs not tied in x and not tied in y.

    NaN below three cases or where all of one side are tied.
    """
    return _rank_correlation(x, y, stats.kendalltau)


def dice(prediction: Mask, target: Mask) -> float:
    """2 |both| / (|prediction| + |target|) of two boolean masks of one shape; NaN when both are empty."""
    if prediction.dtype != bool or target.dtype != bool or prediction.shape != target.shape:
        found = f"{prediction.dtype} {prediction.shape} and {target.dtype} {target.shape}"
        raise ValueError(f"Dice needs two boolean masks of one shape, got {found}")
    sizes = int(np.count_nonzero(prediction)) + int(np.count_nonzero(target))
    return _ratio(2 * int(np.count_nonzero(prediction & target)), sizes)


def _rank_correlation(x: Values, y: Values, measure: Any) -> float:
    a, b = _finite("x", x), _finite("y", y)
    _equal_lengths(a, b)
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return math.nan
    return float(measure(a, b).statistic)


def _finite(name: str, values: Values) -> Float[np.ndarray, " cases"]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or np.isnan(array).any():
        raise ValueError(f"{name} must be one number a case without NaN; leave out cases that have no value, on both sides")
    return array


def _equal_lengths(a: np.ndarray, b: np.ndarray) -> None:
    if len(a) != len(b):
        raise ValueError(f"expected as many values on both sides, got {len(a)} and {len(b)}")


def _ratio(above: float, below: float) -> float:
    return float(above) / float(below) if below else math.nan
