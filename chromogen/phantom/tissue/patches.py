"""Square patches of pixels around points: how a thing costs by its own pixels, whatever the size of the image."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from chromogen.phantom.noise import Grid, Points


@dataclass(frozen=True)
class Patches:
    """The pixels near a set of points, flat: which point, which pixel, and the offset from the point in um."""

    row: np.ndarray
    pixel: np.ndarray
    dy_um: np.ndarray
    dx_um: np.ndarray


def patches(grid: Grid, yx_um: Points, rows: np.ndarray, radius_um: float) -> Patches:
    """Square patches of half width `radius_um` around the chosen rows of `yx_um`, cut at the grid's border."""
    reach = int(np.ceil(radius_um / grid.step_um))
    offsets = np.arange(-reach, reach + 1)
    centre = (yx_um[rows] - grid.first_um) / grid.step_um
    nearest = np.rint(centre).astype(np.int64)
    lines = nearest[:, :, None] + offsets  # (rows, 2, side)
    off_um = ((lines - centre[:, :, None]) * grid.step_um).astype(np.float32)
    inside = (lines >= 0) & (lines < grid.count)
    side = (len(rows), len(offsets), len(offsets))
    valid = (inside[:, 0, :, None] & inside[:, 1, None, :]).ravel()
    pixel = (lines[:, 0, :, None] * grid.count + lines[:, 1, None, :]).ravel()[valid]
    dy = np.broadcast_to(off_um[:, 0, :, None], side).ravel()[valid]
    dx = np.broadcast_to(off_um[:, 1, None, :], side).ravel()[valid]
    return Patches(np.broadcast_to(rows.astype(np.int32)[:, None, None], side).ravel()[valid], pixel, dy, dx)


def nearest_wins(pixel: np.ndarray, distance: np.ndarray, size: int) -> Bool[np.ndarray, " candidates"]:
    """Which candidates are the nearest at their pixel; of equal ones the first."""
    best = np.full(size, np.inf, np.float32)
    np.minimum.at(best, pixel, distance)
    tied = np.flatnonzero(distance == best[pixel])
    first = np.full(size, len(pixel), np.int64)
    np.minimum.at(first, pixel[tied], tied)
    won = np.zeros(len(pixel), bool)
    won[first[pixel[tied]]] = True
    return won
