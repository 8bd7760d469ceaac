"""Every file of a set looked at once: is it whole, how large, of what format, and which other file shows the same picture.

Of plain 8-bit files no more is decoded than that takes. A JPEG is decoded at an eighth of its size: all of its data are read,
most of the arithmetic is left out. Of a PNG all pixels are unpacked, whose checksum says that they are whole, and the first row
is decoded. All else goes through `decode_image`, which also says what is wrong with a file.
"""

import hashlib
import io
import os
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from chromogen.data.images import MAX_PIXELS, decode_image

WHOLE_BYTES = 2**26  # larger files are not held in memory
BATCH = 16  # files that one thread looks at in one go
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_UNUSUAL = (b"tRNS", b"iCCP", b"eXIf", b"acTL", b"PLTE", b"CgBI")  # chunks that `decode_image` looks into
_BROKEN = (  # what Pillow and imagecodecs raise on damaged files; DeflateError is a RuntimeError
    *(SyntaxError, OSError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, RuntimeError, struct.error),
)


@dataclass(frozen=True)
class FileFacts:
    """One file after reading all of it. `error` is empty for a readable file; `sha256` is of its bytes.

    `likeness` is equal for files of equal pixels, if they were looked at in one go; it may be equal for others too.
    """

    sha256: str = ""
    width: int = 0
    height: int = 0
    format: str = ""
    conversions: tuple[str, ...] = ()
    error: str = ""
    likeness: str = ""


def look_at(paths: Sequence[Path]) -> dict[Path, FileFacts]:
    """The facts of each file, in order; what cannot be read is told in `error`, not raised. Memory does not grow with the set.

    Where all files are of one format, plain ones are not decoded wholly; between formats only pixels can be compared.
    """
    found = _looked_at(paths, quick=True)
    if len({facts.format for facts in found.values() if facts.format}) > 1:
        found |= _looked_at([path for path, facts in found.items() if not facts.error], quick=False)
    return found


def _looked_at(paths: Sequence[Path], quick: bool) -> dict[Path, FileFacts]:
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
        found = pool.map(lambda batch: [_look(path, quick) for path in batch], batches)
        return dict(zip(paths, (facts for batch in found for facts in batch), strict=True))


def same_pictures(files: Mapping[Path, FileFacts]) -> list[tuple[str, list[Path]]]:
    """Files that show the same picture, in groups of two or more: ("the same bytes", paths) or ("the same pixels", paths).

    Pixels are the same under another format, compression or other data around them. Files that may be alike are decoded to
    tell.
    """
    by_bytes: dict[str, list[Path]] = defaultdict(list)
    for path, facts in files.items():
        if facts.sha256 and not facts.error:
            by_bytes[facts.sha256].append(path)
    by_likeness: dict[str, list[str]] = defaultdict(list)
    for sha256, paths in by_bytes.items():
        by_likeness[files[paths[0]].likeness].append(sha256)
    groups: list[tuple[str, list[Path]]] = []
    for alike in by_likeness.values():
        if len(alike) == 1:
            groups.append(("the same bytes", by_bytes[alike[0]]))
            continue
        by_pixels: dict[str, list[str]] = defaultdict(list)
        for sha256 in alike:
            by_pixels[_pixels(by_bytes[sha256][0])].append(sha256)
        for equal in by_pixels.values():
            paths = [path for sha256 in equal for path in by_bytes[sha256]]
            groups.append(("the same bytes" if len(equal) == 1 else "the same pixels", paths))
    order = {path: place for place, path in enumerate(files)}
    found = [(what, sorted(paths, key=order.__getitem__)) for what, paths in groups if len(paths) > 1]
    return sorted(found, key=lambda group: order[group[1][0]])


def copies(files: Mapping[Path, FileFacts], places: Mapping[Path, Iterable[str]], root: Path, leak: str) -> list[str]:
    """A sentence for every group of files that show the same picture; with `leak` where `places` (splits, classes) differ."""
    found = []
    for what, paths in same_pictures(files):
        parted = len({place for path in paths for place in places[path]}) > 1
        names = ", ".join(str(path.relative_to(root) if path.is_relative_to(root) else path) for path in paths)
        found.append(f"{what} in {names}{f': {leak}' if parted else ''}")
    return found


def _look(path: Path, quick: bool) -> FileFacts:
    try:
        if path.stat().st_size > WHOLE_BYTES:
            with path.open("rb") as handle:
                sha256, raw = hashlib.file_digest(handle, "sha256").hexdigest(), b""
        else:
            raw = path.read_bytes()
            sha256 = hashlib.sha256(raw).hexdigest()
        facts = _quick(raw, sha256) if quick and raw else None
        if facts is not None:
            return facts
        decoded = decode_image(path)
    except (ValueError, OSError) as error:
        return FileFacts(error=str(error))
    height, width = decoded.pixels.shape[:2]
    likeness = "" if quick else _digest(decoded.pixels)
    likeness = likeness or f"row {width} x {height} {_digest(decoded.pixels[:1])}"
    return FileFacts(sha256, width, height, decoded.format, decoded.notes, likeness=likeness)


def _quick(raw: bytes, sha256: str) -> FileFacts | None:
    """The facts of a plain file that is whole; None for any other, of which `decode_image` has more to say."""
    try:
        return _quick_jpeg(raw, sha256) if raw.startswith(_JPEG) else _quick_png(raw, sha256)
    except _BROKEN:
        return None


def _quick_jpeg(raw: bytes, sha256: str) -> FileFacts | None:
    image = JpegImageFile(io.BytesIO(raw))
    width, height = image.size
    if image.mode != "RGB" or width * height > MAX_PIXELS or "icc_profile" in image.info or "exif" in image.info:
        return None
    image.draft("RGB", (max(1, width // 8), max(1, height // 8)))
    image.load()
    digest = hashlib.sha256(image.tobytes()).hexdigest()
    return FileFacts(sha256, width, height, "JPEG", likeness=f"eighth {width} x {height} {digest}")


def _quick_png(raw: bytes, sha256: str) -> FileFacts | None:
    if not raw.startswith(_PNG):
        return None
    packed, place, header = [], 8, b""
    while place + 12 <= len(raw):
        (length,) = struct.unpack_from(">I", raw, place)
        kind, start = raw[place + 4 : place + 8], place + 8
        if kind in _UNUSUAL or start + length + 4 > len(raw):
            return None
        if kind == b"IHDR":
            header = raw[start : start + length]
        elif kind == b"IDAT":
            packed.append(raw[start : start + length])
        elif kind == b"IEND":
            break
        place = start + length + 4
    if len(header) != 13 or not packed:
        return None
    width, height, depth, colours, *_, interlaced = struct.unpack(">IIBBBBB", header)
    if (depth, colours, interlaced) != (8, 2, 0) or not 0 < width * height <= MAX_PIXELS:
        return None
    row_bytes = 3 * width + 1
    data = imagecodecs.deflate_decode(packed[0] if len(packed) == 1 else b"".join(packed), out=row_bytes * height)
    rows = np.frombuffer(data, np.uint8)
    if rows.size != row_bytes * height or rows[::row_bytes].max() > 4:
        return None
    first = _first_row(rows[:row_bytes])
    return FileFacts(sha256, width, height, "PNG", likeness=f"row {width} x {height} {_digest(first[None])}")


def _first_row(row: np.ndarray) -> np.ndarray:
    """The first row of a PNG, its filter undone: nothing is above it, so all but `average` are sums or nothing."""
    kind, values = int(row[0]), row[1:].reshape(-1, 3)
    if kind in (1, 4):  # left; Paeth, which takes the left where all else is 0
        return np.cumsum(values, axis=0, dtype=np.uint8)
    if kind != 3:
        return values
    pixels = [[0, 0, 0]]
    for pixel in values.tolist():
        pixels.append([(value + left // 2) % 256 for value, left in zip(pixel, pixels[-1], strict=True)])
    return np.array(pixels[1:], dtype=np.uint8)


def _digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _pixels(path: Path) -> str:
    try:
        return _digest(decode_image(path).pixels)
    except (ValueError, OSError):
        return str(path)
