"""The second section of a phantom: shifted against the first, and without some of its cells."""

import numpy as np
from jaxtyping import Bool, Float32, Shaped
from scipy import ndimage

from chromogen.phantom.noise import Grid, noise
from chromogen.phantom.tissue.cells import Cells

Displacement = Float32[np.ndarray, "2 height width"]


def displacement_px(rng: np.random.Generator, size_px: int, mpp: float, displacement_um: float) -> Displacement:
    """A smooth (y, x) displacement whose root mean square length over the view is exactly `displacement_um`."""
    grid = Grid(size_px, mpp, 0.5 * mpp)
    spacing_um = max(100.0, 8 * displacement_um)  # long against its size, so that tissue does not fold
    field = np.stack([noise(rng, grid, spacing_um), noise(rng, grid, spacing_um)])
    length = np.sqrt((field**2).sum(axis=0).mean())
    return field * np.float32(displacement_um / mpp / length)


def present(cells: Cells, lost: float) -> tuple[Bool[np.ndarray, " cells"], Bool[np.ndarray, " cells"]]:
    """Which cells the first and the second section hold, when the share `lost` of them is in one section only."""
    real = cells.kind > 0
    return real & (cells.fate >= lost / 2), real & (cells.fate < 1 - lost / 2)


def shifted(
    values: Shaped[np.ndarray, "block block"], shift_px: Displacement, margin_px: int, order: int
) -> Shaped[np.ndarray, "height width"]:
    """What the displaced section shows of a block that is wider than the view by `margin_px` on each side."""
    at = np.indices(shift_px.shape[1:], dtype=np.float32) + margin_px + shift_px
    return ndimage.map_coordinates(values, at, order=order, mode="nearest", prefilter=False)
