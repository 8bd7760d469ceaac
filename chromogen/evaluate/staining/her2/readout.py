"""The HER2 read-out of a picture: a predicted pattern, how far it can be trusted, and what it does not say.

`read` never looks at the image; thresholds may be moved and the cells read again at no cost.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int8
from scipy.stats import norm

from chromogen.color import H_DAB
from chromogen.config import nearest, to_fields
from chromogen.evaluate.staining.her2.cells import Cells, View
from chromogen.evaluate.staining.her2.guideline import (
    PATTERNS,
    RULE,
    Rings,
    Thresholds,
    cell_classes,
    h_score,
    pattern,
    percentages,
    pixel_percentages,
    rings,
)

NO_H_DAB: Literal["no H-DAB image"] = "no H-DAB image"
Status = Literal["ok", "review", "abstain", "no H-DAB image"]
BASES = {"ihc": "IHC", "virtual": "virtual IHC"}
DEFAULT_MPP = 0.5

LEAST_TISSUE, LEAST_CELLS, FEW_CELLS = 0.02, 30, 100
LEAST_DETAIL, SOFT_DETAIL = 0.32, 0.5  # sharp scans have 0.6-1.2; a blur of 2 um has 0.2
MOST_PINK, MOST_FOREIGN = 0.1, 0.3
FINE_MPP, COARSE_MPP = 0.2, 0.6  # where the cut-offs were tested
SURE = 0.8
NEAR_POINTS = 3.0  # percentage points; percent positive is off by 2 to 3 on average on phantoms (docs/her2.md)
REDRAWS, OD_SPREAD, OD_LEVELS = 20, 0.15, 21

PROBABILITIES = (
    "shares of 420 repetitions that draw the cells again with replacement and move all density cut-offs by one factor "
    "(log-normal, deviation 15 %). They say how firmly this picture's numbers support the pattern. They are not calibrated "
    "against pathologists, know nothing of the rest of the slide, and do not see errors of the stain or of a virtual stain."
)
DENOMINATOR = "all cells found in the picture, not invasive tumour cells"
DENOMINATOR_MASKED = "all cells found inside the given mask; whether they are invasive tumour cells is the mask's claim"


@dataclass(frozen=True, eq=False)
class ReadOut:
    """What `read` found. `pattern` is 0-3 or None where the picture allows none; percentages are of cells, by class 0-3."""

    pattern: int | None
    probabilities: tuple[float, ...] | None
    percent: Float[np.ndarray, "4"]
    classes: Int8[np.ndarray, " cells"]
    h_score_cell: float
    h_score_pixel: float
    pixels_positive: float  # percent of tissue pixels from the first of `pixel_od` up
    status: Status
    reasons: tuple[str, ...]
    basis: str
    masked: bool
    thresholds: Thresholds
    view: View

    @property
    def percent_positive(self) -> float:
        """Percent of cells of any class but Negative: with any membrane staining."""
        return float(100 - self.percent[0])

    @property
    def words(self) -> str:
        """One sentence; never a positive or negative status, which only a pathologist gives a tumour."""
        if self.pattern is None:
            return f"No pattern is predicted: {self.reasons[0]}."
        unsure = "" if self.status == "ok" else " (to be reviewed)"
        return f"Predicted pattern {PATTERNS[self.pattern]}{unsure}, from {len(self.classes)} cells of the {self.basis}."

    @property
    def unsaid(self) -> tuple[str, ...]:
        """The reasons that `words` does not give."""
        return self.reasons[1:] if self.pattern is None else self.reasons

    def contract(self) -> dict[str, Any]:
        """The read-out as JSON values; numbers that are not defined are null."""
        probabilities = None
        if self.probabilities is not None:
            probabilities = {name: round(p, 3) for name, p in zip(PATTERNS, self.probabilities, strict=True)}
        return {
            "her2": {
                "class": None if self.pattern is None else PATTERNS[self.pattern],
                "words": self.words,
                "probs": probabilities,
                "probs_are": PROBABILITIES,
                "conformal_set": None,  # needs slides with known labels to calibrate on
                "basis": self.basis,
                "rule": RULE,
                "denominator": DENOMINATOR_MASKED if self.masked else DENOMINATOR,
            },
            "cells": {
                "count": len(self.classes),
                "percent": {name: _number(value) for name, value in zip(PATTERNS, self.percent, strict=True)},
                "percent_positive": _number(self.percent_positive),
                "h_score_cell": _number(self.h_score_cell),
            },
            "dab": {
                "od_thresholds": list(self.thresholds.pixel_od),
                "stain_vectors": dict(zip(H_DAB.names, (list(v) for v in H_DAB.vectors), strict=True)),
                "white": None if self.view.stranger else [round(value, 4) for value in self.view.white],
                "percent_positive": _number(self.pixels_positive),
                "h_score_pixel": _number(self.h_score_pixel),
            },
            "thresholds": to_fields(self.thresholds),
            "mpp": self.view.mpp,
            "status": self.status,
            "reasons": list(self.reasons),
        }


def read(
    cells: Cells, thresholds: Thresholds | None = None, basis: str = "ihc", masked: bool = False, assumed_mpp: bool = False
) -> ReadOut:
    """Read measured cells. `basis`: "ihc" for a stained slide, "virtual" for a model's prediction of one.

    `masked` says that only cells of a given region were measured, `assumed_mpp` that nobody stated the resolution.
    """
    if basis not in BASES:
        raise ValueError(f"no basis is called {basis!r}; {nearest(basis, BASES)}")
    thresholds = thresholds or Thresholds()
    ring = rings(cells, thresholds.complete_od)
    classes = cell_classes(ring, cells.view.grain, thresholds)
    percent = percentages(classes)
    pixels = pixel_percentages(cells.view.tissue_dab, thresholds.pixel_od)
    stranger = _stranger(cells.view)
    refusals = [f"{NO_H_DAB}: {stranger}"] if stranger else _refusals(cells)
    found: int | None = None
    probabilities: tuple[float, ...] | None = None
    reasons = refusals
    if not refusals:
        found = pattern(percent, thresholds.rule_percent, thresholds.least_percent)
        probabilities = _probabilities(ring, cells.view.grain, thresholds)
        reasons = _doubts(cells, percent, max(probabilities), thresholds, assumed_mpp)
    return ReadOut(
        pattern=found,
        probabilities=probabilities,
        percent=percent,
        classes=classes,
        h_score_cell=h_score(percent),
        h_score_pixel=h_score(pixels),
        pixels_positive=float(100 - pixels[0]),
        status=_status(stranger, refusals, reasons),
        reasons=tuple(reasons),
        basis=BASES[basis],
        masked=masked,
        thresholds=thresholds,
        view=cells.view,
    )


def _status(stranger: str, refusals: list[str], reasons: list[str]) -> Status:
    if stranger:
        return NO_H_DAB
    return "abstain" if refusals else "review" if reasons else "ok"


def _stranger(view: View) -> str:
    """What the picture is, where it is no H-DAB image: by its whole, or by the stain of its tissue seen closely."""
    if view.stranger or view.tissue < LEAST_TISSUE:
        return view.stranger
    if view.pink > MOST_PINK:
        return "its tissue is pink, as in H&E"
    return "the colours are not those of haematoxylin and DAB" if view.foreign > MOST_FOREIGN else ""


def _refusals(cells: Cells) -> list[str]:
    """Why no pattern may be named, the gravest first."""
    view = cells.view
    found = {
        f"no tissue: it covers {100 * view.tissue:.1f} % of the picture": view.tissue < LEAST_TISSUE,
        "out of focus: the picture has too little fine detail": view.detail < LEAST_DETAIL,
        f"too few cells: {len(cells)} were found, {LEAST_CELLS} are needed": len(cells) < LEAST_CELLS,
    }
    return [reason for reason, applies in found.items() if applies]


def _doubts(cells: Cells, percent: Float[np.ndarray, "4"], surest: float, limits: Thresholds, assumed_mpp: bool) -> list[str]:
    """Why a person should look at it."""
    view = cells.view
    decided = pattern(percent, limits.rule_percent, limits.least_percent)
    edges = _edges(percent, decided, limits)
    found = {
        f"the resolution was not given; {view.mpp:g} um per pixel was assumed": assumed_mpp,
        f"{view.mpp:g} um per pixel is outside {FINE_MPP:g}-{COARSE_MPP:g}, where the cut-offs were tested": not (
            FINE_MPP <= view.mpp <= COARSE_MPP
        ),
        f"few cells: {len(cells)}": len(cells) < FEW_CELLS,
        "the picture is soft": view.detail < SOFT_DETAIL,
        f"the best supported pattern has {100 * surest:.0f} % of the repetitions only": surest < SURE,
        **dict.fromkeys(edges, True),
    }
    return [reason for reason, applies in found.items() if applies]


def _edges(percent: Float[np.ndarray, "4"], decided: int, limits: Thresholds) -> list[str]:
    """The shares that decided the pattern and lie within 3 points of the guideline's limit."""
    sums = {3: ("intense complete", percent[3]), 2: ("complete", percent[2] + percent[3]), 1: ("any", percent[1:].sum())}
    asked = [sums[level] for level in (decided, decided + 1) if level in sums]
    return [
        f"{what} staining in {share:.1f} % of the cells is near the {limits.rule_percent:g} % of the rule"
        for what, share in asked
        if abs(share - limits.rule_percent) < NEAR_POINTS
    ]


def _probabilities(ring: Rings, grain: float, thresholds: Thresholds) -> tuple[float, ...]:
    """How often each pattern comes out of `PROBABILITIES`' repetitions; the same cells give the same numbers."""
    rng = np.random.default_rng(0)
    quantiles = (np.arange(OD_LEVELS) + 0.5) / OD_LEVELS
    tally = np.zeros(4)
    for factor in np.exp(OD_SPREAD * norm.ppf(quantiles)):
        # cut-offs times a factor is densities over it; completeness keeps its own cut-off, a matter of noise
        moved = Rings(ring.darker / factor, ring.complete, ring.cytoplasm / factor, ring.neighbours / factor)
        share = percentages(cell_classes(moved, grain, thresholds)) / 100
        for counts in rng.multinomial(len(ring.darker), share, size=REDRAWS):
            percent = 100 * counts / counts.sum()
            tally[pattern(percent, thresholds.rule_percent, thresholds.least_percent)] += 1
    return tuple(float(p) for p in tally / tally.sum())


def _number(value: float) -> float | None:
    return round(value, 2) if math.isfinite(value) else None
