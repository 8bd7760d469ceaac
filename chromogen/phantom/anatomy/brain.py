"""Phantom brains: T1, T1POST, T2 and FLAIR of one anatomy, skull-stripped, with lesions and their mask.

Shape (`brain_shape`) -> lesions (`brain_lesions`) -> a grey value for each tissue and contrast, in the order real scans
have -> coil shading, Rician noise. Slices of a patient are cut from one body.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from chromogen.phantom.anatomy.brain_lesions import Lesions, tumour, white_matter_lesions
from chromogen.phantom.anatomy.brain_shape import Z_MM, Tissues, draw_head, tissues
from chromogen.phantom.anatomy.canvas import Canvas, rician
from chromogen.phantom.anatomy.case import AnatomyCase, check_knobs, streams
from chromogen.phantom.noise import Field

CONTRASTS = ("T1", "T1POST", "T2", "FLAIR")
TUMOUR_CLASSES = ("necrosis", "oedema", "non-enhancing tumour", "enhancing tumour")  # 1 to 4, as in BraTS
EXTENT_MM = 200.0

# grey value of each tissue in the order of CONTRASTS
_GREY_VALUES = {
    "csf": (0.14, 0.15, 0.90, 0.10),
    "grey": (0.44, 0.49, 0.56, 0.54),
    "white": (0.68, 0.71, 0.38, 0.41),
    "nuclei": (0.53, 0.57, 0.48, 0.50),
    "pallidum": (0.60, 0.64, 0.34, 0.40),
}


@dataclass(frozen=True)
class Brain:
    """What to draw. Pixel spacing is 200 mm / size_px."""

    size_px: int = 128
    slices: int = 1  # of a patient
    slice_mm: float = 3.0  # between slices; less where that many would leave the cerebrum
    noise: float = 0.02  # deviation, of a full range of 1
    shading: float = 0.10  # deviation of the coil's sensitivity
    lesions: Literal["white matter", "tumour"] = "white matter"  # one class, or the four of TUMOUR_CLASSES
    lesion_rate: float = 3.0  # mean number of white matter lesions that a slice cuts; of tumours the chance, at most 1
    lesion_size: float = 1.0  # factor of the radii
    lesion_contrast: float = 1.0  # 0 lesions cannot be seen, 1 as in patients
    enhancing_share: float = 0.3  # of the white matter lesions

    def __post_init__(self) -> None:
        check_knobs(self, _LIMITS)
        if self.lesions not in ("white matter", "tumour"):
            raise ValueError(f"Brain.lesions is {self.lesions!r}; it must be 'white matter' or 'tumour'")

    @property
    def step_mm(self) -> float:
        """Between slices."""
        return min(self.slice_mm, (Z_MM[1] - Z_MM[0]) / self.slices)


_LIMITS = (
    ("slices", 1, 200),
    ("slice_mm", 0.1, 20.0),
    ("noise", 0.0, 0.3),
    ("shading", 0.0, 0.5),
    ("lesion_rate", 0.0, 40.0),
    ("lesion_size", 0.3, 3.0),
    ("lesion_contrast", 0.0, 1.5),
    ("enhancing_share", 0.0, 1.0),
)


def draw_brain(brain: Brain, seed: int, number: int) -> AnatomyCase:
    """Case `number` of a seed: slice `number % slices` of patient `number // slices`. Same arguments, same bytes.

    `category` is 1 where the slice shows a lesion, 0 elsewhere. Raises ValueError for a negative seed or number.
    """
    patient, cut = divmod(number, brain.slices)
    for_head, for_place, for_lesions, for_scan, *for_noise = streams(seed, patient, 4 + brain.slices)
    canvas = Canvas(brain.size_px, EXTENT_MM)
    head = draw_head(for_head)
    first_mm = Z_MM[0] + for_place.uniform(0, 1) * (Z_MM[1] - Z_MM[0] - brain.step_mm * (brain.slices - 1))
    z = first_mm + brain.step_mm * cut
    turn, shift = for_place.normal(0, 0.05), for_place.normal(0, 2, 2)
    y, x = canvas.points_mm()
    x, front = _turned(x + shift[0], -y + shift[1], turn)

    edge_mm = canvas.grid.step_um + 0.6
    if brain.lesions == "tumour":
        middle = first_mm + brain.step_mm * (brain.slices - 1) / 2
        grown = tumour(for_lesions, head, middle, brain.lesion_rate, brain.lesion_size)
        x_pushed, front_pushed = grown.push(x, front, z)
        tissue = tissues(head, x_pushed, front_pushed, z, edge_mm)
        lesions = grown.on(tissue, x, front, z, edge_mm)
    else:
        spots = white_matter_lesions(for_lesions, head, brain.lesion_rate, brain.lesion_size, brain.enhancing_share)
        tissue = tissues(head, x, front, z, edge_mm)
        lesions = spots.on(tissue, x, front, z, edge_mm)
    images = _scanned(for_scan, for_noise[cut], brain, canvas, tissue, lesions, edge_mm)
    organ = _whole(canvas.seen(tissue.brain) > 0.5)
    mask = canvas.seen_classes(lesions.classes, len(TUMOUR_CLASSES)) * organ
    return AnatomyCase(
        name=f"brain-{patient:04d}-{cut:03d}",
        patient=f"brain-{patient:04d}",
        images={name: image * organ for name, image in images.items()},
        mask=mask,
        category=int(mask.any()),
        boxes=None,
        organ=organ,
        spacing_mm=canvas.spacing_mm,
    )


def _turned(x: Field, front: Field, angle: float) -> tuple[Field, Field]:
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (cos * x - sin * front).astype(np.float32), (sin * x + cos * front).astype(np.float32)


def _whole(inside: np.ndarray) -> np.ndarray:
    """The largest piece without holes, as uint8."""
    pieces, count = ndimage.label(inside)
    if count > 1:
        inside = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return ndimage.binary_fill_holes(inside).astype(np.uint8)


def _scanned(
    for_scan: np.random.Generator,
    for_noise: np.random.Generator,
    brain: Brain,
    canvas: Canvas,
    tissue: Tissues,
    lesions: Lesions,
    edge_mm: float,
) -> dict[str, Field]:
    """The four images. Settings and coil shading are the patient's, noise and texture the slice's."""
    shares = {"csf": tissue.csf, "grey": tissue.grey, "white": tissue.white, "nuclei": tissue.nuclei - tissue.pallidum}
    shares["pallidum"] = tissue.pallidum
    texture = canvas.noise(for_noise, 5.0) * np.float32(0.012)
    images = {}
    for index, contrast in enumerate(CONTRASTS):
        values = {name: grey[index] * for_scan.normal(1, 0.03) for name, grey in _GREY_VALUES.items()}
        gain, shading = for_scan.uniform(0.92, 1.04), canvas.noise(for_scan, 130.0)
        signal = sum(np.float32(values[name]) * share for name, share in shares.items()) + texture
        signal = lesions.shown(signal, index, brain.lesion_contrast)
        signal = canvas.seen(signal * tissue.brain * (1 + np.float32(brain.shading) * shading) * gain)
        images[contrast] = np.clip(rician(for_noise, signal, brain.noise), 0, 1).astype(np.float32)
    return images
