"""The shape of a phantom chest in axial slices, in millimetres: skin, ribs, spine, lungs, heart, their vessels.

Coordinates are (z, y, x): y from the breastbone to the back, x to the patient's left (the right of the picture), z upwards
with 0 at the hila.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from chromogen.phantom.anatomy.branching import grow
from chromogen.phantom.anatomy.canvas import Lattice, capsule, ellipse, lattice, soft
from chromogen.phantom.noise import Field

Lay = Callable[[Field, float], None]  # puts tissue of some HU where a depth is positive, over what is there

LUNG_HU, FAT_HU, MUSCLE_HU, HEART_HU, MARROW_HU, CORTEX_HU, AIR_HU = -850.0, -100.0, 55.0, 42.0, 190.0, 720.0, -1000.0


@dataclass(frozen=True, eq=False)
class Thorax:
    """One patient's measures."""

    pleura_mm: tuple[float, float]  # half axes (y, x) of the inside of the rib cage
    wall_mm: float  # of ribs and muscles
    fat_mm: float
    heart: tuple[float, float, float]  # its middle's x, half axes (y, x)
    blood_hu: float  # with contrast medium or without
    lung_hu: float
    rib_phase: float
    ribs: int  # that a slice cuts
    bend: Lattice
    texture: Lattice


def draw_thorax(rng: np.random.Generator) -> Thorax:
    return Thorax(
        pleura_mm=(rng.normal(92, 5), rng.normal(128, 6)),
        wall_mm=rng.uniform(15, 20),
        fat_mm=rng.uniform(4, 16),
        heart=(rng.normal(17, 5), rng.uniform(32, 42), rng.uniform(44, 58)),
        blood_hu=HEART_HU + rng.choice([0.0, 160.0]) * rng.uniform(0.6, 1.2),
        lung_hu=LUNG_HU + rng.normal(0, 20),
        rib_phase=rng.uniform(0, 2 * np.pi),
        ribs=int(rng.choice([12, 14, 16])),
        bend=lattice(rng, 48, 8),
        texture=lattice(rng, 9, 20),
    )


def _cage_depth(thorax: Thorax, y: Field, x: Field, z: Field | float) -> Field:
    """mm inside the pleura; wider below."""
    grown = 1 - 0.0016 * z
    return ellipse(y, x, (0.0, 0.0), (thorax.pleura_mm[0], thorax.pleura_mm[1]), 2.25) + (grown - 1) * 110


def _heart_depth(thorax: Thorax, y: Field, x: Field, z: Field | float) -> Field:
    """mm inside the heart, which fades into the great vessels above."""
    middle, half_y, half_x = thorax.heart
    lower = np.clip(0.62 - 0.016 * z, 0.35, 1.0)
    tilted_y, tilted_x = y + 26 + 0.25 * (x - middle), (x - middle * lower) - 0.25 * (y + 26)
    return ellipse(tilted_y / lower, tilted_x / lower, (0.0, 0.0), (half_y, half_x), 2.3) * lower


def _spine_depth(y: Field, x: Field, back_mm: float) -> tuple[Field, Field, Field]:
    """mm inside the vertebral body, the arch with its processes, and the spinal canal."""
    body = ellipse(y, x, (back_mm - 18, 0.0), (16, 20), 2.4)
    canal = ellipse(y, x, (back_mm + 7, 0.0), (8, 10))
    side = np.abs(x)
    arch = np.maximum.reduce(
        [
            capsule((y, side), (back_mm - 3, 13.0), (back_mm + 17, 3.0), (4.5, 4.0)),
            capsule((y, side), (back_mm + 5, 13.0), (back_mm + 17, 36.0), (4.5, 3.2)),
            capsule((y, side), (back_mm + 16, 0.0), (back_mm + 33, 0.0), (4.0, 2.6)),
        ]
    )
    return body, np.minimum(arch, -canal), canal


def lung_depth(thorax: Thorax, y: Field, x: Field, z: Field | float) -> Field:
    """mm inside the lungs."""
    back = thorax.pleura_mm[0] - 14
    mediastinum = 16 + 10 * np.exp(-(((y - 8) / 30) ** 2)) + 0.10 * np.maximum(-y - 40, 0)
    spine = ellipse(y, x, (back - 8, 3.0), (42, 31), 2.2)
    bend = np.float32(2.2) * thorax.bend.at(z, y, x)
    parts = [_cage_depth(thorax, y, x, z), np.abs(x - 4) - mediastinum, -_heart_depth(thorax, y, x, z) - 3, -spine]
    return (np.minimum.reduce(parts) + bend).astype(np.float32)


def organs(thorax: Thorax, y: Field, x: Field, z: float, edge_mm: float) -> tuple[Field, Field]:
    """HU of a slice without the vessels of the lungs, and mm inside the lungs."""
    cage, lung = _cage_depth(thorax, y, x, z), lung_depth(thorax, y, x, z)
    outside = -cage
    back = thorax.pleura_mm[0] - 14
    skin_mm = (
        thorax.wall_mm + thorax.fat_mm * (1 + 0.35 * np.clip(-y / 90, -1, 1)) + 14 * np.exp(-(((np.abs(x) - 75) / 45) ** 2))
    )
    around = np.sin(3 * np.arctan2(y, np.abs(x)) + np.float32(thorax.rib_phase))
    skin = skin_mm + 2.5 * around - outside
    muscle = thorax.wall_mm + 1.5 * around + 5 * np.exp(-(((np.abs(x) - 60) / 30) ** 2)) - outside
    hu: Field = np.full(y.shape, AIR_HU, np.float32)

    def lay(depth: Field, value: float) -> None:
        nonlocal hu
        hu = hu + soft(depth, edge_mm) * (np.float32(value) - hu)

    lay(skin, FAT_HU)
    lay(np.minimum(skin, 1.5 - np.abs(skin - 1)), 20.0)  # skin itself
    lay(np.minimum(muscle, skin - 2.5), MUSCLE_HU)
    lay(np.minimum(np.minimum(cage + 3, muscle), 60 - np.abs(x)), FAT_HU + 20)  # fat of the mediastinum
    lay(np.minimum(_heart_depth(thorax, y, x, z), cage), thorax.blood_hu * 0.85)
    _lay_mediastinum(lay, thorax, y, x, z, back)
    _lay_bones(lay, thorax, y, x, z, outside, back)
    texture = np.float32(18) * thorax.texture.at(z, y, x) + np.float32(0.35) * y  # blood sinks to the back
    hu = hu + soft(lung, edge_mm) * (np.float32(thorax.lung_hu) + texture - hu)
    return hu.astype(np.float32), lung


def _lay_mediastinum(lay: Lay, thorax: Thorax, y: Field, x: Field, z: float, back: float) -> None:
    """Aorta, great vessels at the hila, gullet, and the windpipe or its two branches."""
    lay(12.5 - np.hypot(y - (back - 36), x - 25), thorax.blood_hu)  # descending aorta
    lay(ellipse(y, x, (-22.0, -18.0), (13, 14)), thorax.blood_hu)  # ascending aorta
    lay(9 - np.hypot(y + 14, x + 34), thorax.blood_hu)  # upper hollow vein
    lay(capsule((y, x), (-12.0, 4.0), (6.0, 34.0), (12.0, 8.0)), thorax.blood_hu)  # pulmonary trunk to the left
    lay(capsule((y, x), (-4.0, -4.0), (4.0, -32.0), (8.5, 7.5)), thorax.blood_hu)
    lay(5.5 - np.hypot(y - (back - 42), x - 6), MUSCLE_HU)  # gullet
    apart = np.clip(10 - 0.7 * z, 0, 26)
    airway = 8.0 - 0.10 * apart
    lay(airway - np.hypot(y - 14 - 0.15 * apart, np.abs(x) - apart), AIR_HU)


def _lay_bones(lay: Lay, thorax: Thorax, y: Field, x: Field, z: float, outside: Field, back: float) -> None:
    """Vertebra, ribs cut aslant, breastbone, shoulder blades: a bright shell around marrow."""
    body, arch, canal = _spine_depth(y, x, back)
    around = np.arctan2(y / thorax.pleura_mm[0], np.abs(x) / thorax.pleura_mm[1])  # 0 at the side, positive behind
    wave = np.cos(thorax.ribs * (around + 0.012 * z) + thorax.rib_phase + 0.5 * np.sign(x))
    along = (wave - 0.25) * 9  # mm to the end of a rib's cut
    across = 4.6 - np.abs(outside - 7.5)
    rib = np.minimum(np.minimum(across, along), np.minimum(1.15 - around, around + 1.2) * 60)
    front = -thorax.pleura_mm[0]
    breastbone = ellipse(y, x, (front - 6, 0.0), (6.5, 19), 2.6)
    blade = capsule((y, np.abs(x)), (18.0, thorax.pleura_mm[1] + 17), (66.0, thorax.pleura_mm[1] - 22), (4.0, 2.6))
    blade = blade + np.clip(0.12 * (z - 8), -9, 0)  # it ends below
    for bone, shell_mm in ((body, 2.0), (arch, 1.6), (rib, 1.5), (breastbone, 1.5), (blade, 1.4)):
        lay(bone, CORTEX_HU)
        lay(bone - shell_mm, MARROW_HU)
    lay(canal, 25.0)


def lung_vessels(
    rng: np.random.Generator, z: float, apart_mm: float
) -> tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, " points"]]:
    """Places (z, y, x) along the vessels of both lungs and their radii, mm: of those that come near height z."""
    per_side = 12
    side = np.repeat([-1.0, 1.0], per_side)
    starts = np.stack([rng.uniform(-26, 26, 2 * per_side), rng.normal(4, 7, 2 * per_side), 4 + side * 33], axis=1)
    turn = rng.uniform(-1.25, 1.25, 2 * per_side)
    ways = np.stack([0.25 * rng.standard_normal(2 * per_side), np.sin(turn), side * np.cos(turn)], axis=1)
    radii = rng.uniform(2.2, 3.9, 2 * per_side)

    def outwards(places: np.ndarray, ways: np.ndarray) -> np.ndarray:
        """Away from the middle of the chest, and level enough to stay near the slices."""
        away = places - np.array([0.0, 0.0, 4.0])
        return 0.012 * away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1.0)

    tree = grow(rng, starts, ways, radii, 8.0, 0.85, 0.05, outwards)
    return tree.where(np.abs(tree.path_mm[:, :, 0] - z).min(axis=1) < 5).points(apart_mm)
