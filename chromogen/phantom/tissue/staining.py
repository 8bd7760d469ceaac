"""How much haematoxylin, eosin and DAB phantom tissue takes up, and how HER2 expression follows the level.

Concentrations are decadic optical densities along the stain vectors, as `chromogen.color` uses them; their sizes were read
off real BCI scans (stroma about 0.1 haematoxylin + 0.06 eosin, nuclei 0.4-0.7, 3+ membranes 0.4-1.5 DAB).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int8

from chromogen.phantom.noise import Field, Grid, grain, noise, scattered, streaks
from chromogen.phantom.tissue.architecture import Tissue
from chromogen.phantom.tissue.cells import TUMOUR, Cells, Nuclei, Territories
from chromogen.phantom.tissue.patches import nearest_wins, patches

UNSTAINED, FAINT, MODERATE, INTENSE = 0, 1, 2, 3  # membrane staining of one tumour cell; -1 where a cell is no tumour cell


@dataclass(frozen=True)
class Expression:
    """Shares of tumour cells by membrane staining at one HER2 level; pairs are ranges between slides."""

    faint: tuple[float, float]  # faint, incomplete
    moderate: tuple[float, float]  # weak to moderate, complete
    intense: tuple[float, float]  # intense, complete
    cytoplasm: float  # DAB concentration


# ASCO/CAP 2018, affirmed 2023. 0: none, or faint incomplete in at most 10 %. 1+: faint incomplete in more than 10 %.
# 2+: weak to moderate complete in more than 10 % (or intense complete in at most 10 %). 3+: intense complete in more than 10 %.
EXPRESSION = (
    Expression((0.0, 0.09), (0.0, 0.0), (0.0, 0.0), 0.02),
    Expression((0.35, 0.75), (0.0, 0.0), (0.0, 0.0), 0.045),
    Expression((0.20, 0.30), (0.35, 0.65), (0.0, 0.05), 0.09),
    Expression((0.05, 0.08), (0.12, 0.25), (0.55, 0.80), 0.26),
)
ARC = ((0.0, 0.0), (0.25, 0.65), (1.0, 1.0), (1.0, 1.0))  # part of the membrane's circumference
DEPTH = ((0.0, 0.0), (0.10, 0.20), (0.28, 0.46), (0.65, 1.15))  # DAB concentration at the membrane


@dataclass(frozen=True)
class Coats:
    """Soft masks of one section, 0-1, and its cytoplasm and collagen textures: shared by both stains."""

    tumour: Field
    duct: Field
    glass: Field  # no tissue: lumen, vessel, fat vacuole, beyond the edge, clefts
    collagen: Field
    cytoplasm: Field
    fat_wall: Field
    secretion: Field
    blood: Field

    @property
    def blank(self) -> Field:
        """Glass with nothing on it, neither tissue nor what fills a lumen."""
        return self.glass * (1 - np.clip(self.secretion + self.blood, 0, 1))


def coats(rng: np.random.Generator, tissue: Tissue, walls: Field, grid: Grid) -> Coats:
    """Textures and masks of the tissue without its nuclei. `walls` is the depth in um inside fat vacuoles."""
    tumour, duct = _soft(tissue.tumour, 0.8), _soft(tissue.duct, 0.8)
    epithelium = np.maximum(tumour, duct)
    bundles = streaks(rng, tissue.across / 4.5, tissue.along / 22) + 0.8 * streaks(rng, tissue.across / 1.9, tissue.along / 11)
    strands = streaks(rng, tissue.across / 1.3, tissue.along / 7)
    loose = np.clip(0.5 - 0.5 * tissue.dense, 0.0, 1.0)
    split = np.clip(1.1 * (bundles - 0.7 + 1.1 * (1 - loose)) + 1.0, 0.3, 1)  # pale gaps open where the tissue is loose
    collagen = np.clip(1.05 - 0.45 * loose + 0.10 * bundles + 0.18 * strands + 0.07 * grain(rng, grid, 1.2), 0.1, 1.6) * split
    cleft = _soft(-np.abs(tissue.tumour + 1.6) + 2.6 * (noise(rng, grid, 22) - 0.75), 0.8)
    lumen = _soft(tissue.lumen, 0.8)
    vacuole = _soft(walls, 0.7) * _soft(tissue.fat, 1.0)
    fat_wall = _soft(tissue.fat, 1.0) * (1 - vacuole)
    edge = _soft(tissue.glass, 1.2)
    vessel = _soft(tissue.vessel, 0.8)
    empty = np.maximum.reduce([lumen, vacuole, edge, vessel, cleft * (1 - epithelium)])
    blood = vessel * np.clip(1.2 + 0.9 * grain(rng, grid, 3.2), 0, 1) * (1 - edge)
    secretion = lumen * np.clip(0.5 * noise(rng, grid, 12) + noise(rng, grid, 60) - 0.9, 0, 1) * (1 - edge)
    cytoplasm = np.clip(1 + 0.14 * grain(rng, grid, 1.6) + 0.20 * noise(rng, grid, 5.0) + 0.12 * noise(rng, grid, 30), 0.3, 1.8)
    return Coats(tumour, duct, empty, collagen, cytoplasm, fat_wall, secretion, blood)


def _soft(depth_um: Field, width_um: float) -> Field:
    return np.clip(depth_um / np.float32(width_um) + np.float32(0.5), 0, 1)


def vacuoles(rng: np.random.Generator, tissue: Tissue, grid: Grid) -> Field:
    """Depth in um inside the nearest fat vacuole; negative in the walls between vacuoles."""
    size, spacing_um = grid.count * grid.count, 38.0
    if not (tissue.fat > -2).any():
        return np.full((grid.count, grid.count), -9, np.float32)
    points, jitter = scattered(rng, Grid(2, grid.extent_um + 2 * spacing_um, grid.first_um - spacing_um), spacing_um)
    bend = (3.0 * noise(rng, grid, 20)).ravel(), (3.0 * noise(rng, grid, 20)).ravel()
    near = patches(grid, points + 0.3 * spacing_um * jitter, np.arange(len(points)), 0.95 * spacing_um)
    distance = np.hypot(near.dy_um + bend[0][near.pixel], near.dx_um + bend[1][near.pixel])
    won = nearest_wins(near.pixel, distance, size)
    first, second = np.full(size, np.inf, np.float32), np.full(size, 99, np.float32)
    first[near.pixel[won]] = distance[won]
    np.minimum.at(second, near.pixel[~won], distance[~won])
    depth = 0.5 * (second - first) - 0.6
    return np.where(np.isfinite(depth), depth, -9).reshape(grid.count, grid.count).astype(np.float32)


def haematoxylin_eosin(coat: Coats, nuclei: Nuclei, ground: Territories, fine: Field) -> Float32[np.ndarray, "height width 2"]:
    """Concentrations of haematoxylin and eosin. `fine` is a chromatin texture of mean 0 and deviation 1."""
    stroma = (1 - coat.tumour) * (1 - coat.duct)
    body = np.maximum(coat.tumour, coat.duct) * coat.cytoplasm
    seam = 0.25 * np.exp(-((ground.border_um / 0.7) ** 2)) * coat.tumour
    wall = coat.fat_wall
    tissue = 1 - coat.glass
    eosin = (stroma * (1 - wall) * 0.125 * coat.collagen + body * 0.085 * (1 + seam) + 0.12 * wall) * tissue
    haema = (stroma * (1 - wall) * (0.02 + 0.065 * coat.collagen) + body * 0.145 * (1 + seam) + 0.07 * wall) * tissue
    chromatin = nuclei.chromatin * np.clip(1 + 0.22 * fine, 0.4, 1.7)
    inside = np.clip(nuclei.chromatin / 0.25, 0, 1)
    haema = haema * (1 - inside) + chromatin + 0.22 * nuclei.nucleolus
    eosin = eosin * (1 - 0.55 * inside) + 0.06 * inside + 0.12 * nuclei.nucleolus + 0.10 * coat.secretion + 0.30 * coat.blood
    return np.stack([haema + 0.03 * coat.secretion, eosin], axis=-1).astype(np.float32)


@dataclass(frozen=True)
class Membranes:
    """Membrane staining of every cell: class, part of the circumference, DAB concentration, and where the arc lies."""

    staining: Int8[np.ndarray, " cells"]
    arc: Float64[np.ndarray, " cells"]
    depth: Float64[np.ndarray, " cells"]
    turn: Float64[np.ndarray, " cells"]


def express(rng: np.random.Generator, cells: Cells, seen: Bool[np.ndarray, " cells"], level: int) -> Membranes:
    """Give every tumour cell its HER2 staining. The shares of the level hold among the cells `seen` in the section."""
    slide, arc, depth, turn = rng.uniform(), *rng.uniform(0, 1, (3, len(cells)))
    expression = EXPRESSION[level]
    share = np.array([low + slide * (high - low) for low, high in (expression.intense, expression.moderate, expression.faint)])
    tumour = cells.kind == TUMOUR
    counted = np.sort(cells.rank[tumour & seen])
    order = np.searchsorted(counted, cells.rank, side="left")  # 0 expresses most
    # The rule's limit is a tenth: what must exceed it is rounded up to whole cells, what must not is rounded down.
    upto = np.cumsum(np.where(share > 0.1, np.ceil(share * len(counted)), np.floor(share * len(counted))))
    ranked = [order < limit for limit in upto]
    staining = np.select([~tumour, *ranked], [-1, INTENSE, MODERATE, FAINT], UNSTAINED).astype(np.int8)
    kind = np.maximum(staining, 0)
    arcs, depths = np.array(ARC), np.array(DEPTH)
    span = arcs[kind, 0] + arc * (arcs[kind, 1] - arcs[kind, 0])
    dab = depths[kind, 0] + (0.6 * depth + 0.4 * slide) * (depths[kind, 1] - depths[kind, 0])
    return Membranes(staining, span, dab, 2 * np.pi * turn)


def membrane_dab(membranes: Membranes, ground: Territories, tissue: Tissue, patchy: Field) -> Field:
    """DAB concentration of the stained membranes: between tumour cells, at the nest's outline and at its lumens."""
    rim_um = np.minimum(ground.border_um, np.minimum(np.maximum(tissue.tumour - 0.3, 0), np.maximum(-tissue.lumen - 0.3, 0)))
    line = 0.85 * np.exp(-((rim_um / 0.75) ** 2)) + 0.15 * np.exp(-((rim_um / 2.2) ** 2))
    line *= _soft(tissue.tumour, 1.0) * _soft(-tissue.lumen, 1.0) * _soft(-tissue.glass, 1.0)
    close = np.flatnonzero((line.ravel() > 0.01) & (ground.owner.ravel() > 0))
    cell = ground.owner.ravel()[close]
    angle = np.arctan2(ground.dy_um.ravel()[close], ground.dx_um.ravel()[close])
    from_middle = np.abs((angle - membranes.turn[cell] + np.pi) % (2 * np.pi) - np.pi) / np.pi  # 0-1 along each half circle
    arc = membranes.arc[cell]
    covered = np.where(arc >= 1, 1.0, np.clip((arc - from_middle) / 0.08 + 0.5, 0, 1) * (arc > 0))
    dab = np.zeros(line.size, np.float32)
    dab[close] = membranes.depth[cell] * covered * line.ravel()[close] * np.clip(1 + 0.28 * patchy.ravel()[close], 0.3, 1.8)
    return dab.reshape(line.shape)


def haematoxylin_dab(
    coat: Coats, nuclei: Nuclei, ground: Territories, membranes: Membranes, membrane: Field, fine: Field, level: int
) -> Float32[np.ndarray, "height width 2"]:
    """Concentrations of haematoxylin and DAB: a pale counterstain, faint unspecific brown, and the membranes."""
    tissue = 1 - coat.glass
    stroma = (1 - coat.tumour) * (1 - coat.duct) * (1 - 0.5 * coat.fat_wall)
    body = coat.tumour * coat.cytoplasm
    share = np.sqrt(membranes.depth / 1.2)[ground.owner].astype(np.float32) * (ground.owner > 0)
    cytoplasm = EXPRESSION[level].cytoplasm * (0.35 + 0.65 * share) * body
    unspecific = (0.032 * stroma * coat.collagen + 0.035 * coat.duct + 0.018 * body) * coat.cytoplasm
    inside = np.clip(nuclei.chromatin / 0.25, 0, 1)
    haema = (0.012 * stroma * coat.collagen + 0.022 * np.maximum(body, coat.duct)) * tissue
    haema = haema * (1 - inside) + 0.25 * nuclei.chromatin * (1 + 0.2 * fine) + 0.05 * nuclei.nucleolus
    brown = unspecific * (1 - inside) + 0.03 * inside + cytoplasm * (1 - 0.6 * inside)
    dab = brown * tissue + membrane + 0.02 * coat.secretion + 0.05 * coat.blood
    return np.stack([haema, dab], axis=-1).astype(np.float32)
