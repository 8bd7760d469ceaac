import math

import numpy as np
import pytest

from chromogen.color import H_E_DAB, combine
from chromogen.evaluate.staining import class_means, correlation, mean_dab, ordering_violations


def painted(dab: float, white: float = 1.0) -> np.ndarray:
    amounts = np.zeros((4, 4, 3))
    amounts[..., 0], amounts[..., 2] = 0.3, dab
    return np.rint(255 * combine(amounts, H_E_DAB, white)).astype(np.uint8)


@pytest.mark.parametrize("dab", [0.0, 0.1, 0.5])
def test_mean_dab_reads_back_what_was_painted(dab: float) -> None:
    assert mean_dab(painted(dab)) == pytest.approx(dab, abs=0.01)
    assert mean_dab(painted(dab, 0.8), 0.8) == pytest.approx(dab, abs=0.01)
    assert mean_dab(painted(dab, 0.8)) > dab + 0.02  # grey glass taken for white looks like stain


@pytest.mark.parametrize(
    ("means", "violations"),
    [
        ((0.1, 0.2, 0.3, 0.4), 0),
        ((0.1, 0.2, 0.4, 0.3), 1),  # 3+ below 2+
        ((0.1, 0.3, 0.3, 0.4), 1),  # a tie of 1+ and 2+
        ((0.4, 0.1, 0.2, 0.3), 3),  # 0 above everything
        ((0.2, 0.2, 0.2, 0.2), 6),  # the same tone for all
        ((0.4, 0.3, 0.2, 0.1), 6),
    ],
)
def test_ordering_violations_by_hand(means: tuple[float, ...], violations: int) -> None:
    level = [3, 0, 2, 1, 0, None]
    dab = [means[3], means[0] - 0.05, means[2], means[1], means[0] + 0.05, 9.0]
    found = ordering_violations(level, dab)
    assert (found.violations, found.pairs) == (violations, 6)
    assert found.means == pytest.approx(dict(enumerate(means)))


def test_ordering_counts_only_the_pairs_of_classes_that_occur() -> None:
    assert (ordering_violations([3, 1], [0.1, 0.2]).violations, ordering_violations([3, 1], [0.1, 0.2]).pairs) == (1, 1)
    assert ordering_violations([None, 2], [0.1, 0.2]).pairs == 0


def test_class_means_leave_out_what_has_no_class() -> None:
    assert class_means([1, None, 1, 0], [1.0, 100.0, 3.0, 7.0]) == {0: 7.0, 1: 2.0}


def test_guessing_the_class_correlates_overall_but_not_within() -> None:
    level = [0, 0, 0, 3, 3, 3]
    real = [0.1, 0.2, 0.3, 0.9, 1.0, 1.1]
    guessed = [0.2, 0.2, 0.2, 1.0, 1.0, 1.0]
    found = correlation(level, guessed, real)
    assert found.overall == pytest.approx(np.corrcoef(guessed, real)[0, 1])
    assert found.overall > 0.97
    assert math.isnan(found.within)
    assert math.isnan(found.between)  # two classes are two points


def test_correlation_within_and_between_by_hand() -> None:
    level = [0, 0, 1, 1, 2, 2, 3, None]
    real = [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 20.0, 100.0]
    predicted = [3.0, 1.0, 7.0, 5.0, 11.0, 9.0, 20.0, 0.0]  # right class means, inverted inside each class
    found = correlation(level, predicted, real)
    assert found.between == pytest.approx(1.0)
    assert found.within == pytest.approx(-1.0)
    assert found.overall == pytest.approx(np.corrcoef(predicted, real)[0, 1])


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1, 2 and 2"):
        correlation([1], [0.1, 0.2], [0.1, 0.2])
