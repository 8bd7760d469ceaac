"""The picture of a bench of synthesis: one row a system, the real cases first; every case with all its modalities."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from chromogen.bench.one import folder_of
from chromogen.data.cases.prepared import Prepared
from chromogen.files import written_whole

LABEL_PX, HEADING_PX, GAP_PX, CASES, CELL_PX = 170, 22, 3, 4, 96


def write_picture(out: Path, systems: Sequence[str], cases: int = CASES) -> Path:
    """Write picture.jpg: evenly spaced cases of each system, pixels repeated where they are few, outlines of no label."""
    rows = [(system, Prepared(folder_of(out, system) / "made")) for system in systems]
    first = rows[0][1]
    height, width = first.size_px
    times = max(1, CELL_PX // max(height, width))
    modalities = first.index.modalities
    across = cases * len(modalities)
    size = (LABEL_PX + across * (width * times + GAP_PX), HEADING_PX + len(rows) * (height * times + GAP_PX))
    canvas = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for column in range(across):
        pen.text((LABEL_PX + column * (width * times + GAP_PX) + 2, 3), modalities[column % len(modalities)], "black", font)
    for row, (system, made) in enumerate(rows):
        top = HEADING_PX + row * (height * times + GAP_PX)
        pen.text((4, top + height * times // 2 - 8), system, "black", font)
        numbers = np.linspace(0, len(made) - 1, min(cases, len(made))).round().astype(int)
        for place, number in enumerate(numbers):
            for k, image in enumerate(np.asarray(made.arrays["images"][number], np.float32)):
                column = place * len(modalities) + k
                canvas.paste(_shown(image, times), (LABEL_PX + column * (width * times + GAP_PX), top))
    with written_whole(out / "picture.jpg") as partial:
        canvas.save(partial, format="JPEG", quality=90, subsampling=0)
    return out / "picture.jpg"


def _shown(image: np.ndarray, times: int) -> Image.Image:
    pixels = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
    rgb = np.repeat(pixels, 3, axis=0) if len(pixels) == 1 else pixels
    return Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0)).repeat(times, axis=0).repeat(times, axis=1))
