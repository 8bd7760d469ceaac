"""Lesions of phantom brains: white matter lesions around the ventricles, or a tumour of four nested tissues."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from chromogen.phantom.anatomy.brain_shape import Z_MM, Head, Tissues, bent, surface_depth, ventricle_depth
from chromogen.phantom.anatomy.canvas import soft
from chromogen.phantom.noise import Field

MEAN_RADIUS_MM = 3.6

# grey values in the order of T1, T1POST, T2, FLAIR
_SPOT = (0.36, 0.40, 0.78, 0.86)
_ENHANCING_SPOT = (0.38, 0.93, 0.78, 0.86)
_NECROSIS, _OEDEMA = (0.22, 0.24, 0.90, 0.62), (0.46, 0.48, 0.76, 0.84)
_NON_ENHANCING, _ENHANCING = (0.38, 0.42, 0.70, 0.74), (0.42, 0.95, 0.64, 0.78)


@dataclass(frozen=True, eq=False)
class Lesions:
    """Lesions on one slice: their classes, and layers of (share of a pixel, grey values in each contrast) laid in order."""

    classes: UInt8[np.ndarray, "height width"]
    layers: Sequence[tuple[Field, tuple[float, ...]]] = ()

    def shown(self, signal: Field, contrast: int, strength: float) -> Field:
        for share, values in self.layers:
            signal = signal + np.float32(strength) * share * (np.float32(values[contrast]) - signal)
        return signal


@dataclass(frozen=True, eq=False)
class Spots:
    """White matter lesions: flattened balls."""

    centre_mm: Float[np.ndarray, "spots 3"]  # (x, front, z)
    half_mm: Float[np.ndarray, "spots 3"]
    angle: Float[np.ndarray, " spots"]  # in the slice
    enhancing: np.ndarray

    def on(self, tissue: Tissues, x: Field, front: Field, z: float, edge_mm: float) -> Lesions:
        """The lesions on a slice; only white matter is ill."""
        plain, bright = np.full(x.shape, -9, np.float32), np.full(x.shape, -9, np.float32)
        for centre, half, angle, enhances in zip(self.centre_mm, self.half_mm, self.angle, self.enhancing, strict=True):
            if abs(z - centre[2]) >= half[2]:
                continue
            dx, dy = x - centre[0], front - centre[1]
            u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
            r = np.sqrt((u / half[0]) ** 2 + (v / half[1]) ** 2 + ((z - centre[2]) / half[2]) ** 2)
            depth = (1 - r + 0.12 * tissue.rough) * min(half)
            target = bright if enhances else plain
            np.maximum(target, depth, out=target)
        ill = tissue.white * tissue.brain
        layers = [(soft(plain, edge_mm) * ill, _SPOT), (soft(bright, edge_mm) * ill, _ENHANCING_SPOT)]
        return Lesions((np.maximum(layers[0][0], layers[1][0]) > 0.5).astype(np.uint8), layers)


def white_matter_lesions(rng: np.random.Generator, head: Head, rate: float, size: float, enhancing_share: float) -> Spots:
    """A patient's lesions, as many as make `rate` on a mean slice; two in three touch or nearly touch a ventricle."""
    # a slice cuts those within a radius each way; but some of them merge, or fade between pixels
    count = rng.poisson(rate * (Z_MM[1] - Z_MM[0]) / (1.35 * MEAN_RADIUS_MM * size))
    centre = _places(rng, head, count, near_ventricle=2 / 3)
    radius = size * MEAN_RADIUS_MM * np.clip(rng.lognormal(-0.06, 0.35, count), 0.45, 2.5)
    half = radius[:, None] * rng.uniform(0.75, 1.3, (count, 3))
    return Spots(centre, half, rng.uniform(0, np.pi, count), rng.uniform(0, 1, count) < enhancing_share)


@dataclass(frozen=True, eq=False)
class Tumour:
    """A glioma-like mass; radius 0 is none."""

    centre_mm: Float[np.ndarray, "3"]
    radius_mm: float  # of the solid tumour
    swollen_mm: float  # oedema beyond it
    rim_mm: float  # of the enhancing part
    offset_mm: Float[np.ndarray, "3"]  # of the enhancing part within the solid one

    def push(self, x: Field, front: Field, z: float) -> tuple[Field, Field]:
        """Where the tissue at a place came from before the mass pushed it outwards."""
        if not self.radius_mm:
            return x, front
        dx, dy = x - np.float32(self.centre_mm[0]), front - np.float32(self.centre_mm[1])
        squared = dx**2 + dy**2 + np.float32((z - self.centre_mm[2]) ** 2)
        back = np.float32(0.28) * np.exp(-squared / np.float32(2 * (1.3 * self.radius_mm) ** 2))
        return x - back * dx, front - back * dy

    def on(self, tissue: Tissues, x: Field, front: Field, z: float, edge_mm: float) -> Lesions:
        """The tumour on a slice: oedema in white matter around the solid part, which holds the rim, which holds necrosis."""
        if not self.radius_mm:
            return Lesions(np.zeros(x.shape, np.uint8))
        offset = np.array([x - self.centre_mm[0], front - self.centre_mm[1], np.full_like(x, z - self.centre_mm[2])])
        r = np.sqrt((offset**2).sum(axis=0))
        r_inner = np.sqrt(((offset - self.offset_mm[:, None, None]) ** 2).sum(axis=0))
        solid_depth = self.radius_mm * (1 + 0.16 * tissue.rough) - r
        rim_depth = np.minimum(self.radius_mm * (0.78 + 0.10 * tissue.rough) - r_inner, solid_depth)
        within = tissue.brain
        swollen = soft(solid_depth + self.swollen_mm * (1 + 0.5 * tissue.rough), 3 * edge_mm) * within
        swollen = swollen * np.maximum(tissue.white, soft(solid_depth + 2, edge_mm))
        solid, rim = soft(solid_depth, edge_mm) * within, soft(rim_depth, edge_mm) * within
        core = soft(rim_depth - self.rim_mm * (1 - 0.3 * tissue.rough), edge_mm) * within
        classes = np.select([core > 0.5, rim > 0.5, solid > 0.5, swollen > 0.5], [1, 4, 3, 2], 0).astype(np.uint8)
        layers = [(swollen, _OEDEMA), (solid, _NON_ENHANCING), (rim, _ENHANCING), (core, _NECROSIS)]
        return Lesions(classes, layers)


def tumour(rng: np.random.Generator, head: Head, z_mm: float, chance: float, size: float) -> Tumour:
    """With this chance a patient's tumour, centred within 4 mm of height `z_mm`."""
    present = rng.uniform() < chance
    place = _places(rng, head, 24, near_ventricle=0.0)
    best = np.argmin(np.abs(place[:, 2] - z_mm))
    centre = np.array([*place[best, :2], z_mm + rng.uniform(-4, 4)])
    radius = size * rng.uniform(11, 20)
    direction = rng.normal(size=3)
    offset = direction / np.linalg.norm(direction) * 0.22 * radius
    return Tumour(centre, radius * present, rng.uniform(5, 13) * size, radius * rng.uniform(0.16, 0.3), offset)


def _places(rng: np.random.Generator, head: Head, count: int, near_ventricle: float) -> Float[np.ndarray, "count 3"]:
    """Centres in the white matter, (x, front, z); a share of them within 6 mm of a ventricle."""
    tried = rng.uniform((-60, -75, Z_MM[0] - 4), (60, 75, Z_MM[1] + 4), (1500, 3)).astype(np.float32)
    x, front, z = tried.T
    bent_x, bent_front = bent(head, x, front, z)
    below = surface_depth(head, bent_x, bent_front, z)
    outside = -ventricle_depth(head, bent_x, bent_front, z)
    nuclei = np.hypot(np.hypot((np.abs(bent_x) - 18) / 17, (bent_front - 2) / 32), (z - 3) / 17) < 1
    midline = np.abs(bent_x) < 9
    white = (below > 15) & (outside > 1) & ~nuclei & ~midline
    near = np.flatnonzero(white & (outside < 6))
    far = np.flatnonzero(white & (outside >= 6) & (below > 17))
    chosen = [rng.choice(near if rng.uniform() < near_ventricle else far) for _ in range(count)]
    return tried[np.array(chosen, np.int64)].astype(np.float64)
