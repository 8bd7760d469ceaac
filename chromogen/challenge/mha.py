"""MetaImage files (.mha), as the platform hands them over: a header of `Key = Value` lines, then the pixels, raw or zlib.

Only what a picture needs is read: one slice, 8 bits, grey or RGB, pixels in the same file. The orientation in the header is
not applied: pixels come in the order they are stored, as every reader of this format gives them.
Format: https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from chromogen.data.images import MAX_PIXELS
from chromogen.tensors import Uint8Image

SUFFIX = ".mha"
MAX_LINES, MAX_LINE_BYTES = 100, 4096
CHUNK_BYTES = 2**20
_BOOLEAN = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True)
class MhaFacts:
    """What the header says."""

    width: int
    height: int
    channels: int
    compressed: bool

    @property
    def pixel_bytes(self) -> int:
        return self.width * self.height * self.channels


def mha_facts(path: Path) -> MhaFacts:
    """Size and storage from the header alone. Errors are those of `read_mha`."""
    with path.open("rb") as handle:
        return _facts(handle, path)


def read_mha(path: Path, max_pixels: int = MAX_PIXELS) -> Uint8Image:
    """The picture at `path` as uint8 RGB, (H, W, 3); grey is repeated over the channels.

    ValueError, naming the file: damaged or cut short, more than one slice, not 8 bits, not 1 or 3 channels, pixels in another
    file, more than `max_pixels` pixels (checked before decoding), or more bytes than the header says.
    """
    with path.open("rb") as handle:
        facts = _facts(handle, path)
        if facts.width * facts.height > max_pixels:
            raise ValueError(f"{path} claims {facts.width} x {facts.height} pixels, more than the limit of {max_pixels}")
        pixels = np.empty(facts.pixel_bytes, dtype=np.uint8)
        filled = _inflate(handle, pixels) if facts.compressed else _copy(handle.read, pixels)
    if filled != facts.pixel_bytes:
        less = "fewer" if filled < facts.pixel_bytes else "more"
        raise ValueError(f"{path} holds {less} than the {facts.pixel_bytes} bytes of pixels its header says; write it again")
    image = pixels.reshape(facts.height, facts.width, facts.channels)
    return image if facts.channels == 3 else np.repeat(image, 3, axis=2)


def _facts(handle: BinaryIO, path: Path) -> MhaFacts:
    """Read the header; the pixels follow where the handle then stands."""
    fields = _fields(handle, path)

    def stated(key: str, default: str = "") -> str:
        return fields.get(key.casefold(), default)

    def flag(key: str) -> bool:
        text = stated(key, "False").casefold()
        if text not in _BOOLEAN:
            raise ValueError(f"{path}: {key} is {text!r}, neither True nor False; write the file again")
        return _BOOLEAN[text]

    if stated("ElementDataFile") != "LOCAL":
        raise ValueError(f"{path} keeps its pixels in another file; write one .mha with the pixels inside")
    if stated("ElementType") != "MET_UCHAR":
        raise ValueError(f"{path} has elements of type {stated('ElementType')!r}; write 8-bit pixels (MET_UCHAR)")
    size = _numbers(stated("DimSize"), "DimSize", path)
    if stated("NDims") != str(len(size)) or len(size) not in (2, 3) or size[2:] not in ([], [1]):
        raise ValueError(f"{path} has NDims {stated('NDims')!r} and DimSize {stated('DimSize')!r}; write one flat picture")
    channels = _numbers(stated("ElementNumberOfChannels", "1"), "ElementNumberOfChannels", path)
    if channels not in ([1], [3]):
        raise ValueError(f"{path} has {stated('ElementNumberOfChannels')} channels; write RGB (3) or grey (1)")
    if not flag("BinaryData"):
        raise ValueError(f"{path} has its pixels as text; write BinaryData = True")
    if stated("HeaderSize", "0") != "0":
        raise ValueError(f"{path} sets HeaderSize, which is not read here; write it again without")
    return MhaFacts(size[0], size[1], channels[0], flag("CompressedData"))


def _fields(handle: BinaryIO, path: Path) -> dict[str, str]:
    """The header's lines up to ElementDataFile, which ends it; keys in lower case."""
    fields: dict[str, str] = {}
    for _ in range(MAX_LINES):
        line = handle.readline(MAX_LINE_BYTES)
        key, equals, value = line.decode("latin-1").partition("=")
        if not equals or not line.endswith(b"\n"):
            break
        fields[key.strip().casefold()] = value.strip()
        if key.strip().casefold() == "elementdatafile":
            return fields
    raise ValueError(f"{path} is not a MetaImage: its header of 'Key = Value' lines does not end with ElementDataFile")


def _numbers(text: str, key: str, path: Path) -> list[int]:
    words = text.split()
    if not words or not all(word.isascii() and word.isdigit() and 1 <= len(word) <= 9 and int(word) for word in words):
        raise ValueError(f"{path}: {key} is {text!r}; whole numbers from 1 up are expected")
    return [int(word) for word in words]


def _inflate(handle: BinaryIO, pixels: np.ndarray) -> int:
    """Fill `pixels` from zlib data, never asking for more than fits; more bytes than that are counted as one more."""
    inflater = zlib.decompressobj()

    def read(size: int) -> bytes:
        while not inflater.eof:
            packed = inflater.unconsumed_tail or handle.read(CHUNK_BYTES)
            piece = inflater.decompress(packed, size)
            if piece or not packed:
                return piece
        return b""

    try:
        return _copy(read, pixels)
    except zlib.error as error:
        raise ValueError(f"{handle.name} is damaged or cut short ({error}); write it again") from error


def _copy(read: Callable[[int], bytes], pixels: np.ndarray) -> int:
    filled = 0
    while filled < len(pixels):
        piece = read(min(CHUNK_BYTES, len(pixels) - filled))
        if not piece:
            return filled
        pixels[filled : filled + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
        filled += len(piece)
    return filled + len(read(1))
