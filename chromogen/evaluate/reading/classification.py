"""How well images are told apart by class, with intervals over patients. Counts, recalls and AUCs are those of `agreement`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from chromogen.evaluate import agreement
from chromogen.evaluate.agreement import Confusion
from chromogen.evaluate.statistics import CONFIDENCE, Groups, Interval, interval

DRAWS = 2000  # each AUC sorts all images again


@dataclass(frozen=True)
class ClassScores:
    """Scores of a classifier, each with its bootstrap interval; `auc` is each class against all others.

    An AUC of a class that no image or every image is of is NaN, without an interval; `macro_auc` is the mean of the others.
    """

    accuracy: Interval
    balanced_accuracy: Interval
    macro_f1: Interval
    macro_auc: Interval
    auc: dict[Any, Interval]


def f1_of_classes(counts: Confusion) -> dict[Any, float]:
    """2 TP / (2 TP + FP + FN) of each class; NaN for one that neither occurs nor is called."""
    right = np.diagonal(counts.counts)
    both = counts.counts.sum(axis=0) + counts.counts.sum(axis=1)
    return {name: 2 * int(right[k]) / int(both[k]) if both[k] else math.nan for k, name in enumerate(counts.classes)}


def macro_f1(counts: Confusion) -> float:
    """Plain mean of the F1 of the classes that occur or are called; NaN without cases."""
    defined = [value for value in f1_of_classes(counts).values() if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def class_scores(
    real: Sequence[Any],
    probabilities: Float[np.ndarray, "images classes"],
    classes: Sequence[Any],
    patients: Groups = None,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
) -> ClassScores:
    """Score probabilities, one column a class in the order of `classes`, against the real classes.

    The class called is the one of the highest probability, the first of equal ones. Images of one patient resemble each
    other: give `patients`, one name an image, and whole patients are drawn. ValueError for an unknown class, probabilities of
    another shape or not finite.
    """
    columns = np.asarray(probabilities, dtype=np.float64)
    if columns.shape != (len(real), len(classes)):
        raise ValueError(f"expected probabilities of shape ({len(real)} images, {len(classes)} classes), got {columns.shape}")
    place = {name: k for k, name in enumerate(classes)}
    unknown = sorted({str(one) for one in real if one not in place})
    if unknown:
        raise ValueError(f"no class is called {', '.join(unknown)}; there are: {', '.join(map(str, classes))}")
    numbers = range(len(classes))
    rows = np.column_stack([[place[one] for one in real], columns])

    def of_confusion(measure: Callable[[Confusion], float]) -> Interval:
        def statistic(drawn: np.ndarray) -> float:
            return measure(_counted(drawn[:, 0].astype(np.int64), drawn[:, 1:]))

        return interval(rows, statistic, patients, "bca", confidence, draws, seed)

    def of_auc(number: int) -> Interval:
        def statistic(drawn: np.ndarray) -> float:
            return agreement.auc(drawn[:, 0] == number, drawn[:, 1 + number])

        return interval(rows, statistic, patients, "bca", confidence, draws, seed)

    def mean_auc(drawn: np.ndarray) -> float:
        found = [agreement.auc(drawn[:, 0] == number, drawn[:, 1 + number]) for number in numbers]
        defined = [value for value in found if not math.isnan(value)]
        return float(np.mean(defined)) if defined else math.nan

    return ClassScores(
        of_confusion(lambda counts: counts.accuracy),
        of_confusion(lambda counts: counts.balanced_accuracy),
        of_confusion(macro_f1),
        interval(rows, mean_auc, patients, "bca", confidence, draws, seed),
        {name: of_auc(number) for number, name in enumerate(classes)},
    )


def _counted(real: Int64[np.ndarray, " images"], probabilities: Float[np.ndarray, "images classes"]) -> Confusion:
    classes = probabilities.shape[1]
    counts = np.bincount(real * classes + probabilities.argmax(axis=1), minlength=classes**2)
    return Confusion(tuple(range(classes)), counts.reshape(classes, classes))
