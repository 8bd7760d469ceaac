"""How a made image is told from a patient's: by a mark in the file, in a file beside it, or in the manifest of its folder."""

import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

from chromogen.data.cases.volumes import open_volume

Origin = Literal["real", "synthetic"]

SYNTHETIC_DESCRIP = "chromogen synthetic"  # how the field `descrip` of a NIfTI header begins
SOURCE_TYPE_KEYWORD = (
    "DigitalSourceType"  # of a PNG text chunk; the value is one of IPTC's words below, alone or as its address
)
SYNTHETIC_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
MANIFEST = "manifest.json"  # {"origin": "synthetic"} for a folder and all below it, or for one case in its list "cases"

_WORDS = ("trainedalgorithmicmedia", "compositesynthetic", "compositewithtrainedalgorithmicmedia", "algorithmicmedia")
_XMP = "XML:com.adobe.xmp"
_MOST_TEXT = 2**16
_MOST_MANIFEST = 2**28


def origin_of(files: Iterable[Path], root: Path, name: str = "") -> Origin:
    """`synthetic` when any of `files` carries a mark, or a manifest between them and `root` says so; `name` is the case's.

    Looks at PNG text, NIfTI headers and JSON only. Raises ValueError for a manifest or a sidecar that is no JSON.
    """
    for path in files:
        if _marked(path) or _said(path.with_name(f"{path.name.split('.')[0]}.json"), name):
            return "synthetic"
        for folder in (path.parent, *path.parent.parents):
            if not folder.is_relative_to(root):
                break
            if _said(folder / MANIFEST, name or path.name.split(".")[0]):
                return "synthetic"
    return "real"


def is_synthetic_text(keyword: str, value: str) -> bool:
    """Whether a PNG's text says that the image was made."""
    if keyword == SOURCE_TYPE_KEYWORD:
        return value.strip().casefold().rpartition("/")[2] in _WORDS
    return keyword == _XMP and any(f"digitalsourcetype/{word}" in value.casefold() for word in _WORDS)


def _marked(path: Path) -> bool:
    if path.suffix.casefold() == ".png":
        return any(is_synthetic_text(*text) for text in _png_texts(path))
    if path.name.casefold().endswith((".nii", ".nii.gz")):
        try:
            return open_volume(path).described.startswith(SYNTHETIC_DESCRIP)
        except ValueError:
            return False  # whoever reads the voxels says what is wrong with the file
    return False


def _png_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Keyword and value of the texts of a PNG file, before and behind its pixels; texts above 64 KiB are passed over."""
    with path.open("rb") as handle:
        if handle.read(8) != b"\x89PNG\r\n\x1a\n":
            return
        while len(head := handle.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind not in (b"tEXt", b"iTXt") or length > _MOST_TEXT:
                handle.seek(length + 4, 1)
                continue
            keyword, _, rest = handle.read(length).partition(b"\0")
            handle.seek(4, 1)
            if kind == b"iTXt":
                packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
                if packed:
                    try:
                        rest = zlib.decompressobj().decompress(rest, _MOST_TEXT)
                    except zlib.error:
                        continue
            yield keyword.decode("latin-1"), rest.decode("utf-8", "replace")


def _said(path: Path, name: str) -> bool:
    if not path.is_file():
        return False
    whole, names = _synthetic(path, path.stat().st_mtime_ns)
    return whole or name in names


@lru_cache(maxsize=8)
def _synthetic(path: Path, _version: int) -> tuple[bool, frozenset[str]]:
    """Whether a JSON file calls all it stands for synthetic, and the names of the cases that it does."""
    if path.stat().st_size > _MOST_MANIFEST:
        raise ValueError(f"{path} has more than {_MOST_MANIFEST} bytes; a manifest is a short list")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); write it again or take it out") from error
    if not isinstance(facts, dict):
        return False, frozenset()
    cases = facts.get("cases")
    listed = [case for case in cases if isinstance(case, dict)] if isinstance(cases, list) else []
    names = frozenset(str(case.get("name")) for case in listed if case.get("origin") == "synthetic")
    return facts.get("origin") == "synthetic", names
