"""TIFF by its tags, through tifffile and imagecodecs: samples as they stand, or a sentence that says why not.

A file is called cut short only where a tag points behind its end; a decoder that fails is named with its compression.
"""

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL.TiffImagePlugin import TiffImageFile
from tifffile import TIFF, TiffFile, TiffFileError, TiffPage

from chromogen.data.formats import resolution
from chromogen.data.formats.samples import CHANNELS, Alpha, Colour, Luma, Samples
from chromogen.data.formats.tiff_pages import BLACK_IS_ZERO, WHITE_IS_ZERO, Chosen, choose

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # its remarks on odd tags are not for a console

BYTES_A_PIXEL = 12  # of decoded samples at most: three of 32 bits
MOST_SHRUNK = 4096  # times: no LZW or deflate makes more out of a byte
JPEG_LIKE, OLD_JPEG, LZW = (6, 7, 34892, 33007), 6, 5
RGB_INSIDE = (*JPEG_LIKE, 50001, 50002, 34934)  # codecs that give RGB whatever the tag says: JPEG, WebP, JPEG XL
NOT_CERTAIN = (33003, 65000, 65001, 65002)  # JPEG 2000 that may be YCbCr or RGB; electron events
RGB, PALETTE, CMYK, YCBCR = 2, 3, 5, 6
MAX_SAMPLE, SMAX_SAMPLE, ICC, ORIENTATION = 281, 341, 34675, 274
DROPPED = "channels beyond the colours dropped"
THREE_CHANNELS = "three grey channels taken as red, green and blue"
NO_PHOTOMETRIC = "no tag says what the samples mean: taken by their number"
_BROKEN = (  # what tifffile and its codecs raise, depending on where the damage is
    *(TiffFileError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, OSError, EOFError, struct.error),
    *(AttributeError, AssertionError, ImportError, MemoryError),
)


@dataclass(frozen=True)
class TiffPicture:
    """The picture in an open TIFF file, checked and not yet decoded. `orientation` is EXIF's, 1 to 8; `mpp` um per pixel."""

    where: str
    file: TiffFile
    chosen: Chosen
    colour: Colour
    orientation: int
    mpp: float | None

    @property
    def page(self) -> TiffPage:
        return self.chosen.pages[0]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as stored."""
        return self.page.imagewidth, self.page.imagelength

    @property
    def mode(self) -> str:
        """Pillow's word for the samples, where it has one; "I;16" stands for all deep grey."""
        if self.colour == "grey":
            deep = "F" if self.page.sampleformat == 3 else "I;16"
            return "1" if self.page.bitspersample == 1 else "L" if _bits(self.page) <= 8 else deep
        words: dict[Colour, str] = {"rgb": "RGB", "palette": "P", "cmyk": "CMYK", "ycbcr": "YCbCr"}
        return words[self.colour]


@contextmanager
def opened_tiff(path: Path, max_pixels: int) -> Iterator[TiffPicture]:
    """The picture in the TIFF file at `path`; no pixel is decoded. Raises ValueError with a sentence, OSError."""
    where = str(path)
    with path.open("rb") as handle:
        with _structure_explained(where):
            file = TiffFile(handle)
            chosen = choose(file, where)
            colour = _colour(chosen, where)
            _refuse_what_is_not_read(chosen.pages, where)
            _refuse_bombs(chosen.pages, max_pixels, where)
            _refuse_cut(file, chosen.pages, where)
            turned = chosen.pages[0].tags.valueof(ORIENTATION)
            orientation = turned if turned in range(1, 9) else 1
            picture = TiffPicture(where, file, chosen, colour, orientation, _mpp(file, chosen))
        yield picture


def samples_of(picture: TiffPicture) -> Samples:
    """Decode. Raises ValueError, naming the file and its compression, where that fails."""
    page, chosen = picture.page, picture.chosen
    values = _decoded(picture)
    notes = list(chosen.notes)
    if 262 not in page.tags:
        notes.append(NO_PHOTOMETRIC)
    if picture.colour == "rgb" and len(chosen.pages) == 1 and _photometric(page) in (BLACK_IS_ZERO, WHITE_IS_ZERO):
        notes.append(THREE_CHANNELS)
    values, alpha, dropped = _channels(values, page, picture.colour)
    return Samples(
        values,
        picture.colour,
        _bits(page),
        _stated_bits(page, chosen),
        alpha,
        _photometric(page) == WHITE_IS_ZERO,
        _palette(page, picture.where) if picture.colour == "palette" else None,
        _luma(page) if picture.colour == "ycbcr" else Luma(),
        _profile(page),
        (*notes, *([DROPPED] if dropped else [])),
    )


def _photometric(page: TiffPage) -> int:
    """As tagged; by the number of samples where the tag is missing."""
    if 262 in page.tags or page.compression == OLD_JPEG:
        return int(page.photometric)
    return RGB if page.samplesperpixel >= 3 else BLACK_IS_ZERO


def _colour(chosen: Chosen, where: str) -> Colour:
    """What the samples mean, or a ValueError for meanings that cannot be kept exactly."""
    page = chosen.pages[0]
    photometric, samples = _photometric(page), page.samplesperpixel
    if len(chosen.pages) == 3:
        return "rgb"
    alphas = [kind for kind in page.extrasamples if kind in (1, 2)]
    if photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO):
        colours = samples - len(alphas)
        if colours in (1, 3) and len(alphas) <= 1:
            return "grey" if colours == 1 else "rgb"
        raise ValueError(f"{where} has {samples} channels, which are no red, green and blue; save it as 8-bit RGB")
    if photometric == YCBCR and page.compression in RGB_INSIDE:
        photometric = RGB
    names: dict[int, Colour] = {RGB: "rgb", PALETTE: "palette", CMYK: "cmyk", YCBCR: "ycbcr"}
    colour = names.get(photometric)
    inks = page.tags.valueof(332)
    if colour is None or (colour == "cmyk" and inks not in (None, 1)):
        what = getattr(page.photometric, "name", str(photometric)) if colour is None else "inks other than CMYK"
        raise ValueError(f"{where} keeps its colours as {what}, which is not read exactly here; save it as 8-bit RGB")
    if samples < CHANNELS[colour]:
        raise ValueError(f"{where} says {colour.upper()} and has {samples} samples a pixel; save it as 8-bit RGB")
    return colour


def _refuse_what_is_not_read(pages: tuple[TiffPage, ...], where: str) -> None:
    page = pages[0]
    compression = _compression(page)
    try:
        known = page.compression == 1 or TIFF.DECOMPRESSORS[page.compression] is not None
    except (KeyError, ImportError):
        known = False
    if not known or page.compression in NOT_CERTAIN:
        raise ValueError(f"{where} is compressed by {compression}, which is not read here; save it with LZW or as PNG")
    if page.dtype is None or page.dtype.kind not in "buif":
        form = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(int(page.sampleformat), "complex")
        raise ValueError(f"{where} has {form} samples of {page.bitspersample} bits, which are not read; save it as 8-bit RGB")
    if page.is_subsampled and page.compression not in JPEG_LIKE:
        raise ValueError(f"{where} keeps its colours at half resolution without JPEG ({compression}); save it as 8-bit RGB")


def _refuse_bombs(pages: tuple[TiffPage, ...], max_pixels: int, where: str) -> None:
    """Sizes that are claimed and would be allocated before a single byte of them is found missing."""
    for page in pages:
        width, height = page.imagewidth, page.imagelength
        assert page.dtype is not None
        weight = width * height * page.samplesperpixel * page.dtype.itemsize
        tile = page.tilewidth * page.tilelength * page.tiledepth if page.is_tiled else 0
        if width * height > max_pixels or weight > BYTES_A_PIXEL * max_pixels or tile > max_pixels:
            raise ValueError(
                f"{where} claims {width} x {height} pixels, more than the limit of {max_pixels}: a decompression bomb, or a "
                "whole slide; cut it into smaller images"
            )
        if width * height == 0:
            raise ValueError(f"{where} is {width} x {height} px, which is no picture; copy it again from its origin")


def _refuse_cut(file: TiffFile, pages: tuple[TiffPage, ...], where: str) -> None:
    """Pieces that lie behind the end of the file, that are missing, or whose own header claims another size."""
    end = file.filehandle.size
    for page in pages:
        expected = int(np.prod(page.chunked))
        offsets, counts = page.dataoffsets[:expected], page.databytecounts[:expected]
        if len(offsets) < expected or len(counts) < expected:
            raise ValueError(
                f"{where} is damaged or cut short ({min(len(offsets), len(counts))} of {expected} pieces are listed); "
                "copy it again from its origin"
            )
        last = max((offset + count for offset, count in zip(offsets, counts, strict=True)), default=0)
        if page.is_contiguous:  # its bytes are counted by the size of the picture, whatever the tag says
            last = max(last, offsets[0] + page.nbytes)
        if last > end or any(offset > end for offset in offsets):
            raise ValueError(
                f"{where} is damaged or cut short (pixels up to byte {last}, and the file ends at {end}); copy it again from "
                "its origin"
            )
        if page.compression in (LZW, 8, 32946, 32773) and page.nbytes > MOST_SHRUNK * (sum(counts) + 16):
            raise ValueError(
                f"{where} is damaged: {sum(counts)} bytes cannot hold {page.imagewidth} x {page.imagelength} pixels; copy it "
                "again from its origin"
            )
        empty = sum(not (offset and count) for offset, count in zip(offsets, counts, strict=True))
        if empty:
            raise ValueError(f"{where} holds no pixels in {empty} of its {expected} pieces; save it whole, for example as PNG")
        if page.compression in (*JPEG_LIKE, 34712, 33005, 34933):
            _refuse_false_pieces(file, page, where)


def _refuse_false_pieces(file: TiffFile, page: TiffPage, where: str) -> None:
    """A JPEG, JPEG 2000 or PNG piece is decoded to the size in its own header, whatever the tags say."""
    rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    area = rows * (page.tilewidth if page.is_tiled else page.imagewidth)
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        file.filehandle.seek(offset)
        size = piece_size(file.filehandle.read(min(count, 4096)))
        if size is not None and size[0] * size[1] > 4 * area + 2**16:
            raise ValueError(
                f"{where} holds a piece of {size[0]} x {size[1]} px where {area} px belong; copy it again from its origin"
            )


def piece_size(head: bytes) -> tuple[int, int] | None:
    """Width and height in the header of JPEG, JPEG 2000 or PNG; None where it is not found."""
    if head.startswith(b"\x89PNG"):
        return struct.unpack(">II", head[16:24]) if len(head) >= 24 else None
    if (place := head.find(b"\xff\x4f\xff\x51")) >= 0:
        return struct.unpack(">II", head[place + 8 : place + 16]) if len(head) >= place + 16 else None
    place = 2
    while head.startswith(b"\xff\xd8") and place + 9 < len(head):
        marker, length = head[place + 1], int.from_bytes(head[place + 2 : place + 4], "big")
        if marker in range(0xC0, 0xD0) and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[place + 5 : place + 9])
            return width, height
        place += 2 + length
    return None


def _decoded(picture: TiffPicture) -> np.ndarray:
    """(H, W, C) of the one page or of the three."""
    try:
        if (image := _through_libtiff(picture)) is not None:
            return image
        planes = [_page_values(page) for page in picture.chosen.pages]
    except _BROKEN as error:
        compression = _compression(picture.page)
        raise ValueError(
            f"{picture.where} could not be decoded ({compression}, {picture.page.dtype}: {error}); copy it again from its "
            "origin, or save it with LZW or as PNG"
        ) from error
    return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=-1)


def _page_values(page: TiffPage) -> np.ndarray:
    values = page.asarray(squeeze=False, maxworkers=1)  # separate samples, depth, height, width, contiguous samples
    values = values[:, 0, :, :, 0].transpose(1, 2, 0) if values.shape[0] > 1 else values[0, 0]
    return values.view(np.uint8) if values.dtype.kind == "b" else values


def _through_libtiff(picture: TiffPicture) -> np.ndarray | None:
    """Pillow's decoder for the plainest LZW, on which it is up to 1.8 times as fast; None for everything else."""
    page = picture.page
    plain = (page.compression, page.bitspersample, page.planarconfig, page.fillorder, page.sampleformat) == (LZW, 8, 1, 1, 1)
    first = len(picture.chosen.pages) == 1 and page.index == 0 and not page.is_tiled and picture.orientation == 1
    mode = {(RGB, 3): "RGB", (BLACK_IS_ZERO, 1): "L"}.get((_photometric(page), page.samplesperpixel))
    if not (plain and first and mode and page.predictor in (1, 2) and 262 in page.tags) or page.parent.is_bigtiff:
        return None  # of BigTIFF in big-endian order Pillow says that its EXIF data are corrupt
    with Path(picture.where).open("rb") as handle, TiffImageFile(handle) as image:
        if image.mode != mode or image.size != picture.size:
            return None
        image.load()
        values = np.array(image)
    return values if values.ndim == 3 else values[..., None]


def _channels(values: np.ndarray, page: TiffPage, colour: Colour) -> tuple[np.ndarray, Alpha, bool]:
    """The colours and the first alpha behind them; whether anything else was dropped."""
    count = CHANNELS[colour]
    extra = values.shape[-1] - count
    if extra <= 0:
        return values, "", False
    kinds = [*page.extrasamples, *[0] * extra][-extra:] if len(page.extrasamples) > extra else [*page.extrasamples]
    place = next((k for k, kind in enumerate(kinds[:extra]) if kind in (1, 2)), None)
    if place is None:
        return values[..., :count], "", True
    kept = values if extra == 1 else values[..., [*range(count), count + place]]
    return kept, "premultiplied" if kinds[place] == 1 else "straight", extra > 1


def _bits(page: TiffPage) -> int:
    """Of a stored sample; samples of unequal width (5, 6, 5) are stretched to whole bytes by the decoder."""
    assert page.dtype is not None
    return page.bitspersample if isinstance(page.bitspersample, int) else page.dtype.itemsize * 8


def _stated_bits(page: TiffPage, chosen: Chosen) -> int | None:
    """How many bits count: by OME's SignificantBits, a BitsPerSample below a whole type, MaxSampleValue or SMaxSampleValue."""
    assert page.dtype is not None
    bits = _bits(page)
    if chosen.planes is not None and chosen.planes.bits is not None and chosen.planes.bits < bits:
        return chosen.planes.bits
    if page.dtype.kind == "f" or bits <= 8:
        return None
    if bits < page.dtype.itemsize * 8:
        return bits
    for code in (MAX_SAMPLE, SMAX_SAMPLE):
        value = page.tags.valueof(code)
        highest = max(value) if isinstance(value, tuple) and value else value
        if isinstance(highest, int | float) and 0 < highest < 2**bits:
            return next(step for step in (8, 10, 12, 14, 16, 24, 32) if highest < 2**step)
    return None


def _palette(page: TiffPage, where: str) -> np.ndarray:
    """(n, 3) uint8; a map of 16 bits keeps its high bytes, one that never left 8 bits is taken as it is."""
    table = page.colormap
    if table is None or np.size(table) == 0 or np.size(table) % 3:
        raise ValueError(f"{where} numbers its colours and holds no table of them; save it as 8-bit RGB")
    table = np.asarray(table).reshape(3, -1).T
    return (table >> 8 if table.max() > 255 else table).astype(np.uint8)


def _luma(page: TiffPage) -> Luma:
    weights, ranges = page.tags.valueof(529), page.tags.valueof(532)
    found = [_ratios(values, count) for values, count in ((weights, 3), (ranges, 6))]
    default = Luma()
    luma = Luma(found[0] or default.weights, found[1] or default.ranges)  # type: ignore[arg-type]
    fine = luma.weights[1] > 0 and all(low < high for low, high in zip(luma.ranges[0::2], luma.ranges[1::2], strict=True))
    return luma if fine else default


def _ratios(values: Any, count: int) -> tuple[float, ...] | None:
    """Rationals stand as one tuple of numerators and denominators by turns; plain numbers stand alone."""
    if not isinstance(values, tuple):
        return None
    if len(values) == 2 * count:
        return tuple(a / b if b else 0.0 for a, b in zip(values[0::2], values[1::2], strict=True))
    return tuple(float(value) for value in values) if len(values) == count else None


def _profile(page: TiffPage) -> bytes:
    value = page.tags.valueof(ICC)
    return value if isinstance(value, bytes) else b""


def _mpp(file: TiffFile, chosen: Chosen) -> float | None:
    page, planes = chosen.pages[0], chosen.planes
    if planes is not None and planes.um[0] is not None:
        return resolution.believed(*planes.um)
    tags = [resolution.ratio(page.tags.valueof(code)) for code in (282, 283)]
    unit = page.tags.valueof(296, 2)  # inches where nothing is said
    imagej = file.imagej_metadata if page.is_imagej else None
    return resolution.of_tiff_tags((tags[0], tags[1]), int(unit), page.description, imagej)


def _compression(page: TiffPage) -> str:
    return str(getattr(page.compression, "name", f"number {page.compression}"))


@contextmanager
def _structure_explained(where: str) -> Iterator[None]:
    """Our own sentences pass; what tifffile raises while it reads tags becomes one."""
    try:
        yield
    except _BROKEN as error:
        if isinstance(error, ValueError) and str(error).startswith(where):
            raise
        if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise ValueError(
            f"{where} is damaged or cut short (TIFF: its tags cannot be read: {error}); copy it again from its origin"
        ) from error
