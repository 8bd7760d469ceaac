"""Where things are in phantom tissue: tumour, ducts, lumens, stroma, fat, glass. All lengths in um.

Large structures are signed depth fields on a coarse grid (positive inside, about one um a unit near the border), bent by
smooth noise so that no outline is an ellipse, and brought to pixels by a spline. The level never enters here.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from chromogen.phantom.noise import Field, Grid, Points, noise, scattered, spline

COARSE_UM = 2.0
FAR_UM = -60.0


@dataclass(frozen=True)
class Scene:
    """What a field of view holds. Pairs are ranges to draw from; shares are probabilities."""

    chance: float
    architecture: str  # nests, cords or sheet: the outline of the tumour
    size_um: tuple[float, float]  # spacing of nests, or of the noise the other outlines follow
    tumour: float  # more is more: shifts the outline by this part of its size
    glands: float = 0.0  # share of the tumour that has lumens
    ducts: float = 0.0  # normal ducts per 0.01 mm2
    fat: float = -9.0  # bias of the fat field: 0 half of the stroma, 1 most of it
    lymphocytes: float = -0.9  # bias of the infiltrate
    dense: float = 0.0  # bias of hyaline against loose stroma


SCENES = (
    Scene(0.24, "nests", (62, 105), 0.05, glands=0.15, lymphocytes=-0.7),
    Scene(0.16, "nests", (40, 60), -0.05, glands=0.3, lymphocytes=-0.2, dense=0.4),
    Scene(0.20, "cords", (42, 60), 0.05, glands=0.75, lymphocytes=-1.2, dense=0.2),
    Scene(0.16, "sheet", (50, 80), 0.1, glands=0.1, lymphocytes=-1.0),
    Scene(0.12, "nests", (80, 120), -0.12, ducts=1.2, lymphocytes=-0.9, dense=-0.3),
    Scene(0.12, "nests", (70, 100), -0.12, glands=0.2, fat=0.35, lymphocytes=-1.0),
)


@dataclass(frozen=True)
class Tissue:
    """Depth fields in um on one grid, and the fibre coordinates of the stroma."""

    tumour: Field
    lumen: Field  # of tumour glands and of ducts
    duct: Field
    fat: Field
    vessel: Field  # depth in blood vessels
    glass: Field
    infiltrate: Field  # in deviations, lymphocytes where positive
    dense: Field  # in deviations
    across: Field  # um across the collagen bundles
    along: Field

    def on(self, grid: Grid, coarse: Grid) -> "Tissue":
        return Tissue(**{name: spline(field, coarse, grid) for name, field in vars(self).items()})


def coarse_grid(grid: Grid) -> Grid:
    """The coarse grid that covers `grid` with three samples to spare on each side."""
    count = int(np.ceil((grid.extent_um + grid.step_um) / COARSE_UM)) + 7
    return Grid(count, COARSE_UM, grid.first_um - grid.step_um / 2 - 3 * COARSE_UM)


def lay_out(rng: np.random.Generator, coarse: Grid) -> Tissue:
    """Draw one field of view on the coarse grid."""
    scene = SCENES[rng.choice(len(SCENES), p=np.array([s.chance for s in SCENES]) / sum(s.chance for s in SCENES))]
    y, x = np.meshgrid(coarse.positions_um, coarse.positions_um, indexing="ij")
    bent = (
        y + 8 * noise(rng, coarse, 45) + 2.0 * noise(rng, coarse, 13),
        x + 8 * noise(rng, coarse, 45) + 2.0 * noise(rng, coarse, 13),
    )
    size_um = rng.uniform(*scene.size_um)
    tumour = _OUTLINES[scene.architecture](rng, coarse, bent, size_um) + scene.tumour * size_um
    duct, duct_lumen = _ducts(rng, coarse, bent, scene.ducts)
    tumour = np.minimum(tumour, -duct - 14)
    glass = _edge(rng, coarse, (y, x))
    lumen = np.minimum(_gland_lumens(rng, coarse, tumour, scene.glands), tumour - 9)
    fat = np.minimum(14 * (noise(rng, coarse, 70) + scene.fat), -np.maximum(tumour, duct) - 3 + 2.0 * noise(rng, coarse, 12))
    vessel = np.minimum(_vessels(rng, coarse, bent), -np.maximum.reduce([tumour, duct, fat]) - 2)
    infiltrate = noise(rng, coarse, 28) + scene.lymphocytes + 0.6 * np.exp(-np.abs(tumour + 8) / 8)
    dense = noise(rng, coarse, 40) + scene.dense
    across, along = _fibres(rng, coarse, (y, x), np.maximum(tumour, duct))
    fields = (tumour, np.maximum(lumen, duct_lumen), duct, fat, vessel, glass, infiltrate, dense, across, along)
    return Tissue(*(field.astype(np.float32) for field in fields))


Bent = tuple[Float64[np.ndarray, "height width"], Float64[np.ndarray, "height width"]]


def _nests(rng: np.random.Generator, coarse: Grid, bent: Bent, size_um: float) -> Field:
    """Separate lobed ellipses on a jittered grid."""
    wide = Grid(2, coarse.extent_um + 2 * size_um, coarse.first_um - size_um)
    points, jitter = scattered(rng, wide, size_um)
    radii = size_um * rng.uniform(0.26, 0.56, len(points))
    return _ellipses(rng, bent, points + 0.28 * size_um * jitter, radii, stretch=1.9)


def _ellipses(rng: np.random.Generator, bent: Bent, points: Points, radii_um: np.ndarray, stretch: float) -> Field:
    depth = np.full(bent[0].shape, FAR_UM)
    angles, stretches = rng.uniform(0, np.pi, len(points)), rng.uniform(1, stretch, len(points))
    for (y, x), radius, angle, longer in zip(points, radii_um, angles, np.sqrt(stretches), strict=True):
        dy, dx = bent[0] - y, bent[1] - x
        u, v = (np.cos(angle) * dx + np.sin(angle) * dy) / longer, (np.cos(angle) * dy - np.sin(angle) * dx) * longer
        depth = np.maximum(depth, radius - np.hypot(u, v))
    return depth


def _cords(rng: np.random.Generator, coarse: Grid, bent: Bent, size_um: float) -> Field:
    """Branching trabeculae and tubules: a band around the zero lines of smooth noise."""
    field = noise(rng, coarse, size_um)
    return size_um * (0.22 - 0.42 * np.abs(field)) + 0.15 * (bent[0] - coarse.positions_um[:, None])


def _sheet(rng: np.random.Generator, coarse: Grid, bent: Bent, size_um: float) -> Field:
    """Solid growth cut by thin fibrous septa."""
    field = noise(rng, coarse, size_um)
    return size_um * (0.45 * np.abs(field) - 0.2) + 0.15 * (bent[0] - coarse.positions_um[:, None])


_OUTLINES = {"nests": _nests, "cords": _cords, "sheet": _sheet}


def _gland_lumens(rng: np.random.Generator, coarse: Grid, tumour: Field, glands: float) -> Field:
    """Lumens where the nest is deep enough, and small round cribriform ones."""
    here = noise(rng, coarse, 34) - _upper_quantile(glands)
    wall_um = 11 + 2.5 * noise(rng, coarse, 25)
    cribriform = 10 * (noise(rng, coarse, 14) - 1.9 + 0.5 * glands)
    return np.maximum(np.minimum(tumour - wall_um, 12 * here), np.minimum(cribriform, 12 * here + 6))


def _upper_quantile(share: float) -> float:
    """About the threshold that `share` of a standard normal field exceeds (logistic approximation)."""
    share = min(max(share, 0.001), 0.999)
    return float(np.log((1 - share) / share) / 1.702)


def _ducts(rng: np.random.Generator, coarse: Grid, bent: Bent, per_area: float) -> tuple[Field, Field]:
    """Normal ducts and their lumens."""
    count = max(1, rng.poisson(per_area * (coarse.extent_um / 100) ** 2)) if per_area else 0
    points = rng.uniform(coarse.first_um, coarse.first_um + coarse.extent_um, (count, 2))
    depth = _ellipses(rng, bent, points, rng.uniform(17, 36, count), stretch=1.7)
    return depth, depth - rng.uniform(10, 14) - 1.5 * noise(rng, coarse, 20)


def _vessels(rng: np.random.Generator, coarse: Grid, bent: Bent) -> Field:
    """Capillaries and small venules."""
    count = rng.poisson(1.1 * (coarse.extent_um / 100) ** 2)
    points = rng.uniform(coarse.first_um, coarse.first_um + coarse.extent_um, (count, 2))
    return _ellipses(rng, bent, points, rng.uniform(4, 9, count), stretch=3.5)


def _edge(rng: np.random.Generator, coarse: Grid, yx: Bent) -> Field:
    """Blank glass beyond a wavy edge that crosses one field in six."""
    angle, crosses, share = rng.uniform(0, 2 * np.pi), rng.uniform() < 1 / 6, rng.uniform(0.05, 0.45)
    middle = coarse.first_um + coarse.extent_um / 2
    beyond = np.cos(angle) * (yx[0] - middle) + np.sin(angle) * (yx[1] - middle)
    wavy = beyond - (0.5 - share) * coarse.extent_um + 7 * noise(rng, coarse, 35) + 1.5 * noise(rng, coarse, 9)
    return wavy if crosses else np.full_like(wavy, FAR_UM)


def _fibres(rng: np.random.Generator, coarse: Grid, yx: Bent, depth: Field) -> tuple[Field, Field]:
    """Coordinates across and along wavy bundles, which run around what they enclose."""
    angle = rng.uniform(0, np.pi)
    waves = 11 * noise(rng, coarse, 42) + 2.0 * noise(rng, coarse, 16)
    across = np.cos(angle) * yx[0] - np.sin(angle) * yx[1] + waves
    along = np.cos(angle) * yx[1] + np.sin(angle) * yx[0] + 8 * noise(rng, coarse, 45)
    outside = np.maximum(-depth, 0)
    return across + 1.6 * 14 * np.exp(-outside / 14), along
