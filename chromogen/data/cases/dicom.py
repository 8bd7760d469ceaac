"""One DICOM slice: Hounsfield units (or whatever the rescale slope makes), spacing and place in the patient.

The transfer syntax is looked at before anything is unpacked: a file that no installed decoder can read says so in one
sentence, and a deflated one is refused, because it may unpack to any size.
"""

import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from jaxtyping import Float
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import get_decoder
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from chromogen.data.images import MAX_PIXELS

MAX_BYTES = 2**30
SUFFIXES = (".dcm", ".dicom", ".ima")
AIR_HU = (
    -1024.0
)  # nothing in a patient has less; scanners and archives pad CT with -2000, -2048, -3024 around the circle they see
_NO_IMAGES = (
    "RTSTRUCT",
    "RTPLAN",
    "RTRECORD",
    "SR",
    "PR",
    "KO",
    "REG",
    "DOC",
    "PLAN",
)  # modalities of contours, reports, plans
_SCOUTS = ("LOCALIZER", "LOCALISER", "SCOUT", "TOPOGRAM", "SURVIEW")
_BROKEN = (InvalidDicomError, ValueError, TypeError, AttributeError, LookupError, EOFError, NotImplementedError, RuntimeError)


class NoImageError(ValueError):
    """A DICOM file that is no image: contours, a report, a plan."""


@dataclass(frozen=True, eq=False)
class SliceFacts:
    """What the header of one slice says. `place` is its mm along the normal of the slice, for the order within a series.

    `patient`, `study`, `series` and `instance` (SOPInstanceUID) are "" and `place`, `spacing_mm`, `normal` and `affine` None
    where the header does not tell. `affine` takes (column, row, 0, 1) to mm in the patient (right, front, head). `scout`: the
    header calls it a localiser, an overview for planning. `drawn`: the header calls it a mask. `hounsfield`: values of CT after
    rescaling are HU; numbers from 0 on without RescaleIntercept are not.
    """

    rows: int
    columns: int
    modality: str
    patient: str
    series: str
    place: float | None
    spacing_mm: tuple[float, float] | None
    affine: Float[np.ndarray, "4 4"] | None
    study: str = ""
    instance: str = ""
    normal: tuple[float, float, float] | None = None
    scout: bool = False
    drawn: bool = False
    hounsfield: bool = False


@dataclass(frozen=True, eq=False)
class DicomSlice:
    """Values (H, W) after rescaling, HU for CT; dark and bright as on film (MONOCHROME1 is inverted).

    What the header calls padding, and what in CT is below air, has the value of the darkest other pixel.
    """

    pixels: Float[np.ndarray, "height width"]
    facts: SliceFacts


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its ending, or by the four letters that such files hold at byte 128 whatever their name."""
    suffix = path.suffix.casefold()
    if suffix in SUFFIXES:
        return True
    if path.name.casefold() == "dicomdir" or not path.is_file():
        return False
    with path.open("rb") as handle:
        return handle.read(132)[128:] == b"DICM"


def dicom_facts(path: Path | str) -> SliceFacts:
    """The header of the slice at `path`; ValueError with a sentence when it is no single grey slice, OSError."""
    path = Path(path)
    return _facts(_read(path, pixels=False), path)


def read_dicom(path: Path | str) -> DicomSlice:
    """The slice at `path`. Raises ValueError with a sentence: not DICOM, damaged, no pixels in it, a transfer syntax without
    a decoder, colour, several frames, more than `MAX_PIXELS`; OSError when the file cannot be opened."""
    path = Path(path)
    _check_decodable(path)
    dataset = _read(path, pixels=True)
    facts = _facts(dataset, path)
    if "PixelData" not in dataset:
        raise ValueError(f"{path} holds no pixel data; it may be a report or a plan: take it out, or export the images again")
    with _damage_explained(path), _no_warnings():
        stored = dataset.pixel_array
        slope, intercept = float(dataset.get("RescaleSlope", 1) or 1), float(dataset.get("RescaleIntercept", 0) or 0)
    if not np.isfinite([slope, intercept]).all():
        raise ValueError(f"{path} has the rescale slope {slope} and intercept {intercept}; export it again")
    values = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    padded = _padded(dataset, stored)
    if facts.hounsfield:
        padded |= values < AIR_HU
    shown = values[~padded]
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1" and shown.size:
        values = shown.max() + shown.min() - values
    if padded.any() and shown.size:
        values[padded] = values[~padded].min()
    return DicomSlice(values, facts)


def _padded(dataset: Any, stored: np.ndarray) -> np.ndarray:
    """Which pixels the header calls padding: PixelPaddingValue alone, or all up to PixelPaddingRangeLimit (C.7.5.1.1.2).

    Scanners write the value as signed or unsigned, whatever the pixels are: both are compared by their bits.
    """
    ends = [dataset.get(name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    try:
        numbers = [int(end) for end in ends if end is not None]
    except (TypeError, ValueError):
        return np.zeros(stored.shape, dtype=bool)
    if ends[0] is None or not numbers:
        return np.zeros(stored.shape, dtype=bool)
    bits = 8 * stored.dtype.itemsize
    alike = [(number + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1) for number in numbers]
    signed = alike if stored.dtype.kind == "i" else [number % 2**bits for number in alike]
    return (stored >= min(signed)) & (stored <= max(signed))


def _check_decodable(path: Path) -> None:
    with _damage_explained(path), _no_warnings():
        meta = read_file_meta_info(path)
    syntax = UID(str(meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)))
    if syntax == DeflatedExplicitVRLittleEndian:
        raise ValueError(f"{path} is a deflated DICOM file, which may unpack to any size; save it as Explicit VR Little Endian")
    cure = "save it uncompressed, as Explicit VR Little Endian"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise ValueError(f"{path} has the unknown transfer syntax {syntax.name!r}; {cure}") from error
    if not decoder.is_available:
        raise ValueError(f"{path} is compressed as {syntax.name!r} ({syntax}), and no decoder for that is installed; {cure}")


def _read(path: Path, pixels: bool) -> Any:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path} has {size / 2**30:.1f} GiB, more than the limit of 1 GiB a slice; export single slices")
    with _damage_explained(path), _no_warnings():
        if not pixels and read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise ValueError("deflated: it may unpack to any size")
        return pydicom.dcmread(path, stop_before_pixels=not pixels)


def _facts(dataset: Any, path: Path) -> SliceFacts:
    kind = str(dataset.get("Modality", "") or "").strip()
    if "Rows" not in dataset and kind in _NO_IMAGES:
        raise NoImageError(f"{path} is no image but {kind}; take it out")
    with _damage_explained(path), _no_warnings():
        if "Rows" not in dataset or "Columns" not in dataset:
            raise ValueError("it has no rows and columns: no image")
        rows, columns, frames = int(dataset.Rows), int(dataset.Columns), int(dataset.get("NumberOfFrames", 1) or 1)
        colours = int(dataset.get("SamplesPerPixel", 1) or 1)
        spacing = _numbers(dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing"), 2)
        corner = _numbers(dataset.get("ImagePositionPatient"), 3)
        turned = _numbers(dataset.get("ImageOrientationPatient"), 6)
        words = ("Modality", "PatientID", "SeriesInstanceUID", "StudyInstanceUID", "SOPInstanceUID")
        modality, patient, series, study, instance = (str(dataset.get(name, "") or "").strip() for name in words)
        kinds = dataset.get("ImageType") or ()
        kinds = (kinds,) if isinstance(kinds, str) else kinds
        scout = any(str(kind).strip().upper() in _SCOUTS for kind in kinds)
        drawn = modality == "SEG" or bool(re.search(r"(?i)\bmasks?\b", str(dataset.get("SeriesDescription", "") or "")))
        signed = bool(dataset.get("PixelRepresentation", 0))
        hounsfield = modality == "CT" and (signed or dataset.get("RescaleIntercept") is not None)
    if frames != 1 or colours != 1:
        what = f"{frames} frames" if frames != 1 else f"{colours} colours a pixel"
        raise ValueError(f"{path} holds {what}; only single grey slices are read: export it as such")
    if not 0 < rows * columns <= MAX_PIXELS:
        raise ValueError(f"{path} claims {columns} x {rows} pixels; the limit is {MAX_PIXELS}")
    if spacing is not None and min(spacing) <= 0:
        spacing = None
    place, affine, normal = None, None, None
    if corner is not None and turned is not None:
        across = np.cross(turned[:3], turned[3:])
        place, normal = float(np.dot(across, corner)), (float(across[0]), float(across[1]), float(across[2]))
        if spacing is not None:
            affine = _affine(corner, turned, spacing)
    between = None if spacing is None else (spacing[0], spacing[1])
    return SliceFacts(
        rows, columns, modality, patient, series, place, between, affine, study, instance, normal, scout, drawn, hounsfield
    )


def _affine(corner: list[float], turned: list[float], spacing: list[float]) -> Float[np.ndarray, "4 4"]:
    """DICOM PS3.3 C.7.6.2.1.1, with x and y negated: DICOM counts to the left and back, nibabel to the right and front."""
    matrix = np.eye(4)
    matrix[:3, 0] = np.array(turned[:3]) * spacing[1]
    matrix[:3, 1] = np.array(turned[3:]) * spacing[0]
    matrix[:3, 2] = np.cross(turned[:3], turned[3:])
    matrix[:3, 3] = corner
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


def _numbers(value: Any, count: int) -> list[float] | None:
    """`value` as `count` finite numbers, None where it is absent, empty or something else."""
    try:
        numbers = [float(item) for item in value]
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Scanners write values that break the standard's fine print; nothing that we read depends on it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _damage_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (*_BROKEN, struct.error, zlib.error, MemoryError) as error:
        raise ValueError(f"{path} is damaged or no DICOM image ({error}); export it again") from error
