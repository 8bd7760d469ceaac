"""PNG, JPEG and BMP through Pillow, whose reader classes are called directly.

`Image.open` warns above 89 million pixels and fails above 179 million by switches that belong to the whole process; a
16k x 16k image is ordinary here, so the size is checked from the header instead. Deep colour PNG go through
imagecodecs, because Pillow keeps eight of their sixteen bits before anyone can ask which.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import ExifTags, Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from chromogen.data.formats.png_chunks import chunk_notes
from chromogen.data.formats.profiles import Profile, profile_note
from chromogen.data.formats.samples import BAND_PIXELS, NO_ALPHA, ON_WHITE, Alpha, Samples, is_opacity, on_white, to_rgb8
from chromogen.tensors import Uint8Image

READERS: dict[bytes, type[ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"\xff\xd8\xff": JpegImageFile,
    b"BM": BmpImageFile,
}
TURNED = "EXIF orientation applied"
DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")
_GREY = ("1", "L", "LA", "La", *DEEP_GREY)
_READABLE = (*_GREY, "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
_OTHERS = tuple(
    (name, re.compile(start, re.DOTALL))
    for name, start in (
        *(("GIF", rb"GIF8"), ("WebP", rb"RIFF....WEBP"), ("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), ("PDF", rb"%PDF")),
        *(
            ("JPEG XL", rb"\0\0\0\x0cJXL |\xff\x0a"),
            ("HEIC or AVIF", rb"....ftyp"),
            ("gzip", rb"\x1f\x8b"),
            ("ZIP", rb"PK\x03\x04"),
        ),
    )
)
_BROKEN = (  # what Pillow and imagecodecs raise on damaged files, depending on where the damage is
    *(SyntaxError, OSError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, RuntimeError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


@contextmanager
def opened_plain(path: Path, max_pixels: int) -> Iterator[ImageFile]:
    """The Pillow image at `path`, its header read and checked. Raises ValueError with a sentence, OSError."""
    with path.open("rb") as handle:
        magic = handle.read(16)
        handle.seek(0)
        reader = next((reader for start, reader in READERS.items() if magic.startswith(start)), None)
        if reader is None:
            what = "is empty" if not magic else f"is none of PNG, JPEG, TIFF or BMP inside{_other_kind(magic)}"
            raise ValueError(f"{path} {what}; copy it again from its origin or save it as PNG")
        with _damage_explained(path, reader.format):
            image = reader(handle, str(path))
        _check_header(image, path, max_pixels)
        with _damage_explained(path, reader.format):
            yield image


def pixels_of(image: ImageFile, where: str) -> tuple[Uint8Image, tuple[str, ...]]:
    """uint8 RGB of an opened image, upright, and what had to be converted."""
    orientation, chunks = orientation_of(image), _chunk_notes(image)
    deep_colour = any(_is_deep_colour(tile.args) for tile in image.tile)
    if deep_colour or image.mode in DEEP_GREY:
        pixels, notes = to_rgb8(deep_samples(image, deep_colour), where)
        orientation = max(orientation, orientation_of(image))
        return upright(pixels, orientation), (*notes, *chunks, *([TURNED] if orientation != 1 else []))
    image.load()
    notes = _conversions(image)
    if isinstance(image, PngImageFile):
        orientation = max(orientation, orientation_of(image))  # it may tell behind its pixels
    profile, said = profile_note(image.info.get("icc_profile") or b"", _profile_mode(image))
    if orientation != 1:
        ImageOps.exif_transpose(image, in_place=True)
    alpha = _alpha_says(image)
    notes = (*notes, *alpha, *said, *chunks, *([TURNED] if orientation != 1 else []))
    return _rgb_pixels(image, alpha == (ON_WHITE,), profile), notes


def _chunk_notes(image: ImageFile) -> tuple[str, ...]:
    if not isinstance(image, PngImageFile) or image.fp is None:
        return ()
    return chunk_notes(image.fp, bool(image.info.get("icc_profile")))


def deep_samples(image: ImageFile, colour: bool) -> Samples:
    """The sixteen bits of a PNG as they stand: grey through Pillow, everything else through imagecodecs."""
    profile = image.info.get("icc_profile") or b""
    if not colour:
        image.load()
        return Samples(np.asarray(image).astype(np.uint16)[..., None], "grey", 16, profile=profile)
    fp = image.fp
    assert fp is not None
    fp.seek(0)
    values = imagecodecs.png_decode(fp.read())
    values = values[..., None] if values.ndim == 2 else values
    image.load()  # what stands behind the pixels: EXIF
    alpha: Alpha = "straight" if values.shape[-1] in (2, 4) else ""
    return Samples(values, "grey" if values.shape[-1] < 3 else "rgb", 16, alpha=alpha, profile=profile)


def is_deep_colour(image: ImageFile) -> bool:
    """Whether a PNG holds 16 bits of colours, or of grey with alpha."""
    return any(_is_deep_colour(tile.args) for tile in image.tile)


def orientation_of(image: ImageFile) -> int:
    """EXIF's 1 to 8."""
    if isinstance(image, PngImageFile) and image.tile and "exif" not in image.info:
        return 1  # Pillow would decode all of the image to look for EXIF behind it
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, ...) turned as EXIF's 1 to 8 says; contiguous."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


@contextmanager
def _damage_explained(path: Path, kind: str | None) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            raise
        why = f"{kind}: {error}" if str(error) else str(kind)
        content = path.read_bytes()
        if unread := _unread_kind(content, str(error)):
            raise ValueError(f"{path} is {kind} of a kind that is not read ({unread}); save it as 8-bit PNG") from error
        what = "damaged or cut short" if _is_cut(content) else "damaged"
        raise ValueError(f"{path} is {what} ({why}); copy it again from its origin") from error


def _other_kind(magic: bytes) -> str:
    """The name of a format that is not read, in brackets, where its first bytes tell."""
    return next((f" (it begins as {name})" for name, start in _OTHERS if start.match(magic)), "")


def _unread_kind(content: bytes, error: str) -> str:
    """What is unusual in a sound file that Pillow does not read: the JPEG process or its bits; words of Pillow for BMP."""
    if content.startswith(b"\xff\xd8"):
        process, bits = _jpeg_process(content)
        if process is not None and process not in (0xC0, 0xC1, 0xC2):
            return "JPEG-LS" if process == 0xF7 else f"JPEG process {process - 0xC0}"
        return f"{bits} bits" if bits not in (None, 8) else ""
    return error if error.startswith("Unsupported") else ""


def _jpeg_process(content: bytes) -> tuple[int | None, int | None]:
    """The number of the start-of-frame marker and the bits of a sample; None where there is none."""
    place = 2
    while place + 5 < len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xF7 or (marker in range(0xC0, 0xD0) and marker not in (0xC4, 0xC8, 0xCC)):
            return marker, content[place + 4]
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return None, None


def _is_cut(content: bytes) -> bool:
    """Whether the end is missing that every file of its kind has."""
    if content.startswith(b"\x89PNG"):
        return b"IEND" not in content[-4096:]
    if content.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in content[-(2**16) :]
    return len(content) < 26 or len(content) < int.from_bytes(content[2:6], "little")


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
    mode = image.mode
    found = {
        "grey made RGB": mode in _GREY,
        "palette": mode in ("P", "PA"),
        "CMYK converted": mode == "CMYK",
        "YCbCr converted": mode == "YCbCr",
    }
    return tuple(note for note, applies in found.items() if applies)


def _profile_mode(image: ImageFile) -> str:
    return "CMYK" if image.mode == "CMYK" else "L" if image.mode in _GREY else "RGB"


def _is_deep_colour(tile_arguments: object) -> bool:
    raw = tile_arguments[0] if isinstance(tile_arguments, tuple) and tile_arguments else tile_arguments
    return isinstance(raw, str) and raw in ("RGB;16B", "RGBA;16B", "LA;16B")


def _alpha_says(image: Image.Image) -> tuple[str, ...]:
    if not image.has_transparency_data:
        return ()
    alpha = image.getchannel("A") if "A" in image.getbands() else image.convert("RGBA").getchannel("A")
    low, high = alpha.getextrema()
    assert isinstance(low, int | float) and isinstance(high, int | float)
    return (ON_WHITE,) if is_opacity(low, high, 255) else (NO_ALPHA,)


def _rgb_pixels(image: Image.Image, with_alpha: bool, profile: Profile | None) -> Uint8Image:
    """Convert band by band: turning a whole large image into an array at once costs two more copies of it."""
    width, height = image.size
    rows = max(1, BAND_PIXELS // width)
    if height <= rows:
        return np.array(_rgb_band(image, with_alpha, profile))
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = _rgb_band(image.crop((0, top, width, bottom)), with_alpha, profile)
    return pixels


def _rgb_band(band: Image.Image, with_alpha: bool, profile: Profile | None) -> np.ndarray:
    if with_alpha or band.has_transparency_data:
        rgba = np.asarray(band.convert("RGBA"))
        colours, alpha = rgba[..., :3], rgba[..., 3] if with_alpha else None
    else:
        colours, alpha = np.asarray(band if band.mode == "RGB" else band.convert("RGB")), None
    if profile is not None and profile.mode == "RGB":
        colours = profile.apply(colours)
    elif profile is not None:
        grey = band if band.mode == profile.mode else band.convert(profile.mode)
        colours = profile.apply(np.asarray(grey))
    return colours if alpha is None else on_white(colours, alpha)
