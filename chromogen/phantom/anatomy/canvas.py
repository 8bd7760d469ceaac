"""The drawing surface of phantom anatomy: millimetres, soft edges, smooth noise, tubes.

An outline is a depth field: mm inside where positive. Noise lives on lattices in mm, so that one seed is one anatomy at
every size in pixels. Small images are drawn finer and averaged, as a detector does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from chromogen.phantom.noise import SPLINE_NOISE_DEVIATION, Field, Grid, spline

DRAWN_PX = 128  # smaller images are drawn at this size at least


@dataclass(frozen=True)
class Canvas:
    """A square view of `extent_mm`, centred on 0, seen at `size_px`."""

    size_px: int
    extent_mm: float

    @property
    def spacing_mm(self) -> float:
        return self.extent_mm / self.size_px

    @property
    def finer(self) -> int:
        """Drawn pixels per pixel, on each axis."""
        return -(-DRAWN_PX // self.size_px)

    @property
    def grid(self) -> Grid:
        """The drawn pixels; what `Grid` calls um are mm here."""
        step = self.spacing_mm / self.finer
        return Grid(self.size_px * self.finer, step, (step - self.extent_mm) / 2)

    def points_mm(self) -> tuple[Field, Field]:
        """(y, x) of every drawn pixel; y grows downwards."""
        at = self.grid.positions_um.astype(np.float32)
        y, x = np.meshgrid(at, at, indexing="ij")
        return y, x

    def noise(self, rng: np.random.Generator, blob_mm: float) -> Field:
        """A smooth random field of mean 0 and deviation 1, with blobs about `blob_mm` apart."""
        count = int(np.ceil(self.extent_mm / blob_mm)) + 5
        values = rng.standard_normal((count, count), dtype=np.float32) * np.float32(1 / SPLINE_NOISE_DEVIATION)
        return spline(values, Grid(count, blob_mm, -self.extent_mm / 2 - 2 * blob_mm), self.grid)

    def seen(self, drawn: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Drawn pixels (H', W', ...) averaged to seen pixels (H, W, ...), float32."""
        if self.finer == 1:
            return drawn.astype(np.float32)
        blocks = drawn.reshape(self.size_px, self.finer, self.size_px, self.finer, *drawn.shape[2:])
        return blocks.mean(axis=(1, 3), dtype=np.float32)

    def seen_classes(self, drawn: UInt8[np.ndarray, "h w"], classes: int) -> UInt8[np.ndarray, "height width"]:
        """Each seen pixel's most frequent class from 0 to `classes`; of equally frequent ones the highest."""
        if self.finer == 1:
            return drawn
        shares = np.stack([self.seen((drawn == k).astype(np.float32)) for k in range(classes, -1, -1)])
        return (classes - shares.argmax(axis=0)).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Lattice:
    """Smooth noise in space, of mean 0 and deviation 1: defined everywhere, repeating after `count` blobs."""

    values: Float[np.ndarray, "z y x"]
    blob_mm: float

    def at(self, z: Field | float, y: Field, x: Field) -> Field:
        points = np.stack(np.broadcast_arrays(z, y, x)).astype(np.float32) / np.float32(self.blob_mm)
        return ndimage.map_coordinates(self.values, points, order=3, mode="grid-wrap", prefilter=False)


def lattice(rng: np.random.Generator, blob_mm: float, count: int = 20) -> Lattice:
    values = rng.standard_normal((count, count, count), dtype=np.float32)
    return Lattice(values / np.float32(SPLINE_NOISE_DEVIATION**1.5), blob_mm)


def soft(depth_mm: Field, edge_mm: float) -> Field:
    """How much of a pixel is inside: 0 to 1 over an edge of `edge_mm`."""
    return np.clip(depth_mm / np.float32(edge_mm) + np.float32(0.5), 0, 1)


def ellipse(y: Field, x: Field, centre: tuple[float, float], semi: tuple[float, float], power: float = 2.0) -> Field:
    """Depth in mm, right at the border's axes, in a (super)ellipse; centre and half axes are (y, x)."""
    r = (np.abs((y - centre[0]) / semi[0]) ** power + np.abs((x - centre[1]) / semi[1]) ** power) ** (1 / power)
    return (1 - r) * np.float32(min(semi))


def capsule(point: Sequence[Field | float], start: Sequence[float], end: Sequence[float], radii: tuple[float, float]) -> Field:
    """Depth in a tube from `start` to `end`, in as many dimensions as `point` has, its radius going between `radii`."""
    axis = np.subtract(end, start)
    along = sum((p - s) * (a / (axis @ axis)) for p, s, a in zip(point, start, axis, strict=True))
    t = np.clip(along, 0, 1)
    squared = sum((p - s - t * a) ** 2 for p, s, a in zip(point, start, axis, strict=True))
    return radii[0] + t * (radii[1] - radii[0]) - np.sqrt(squared)


def tubes(canvas: Canvas, yx_mm: Float[np.ndarray, "points 2"], radius_mm: Float[np.ndarray, " points"]) -> Field:
    """Depth in mm in the union of discs, -2 drawn pixels or less away from all of them."""
    grid = canvas.grid
    depth = np.full(grid.count**2, -2, np.float32)
    centre = ((yx_mm - grid.first_um) / grid.step_um).astype(np.float32)
    radius = (radius_mm / grid.step_um).astype(np.float32)
    reach = np.ceil(radius + 1).astype(np.int64)
    for far in np.unique(reach):
        rows = reach == far
        offsets = np.arange(-far, far + 1)
        nearest = np.rint(centre[rows]).astype(np.int64)
        line, column = nearest[:, 0, None] + offsets, nearest[:, 1, None] + offsets
        dy, dx = line - centre[rows][:, 0, None], column - centre[rows][:, 1, None]
        distance = np.hypot(dy[:, :, None], dx[:, None, :]).astype(np.float32)
        within = ((line >= 0) & (line < grid.count))[:, :, None] & ((column >= 0) & (column < grid.count))[:, None, :]
        pixel = line[:, :, None] * grid.count + column[:, None, :]
        np.maximum.at(depth, pixel[within], (radius[rows][:, None, None] - distance)[within])
    return depth.reshape(grid.count, grid.count) * np.float32(grid.step_um)


def rician(rng: np.random.Generator, signal: Field, deviation: float) -> Field:
    """The magnitude of a complex signal with noise in both parts, as MRI shows it."""
    real = signal + np.float32(deviation) * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.hypot(real, np.float32(deviation) * rng.standard_normal(signal.shape, dtype=np.float32))
