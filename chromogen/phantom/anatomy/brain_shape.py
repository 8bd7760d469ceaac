"""The shape of a phantom brain in millimetres: cortex with sulci, white matter, ventricles, deep nuclei.

Coordinates are (x, front, z): x to the side, front towards the forehead, z upwards, 0 between the thalami. Places and sizes
follow an atlas in the large (Talairach and Tournoux 1988), mirrored at x = 0 and then bent differently on each side.
"""

from dataclasses import dataclass

import numpy as np

from chromogen.phantom.anatomy.canvas import Lattice, capsule, lattice, soft
from chromogen.phantom.noise import Field

BEND_MM = 2.4  # deviation of a patient's brain from the standard one
Z_MM = (-6.0, 44.0)  # slices lie here: above the brain stem, below the vertex

# start, end (x, front, z), radii at both: the right half of the lateral ventricle
_VENTRICLE = (
    ((11.0, 32.0, 1.0), (6.5, 14.0, 13.0), (2.5, 4.2)),  # frontal horn
    ((6.5, 14.0, 13.0), (8.0, -14.0, 19.0), (4.2, 4.0)),  # body
    ((8.0, -14.0, 19.0), (20.0, -34.0, 9.0), (4.0, 5.2)),  # to the atrium
    ((20.0, -34.0, 9.0), (17.0, -54.0, 4.0), (5.2, 1.5)),  # occipital horn
    ((20.0, -34.0, 9.0), (29.0, -10.0, -15.0), (4.5, 1.5)),  # temporal horn
)
_CAUDATE = (((12.5, 24.0, 3.0), (13.5, 6.0, 15.0), (5.2, 3.2)), ((13.5, 6.0, 15.0), (17.0, -14.0, 21.0), (3.2, 1.6)))
_THALAMUS = ((11.0, -14.0, 6.0), (8.5, 14.0, 9.5))  # centre, half axes
_PUTAMEN = ((26.0, 4.0, 2.0), (5.0, 15.0, 11.0))
_PALLIDUM = ((19.0, 1.0, 0.0), (4.0, 9.0, 7.0))
_SYLVIAN = (((70.0, 10.0, -8.0), (41.0, 8.0, 1.0), (2.4, 1.2)), ((40.0, 24.0, 3.0), (38.0, -18.0, 9.0), (1.0, 1.0)))


@dataclass(frozen=True, eq=False)
class Head:
    """One patient's brain."""

    half_mm: tuple[float, float, float]  # half axes (x, front, z)
    taper: float  # how much narrower the front is than the back
    ventricles: float  # factor of the ventricles' radii
    sulcus_mm: float  # half width of a sulcus at its mouth
    sulcus_depth_mm: float
    cortex_mm: float
    bend: tuple[Lattice, Lattice]
    folds: Lattice


@dataclass(frozen=True, eq=False)
class Tissues:
    """Shares of a pixel in [0, 1]; the first four add up to 1 inside the brain."""

    csf: Field
    grey: Field
    white: Field
    nuclei: Field
    pallidum: Field  # the part of the nuclei that holds iron
    brain: Field  # all of it
    rough: Field  # smooth noise of deviation about 1, for outlines of lesions
    depth_mm: Field  # below the surface


def draw_head(rng: np.random.Generator) -> Head:
    age = rng.uniform(0, 1)  # old brains have wide ventricles and sulci
    return Head(
        half_mm=(rng.normal(67, 2.5), rng.normal(84, 3), rng.normal(72, 2)),
        taper=rng.uniform(0.04, 0.14),
        ventricles=0.75 + 0.65 * age + rng.uniform(-0.1, 0.2),
        sulcus_mm=0.45 + 0.7 * age + rng.uniform(-0.1, 0.15),
        sulcus_depth_mm=rng.uniform(14, 21),
        cortex_mm=rng.uniform(3.1, 3.9) - 0.4 * age,
        bend=(lattice(rng, 42, 8), lattice(rng, 42, 8)),
        folds=lattice(rng, rng.uniform(6.6, 8.2), 32),
    )


def surface_depth(head: Head, x: Field, front: Field, z: Field | float) -> Field:
    """mm below the brain's surface, of bent coordinates."""
    wide, long, high = head.half_mm
    narrowed = wide * (1 - head.taper * np.sin(np.clip(front / long, -1, 1) * 1.2))
    r = (np.abs(x / narrowed) ** 2.3 + np.abs(front / long) ** 2.3 + np.abs(z / high) ** 2.3) ** (1 / 2.3)
    return ((1 - r) * np.float32(75)).astype(np.float32)


def bent(head: Head, x: Field, front: Field, z: Field | float) -> tuple[Field, Field]:
    """(x, front) in the standard brain of a place in this one."""
    by_x, by_front = (field.at(z, front, x) for field in head.bend)
    return x + np.float32(BEND_MM) * by_x, front + np.float32(BEND_MM) * by_front


def ventricle_depth(head: Head, x: Field, front: Field, z: Field | float) -> Field:
    """mm inside the ventricles, of bent coordinates."""
    point, size = (np.abs(x), front, z), head.ventricles
    lateral = [capsule(point, start, end, (r0 * size, r1 * size)) for start, end, (r0, r1) in _VENTRICLE]
    third = 0.9 + 1.1 * size - np.hypot(x, np.maximum(np.hypot(front + 6, 1.4 * (z + 5)) - 12, 0))
    return np.maximum.reduce([*lateral, third])


def tissues(head: Head, x: Field, front: Field, z: float, edge_mm: float) -> Tissues:
    """What is where on a slice at height `z`; `x` and `front` are its pixels, edges are `edge_mm` soft."""
    step_mm = float(x[0, 1] - x[0, 0])
    straight_x, (x, front) = x, bent(head, x, front, z)
    depth = surface_depth(head, x, front, z)
    inner = _nuclei(x, front, z)
    ventricle = ventricle_depth(head, x, front, z)
    folds, pial = _pial_distance(head, x, front, z, depth, step_mm, uneven=(x - straight_x) / BEND_MM)

    brain = soft(depth, edge_mm)
    csf = np.maximum(soft(-pial, edge_mm), soft(ventricle, edge_mm))
    nuclei = soft(inner[0], edge_mm) * (1 - csf)
    grey = soft(head.cortex_mm - pial, edge_mm) * (1 - csf) * (1 - nuclei)
    white = np.clip(1 - csf - grey - nuclei, 0, 1)
    return Tissues(csf, grey, white, nuclei, soft(inner[1], edge_mm) * nuclei, brain, folds, depth)


def _pial_distance(
    head: Head, x: Field, front: Field, z: float, depth: Field, step_mm: float, uneven: Field
) -> tuple[Field, Field]:
    """The folding noise, and mm to the nearest surface of the cortex: outer, sulcal, of the fissures; CSF is negative.

    `uneven` is smooth noise that makes sulci run deeper here than there.
    """
    middle = np.sqrt(x**2 + front**2 + np.float32(z * z)) + np.float32(4)
    outwards = (np.float32(62) / middle) ** np.float32(0.7)  # folds run inwards: the noise varies little with the depth
    folds = head.folds.at(z * outwards, front * outwards, x * outwards)
    slope = np.hypot(*np.gradient(folds, np.float32(step_mm)))
    to_line = np.abs(folds) / np.maximum(slope, np.float32(0.06))
    bottom = head.sulcus_depth_mm * (1 + np.float32(0.3) * uneven)
    narrowing = np.clip(1.4 - depth / bottom, 0.25, 1.2)
    sulci = np.hypot(to_line, np.maximum(depth - bottom, 0)) - head.sulcus_mm * narrowing
    callosum = 1 - np.sqrt((front / 46) ** 2 + ((z - 4) / 24) ** 2)  # the hemispheres are joined inside
    fissure = np.hypot(x, 40 * np.maximum(callosum, 0)) - (0.5 + head.sulcus_mm * 0.8)
    sylvian = np.minimum.reduce([-capsule((np.abs(x), front, z), *part) for part in _SYLVIAN]) - (head.sulcus_mm - 0.5)
    return folds, np.minimum.reduce([depth + 0.6, sulci, fissure, sylvian]).astype(np.float32)


def _nuclei(x: Field, front: Field, z: float) -> tuple[Field, Field]:
    """mm inside the grey nuclei together, and inside the pallidum."""
    point = (np.abs(x), front, z)
    caudate = [capsule(point, *part) for part in _CAUDATE]
    round_ones = [
        (1 - np.sqrt(sum(((p - c) / h) ** 2 for p, c, h in zip(point, centre, half, strict=True)))) * min(half)
        for centre, half in (_THALAMUS, _PUTAMEN, _PALLIDUM)
    ]
    return np.maximum.reduce([*caudate, *round_ones]).astype(np.float32), round_ones[2]
