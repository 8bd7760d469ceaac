"""From membranes to cell classes, and from the shares of the classes to a HER2 pattern by ASCO/CAP.

The rule is the table of ASCO/CAP 2018 (Wolff et al., J. Clin. Oncol. 36:2105), affirmed in 2023 (J. Clin. Oncol. 41:3867):

    3+  complete and intense staining in more than 10 % of the cells
    2+  complete, weak to moderate staining in more than 10 %, or complete and intense staining in at most 10 %
    1+  incomplete, faint staining in more than 10 %
    0   no staining, or incomplete, faint staining in at most 10 %

The guideline counts invasive tumour cells and asks a pathologist; a program that counts all cells of a picture predicts a
pattern and scores nobody's tumour. Staining between the four lines, such as moderate but incomplete, goes to the class below,
and every share counts for the lines under it: 6 % moderate and 6 % faint are 12 % at least faint.
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int8

from chromogen.evaluate.staining.her2.cells import BIN, Cells
from chromogen.evaluate.staining.her2.membrane import darker_half

PATTERNS = ("0", "1+", "2+", "3+")
CELL_CLASSES = ("Negative", "1+", "2+", "3+")  # what QuPath calls them
RULE = "ASCO-CAP-2018 (affirmed 2023)"


@dataclass(frozen=True)
class Thresholds:
    """Where the classes part. `_od` are densities of a membrane along the DAB vector, under the light of the slide's own glass.

    They hold for `her2.cells`, which measures a cell's own part of a line; the density seen on the line is
    about twice that. Raises ValueError where they do not rise or leave their range.
    """

    weak_od: float = 0.025  # less on the darker half of the ring (`darker_half`) is no staining
    grain_times: float = 1.4  # so many times the picture's own grain is no staining either, where that is more
    moderate_od: float = 0.1  # faint below; both ends of "weak to moderate" are above
    intense_od: float = 0.36
    complete_od: float = 0.04  # a direction counts as stained from here on
    complete_share: float = 0.6  # of the directions, for a complete membrane; gaps of the measurement are allowed for
    cytoplasm_share: float = 0.1  # of the cytoplasm's brown above `clear_od` that is not believed to be membrane
    clear_od: float = 0.05
    neighbour_share: float = 0.4  # of what the lines around hold of the neighbours above `clear_od`: blur and section lend it
    rule_percent: float = 10.0  # the guideline's
    least_percent: float = 2.0  # so few intense cells are taken for errors, where any would make 2+
    pixel_od: tuple[float, float, float] = (0.2, 0.4, 0.6)  # of the pixel H-score only

    def __post_init__(self) -> None:
        for field in fields(self):
            values = np.atleast_1d(getattr(self, field.name))
            highest = 100 if field.name.endswith("_percent") else 1 if field.name.endswith("_share") else 3
            if not ((values >= 0) & (values <= highest)).all():
                raise ValueError(f"Thresholds.{field.name} is {getattr(self, field.name)}; it must be from 0 to {highest}")
        for name, rising in (
            ("weak_od, moderate_od, intense_od", (self.weak_od, self.moderate_od, self.intense_od)),
            ("pixel_od", self.pixel_od),
        ):
            if not 0 < rising[0] < rising[1] < rising[2]:
                raise ValueError(f"Thresholds.{name} must rise from above 0, got {', '.join(f'{v:g}' for v in rising)}")


@dataclass(frozen=True, eq=False)
class Rings:
    """What the classes of cells are made from, one value a cell.

    darker: mean own density of the darker half of the ring that is in view (`darker_half`). complete: share of the ring that
    counts as stained. neighbours: mean density of what the lines around hold and is not the cell's own.
    """

    darker: Float[np.ndarray, " cells"]
    complete: Float[np.ndarray, " cells"]
    cytoplasm: Float[np.ndarray, " cells"]
    neighbours: Float[np.ndarray, " cells"]


def rings(cells: Cells, complete_od: float) -> Rings:
    """Summarise the directions of each cell's ring; directions outside the image do not count."""
    inside = np.isfinite(cells.own)
    seen = np.maximum(inside.sum(axis=1), 1)
    complete = (np.where(inside, cells.own, -1.0) > complete_od).sum(axis=1) / seen
    neighbours = np.where(inside, cells.line - cells.own, 0).sum(axis=1) / seen
    return Rings(darker_half(cells.own), complete, cells.cytoplasm.astype(np.float64), neighbours)


def cell_classes(ring: Rings, grain: float, thresholds: Thresholds) -> Int8[np.ndarray, " cells"]:
    """0 Negative, 1 faint or incomplete, 2 weak to moderate and complete, 3 intense and complete; `grain` of the View."""
    weak = min(max(thresholds.weak_od, thresholds.grain_times * grain), thresholds.moderate_od)
    veil = thresholds.cytoplasm_share * np.maximum(ring.cytoplasm - thresholds.clear_od, 0)
    veil = veil + thresholds.neighbour_share * np.maximum(ring.neighbours - thresholds.clear_od, 0)
    complete = ring.complete >= thresholds.complete_share
    return np.select(
        [
            complete & (ring.darker >= thresholds.intense_od),
            complete & (ring.darker >= thresholds.moderate_od),
            ring.darker - veil >= weak,
        ],
        [3, 2, 1],
        0,
    ).astype(np.int8)


def percentages(classes: Int8[np.ndarray, " cells"]) -> Float[np.ndarray, "4"]:
    """Percent of cells of each class; NaN without cells."""
    counts = np.bincount(classes, minlength=4)
    return 100 * counts / counts.sum() if counts.sum() else np.full(4, np.nan)


def pattern(percent: Float[np.ndarray, "4"], limit: float = 10.0, least: float = 0.0) -> int:
    """The pattern 0-3 of percentages per class. At most `least` percent of intense cells are not taken for a 2+ by themselves.

    Raises ValueError for percentages that are not four numbers from 0 that sum to 100.
    """
    share = np.asarray(percent, dtype=np.float64)
    if share.shape != (4,) or not np.isfinite(share).all() or (share < 0).any() or abs(share.sum() - 100) > 1e-6:
        raise ValueError(f"a pattern needs four percentages that sum to 100, got {share.tolist()}")
    over = limit + 1e-9  # ten of a hundred are a tenth in any arithmetic
    if share[3] > over:
        return 3
    if share[2] + share[3] > over or share[3] > least:
        return 2
    return 1 if share[1:].sum() > over else 0


def h_score(percent: Float[np.ndarray, "4"]) -> float:
    """1 x percent of 1+, 2 x percent of 2+, 3 x percent of 3+: 0-300."""
    return float(percent[1] + 2 * percent[2] + 3 * percent[3])


def pixel_percentages(tissue_dab: tuple[int, ...], od: tuple[float, float, float]) -> Float[np.ndarray, "4"]:
    """Percent of tissue pixels below the first density, between, and from the last up; the bins are 0.01 wide, cut-offs too."""
    edges = [round(value / BIN) for value in od]
    parts = np.array([part.sum() for part in np.split(np.asarray(tissue_dab, dtype=np.float64), edges)])
    return 100 * parts / parts.sum() if parts.sum() else np.full(4, np.nan)
