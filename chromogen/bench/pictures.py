"""The pictures of a bench: H&E and real IHC above, one row a system, one column a HER2 class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from chromogen.bench.one import folder_of
from chromogen.data.images import list_images, read_image
from chromogen.files import written_whole
from chromogen.levels import LEVELS, level_from_name
from chromogen.tensors import Uint8Image

LABEL_PX, HEADING_PX, GAP_PX = 150, 22, 3


def write_picture(out: Path, systems: Sequence[str], cell_px: int = 192) -> Path:
    """Write picture.jpg: the middle `cell_px` of the first test image of each class, pixel for pixel, one row a system."""
    chosen = _one_of_each_class(list_images(out / "test" / "IHC"))
    rows = [("H&E", out / "test" / "HE"), ("real IHC", out / "test" / "IHC")]
    rows += [(system, folder_of(out, system) / "made") for system in systems]
    width = LABEL_PX + len(chosen) * (cell_px + GAP_PX)
    canvas = Image.new("RGB", (width, HEADING_PX + len(rows) * (cell_px + GAP_PX)), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for column, path in enumerate(chosen):
        level = level_from_name(path.name)
        heading = "HER2 not known" if level is None else f"HER2 {LEVELS[level]}"
        pen.text((LABEL_PX + column * (cell_px + GAP_PX) + 4, 3), heading, "black", font)
    for row, (label, folder) in enumerate(rows):
        top = HEADING_PX + row * (cell_px + GAP_PX)
        pen.multiline_text((4, top + cell_px // 2 - 8), label.replace(":", ":\n").replace("_", "_\n"), "black", font)
        for column, path in enumerate(chosen):
            image = _middle(read_image(_named(folder, path.stem)), cell_px)
            canvas.paste(Image.fromarray(image), (LABEL_PX + column * (cell_px + GAP_PX), top))
    with written_whole(out / "picture.jpg") as partial:
        canvas.save(partial, format="JPEG", quality=85, subsampling=0)
    return out / "picture.jpg"


def _one_of_each_class(paths: list[Path]) -> list[Path]:
    first: dict[int, Path] = {}
    for path in paths:
        level = level_from_name(path.name)
        first.setdefault(-1 if level is None else level, path)
    return [first[level] for level in sorted(first)]


def _named(folder: Path, stem: str) -> Path:
    found = [path for path in list_images(folder) if path.stem == stem or path.stem.startswith(f"{stem}.virtual-")]
    assert len(found) == 1, f"{folder} holds {len(found)} images of {stem}"
    return found[0]


def _middle(image: Uint8Image, side_px: int) -> Uint8Image:
    height, width = image.shape[:2]
    top, left = max(0, (height - side_px) // 2), max(0, (width - side_px) // 2)
    return np.ascontiguousarray(image[top : top + side_px, left : left + side_px])
