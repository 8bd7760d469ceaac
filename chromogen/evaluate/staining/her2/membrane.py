"""Each cell's membrane: what lies on its ring, and how much of that is its own.

A stained line between two cells is two membranes that no light microscope tells apart. What it holds is therefore divided:
the line's density over both is measured once a direction, and shares are found that make every cell as evenly stained as the
picture allows. An unstained cell among dark ones keeps little of their lines, while the outline of a nest is its cells' alone.

The sharing is the expectation-maximisation of emission tomography (Shepp & Vardi, IEEE Trans. Med. Imaging 1:113, 1982) with
two sources a line: share = own / (own + other's), own = mean of the shares around the cell. Both are credited with a little
more than was found, or cells at the limit of what can be seen would lose all to a slightly darker neighbour.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32
from scipy import ndimage
from skimage.segmentation import watershed

from chromogen.evaluate.staining.her2.nuclei import Density

SECTORS = 24
STEP_UM = 0.25  # along a ray
RAY_UM = 10.0
REACH_UM = 9.0  # a cell ends this far from the middle of its nucleus, with or without a neighbour
RIDGE_UM = 6.0  # a density of 1 on a border is worth a detour of this much
LEAST_RADIUS_UM = 1.5
OPEN_RADIUS_UM = 2.0  # no membrane is nearer
BEFORE_UM, BEYOND_UM = 1.75, 1.25  # the line is looked for from so far before to so far beyond the border of the territory
HALF_LINE_UM = 1.25
FLANK_UM = (1.0, 2.5)  # the ground beside a line is the palest there
LINE_WIDTH_UM = 1.13  # line integral over this is the density of a line of that width: two membranes in a 20x scan
CREDIT_OD = 0.02  # that each of two cells has in hand when a line is divided
ROUNDS = 20

Middles = Float64[np.ndarray, "cells 2"]
PerSector = Float32[np.ndarray, "cells sectors"]


def territories(middles: Middles, dab: Density, mpp: float) -> Int32[np.ndarray, "height width"]:
    """Which cell owns a pixel, 1 the first, 0 none: nearest nucleus, out to 9 um, with borders drawn to stained ridges."""
    owner = np.zeros(dab.shape, np.int32)
    if not len(middles):
        return owner
    rows, columns = middles.astype(int).T
    owner[rows, columns] = np.arange(1, len(middles) + 1)
    away_um = ndimage.distance_transform_edt(owner == 0).astype(np.float32) * mpp
    climb = away_um + RIDGE_UM * np.clip(dab, 0, 1)
    return watershed(climb, owner, mask=away_um < REACH_UM)


def outwards(middles: Middles) -> tuple[Float64[np.ndarray, "1 sectors 1"], Float64[np.ndarray, "1 sectors 1"]]:
    """Unit steps (y, x) of the rays, the first to the right, then clockwise on the screen."""
    angle = 2 * np.pi * np.arange(SECTORS) / SECTORS
    return np.sin(angle)[None, :, None], np.cos(angle)[None, :, None]


class Rays:
    """The density along each ray of each cell, (cells, sectors, steps), and what the ray meets, (cells, sectors).

    What is `hidden` lies outside the image.
    """

    def __init__(
        self,
        middles: Middles,
        owner: Int32[np.ndarray, "height width"],
        dab: Density,
        mpp: float,
        hidden: Bool[np.ndarray, "height width"] | None = None,
    ) -> None:
        height, width = dab.shape
        step_y, step_x = outwards(middles)
        length_um = np.arange(0, RAY_UM, STEP_UM)
        y = middles[:, 0, None, None] + step_y * length_um / mpp
        x = middles[:, 1, None, None] + step_x * length_um / mpp
        self.density = ndimage.map_coordinates(dab, [y, x], order=1, mode="nearest")
        rows, columns = np.rint(y).astype(np.int32), np.rint(x).astype(np.int32)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
        if hidden is not None:
            inside &= ~hidden[rows, columns]
        met = np.where(inside, owner[rows, columns], -1)
        own = met == np.arange(1, len(middles) + 1)[:, None, None]
        last = len(length_um) - 1
        self.border = np.where(own.all(axis=2), last, np.argmin(own, axis=2))
        ahead = np.minimum(self.border + _steps(0.75), last)
        behind = np.take_along_axis(met, ahead[..., None], axis=2)[..., 0]
        self.seen: Bool[np.ndarray, "cells sectors"] = behind >= 0  # the ring lies inside the image
        ownself = behind == np.arange(1, len(middles) + 1)[:, None]
        self.neighbour: Int32[np.ndarray, "cells sectors"] = np.where(ownself | (behind < 0), 0, behind).astype(np.int32)

    def at(self, step: Int32[np.ndarray, "cells sectors"]) -> PerSector:
        """The density at that step of each ray, at its ends where `step` lies beyond."""
        inside = np.clip(step, 0, self.density.shape[2] - 1)
        return np.take_along_axis(self.density, inside[..., None], axis=2)[..., 0]

    def ridge(self) -> Int32[np.ndarray, "cells sectors"]:
        """The step with the densest place near the border of the territory; where nobody is next door, anywhere on the way."""
        steps = np.arange(self.density.shape[2])
        before = np.where(self.neighbour > 0, _steps(BEFORE_UM), len(steps))
        first = np.maximum(self.border - before, _steps(OPEN_RADIUS_UM))
        final = np.maximum(np.minimum(self.border + _steps(BEYOND_UM), len(steps) - 1), first)
        near = (steps >= first[..., None]) & (steps <= final[..., None])
        return np.where(near, self.density, -np.inf).argmax(axis=2)

    def line(self, ridge: Int32[np.ndarray, "cells sectors"]) -> PerSector:
        """Density of the line across each ray at `ridge`, both membranes together, above the ground on either side."""
        near, far = (_steps(um) for um in FLANK_UM)
        inner = np.min([self.at(ridge - k) for k in range(near, far + 1)], axis=0)
        outer = np.min([self.at(ridge + k) for k in range(near, far + 1)], axis=0)
        half = _steps(HALF_LINE_UM)
        total = self.at(ridge) - (inner + outer) / 2
        for k in range(1, half + 1):
            total = total + (self.at(ridge - k) - inner) + (self.at(ridge + k) - outer)
        return np.maximum(total * (STEP_UM / LINE_WIDTH_UM), 0).astype(np.float32)

    def cytoplasm(self) -> Float32[np.ndarray, " cells"]:
        """Median density between the middle of the nucleus and the ring."""
        steps = np.arange(self.density.shape[2])
        inner = (steps >= _steps(LEAST_RADIUS_UM)) & (steps < self.border[..., None] - _steps(BEYOND_UM))
        inner[..., _steps(LEAST_RADIUS_UM)] = True  # the smallest cells have one place a ray
        shape = (len(self.density), self.density[0].size if len(self.density) else 0)
        values = np.where(inner & self.seen[..., None], self.density, np.nan).reshape(shape)
        values[np.isnan(values).all(axis=1)] = 0
        return np.nanmedian(values, axis=1).astype(np.float32)


def own_share(
    line: PerSector, neighbour: Int32[np.ndarray, "cells sectors"], seen: Bool[np.ndarray, "cells sectors"]
) -> PerSector:
    """The part of each line that is the cell's own; neighbours are numbered from 1, 0 is nobody."""
    weight = seen / np.maximum(seen.sum(axis=1, keepdims=True), 1)
    even = np.concatenate([[0.0], (line * weight).sum(axis=1) / 2])
    own = line
    for _ in range(ROUNDS):
        mine, other = even[1:, None] + CREDIT_OD, np.where(neighbour > 0, even[neighbour] + CREDIT_OD, 0)
        own = line * mine / (mine + other)
        even[1:] = (own * weight).sum(axis=1)
    return own.astype(np.float32)


def darker_half(own: PerSector) -> Float64[np.ndarray, " cells"]:
    """Mean of the darker half of each ring without its darkest eighth, where the picture's noise and the darkest neighbour are.

    Directions outside the image are NaN and do not count; a ring of those alone is 0.
    """
    inside = np.isfinite(own)
    seen = np.maximum(inside.sum(axis=1), 1)[:, None]
    falling = -np.sort(-np.where(inside, own, -1.0), axis=1)
    rank = np.arange(own.shape[1])
    counted = (rank >= seen // 8) & (rank < seen // 8 + (seen + 1) // 2) & (falling > -1)
    return np.where(counted, falling, 0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)


def _steps(um: float) -> int:
    return round(um / STEP_UM)
