"""Image files in, uint8 RGB arrays out: the one door. Whatever had to be converted on the way is said, not hidden.

The content decides the format, never the extension: the `.png` files of BCI are JPEG inside. TIFF is read by its tags
(`formats/tiff.py`), PNG, JPEG and BMP through Pillow (`formats/plain.py`); what cannot be converted exactly is refused.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from chromogen.data.formats import plain, resolution
from chromogen.data.formats.samples import to_rgb8
from chromogen.data.formats.tiff import opened_tiff, samples_of
from chromogen.data.names import natural_order as natural_order
from chromogen.tensors import Uint8Image

MAX_PIXELS = 2**28  # a whole 16,384 x 16,384 image; 0.8 GB of RGB
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # + is BigTIFF


@dataclass(frozen=True, eq=False)
class PairImages:
    """The pixels of one pair. `target` is None where there is none; `level` is the slide's HER2 level 0-3 or None."""

    name: str
    source: Uint8Image
    target: Uint8Image | None
    level: int | None = None


@dataclass(frozen=True, eq=False)
class Decoded:
    """Pixels, what was converted to get them, and the format the content had (PNG, JPEG, TIFF or BMP).

    mpp: um per pixel as the file states it and as it can be believed (see `formats/resolution.py`), else None.
    """

    pixels: Uint8Image
    notes: tuple[str, ...]
    format: str
    mpp: float | None = None


@dataclass(frozen=True)
class ImageFacts:
    """What the header says. `width` and `height` are those of the decoded image, with the EXIF orientation applied."""

    format: str
    width: int
    height: int
    mode: str
    mpp: float | None = None


@dataclass(frozen=True, eq=False)
class Levels:
    """Numbers as a file stores them, upright: (H, W) grey levels, class numbers or palette numbers, or (H, W, 3) colours.

    Grey keeps its type (uint8, uint16, float32, ...); colours are uint8. `palette`: of TIFF, the colours by number.
    """

    values: np.ndarray
    kind: Literal["bilevel", "grey", "palette", "colour"]
    format: str
    palette: np.ndarray | None = None


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS) -> Uint8Image:
    """The image at `path` as uint8 RGB, (H, W, 3). Errors are those of `decode_image`."""
    return decode_image(path, max_pixels).pixels


def decode_image(path: Path | str, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a PNG, JPEG, TIFF or BMP file to uint8 RGB and say what had to be converted.

    Of deep samples the upper eight of those bits are kept that count (`formats/samples.py` has the rule), opacity is composited
    on white, ICC profiles are converted to sRGB, the page of full resolution is taken. Peak memory is about 7 bytes a pixel of
    8-bit images. Raises ValueError, naming the file, for other formats, for damaged files, for what cannot be converted exactly
    and for more than `max_pixels` pixels (checked before decoding); OSError when the file cannot be opened.
    """
    path = Path(path)
    if is_tiff(path):
        with opened_tiff(path, max_pixels) as picture:
            pixels, notes = to_rgb8(samples_of(picture), str(path))
            if picture.orientation != 1:
                pixels, notes = plain.upright(pixels, picture.orientation), (*notes, plain.TURNED)
            return Decoded(pixels, notes, "TIFF", picture.mpp)
    with plain.opened_plain(path, max_pixels) as image:
        kind, mpp = str(image.format), resolution.of_plain(image)
        pixels, notes = plain.pixels_of(image, str(path))
        return Decoded(pixels, notes, kind, mpp)


def image_facts(path: Path | str, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """Format, size, mode and um per pixel from the header alone; no pixel is decoded. Errors are those of `decode_image`."""
    path = Path(path)
    if is_tiff(path):
        with opened_tiff(path, max_pixels) as picture:
            width, height = picture.size[::-1] if picture.orientation >= 5 else picture.size
            return ImageFacts("TIFF", width, height, picture.mode, picture.mpp)
    with plain.opened_plain(path, max_pixels) as image:
        width, height = image.size[::-1] if plain.orientation_of(image) >= 5 else image.size
        return ImageFacts(str(image.format), width, height, image.mode, resolution.of_plain(image))


def read_levels(path: Path | str, max_pixels: int = MAX_PIXELS) -> Levels:
    """The numbers in an image file, for pictures whose grey levels or classes mean something; white-is-zero is inverted.

    Errors are those of `decode_image`, whose pixels colours are.
    """
    path = Path(path)
    if is_tiff(path):
        with opened_tiff(path, max_pixels) as picture:
            if picture.colour in ("grey", "palette"):
                samples = samples_of(picture)
                values = samples.values[..., 0]
                values = _inverted(values, samples.bits) if samples.white_is_zero else values
                bilevel = picture.colour == "grey" and samples.bits == 1
                kind: Literal["bilevel", "grey", "palette"] = "bilevel" if bilevel else picture.colour
                return Levels(plain.upright(values, picture.orientation), kind, "TIFF", samples.palette)
        return Levels(decode_image(path, max_pixels).pixels, "colour", "TIFF")
    with plain.opened_plain(path, max_pixels) as image:
        form, mode = str(image.format), image.mode
        if mode in ("1", "L", "P", *plain.DEEP_GREY):
            image.load()
            values = np.asarray(image)
            values = values.astype(np.uint16) if mode in plain.DEEP_GREY else values.astype(np.uint8)
            found: Literal["bilevel", "grey", "palette"] = "bilevel" if mode == "1" else "palette" if mode == "P" else "grey"
            return Levels(plain.upright(values, plain.orientation_of(image)), found, form)
    return Levels(decode_image(path, max_pixels).pixels, "colour", form)


def is_tiff(path: Path) -> bool:
    """Whether the content begins as TIFF and BigTIFF do. OSError when the file cannot be opened."""
    with path.open("rb") as handle:
        return handle.read(4) in _TIFF


def conversion_lines(notes: Iterable[tuple[str, Iterable[str]]]) -> list[str]:
    """Every kind of note once, with how many files it holds for and the first: from (name, notes) of each file."""
    found: dict[str, list[str]] = {}
    for name, said in notes:
        for note in said:
            found.setdefault(note, []).append(name)
    return [
        f"{note}: {len(names)} images, for example {names[0]}" if len(names) > 1 else f"{note}: {names[0]}"
        for note, names in found.items()
    ]


def _inverted(values: np.ndarray, bits: int) -> np.ndarray:
    return values.max() - values if values.dtype.kind == "f" else (2**bits - 1 - values).astype(values.dtype)


def list_images(folder: Path | str) -> list[Path]:
    """Image files of `folder` in natural order, by their extension in any case; hidden files are not images.

    A link that leads nowhere is among them, so that reading it fails rather than nobody missing it.
    """
    found = [path for path in Path(folder).iterdir() if path.suffix.lower() in SUFFIXES and not is_clutter(path)]
    return sorted((path for path in found if path.is_file() or not path.exists()), key=natural_order)


def is_clutter(path: Path) -> bool:
    """What operating systems leave behind: hidden files, Thumbs.db, __MACOSX."""
    return path.name.startswith(".") or path.name.casefold() in ("thumbs.db", "desktop.ini", "__macosx")


def resize_image(image: Uint8Image, shorter_px: int) -> Uint8Image:
    """Bring the shorter side to `shorter_px`, keeping the aspect; bicubic, with the kernel widened when shrinking."""
    height, width = image.shape[:2]
    scale = shorter_px / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return image if size == (width, height) else np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
