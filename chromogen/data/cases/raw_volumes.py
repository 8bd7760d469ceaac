"""Volumes that are a header and plain voxels: MetaImage (.mha, .mhd with .raw) and NRRD (.nrrd, .nhdr with a data file).

Both formats say where voxels lie by directions to the patient's left, back and head (LPS); affines here are nibabel's: right,
front, head. Read are whole numbers and fractions, raw, zlib or gzip, one value a voxel or several (channels).
Formats: https://itk.org/Wiki/ITK/MetaIO/Documentation, https://teem.sourceforge.net/nrrd/format.html.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")
MAX_LINES, MAX_LINE_BYTES = 500, 2**16
_CURE = "save it as .nii.gz (SimpleITK and 3D Slicer do)"
_META_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_NRRD_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}


@dataclass(frozen=True, eq=False)
class RawVolume:
    """Size of the three axes and the number of channels, the affine (to mm: right, front, head), and how to get the voxels.

    `read()` gives (x, y, z), or (x, y, z, channels) for several. ValueError when the file holds fewer bytes than its header
    says, or is damaged.
    """

    shape: tuple[int, int, int]
    channels: int
    affine: Float[np.ndarray, "4 4"]
    read: Callable[[], np.ndarray]


def open_raw(path: Path) -> RawVolume:
    """The header of a MetaImage or an NRRD file. ValueError naming the file and what is not read; OSError."""
    return _open_nrrd(path) if path.suffix.casefold() in (".nrrd", ".nhdr") else _open_meta(path)


def _open_meta(path: Path) -> RawVolume:
    fields, start = _header(path, "=", lambda key: key == "elementdatafile")
    if "elementdatafile" not in fields:
        raise ValueError(f"{path} is no MetaImage: its header does not end with ElementDataFile; copy it again from its origin")
    size = _numbers(fields.get("dimsize", ""), path, "DimSize")
    count = len(size)
    channels = int(_numbers(fields.get("elementnumberofchannels", "1"), path, "ElementNumberOfChannels")[0])
    kind = _META_TYPES.get(fields.get("elementtype", "").upper())
    if kind is None or fields.get("binarydata", "True").casefold() not in ("true", "1"):
        raise ValueError(f"{path} has elements of type {fields.get('elementtype')!r} or holds text; {_CURE}")
    swapped = fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "False")).casefold() in ("true", "1")
    spacing = _numbers(fields.get("elementspacing", "1 " * count), path, "ElementSpacing")
    offset = _numbers(fields.get("offset", fields.get("position", "0 " * count)), path, "Offset")
    turned = fields.get("transformmatrix", fields.get("rotation", fields.get("orientation")))
    matrix = _numbers(turned, path, "TransformMatrix") if turned else list(np.eye(count).ravel())
    if len(matrix) != count * count or len(spacing) != count or len(offset) != count:
        raise ValueError(f"{path}: TransformMatrix, ElementSpacing or Offset do not suit {count} axes; {_CURE}")
    steps = np.array(matrix).reshape(count, count) * np.array(spacing)[:, None]  # row k: the direction of axis k
    local = fields["elementdatafile"]
    data = path if local.casefold() == "local" else path.with_name(local)
    skip = start if data == path else int(float(fields.get("headersize", "0")))
    packed = fields.get("compresseddata", "False").casefold() in ("true", "1")
    return _volume(
        path, data, skip, packed, (">" if swapped else "<") + kind, [int(side) for side in size], channels, steps, offset
    )


def _open_nrrd(path: Path) -> RawVolume:
    fields, start = _header(path, ":", lambda key: key == "")
    if not fields.get("magic", "").startswith("NRRD"):
        raise ValueError(f"{path} does not begin with NRRD; copy it again from its origin")
    size = [int(side) for side in _numbers(fields.get("sizes", ""), path, "sizes")]
    kinds = fields.get("kinds", "").casefold().split() or ["domain"] * len(size)
    directions = re.findall(r"none|\([^)]*\)", fields.get("spacedirections", "").casefold())
    channels = 1
    if len(size) == 4:  # one axis lists channels: it has no direction
        listed = [k for k in range(4) if (directions and directions[k] == "none") or kinds[k] not in ("domain", "space")]
        if listed != [0]:
            raise ValueError(f"{path} has four axes, and its channels are not the first of them; {_CURE}")
        channels, size, directions = size[0], size[1:], directions[1:]
    if directions and len(directions) == len(size):
        steps = np.array([_numbers(re.sub(r"[(),]", " ", one), path, "space directions") for one in directions])
    else:
        steps = np.diag(_numbers(fields.get("spacings", "1 " * len(size)), path, "spacings")[-len(size) :])
    offset = _numbers(re.sub(r"[(),]", " ", fields.get("spaceorigin", "0 " * len(size))), path, "space origin")
    if steps.shape != (len(size), len(size)) or len(offset) != len(size):
        raise ValueError(f"{path}: space directions or origin do not suit {len(size)} axes; {_CURE}")
    space = fields.get("space", "left-posterior-superior").casefold()
    signs = {"left-posterior-superior": (1, 1), "lps": (1, 1), "right-anterior-superior": (-1, -1), "ras": (-1, -1)}
    signs |= {"left-anterior-superior": (1, -1), "las": (1, -1)}
    if space not in signs:
        raise ValueError(f"{path} lies in the space {space!r}, which says nothing of the patient; {_CURE}")
    steps, offset = steps.astype(float), list(offset)
    for axis, sign in enumerate(signs[space]):
        steps[:, axis] *= sign
        offset[axis] *= sign
    kind = next((code for code, names in _NRRD_TYPES.items() if fields.get("type", "").casefold() in names), None)
    encoding = fields.get("encoding", "raw").casefold()
    if kind is None or encoding not in ("raw", "gzip", "gz"):
        raise ValueError(f"{path} has the type {fields.get('type')!r} in the encoding {encoding!r}; {_CURE}")
    apart = fields.get("datafile", fields.get("data file"))
    data = path if apart is None else path.with_name(apart)
    order = ">" if fields.get("endian", "little").casefold() == "big" else "<"
    skip = start if apart is None else int(float(fields.get("byteskip", "0")))
    return _volume(path, data, skip, encoding != "raw", order + kind, size, channels, steps, offset)


def _header(path: Path, separator: str, is_last: Callable[[str], bool]) -> tuple[dict[str, str], int]:
    """Keys (lower case, no spaces) with their values, and the byte behind the header. NRRD's first line is called "magic"."""
    fields: dict[str, str] = {}
    with path.open("rb") as handle:
        for _ in range(MAX_LINES):
            raw = handle.readline(MAX_LINE_BYTES)
            line = raw.decode("latin-1").strip()
            if not raw or (raw[-1:] != b"\n" and len(raw) == MAX_LINE_BYTES):
                break
            if not line and separator == ":":
                break
            if separator == ":" and "magic" not in fields:
                fields["magic"] = line
                continue
            key, found, value = line.partition(separator)
            key = key.strip().casefold().replace(" ", "")
            if found and not line.startswith("#"):
                fields[key] = value.lstrip("=").strip()
            if is_last(key):
                break
        return fields, handle.tell()


def _volume(
    path: Path, data: Path, skip: int, packed: bool, kind: str, size: list[int], channels: int, steps: np.ndarray,
    offset: list[float],
) -> RawVolume:  # fmt: skip
    """Put the pieces of a header together; pictures of two axes become volumes of one slice."""
    if len(size) not in (2, 3) or min(size) < 1 or not 1 <= channels <= 64:
        raise ValueError(f"{path} has the size {size} and {channels} channels; {_CURE}")
    affine = np.eye(4)
    affine[: len(size), : len(size)] = steps.T
    affine[: len(size), 3] = offset
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    shape = (size[0], size[1], size[2] if len(size) == 3 else 1)
    count = int(np.prod(shape, dtype=np.int64)) * channels * np.dtype(kind).itemsize

    def read() -> np.ndarray:
        if not data.is_file():
            raise FileNotFoundError(f"{data}, which holds the voxels of {path}, does not exist; copy both files together")
        with data.open("rb") as handle:
            handle.seek(0, 2)
            end = handle.tell()
            handle.seek(max(0, end - count) if skip < 0 else skip)
            held = _inflated(handle.read(), count, path) if packed else handle.read(count)
        if len(held) < count:
            raise ValueError(
                f"{data} holds {len(held)} bytes of voxels, its header promises {count}; copy it again from its origin"
            )
        values = np.frombuffer(held, dtype=kind)
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        if channels == 1:
            return values.reshape(shape, order="F")
        return np.moveaxis(values.reshape((channels, *shape), order="F"), 0, -1)

    return RawVolume(shape, channels, affine, read)


def _inflated(packed: bytes, count: int, path: Path) -> bytes:
    try:
        return zlib.decompressobj(wbits=47).decompress(packed, count)  # zlib or gzip, whichever it begins as
    except zlib.error as error:
        raise ValueError(f"{path} is damaged ({error}); copy it again from its origin") from error


def _numbers(text: str, path: Path, key: str) -> list[float]:
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError as error:
        raise ValueError(f"{path}: {key} is {text!r}, not numbers; copy it again from its origin") from error
    if not numbers or not np.isfinite(numbers).all() or max(map(abs, numbers)) > 1e9:
        raise ValueError(f"{path}: {key} is {text!r}; finite numbers are expected")
    return numbers
