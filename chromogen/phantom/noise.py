"""Smooth random fields and scattered points in micrometres: the raw material of phantom tissue.

Only elementwise arithmetic, so that the same seed gives the same bytes whatever the number of threads.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from scipy import ndimage

Field = Float32[np.ndarray, "height width"]
Points = Float64[np.ndarray, "points 2"]  # (y, x) in um

SPLINE_NOISE_DEVIATION = 151 / 315  # integral of the squared cubic B-spline: one axis of variance, both axes of deviation


@dataclass(frozen=True)
class Grid:
    """A square grid of samples: `count` a side, `step_um` apart, the first at `first_um` on both axes."""

    count: int
    step_um: float
    first_um: float

    @property
    def positions_um(self) -> Float64[np.ndarray, " count"]:
        return self.first_um + self.step_um * np.arange(self.count)

    @property
    def extent_um(self) -> float:
        return self.step_um * (self.count - 1)


def spline(values: Field, source: Grid, target: Grid) -> Field:
    """Cubic B-spline through the control values on `source`, sampled on `target`, which must lie two steps inside."""
    index = (target.positions_um - source.first_um) / source.step_um
    base = np.floor(index).astype(np.intp)
    t = (index - base).astype(np.float32)
    weights = ((1 - t) ** 3 / 6, (3 * t**3 - 6 * t**2 + 4) / 6, (3 * (t**2 + t - t**3) + 1) / 6, t**3 / 6)
    rows = sum(weight[:, None] * values[base + tap] for tap, weight in enumerate(weights, start=-1))
    return sum(weight[None, :] * rows.take(base + tap, axis=1) for tap, weight in enumerate(weights, start=-1))


def noise(rng: np.random.Generator, grid: Grid, spacing_um: float) -> Field:
    """A smooth random field of mean 0 and deviation 1, with blobs about `spacing_um` apart."""
    lattice = Grid(int(np.ceil(grid.extent_um / spacing_um)) + 5, spacing_um, grid.first_um - 1.5 * spacing_um)
    values = rng.standard_normal((lattice.count, lattice.count), dtype=np.float32)
    return spline(values * np.float32(1 / SPLINE_NOISE_DEVIATION), lattice, grid)


def grain(rng: np.random.Generator, grid: Grid, size_um: float) -> Field:
    """Fine texture of deviation 1 with grains of about `size_um`, white where a grain is smaller than a sample."""
    white = rng.standard_normal((grid.count, grid.count), dtype=np.float32)
    sigma = size_um / 2.355 / grid.step_um
    if sigma < 0.3:
        return white
    smooth = ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=2.5)
    return smooth / smooth.std()


def streaks(rng: np.random.Generator, across: Field, along: Field) -> Field:
    """Random streaks of deviation about 1 that follow the lines of constant `across`; both coordinates in grains."""
    values = np.pad(rng.standard_normal((48, 48), dtype=np.float32), 3, mode="wrap") / np.float32(SPLINE_NOISE_DEVIATION)
    lattice = spline(values, Grid(54, 1.0, -3.0), Grid(144, 1 / 3, 0.0))
    coordinates = np.stack([across * np.float32(3), along * np.float32(3)])
    return ndimage.map_coordinates(lattice, coordinates, order=1, mode="grid-wrap", prefilter=False)


def scattered(rng: np.random.Generator, grid: Grid, spacing_um: float) -> tuple[Points, Points]:
    """Points of a hexagonal grid over `grid`, and for each a jitter in [-1, 1]^2 (spacings) to scale and add."""
    row_um = spacing_um * 0.866
    rows, columns = int(grid.extent_um / row_um) + 2, int(grid.extent_um / spacing_um) + 2
    phase = rng.uniform(0, 1, 2)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float64)
    points = np.stack([(y - phase[0]) * row_um, (x - phase[1] + 0.5 * (y % 2)) * spacing_um], axis=-1).reshape(-1, 2)
    return points + grid.first_um, rng.uniform(-1, 1, points.shape)


def at_points(field: Field, grid: Grid, points: Points) -> Float32[np.ndarray, " points"]:
    """The field's values at points, linearly between samples."""
    return ndimage.map_coordinates(field, (points.T - grid.first_um) / grid.step_um, order=1, mode="nearest")
