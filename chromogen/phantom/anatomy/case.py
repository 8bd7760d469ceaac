"""One drawn case with its truth, and what all kinds of phantom anatomy check and seed in the same way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

SIZES_PX = range(32, 513, 16)


@dataclass(frozen=True, eq=False)
class AnatomyCase:
    """Registered images of one phantom patient and the truth they were drawn from."""

    name: str  # unique within a kind and a seed
    patient: str
    images: dict[str, Float32[np.ndarray, "..."]]  # by modality: (H, W), or (H, W, 3) for colour, in [0, 1]
    mask: UInt8[np.ndarray, "height width"] | None  # class of every pixel, 0 is none
    category: int | None  # class of the image
    boxes: Float32[np.ndarray, "boxes 5"] | None  # class (from 1), x0, y0, x1, y1 in px; x1 and y1 are the first pixel beyond
    organ: UInt8[np.ndarray, "height width"]  # 1 inside
    spacing_mm: float  # between pixels, on both axes
    hounsfield: Float32[np.ndarray, "height width"] | None = None  # of a CT image, before its window


def check_knobs(kind: Any, limits: Sequence[tuple[str, float, float]]) -> None:
    """ValueError when `kind.size_px` or a field named in `limits` (name, lowest, highest) is out of range."""
    name = type(kind).__name__
    if kind.size_px not in SIZES_PX:
        raise ValueError(f"{name}.size_px is {kind.size_px}; it must be a multiple of 16 from 32 to 512")
    for field, low, high in limits:
        value = getattr(kind, field)
        if not low <= value <= high:
            raise ValueError(f"{name}.{field} is {value}; it must be from {low} to {high}")


def streams(seed: int, patient: int, count: int) -> list[np.random.Generator]:
    """Independent random streams of one patient, so that a knob of one part leaves the draws of the others alone.

    Raises ValueError for a negative seed or number.
    """
    if seed < 0 or patient < 0:
        raise ValueError(f"seed {seed}, case {patient}: both must be whole numbers from 0 up")
    children = np.random.SeedSequence(seed, spawn_key=(patient,)).spawn(count)
    return [np.random.Generator(np.random.PCG64(child)) for child in children]


def share_of(number: int, share: float) -> bool:
    """Whether case `number` is one of those that make up `share`: of the first n cases, floor(n * share) are, to rounding."""
    return int(np.floor((number + 1) * share + 1e-9)) > int(np.floor(number * share + 1e-9))
