"""One made case, as it goes from the renderer to the disk."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

Planes = Float[np.ndarray, "modality channel height width"]


@dataclass(eq=False)
class MadeCase:
    """Registered images in [0, 1] with their label; `facts` is what the manifest says of it.

    `boxes`: (n, 5), class from 1, x0, y0, x1, y1 in px. `spacing_mm` is that of the training cases, rows and columns.
    """

    name: str
    images: Planes
    lines: UInt8[np.ndarray, "height width"]
    organ: UInt8[np.ndarray, "height width"]
    mask: UInt8[np.ndarray, "height width"] | None = None
    category: int | None = None
    boxes: Float[np.ndarray, "boxes 5"] | None = None
    spacing_mm: tuple[float, float] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
