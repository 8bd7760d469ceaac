"""Images inside the page: a whole view made small, and a detail at full size where blur would show."""

import base64
import io

import numpy as np
from PIL import Image

from chromogen.tensors import Uint8Image

OVERVIEW_PX = 480
DETAIL_PX = (400, 170)  # width, height
QUALITY = 85


def data_uri(image: Uint8Image) -> str:
    """The image as a JPEG inside a URI; colour at full resolution, because the stain is the message.

    Not optimised: Pillow then wants the whole file in a buffer of a byte a pixel, which noise does not fit into.
    """
    handle = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(handle, "JPEG", quality=QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(handle.getvalue()).decode("ascii")


def overview(image: Uint8Image, longest_px: int = OVERVIEW_PX) -> Uint8Image:
    """The whole image with its longer side at most `longest_px`; never enlarged."""
    height, width = image.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def detail_corner(image: Uint8Image) -> tuple[int, int] | None:
    """Top left (x, y) of the most structured view of DETAIL_PX; None when the overview already shows every pixel."""
    height, width = image.shape[:2]
    across, down = DETAIL_PX
    if max(height, width) <= OVERVIEW_PX or width < across or height < down:
        return None
    grey = image.astype(np.int16).sum(axis=2)
    edges = np.abs(np.diff(grey, axis=1))[:-1] + np.abs(np.diff(grey, axis=0))[:, :-1]
    best = max(
        ((x, y) for y in range(0, height - down + 1, down // 2) for x in range(0, width - across + 1, across // 2)),
        key=lambda corner: float(edges[corner[1] : corner[1] + down, corner[0] : corner[0] + across].mean()),
    )
    return best


def detail(image: Uint8Image, corner: tuple[int, int]) -> Uint8Image:
    """The view of DETAIL_PX at `corner`, pixel for pixel (smaller where the image ends)."""
    x, y = corner
    return image[y : y + DETAIL_PX[1], x : x + DETAIL_PX[0]]
