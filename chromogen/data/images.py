"""Image files in, uint8 RGB arrays out; whatever had to be converted on the way is said, not hidden.

The content decides the format, never the extension: the `.png` files of BCI are JPEG inside. Pillow's reader classes are
called directly rather than through `Image.open`, which warns above 89 million pixels and fails above 179 million by switches
that belong to the whole process; a 16k x 16k image is ordinary here, so the size is checked from the header instead.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from chromogen.tensors import Uint8Image

MAX_PIXELS = 2**28  # a whole 16,384 x 16,384 image; 0.8 GB of RGB
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

_READERS: dict[bytes, type[ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
    b"II+\0": TiffImageFile,  # BigTIFF
    b"MM\0+": TiffImageFile,
    b"BM": BmpImageFile,
}
_GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N")
_READABLE = (*_GREY, "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_BROKEN = (  # what Pillow raises on damaged files, depending on where the damage is
    SyntaxError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_BAND_PIXELS = 2**22


@dataclass(frozen=True, eq=False)
class PairImages:
    """The pixels of one pair. `target` is None where there is none; `level` is the slide's HER2 level 0-3 or None."""

    name: str
    source: Uint8Image
    target: Uint8Image | None
    level: int | None = None


@dataclass(frozen=True, eq=False)
class Decoded:
    """Pixels, what was converted to get them, and the format the content had (PNG, JPEG, TIFF or BMP)."""

    pixels: Uint8Image
    notes: tuple[str, ...]
    format: str


@dataclass(frozen=True)
class ImageFacts:
    """What the header says. `width` and `height` are those of the decoded image, with the EXIF orientation applied."""

    format: str
    width: int
    height: int
    mode: str


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS) -> Uint8Image:
    """The image at `path` as uint8 RGB, (H, W, 3). Errors are those of `decode_image`."""
    return decode_image(path, max_pixels).pixels


def decode_image(path: Path | str, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a PNG, JPEG, TIFF or BMP file to uint8 RGB and say what had to be converted.

    16-bit values keep their high byte, alpha is composited on white, the first page of a TIFF is taken. Peak memory is about
    7 bytes a pixel. Raises ValueError, naming the file, for other formats, for damaged files and for more than `max_pixels`
    pixels (checked before decoding); OSError when the file cannot be opened.
    """
    path = Path(path)
    with opened(path, max_pixels) as image:
        notes = _conversions(image)
        orientation = _orientation(image)  # before loading, which turns a TIFF
        image.load()
        if max(orientation, _orientation(image)) != 1:  # a PNG may tell behind its pixels
            notes += ("EXIF orientation applied",)
            ImageOps.exif_transpose(image, in_place=True)
        return Decoded(_rgb_pixels(image), notes, str(image.format))


def image_facts(path: Path | str, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """Format, size and mode from the header alone; no pixel is decoded. Errors are those of `decode_image`."""
    with opened(Path(path), max_pixels) as image:
        turned = _orientation(image) >= 5 and not isinstance(image, TiffImageFile)  # a TIFF's size is turned already
        width, height = image.size[::-1] if turned else image.size
        return ImageFacts(str(image.format), width, height, image.mode)


def natural_order(path: Path) -> tuple[object, ...]:
    """Sort key by which `2.png` stands before `10.png`, whatever the case."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return (*((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts), path.name)


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


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[ImageFile]:
    """The Pillow image at `path`, its header read and checked."""
    with path.open("rb") as handle:
        magic = handle.read(8)
        handle.seek(0)
        reader = next((reader for start, reader in _READERS.items() if magic.startswith(start)), None)
        if reader is None:
            what = "is empty" if not magic else "is none of PNG, JPEG, TIFF or BMP inside"
            raise ValueError(f"{path} {what}; copy it again from its origin or save it as PNG")
        with _damage_explained(path, reader.format):
            image = reader(handle, str(path))
        _check_header(image, path, max_pixels)
        with _damage_explained(path, reader.format):
            yield image


@contextmanager
def _damage_explained(path: Path, kind: str | None) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        why = f"{kind}: {error}" if str(error) else str(kind)
        raise ValueError(f"{path} is damaged or cut short ({why}); copy it again from its origin") from error


def _check_header(image: ImageFile, path: Path, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ValueError(
            f"{path} claims {width} x {height} pixels, more than the limit of {max_pixels}: a decompression bomb, or a whole "
            "slide; cut it into smaller images"
        )
    if image.mode not in _READABLE:
        raise ValueError(
            f"{path} has pixels of mode {image.mode!r}, which are not 8-bit or 16-bit colours; save it as 8-bit RGB"
        )


def _conversions(image: ImageFile) -> tuple[str, ...]:
    """What will be done to the image, read from its header."""
    mode = image.mode
    found = {
        "16-bit reduced to 8-bit": mode.startswith("I;16") or any(_is_16_bit(tile.args) for tile in image.tile),
        "grey made RGB": mode in _GREY,
        "palette": mode in ("P", "PA"),
        "CMYK converted": mode == "CMYK",
        "YCbCr converted": mode == "YCbCr",
        "alpha composited on white": _has_alpha(image),
        "first of several pages taken": isinstance(image, TiffImageFile) and _has_second_page(image),
    }
    return tuple(note for note, applies in found.items() if applies)


def _is_16_bit(tile_arguments: object) -> bool:
    raw = tile_arguments[0] if isinstance(tile_arguments, tuple) and tile_arguments else tile_arguments
    return isinstance(raw, str) and ";16" in raw and not raw.startswith("BGR")  # BGR;16 is BMP's 5-6-5


def _has_alpha(image: Image.Image) -> bool:
    return image.has_transparency_data and not image.mode.startswith("I;16")


def _orientation(image: ImageFile) -> int:
    if isinstance(image, PngImageFile) and image.tile and "exif" not in image.info:
        return 1  # Pillow would decode all of the image to look for EXIF behind it
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1


def _has_second_page(image: TiffImageFile) -> bool:
    try:
        image.seek(1)
    except EOFError:
        return False
    image.seek(0)
    return True


def _rgb_pixels(image: Image.Image) -> Uint8Image:
    """Convert band by band: turning a whole Pillow image into an array at once costs two more copies of it."""
    width, height = image.size
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = _rgb_band(image.crop((0, top, width, bottom)))
    return pixels


def _rgb_band(band: Image.Image) -> np.ndarray:
    if band.mode.startswith("I;16"):
        return (np.asarray(band) >> 8).astype(np.uint8)[..., None]
    if not _has_alpha(band):
        return np.asarray(band.convert("RGB"))
    colours = np.asarray(band.convert("RGBA"))
    alpha = colours[..., 3:].astype(np.uint16)
    return ((colours[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
