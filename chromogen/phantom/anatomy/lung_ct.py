"""Phantom CT of the chest: an axial slice in Hounsfield units with lungs, vessels and nodules, and their truth.

Shape (`thorax_shape`) -> tissues in HU -> blur and noise of the scanner -> a window to [0, 1].
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from chromogen.phantom.anatomy.canvas import Canvas, soft, tubes
from chromogen.phantom.anatomy.case import AnatomyCase, check_knobs, streams
from chromogen.phantom.anatomy.thorax_shape import Thorax, draw_thorax, lung_depth, lung_vessels, organs
from chromogen.phantom.noise import Field

EXTENT_MM = 390.0
SLICES_MM = (-25.0, 25.0)  # about the hila
MEAN_RADIUS_MM = 6.0


@dataclass(frozen=True)
class LungCT:
    """What to draw. Pixel spacing is 390 mm / size_px."""

    size_px: int = 128
    slices: int = 1  # of a patient
    slice_mm: float = 2.5  # between slices; less where that many would leave the middle of the chest
    noise_hu: float = 22.0  # deviation, in soft tissue
    window_hu: tuple[float, float] = (-1000.0, 400.0)  # shown as 0 and 1
    lesion_rate: float = 1.5  # mean number of nodules that a slice cuts
    lesion_size: float = 1.0  # factor of the radii
    lesion_contrast: float = 1.0  # 0 nodules cannot be seen, 1 as in patients
    ground_glass_share: float = 0.2  # of the nodules; the others are solid

    def __post_init__(self) -> None:
        check_knobs(self, _LIMITS)
        if not self.window_hu[0] < self.window_hu[1]:
            raise ValueError(f"LungCT.window_hu is {self.window_hu}; the first must be below the second")

    @property
    def step_mm(self) -> float:
        """Between slices."""
        return min(self.slice_mm, (SLICES_MM[1] - SLICES_MM[0]) / self.slices)


_LIMITS = (
    ("slices", 1, 200),
    ("slice_mm", 0.1, 20.0),
    ("noise_hu", 0.0, 300.0),
    ("lesion_rate", 0.0, 20.0),
    ("lesion_size", 0.4, 3.0),
    ("lesion_contrast", 0.0, 1.5),
    ("ground_glass_share", 0.0, 1.0),
)


@dataclass(frozen=True, eq=False)
class _Nodules:
    centre_mm: Float[np.ndarray, "nodules 3"]  # (z, y, x)
    radius_mm: Float[np.ndarray, " nodules"]
    hu: Float[np.ndarray, " nodules"]
    edge_mm: Float[np.ndarray, " nodules"]


def draw_lung_ct(ct: LungCT, seed: int, number: int) -> AnatomyCase:
    """Case `number` of a seed: slice `number % slices` of patient `number // slices`. `organ` are the lungs, nodules included.

    `mask` is 1 in nodules, `boxes` holds one box of class 1 for each that the slice shows; `category` is 1 with a nodule.
    Raises ValueError for a negative seed or number.
    """
    patient, cut = divmod(number, ct.slices)
    for_thorax, for_vessels, for_place, for_nodules, *for_noise = streams(seed, patient, 4 + ct.slices)
    canvas = Canvas(ct.size_px, EXTENT_MM)
    thorax = draw_thorax(for_thorax)
    z = SLICES_MM[0] + for_place.uniform() * (SLICES_MM[1] - SLICES_MM[0] - ct.step_mm * (ct.slices - 1)) + ct.step_mm * cut
    y, x = canvas.points_mm()
    edge_mm = canvas.grid.step_um + 0.6

    drawn, lung = organs(thorax, y, x, z, edge_mm)
    inside = soft(lung, edge_mm)
    drawn += inside * _vessels_hu(canvas, for_vessels, z, drawn, edge_mm)
    drawn, instances = _with_nodules(_nodules(for_nodules, thorax, ct), canvas, drawn, lung, y, x, z, ct.lesion_contrast)
    organ = canvas.seen_classes((lung > 0).astype(np.uint8), 1)
    mask, boxes = _seen_nodules(canvas, instances, organ)
    hounsfield = _scanned(for_noise[cut], canvas.seen(drawn), ct.noise_hu)
    low, high = ct.window_hu
    return AnatomyCase(
        name=f"lung-{patient:04d}-{cut:03d}",
        patient=f"lung-{patient:04d}",
        images={"CT": np.clip((hounsfield - np.float32(low)) / np.float32(high - low), 0, 1)},
        mask=mask,
        category=int(mask.any()),
        boxes=boxes,
        organ=organ,
        spacing_mm=canvas.spacing_mm,
        hounsfield=hounsfield,
    )


def _vessels_hu(canvas: Canvas, rng: np.random.Generator, z: float, drawn: Field, edge_mm: float) -> Field:
    """What vessels add to the lungs' HU where the slice cuts them."""
    places, radius = lung_vessels(rng, z, 0.8)
    away = np.abs(places[:, 0] - z)
    cut = away < radius
    if not cut.any():
        return np.zeros_like(drawn)
    depth = tubes(canvas, places[cut, 1:], np.sqrt(radius[cut] ** 2 - away[cut] ** 2))
    return soft(depth, edge_mm) * (np.float32(35) - drawn)


def _nodules(rng: np.random.Generator, thorax: Thorax, ct: LungCT) -> _Nodules:
    """A patient's nodules, as many as make `lesion_rate` on a mean slice, apart from each other."""
    margin = 4.0
    span = SLICES_MM[1] - SLICES_MM[0] + 2 * margin
    count = rng.poisson(ct.lesion_rate * span / (1.84 * MEAN_RADIUS_MM * ct.lesion_size))  # a slice shows 0.9 radii each way
    radius = ct.lesion_size * MEAN_RADIUS_MM * np.clip(rng.lognormal(-0.05, 0.38, count), 0.5, 2.6)
    tried = rng.uniform((SLICES_MM[0] - margin, -110, -150), (SLICES_MM[1] + margin, 110, 150), (1500, 3))
    z, y, x = tried.T.astype(np.float32)
    depth = lung_depth(thorax, y, x, z)
    centre: list[np.ndarray] = []
    for own in radius:
        clear = depth > 0.85 * own
        for other, size in zip(centre, radius, strict=False):
            clear &= np.linalg.norm(tried - other, axis=1) > own + size + 5
        free = np.flatnonzero(clear)
        if not len(free):
            break
        centre.append(tried[free[0]])
    kept = len(centre)
    glass = rng.uniform(size=count) < ct.ground_glass_share
    hu = np.where(glass, rng.uniform(-560, -380, count), rng.uniform(-20, 70, count))
    return _Nodules(np.array(centre).reshape(-1, 3), radius[:kept], hu[:kept], np.where(glass, 3.0, 1.4)[:kept])


def _with_nodules(
    nodules: _Nodules, canvas: Canvas, drawn: Field, lung: Field, y: Field, x: Field, z: float, contrast: float
) -> tuple[Field, UInt8[np.ndarray, "h w"]]:
    """The slice with its nodules in HU, and which nodule each drawn pixel shows, from 1."""
    instances = np.zeros(drawn.shape, np.uint8)
    for number, (centre, radius) in enumerate(zip(nodules.centre_mm, nodules.radius_mm, strict=True)):
        if abs(z - centre[0]) >= 0.9 * radius:
            continue
        dy, dx = y - np.float32(centre[1]), x - np.float32(centre[2])
        angle, phase = np.arctan2(dy, dx), np.float32(number * 1.7 + centre[1])
        lobes = 1 + 0.10 * np.sin(3 * angle + phase) + 0.06 * np.sin(5 * angle - 2 * phase)
        depth = np.minimum(np.sqrt(radius**2 - (z - centre[0]) ** 2) * lobes - np.hypot(dy, dx), lung + 0.5)
        edge_mm = canvas.grid.step_um + nodules.edge_mm[number]
        share = soft(depth, edge_mm) * np.float32(contrast)
        hu = np.maximum(nodules.hu[number], drawn)  # a vessel in ground glass stays visible
        drawn = drawn + share * (hu - drawn)
        instances[depth > 0] = number + 1
    return drawn.astype(np.float32), instances


def _seen_nodules(
    canvas: Canvas, instances: UInt8[np.ndarray, "h w"], organ: UInt8[np.ndarray, "height width"]
) -> tuple[UInt8[np.ndarray, "height width"], Float[np.ndarray, "boxes 5"]]:
    """The mask, and a box for each nodule that has a pixel."""
    mask, boxes = np.zeros_like(organ), []
    for number in np.unique(instances)[1:]:
        own = (canvas.seen_classes((instances == number).astype(np.uint8), 1) * organ).astype(bool)
        if own.any():
            mask[own] = 1
            rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
            boxes.append((1, columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    return mask, np.array(boxes, np.float32).reshape(-1, 5)


def _scanned(rng: np.random.Generator, hounsfield: Field, noise_hu: float) -> Field:
    """Noise as filtered back projection leaves it: a little grainy, stronger where the beam met more tissue."""
    grain = ndimage.gaussian_filter(rng.standard_normal(hounsfield.shape, dtype=np.float32), 0.6, mode="wrap")
    attenuation = 0.45 + 0.55 * np.clip((hounsfield + 1000) / 1000, 0, 1)
    return np.clip(hounsfield + np.float32(noise_hu / 0.48) * grain * attenuation, -1024, 3071).astype(np.float32)
