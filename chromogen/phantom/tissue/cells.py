"""Cells of phantom tissue: their places and shapes, and their nuclei and borders on a pixel grid.

A cell costs by its own pixels only: every cell gets a square patch, all patches of a kind are computed in one expression,
and where patches meet the nearest cell wins.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32
from scipy.spatial import cKDTree

from chromogen.phantom.noise import Field, Grid, Points, at_points, noise, scattered
from chromogen.phantom.tissue.architecture import Tissue
from chromogen.phantom.tissue.patches import Patches, nearest_wins, patches

TUMOUR, DUCT, STROMA, LYMPHOCYTE = 1, 2, 3, 4
CELL_RADIUS_UM = 9.0  # a tumour cell's membrane is at most this far from its centre
PerCell = Float64[np.ndarray, " cells"]


@dataclass(frozen=True)
class Kind:
    """Places and nuclei of one kind of cell; pairs are (mean, spread between cells)."""

    code: int
    spacing_um: float
    jitter: float  # of the spacing
    long_um: tuple[float, float]  # half axis
    ratio: tuple[float, float]  # short to long axis
    dark: tuple[float, float]  # haematoxylin concentration
    pale: float  # how much paler the middle is than the rim, 0-1
    nucleolus_um: float
    turned: float  # deviation in radians of the long axis, from across the border (from along the fibres in stroma)


KINDS = (
    Kind(TUMOUR, 8.4, 0.2, (3.4, 0.09), (0.78, 0.10), (0.54, 0.13), 0.34, 0.45, 0.8),
    Kind(DUCT, 6.4, 0.17, (3.3, 0.08), (0.66, 0.08), (0.52, 0.12), 0.15, 0.3, 0.25),
    Kind(STROMA, 10.5, 0.45, (3.6, 0.33), (0.30, 0.25), (0.46, 0.22), 0.0, 0.0, 0.25),
    Kind(LYMPHOCYTE, 6.2, 0.5, (2.3, 0.12), (0.85, 0.09), (0.60, 0.13), 0.1, 0.0, 3.0),
)


@dataclass(frozen=True)
class Cells:
    """One row a cell; row 0 is no cell, so that a row's number is its id in the instance maps."""

    yx_um: Points
    kind: Int32[np.ndarray, " cells"]
    long_um: PerCell
    short_um: PerCell
    angle: PerCell
    wobble: Float64[np.ndarray, "cells 4"]  # cos and sin of twice and three times the angle
    dark: PerCell
    pale: PerCell
    nucleolus_um: PerCell
    nucleolus_yx: Float64[np.ndarray, "cells 2"]  # in half axes
    fate: PerCell  # in [0, 1): who is lost from which section
    rank: PerCell  # orders the tumour cells by HER2 expression, the lowest expresses most

    def __len__(self) -> int:
        return len(self.kind)


def populate(rng: np.random.Generator, tissue: Tissue, coarse: Grid, atypia: float) -> Cells:
    """Put cells into the tissue. `atypia` is 0 for bland tumour nuclei, 1 for those of a typical 3+ tumour."""
    across_fibres = np.gradient(tissue.across + 40 * np.exp(-np.abs(tissue.vessel) / 3))  # (d/dy, d/dx); vessel walls too
    inwards = np.gradient(np.maximum(tissue.tumour, tissue.duct))
    shares = noise(rng, coarse, 30)  # neighbours express alike
    parts = []
    for kind in KINDS:
        points, jitter = scattered(rng, coarse, kind.spacing_um)
        spread = kind.jitter + (0.06 * atypia if kind.code == TUMOUR else 0.0)
        draws = rng.standard_normal((len(points), 11)), rng.uniform(0, 1, (len(points), 4))
        points = points + spread * kind.spacing_um * jitter
        if kind.code in (TUMOUR, DUCT):  # the outermost cells line up along the border instead of leaving it bare
            points = _pushed(points, tissue.tumour if kind.code == TUMOUR else tissue.duct, coarse, 3.0)
            points = _pushed(points, -tissue.lumen, coarse, 3.6)
        keep = _inhabits(kind.code, tissue, coarse, points, draws[1][:, 0])
        places = points[keep]
        slope = (at_points(axis, coarse, places) for axis in (inwards if kind.code in (TUMOUR, DUCT) else across_fibres))
        direction = np.arctan2(*slope)
        rank = at_points(shares, coarse, places) + 1.3 * draws[0][keep, 8]
        parts.append(_shaped(kind, places, direction, rank, draws[0][keep], draws[1][keep], atypia))
    nobody = tuple(np.zeros((1, *column.shape[1:]), column.dtype) for column in parts[0])
    return Cells(*(np.concatenate(columns) for columns in zip(nobody, *parts, strict=True)))


def _pushed(points: Points, depth: Field, coarse: Grid, least_um: float) -> Points:
    """Move points that are just outside or less than `least_um` inside along the slope, to that depth."""
    here = at_points(depth, coarse, points)
    slope = np.stack([at_points(axis, coarse, points) for axis in np.gradient(depth, coarse.step_um)], axis=-1)
    step = np.where((here > -1) & (here < least_um), least_um - here, 0.0)
    return points + step[:, None] * slope / np.maximum((slope**2).sum(axis=1), 0.25)[:, None]


def _inhabits(code: int, tissue: Tissue, coarse: Grid, points: Points, draw: PerCell) -> Bool[np.ndarray, " points"]:
    def at(field: Field) -> Float32[np.ndarray, " points"]:
        return at_points(field, coarse, points)

    tumour, duct = at(tissue.tumour), at(tissue.duct)
    possible = (at(tissue.lumen) < -3) & (at(tissue.glass) < -3)
    if code == TUMOUR:
        return possible & (tumour > 2.3) & (draw > 0.03)
    if code == DUCT:
        return possible & (duct > 2.2)
    vessel, fat, infiltrate = at(tissue.vessel), at(tissue.fat), at(tissue.infiltrate)
    possible &= (np.maximum(tumour, duct) < -2.3) & (fat < -0.5) & (vessel < -0.5)
    if code == LYMPHOCYTE:
        return possible & (vessel < -2) & (draw < np.clip(1.6 * infiltrate, 0, 0.85))
    return possible & (infiltrate < 0.6) & (draw < 0.5 - 0.16 * at(tissue.dense) + 0.5 * (vessel > -3))


def _shaped(
    kind: Kind, places: Points, direction: PerCell, rank: PerCell, normal: np.ndarray, uniform: np.ndarray, atypia: float
) -> tuple[np.ndarray, ...]:
    """The columns of `Cells` for one kind. Atypia: larger, unequal, darker, vesicular nuclei with large nucleoli."""
    spindle = kind.code == STROMA
    grade = atypia if kind.code == TUMOUR else 0.0
    spread = kind.long_um[1] + 0.13 * grade
    long_um = kind.long_um[0] * (1 + 0.3 * grade) * np.exp(np.clip(spread * normal[:, 0], -0.7, 0.5))
    if not spindle and len(places) > 1:  # neighbours flatten rather than overlap, until they are crowded
        apart = cKDTree(places).query(places, k=2)[0][:, 1]
        long_um = np.minimum(long_um, np.maximum((0.62 + 0.18 * grade) * apart, 0.6 * kind.long_um[0]))
    ratio = np.clip(kind.ratio[0] * np.exp((kind.ratio[1] + 0.06 * grade) * normal[:, 1]), 0.2, 1.0)
    angle = direction + (np.pi / 2 if spindle else 0) + kind.turned * normal[:, 2]
    irregular = (0.05 if spindle else 0.03) + 0.035 * grade
    dark = kind.dark[0] * (1 + 0.12 * grade) * np.exp((kind.dark[1] + 0.10 * grade) * normal[:, 3])
    pale = np.full(len(places), kind.pale) + 0.22 * grade * uniform[:, 1]
    nucleolus_um = np.where(uniform[:, 2] < 0.45 + 0.5 * grade, kind.nucleolus_um * (1 + 1.3 * grade), 0.0)
    wobble = irregular * np.clip(normal[:, 4:8], -2, 2)
    aside = 0.32 * np.clip(normal[:, 9:11], -1.5, 1.5)
    code = np.full(len(places), kind.code, np.int32)
    return (places, code, long_um, long_um * ratio, angle, wobble, dark, pale, nucleolus_um, aside, uniform[:, 3], rank)


@dataclass(frozen=True)
class Nuclei:
    """Nuclei drawn on a grid. `instances` holds cell ids; the rest are haematoxylin and nucleolus amounts, 0 outside."""

    instances: Int32[np.ndarray, "height width"]
    chromatin: Field
    nucleolus: Field


def draw_nuclei(cells: Cells, present: Bool[np.ndarray, " cells"], grid: Grid) -> Nuclei:
    """Render the nuclei of the present cells; where two overlap, each keeps what is relatively nearer to it."""
    found: list[tuple[np.ndarray, ...]] = []
    for kind in KINDS:
        rows = np.flatnonzero(present & (cells.kind == kind.code))
        if len(rows):
            near = patches(grid, cells.yx_um, rows, 1.12 * float(cells.long_um[rows].max()) + grid.step_um)
            found.append(_within(cells, near))
    size = grid.count * grid.count
    instances, chromatin, nucleolus = np.zeros(size, np.int32), np.zeros(size, np.float32), np.zeros(size, np.float32)
    if found:
        cell, pixel, u, v, rho = (np.concatenate(column) for column in zip(*found, strict=True))
        won = nearest_wins(pixel, rho, size)
        cell, pixel, u, v, rho = cell[won], pixel[won], u[won], v[won], rho[won]
        instances[pixel[rho <= 1]] = cell[rho <= 1]
        chromatin[pixel], nucleolus[pixel] = _profile(cells, cell, u, v, rho)
    shape = (grid.count, grid.count)
    return Nuclei(instances.reshape(shape), chromatin.reshape(shape), nucleolus.reshape(shape))


def _within(cells: Cells, near: Patches) -> tuple[np.ndarray, ...]:
    """Pixels within or just outside the nuclear outline: cell, pixel, offset in half axes, radius (1 at the outline)."""
    long_um = cells.long_um.astype(np.float32)
    close = near.dy_um**2 + near.dx_um**2 < (1.7 * long_um**2)[near.row]
    cell, pixel, dy_um, dx_um = near.row[close], near.pixel[close], near.dy_um[close], near.dx_um[close]
    cosine, sine = (f(cells.angle).astype(np.float32)[cell] for f in (np.cos, np.sin))
    u = (cosine * dx_um + sine * dy_um) / long_um[cell]
    v = (cosine * dy_um - sine * dx_um) / cells.short_um.astype(np.float32)[cell]
    squared = u * u + v * v
    close = squared < 1.7
    cell, pixel, u, v, squared = cell[close], pixel[close], u[close], v[close], squared[close]
    squared = np.maximum(squared, np.float32(1e-6))
    radius = np.sqrt(squared)
    twice = ((u * u - v * v) / squared, 2 * u * v / squared)
    thrice = ((u**3 - 3 * u * v * v) / (squared * radius), (3 * u * u * v - v**3) / (squared * radius))
    wobble = cells.wobble.astype(np.float32)[cell]
    outline = 1 + sum(wobble[:, i] * wave for i, wave in enumerate((*twice, *thrice)))
    return cell, pixel, u, v, radius / outline


def _profile(cells: Cells, cell: np.ndarray, u: np.ndarray, v: np.ndarray, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chromatin (dark rim, paler middle) and nucleolus at each pixel of the nuclei."""
    short_um = cells.short_um.astype(np.float32)[cell]
    inward_um = (1 - rho) * short_um
    cover = np.clip(inward_um / 0.7 + 0.5, 0, 1)
    middle = np.clip((inward_um - 0.5) / 0.9, 0, 1)
    chromatin = cells.dark.astype(np.float32)[cell] * cover * (1 - cells.pale.astype(np.float32)[cell] * middle)
    aside = cells.nucleolus_yx.astype(np.float32)[cell]
    radius_um = cells.nucleolus_um.astype(np.float32)[cell]
    off_um = np.hypot((u - aside[:, 1]) * cells.long_um.astype(np.float32)[cell], (v - aside[:, 0]) * short_um)
    return chromatin, np.where(radius_um > 0, np.clip((radius_um - off_um) / 0.5 + 0.5, 0, 1) * cover, 0)


@dataclass(frozen=True)
class Territories:
    """Which tumour cell owns a pixel (0 none), how far in um its border with the next is, and its direction."""

    owner: Int32[np.ndarray, "height width"]
    border_um: Field
    dy_um: Field
    dx_um: Field


def divide(cells: Cells, present: Bool[np.ndarray, " cells"], grid: Grid, bend_um: tuple[Field, Field]) -> Territories:
    """Voronoi territories of the present tumour cells, out to `CELL_RADIUS_UM`, with borders bent by `bend_um` (y, x)."""
    size = grid.count * grid.count
    owner, border = np.zeros(size, np.int32), np.full(size, CELL_RADIUS_UM, np.float32)
    off = np.zeros((2, size), np.float32)
    rows = np.flatnonzero(present & (cells.kind == TUMOUR))
    if len(rows):
        near = patches(grid, cells.yx_um, rows, CELL_RADIUS_UM)
        dy, dx = near.dy_um + bend_um[0].ravel()[near.pixel], near.dx_um + bend_um[1].ravel()[near.pixel]
        squared = dy * dy + dx * dx
        close = squared < CELL_RADIUS_UM**2
        cell, pixel, dy, dx, squared = near.row[close], near.pixel[close], dy[close], dx[close], squared[close]
        won = nearest_wins(pixel, squared, size)
        owner[pixel[won]], off[0, pixel[won]], off[1, pixel[won]] = cell[won], dy[won], dx[won]
        first = np.zeros(size, np.float32)
        first[pixel[won]] = squared[won]
        lost = ~won
        second = nearest_wins(pixel[lost], squared[lost], size)
        pixel, cell, squared = pixel[lost][second], cell[lost][second], squared[lost][second]
        apart = np.linalg.norm(cells.yx_um[cell] - cells.yx_um[owner[pixel]], axis=1).astype(np.float32)
        border[pixel] = (squared - first[pixel]) / (2 * np.maximum(apart, 0.1))
    shape = (grid.count, grid.count)
    return Territories(owner.reshape(shape), border.reshape(shape), off[0].reshape(shape), off[1].reshape(shape))
