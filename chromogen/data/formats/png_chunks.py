"""What a PNG states of its colours other than by an ICC profile, and that it holds several pictures: said, not applied."""

import struct
from collections.abc import Iterator
from typing import IO

from chromogen.data.formats.profiles import UNREADABLE

UNCONVERTED = "colour space stated without an ICC profile (gAMA, cHRM or cICP) ignored"
FRAMES = "first picture of an animation taken"
_SRGB_GAMMA = 45455  # of 100,000
_SRGB_CHROMATICITIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)  # white, red, green, blue: x, y
_NEAR = 1000  # hundred-thousandths: rounding of programs
_BT709, _SRGB_CURVE = 1, 13  # of cICP (ITU-T H.273)
_LONGEST = 64  # bytes of a chunk that are looked at
_MOST = 1000  # chunks in front of the pixels


def chunk_notes(file: IO[bytes], has_profile: bool) -> tuple[str, ...]:
    """The notes on a PNG, whose file is left where it was. has_profile: whether an ICC profile was found in it."""
    chunks = dict(_in_front(file))
    notes = (FRAMES,) if b"acTL" in chunks and struct.unpack(">I", chunks[b"acTL"][:4].rjust(4, b"\0"))[0] > 1 else ()
    if b"iCCP" in chunks and not has_profile:
        return (*notes, UNREADABLE)
    return (*notes, UNCONVERTED) if not has_profile and _is_other(chunks) else notes


def _is_other(chunks: dict[bytes, bytes]) -> bool:
    """Whether the chunk that counts (cICP before sRGB before gAMA and cHRM) states other colours than sRGB."""
    if b"cICP" in chunks:
        return tuple(chunks[b"cICP"][:2]) != (_BT709, _SRGB_CURVE)
    if b"sRGB" in chunks:
        return False
    stated = _numbers(chunks.get(b"gAMA", b"")) + _numbers(chunks.get(b"cHRM", b""))
    expected = ((_SRGB_GAMMA,) if b"gAMA" in chunks else ()) + (_SRGB_CHROMATICITIES if b"cHRM" in chunks else ())
    return len(stated) == len(expected) and any(abs(a - b) > _NEAR for a, b in zip(stated, expected, strict=True))


def _numbers(content: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(content) // 4}I", content[: len(content) // 4 * 4])


def _in_front(file: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Name and beginning of each chunk before the pixels."""
    place = file.tell()
    try:
        file.seek(8)
        for _ in range(_MOST):
            head = file.read(8)
            if len(head) < 8 or head[4:] == b"IDAT":
                return
            length = int.from_bytes(head[:4], "big")
            content = file.read(min(length, _LONGEST))
            yield head[4:], content
            file.seek(length - len(content) + 4, 1)
    finally:
        file.seek(place)
