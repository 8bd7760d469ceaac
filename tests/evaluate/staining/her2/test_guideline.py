"""The rule at its edges, cells at the edges of their classes, and the pixel score by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromogen.config import from_fields, to_fields
from chromogen.evaluate.staining.her2.guideline import (
    Rings,
    Thresholds,
    cell_classes,
    h_score,
    pattern,
    percentages,
    pixel_percentages,
)


@pytest.mark.parametrize(
    ("percent", "expected"),
    [
        ((100, 0, 0, 0), 0),
        ((90, 10, 0, 0), 0),  # faint in at most 10 %
        ((89.9, 10.1, 0, 0), 1),
        ((0, 100, 0, 0), 1),
        ((90, 0, 10, 0), 0),  # moderate in 10 % is no more than faint in 10 %
        ((89, 1, 10, 0), 1),
        ((89.9, 0, 10.1, 0), 2),
        ((0, 89.9, 10.1, 0), 2),
        ((99, 0, 0, 1), 2),  # intense and complete in at most 10 %
        ((90, 0, 0, 10), 2),
        ((89.9, 0, 0, 10.1), 3),
        ((0, 0, 89.9, 10.1), 3),
        ((0, 50, 45, 5), 2),
        ((0, 0, 0, 100), 3),
    ],
)
def test_the_table_of_the_guideline(percent: tuple[float, ...], expected: int) -> None:
    assert pattern(np.array(percent)) == expected


def test_a_tenth_in_whole_cells_is_no_more_than_a_tenth() -> None:
    for cells in (10, 30, 70, 110, 330, 1230):
        for level in (1, 3):
            classes = np.zeros(cells, np.int8)
            classes[: cells // 10] = level
            below = pattern(percentages(classes))
            classes[cells // 10] = level
            assert (below, pattern(percentages(classes))) == ({1: 0, 3: 2}[level], level)


def test_few_intense_cells_may_be_called_errors() -> None:
    percent = np.array([85.0, 13.5, 0.0, 1.5])
    assert pattern(percent) == 2
    assert pattern(percent, least=2.0) == 1


def _by_the_book(counts: list[int]) -> int:
    """The table in whole numbers: more than a tenth is ten times the count above all."""
    none, faint, moderate, intense = counts
    total = none + faint + moderate + intense
    if 10 * intense > total:
        return 3
    if intense or 10 * moderate > total:
        return 2
    return int(10 * (faint + moderate) > total)


@given(st.lists(st.integers(0, 60), min_size=4, max_size=4).filter(any))
def test_percentages_agree_with_whole_numbers(counts: list[int]) -> None:
    classes = np.repeat(np.arange(4, dtype=np.int8), counts)
    assert pattern(percentages(classes)) == _by_the_book(counts)


@given(st.lists(st.integers(0, 60), min_size=4, max_size=4).filter(any), st.integers(0, 2))
def test_a_darker_cell_never_lowers_the_pattern(counts: list[int], level: int) -> None:
    before = pattern(percentages(np.repeat(np.arange(4, dtype=np.int8), counts)))
    if counts[level]:
        counts[level] -= 1
        counts[level + 1] += 1
    assert pattern(percentages(np.repeat(np.arange(4, dtype=np.int8), counts))) >= before


@pytest.mark.parametrize("percent", [(50, 50, 0), (50, 50, 1, 0), (np.nan,) * 4, (110, -10, 0, 0)])
def test_other_percentages_are_refused(percent: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="four percentages that sum to 100"):
        pattern(np.array(percent))


@pytest.mark.parametrize(
    ("darker", "complete", "cytoplasm", "expected"),
    [
        (0.024, 1.0, 0.0, 0),
        (0.025, 0.2, 0.0, 1),
        (0.099, 1.0, 0.0, 1),
        (0.10, 0.6, 0.0, 2),
        (0.10, 0.59, 0.0, 1),  # moderate but incomplete
        (0.359, 0.6, 0.0, 2),
        (0.36, 0.6, 0.0, 3),
        (0.9, 0.59, 0.0, 1),
        (0.044, 0.2, 0.25, 0),  # 0.1 * (0.25 - 0.05) = 0.02 of brown cytoplasm is not believed
        (0.046, 0.2, 0.25, 1),
        (0.36, 1.0, 0.9, 3),
    ],
)
def test_classes_of_cells(darker: float, complete: float, cytoplasm: float, expected: int) -> None:
    ring = Rings(np.array([darker]), np.array([complete]), np.array([cytoplasm]), np.zeros(1))
    assert cell_classes(ring, 0.0, Thresholds()).tolist() == [expected]


def test_grain_raises_the_weak_cut_off_but_never_past_moderate() -> None:
    ring = Rings(np.array([0.05, 0.07, 0.2]), np.ones(3), np.zeros(3), np.zeros(3))  # 1.4 * 0.04 = 0.056
    assert cell_classes(ring, 0.01, Thresholds()).tolist() == [1, 1, 2]
    assert cell_classes(ring, 0.04, Thresholds()).tolist() == [0, 1, 2]
    assert cell_classes(ring, 5.0, Thresholds()).tolist() == [0, 0, 2]


def test_dark_neighbours_lend_and_pale_ones_do_not() -> None:
    """0.1 - 0.4 * 0.15 = 0.04 and 0.1 - 0.4 * 0.25 = 0 beside 0.025; a neighbour of at most 0.05 takes nothing off 0.026."""
    ring = Rings(np.array([0.1, 0.1, 0.026, 0.026]), np.zeros(4), np.zeros(4), np.array([0.2, 0.3, 0.05, 0.06]))
    assert cell_classes(ring, 0.0, Thresholds()).tolist() == [1, 0, 1, 0]


def test_h_score_by_hand() -> None:
    assert h_score(np.array([40.0, 30.0, 20.0, 10.0])) == pytest.approx(30 + 40 + 30)
    assert h_score(np.array([0.0, 0.0, 0.0, 100.0])) == 300


def test_pixel_percentages_by_hand() -> None:
    """Ten pixels: three below 0.2, four from 0.2, two from 0.4, one from 0.6."""
    histogram = np.zeros(300, int)
    histogram[[0, 19]] = (2, 1)
    histogram[[20, 39]] = (3, 1)
    histogram[[40, 60]] = (2, 1)
    assert pixel_percentages(tuple(histogram), (0.2, 0.4, 0.6)).tolist() == [30, 40, 20, 10]
    assert np.isnan(pixel_percentages((0,) * 300, (0.2, 0.4, 0.6))).all()


def test_thresholds_survive_json_and_must_rise() -> None:
    moved = replace(Thresholds(), weak_od=0.05, pixel_od=(0.1, 0.3, 0.5))
    assert from_fields(Thresholds, to_fields(moved)) == moved
    with pytest.raises(ValueError, match="weak_od, moderate_od, intense_od must rise from above 0, got 0.2, 0.1, 0.36"):
        Thresholds(weak_od=0.2)
    with pytest.raises(ValueError, match="complete_share is 60; it must be from 0 to 1"):
        Thresholds(complete_share=60)
    with pytest.raises(ValueError, match="rule_percent is nan"):
        Thresholds(rule_percent=float("nan"))
