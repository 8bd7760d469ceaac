import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromogen.report.distributions import BARS, BINS, STRIP, distribution
from chromogen.report.figures import SHAPES, agreement
from chromogen.report.markup import Html

values = st.lists(st.floats(-1e9, 1e9) | st.sampled_from([math.nan, math.inf]), max_size=60)


def marks(chart: Html, group: int) -> list[tuple[float, float]]:
    """Where the marks of a group stand, in the units of the drawing."""
    path = re.search(rf'<path d="([^"]*)" class="mark-{group} dots">', chart)
    return [(float(x), float(y)) for x, y in re.findall(r"M([-\d.]+) ([-\d.]+)", path[1])] if path else []


def line(chart: Html, name: str) -> dict[str, float]:
    found = re.search(rf'<line ([^>]*)class="{name}"', chart)
    assert found is not None
    return {key: float(value) for key, value in re.findall(r'(\w+)="([-\d.e]+)"', found[1])}


def test_agreement_places_marks_and_lines_by_hand() -> None:
    """The frame is square in pixels of its own: x 46 to 308, y 286 up to 18, and both axes run from 0 to 1.06."""
    chart = agreement({"HER2 0": [(0.5, 0.25)], "HER2 1+": [], "HER2 2+": [(1.0, 0.5)]}, "real", "virtual", (0.5, 0.0))

    def place(x: float, y: float) -> tuple[float, float]:
        return pytest.approx((46 + x / 1.06 * 262, 286 - y / 1.06 * 268), abs=0.06)

    assert marks(chart, 0) == [place(0.5, 0.25)] and marks(chart, 2) == [place(1.0, 0.5)] and marks(chart, 1) == []
    fit, equal = line(chart, "fit"), line(chart, "agree")
    assert (fit["x1"], fit["y1"]) == place(0.5, 0.25) and (fit["x2"], fit["y2"]) == place(1.0, 0.5)
    assert (equal["x1"], equal["y1"]) == place(0, 0) and (equal["x2"], equal["y2"]) == place(1.06, 1.06)
    assert "HER2 2+" in chart and "HER2 1+" not in chart and "fitted" in chart
    assert 'aria-label="2 images: virtual against real' in chart


def test_without_a_fit_none_is_drawn() -> None:
    chart = agreement({"a": [(0.1, 0.2)]}, "real", "virtual")
    assert "fit" not in chart and "equal" in chart


def test_classes_differ_by_shape() -> None:
    chart = agreement({f"class {k}": [(k, k)] for k in range(5)}, "real", "virtual")
    drawn = [re.sub(r"^M[-\d.]+ [-\d.]+", "", path) for path in re.findall(r'<path d="([^"]*)" class="mark-\d dots">', chart)]
    assert drawn == list(SHAPES) and len(set(drawn)) == 5


def bars(figure: Html) -> list[list[float]]:
    """Heights of the bars of each strip."""
    paths = re.findall(r'<path d="([^"]*)" class="bars">', figure)
    return [[-float(height) for height in re.findall(r"v(-[\d.]+)", path)] for path in paths]


def test_a_distribution_by_hand() -> None:
    """Over 0 to 2 (0 stays the lower end, 2 % room above), 28 bins: 0, 0 in the first, 1 in the 14th, 2 in the last."""
    figure = distribution({"0": [0.0, 0.0, 1.0], "3+": [2.0], "1+": []}, "error", 2)
    assert bars(figure) == [[BARS, BARS / 2], [BARS]]
    assert "error. 0: median 0.00 of 3; 3+: median 2.00 of 1" in figure and "1+" not in figure
    assert f'viewBox="0 0 320 {18 + 2 * STRIP + 34}"' in figure
    lines = re.findall(r'<line x1="([\d.]+)"[^>]*class="median"', figure)
    assert [float(x) for x in lines] == pytest.approx([46, 46 + 262 * 2 / 2.04], abs=0.01)


def test_bars_are_the_histogram_of_numpy() -> None:
    rows = {level: np.random.default_rng(k).normal(20 + k, 2, 300) for k, level in enumerate(("0", "1+", "2+"))}
    every = np.concatenate(list(rows.values()))
    room = 0.02 * (every.max() - every.min())
    for row, drawn in zip(rows.values(), bars(distribution({k: list(v) for k, v in rows.items()}, "PSNR", 1)), strict=True):
        counts = np.histogram(row, BINS, (every.min() - room, every.max() + room))[0]
        assert drawn == pytest.approx(BARS * counts[counts > 0] / counts.max(), abs=0.051)


@given(st.dictionaries(st.sampled_from(["0", "1+", "2+", "3+"]), values, max_size=4))
def test_distributions_stay_inside_their_frame_and_count_what_is_lost(groups: dict[str, list[float]]) -> None:
    figure = distribution(groups, "measure", 3)
    finite = [row for group in groups.values() if (row := [value for value in group if math.isfinite(value)])]
    lost = sum(map(len, groups.values())) - sum(map(len, finite))
    assert (f"{lost:,} value" in figure) == (lost > 0)
    assert ("no finite value" in figure) == (not finite)
    drawn = bars(figure)
    assert len(drawn) == len(finite) and all(max(row) == BARS and min(row) > 0 for row in drawn)
    starts = [
        float(x) for path in re.findall(r'<path d="([^"]*)" class="bars">', figure) for x in re.findall(r"M([-\d.]+)", path)
    ]
    assert all(46 <= x <= 308 for x in starts)
