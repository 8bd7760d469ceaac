"""The read-out as a picture: every cell's ring over the image, drawn where its membrane was measured."""

import numpy as np
from jaxtyping import Float64, Int8
from PIL import Image, ImageDraw

from chromogen.evaluate.staining.her2.cells import Cells
from chromogen.evaluate.staining.her2.membrane import Middles, outwards
from chromogen.tensors import Uint8Image

COLOURS = ((90, 90, 180), (255, 215, 0), (225, 150, 50), (200, 50, 50))  # QuPath's of Negative, 1+, 2+ and 3+
LEAST_SIDE_PX = 1400  # smaller images are enlarged by a whole number
CAPTION_PX = 18  # a line


def outlines(cells: Cells) -> list[Float64[np.ndarray, "corners 2"]]:
    """Corners (x, y) in pixels of each cell's ring, clockwise on the screen; the part outside the image is cut off straight."""
    middles: Middles = np.stack([cells.y, cells.x], axis=1).astype(np.float64)
    down, right = (step[0, :, 0] for step in outwards(middles))
    found = []
    for middle, radius_um in zip(middles, cells.radius_um, strict=True):
        inside = np.isfinite(radius_um)
        radius_px = radius_um[inside] / cells.view.mpp
        found.append(np.stack([middle[1] + radius_px * right[inside], middle[0] + radius_px * down[inside]], axis=1))
    return found


def draw_rings(
    image: Uint8Image, cells: Cells, classes: Int8[np.ndarray, " cells"], complete_od: float, caption: tuple[str, ...] = ()
) -> Uint8Image:
    """The image, enlarged where it is small, with rings in QuPath's colours; bold where a direction counts as stained.

    `caption` is written below it, one sentence a line. Raises ValueError when image and cells are not of one size.
    """
    view = cells.view
    if image.shape != (view.height, view.width, 3):
        raise ValueError(
            f"the image is {image.shape[1]}x{image.shape[0]} px, its cells were measured on {view.width}x{view.height} px"
        )
    scale = max(1, LEAST_SIDE_PX // max(view.height, view.width))
    canvas = Image.fromarray(image).resize((view.width * scale, view.height * scale), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(canvas)
    for corners, own, level in zip(outlines(cells), cells.own, classes, strict=True):
        stained = own[np.isfinite(own)] > complete_od
        points = [(float(x), float(y)) for x, y in (corners + 0.5) * scale]
        for k, start in enumerate(points):
            end = points[(k + 1) % len(points)]
            pen.line((*start, *end), fill=COLOURS[level], width=3 if stained[k] else 1)
    return _captioned(canvas, caption)


def _captioned(canvas: Image.Image, lines: tuple[str, ...]) -> Uint8Image:
    if not lines:
        return np.asarray(canvas)
    whole = Image.new("RGB", (canvas.width, canvas.height + CAPTION_PX * len(lines) + 6), (255, 255, 255))
    whole.paste(canvas, (0, 0))
    pen = ImageDraw.Draw(whole)
    for k, line in enumerate(lines):
        pen.text((6, canvas.height + 3 + CAPTION_PX * k), line.encode("ascii", "replace").decode(), fill=(0, 0, 0))
    return np.asarray(whole)
