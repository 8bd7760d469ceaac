"""Volumes (NIfTI, MetaImage, NRRD): opened once, cut into slices that lie as a radiologist looks at them.

Whatever the order of the axes in the file, a volume is turned so that its axes run to the patient's left, to the back and to
the head (the frame of DICOM). An axial slice then has the patient's right at the left of the picture and the front on top;
in coronal and sagittal slices the head is on top, and a sagittal one looks to the left. Only axes are swapped and mirrored:
no voxel is resampled.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, get_args

import nibabel as nib
import numpy as np
from jaxtyping import Float

from chromogen.data.cases import raw_volumes
from chromogen.data.cases.backgrounds import GreyRange, grey_range

Axis = Literal["axial", "coronal", "sagittal"]
Affine = Float[np.ndarray, "4 4"]

AXES: tuple[str, ...] = get_args(Axis)
SUFFIXES = (".nii", ".nii.gz", *raw_volumes.SUFFIXES)
MAX_VOXELS = 2**29  # 1024 x 1024 x 512: 2 GB of float32
MAX_OFFSET = 2**24  # bytes before the first voxel; more is a header that wants a reader to unpack for ever
SAME_MM = 1e-3  # two volumes lie alike when no corner is further apart

_NORMAL = {"axial": 2, "coronal": 1, "sagittal": 0}
_BROKEN = (
    nib.filebasedimages.ImageFileError,
    nib.spatialimages.HeaderDataError,
    EOFError,
    zlib.error,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, eq=False)
class Volume:
    """One volume, its axes turned to left, back and head. `pixels` may be a view of memory that belongs to nibabel.

    `affine` takes an index of `pixels` to mm in the patient (right, front, head: nibabel's frame); `described` is the text of
    the header. `doubts` are sentences on what other programs read otherwise. `ct`: the values are Hounsfield units.
    """

    path: Path
    shape: tuple[int, int, int]
    affine: Affine
    described: str
    read: Callable[[], np.ndarray]  # the voxels in the order of the file, three axes
    turn: Any  # nibabel's orientation transform from the file to `pixels`
    doubts: tuple[str, ...] = ()
    ct: bool = False

    @cached_property
    def pixels(self) -> np.ndarray:
        """All voxels, (left, back, head); ValueError when they cannot be read or are not finite."""
        with _damage_explained(self.path):
            values = self.read()
        values = nib.orientations.apply_orientation(values, self.turn)
        if values.dtype.kind not in "buif":
            raise ValueError(f"{self.path} holds values of type {values.dtype}, not grey levels; save one number a voxel")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            count = int((~np.isfinite(values)).sum())
            raise ValueError(
                f"{self.path} holds {count} voxels that are not finite (NaN or infinity); write 0 where nothing is"
            )
        return values

    @cached_property
    def grey(self) -> GreyRange:
        """What becomes black and white (from every second voxel of large volumes); ValueError where all voxels are alike."""
        step = 2 if self.pixels.size > 2**20 else 1
        found = grey_range(self.pixels[::step, ::step, ::step], self.ct)
        if not found.high > found.low and not self.pixels.min() < self.pixels.max():
            raise ValueError(
                f"{self.path} holds {self.pixels.flat[0]:g} in every voxel: this image is missing; put the right file there, "
                "take the patient out, or name modalities without it"
            )
        return found

    def count(self, axis: Axis) -> int:
        """The number of slices."""
        return self.shape[_NORMAL[axis]]

    def slice(self, axis: Axis, number: int) -> np.ndarray:
        """Slice `number`, (H, W): from the feet (axial), the front (coronal) or the right (sagittal)."""
        if axis == "axial":
            return self.pixels[:, :, number].T
        return (self.pixels[:, number, ::-1] if axis == "coronal" else self.pixels[number, :, ::-1]).T

    def spacing(self, axis: Axis) -> tuple[float, float]:
        """mm between rows and between columns of a slice."""
        left, back, head = (float(step) for step in np.linalg.norm(self.affine[:3, :3], axis=0))
        return {"axial": (back, left), "coronal": (head, left), "sagittal": (head, back)}[axis]

    def slice_affine(self, axis: Axis, number: int) -> Affine:
        """Takes (column, row, 0, 1) of a slice to mm in the patient (right, front, head)."""
        place = np.zeros((4, 4))
        column, row = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}[axis]
        place[column, 0] = 1
        place[row, 1] = 1 if axis == "axial" else -1
        place[row, 3] = 0 if axis == "axial" else self.shape[2] - 1
        place[_NORMAL[axis], 2] = 1
        place[_NORMAL[axis], 3] = number
        place[3, 3] = 1
        return self.affine @ place

    def check_same_place(self, other: "Volume") -> None:
        """ValueError unless both have the same voxels at the same places of the patient."""
        if self.shape != other.shape:
            raise ValueError(
                f"{self.path} has {_times(self.shape)} voxels, {other.path} {_times(other.shape)}; register them to one grid"
            )
        steps = [np.linalg.norm(volume.affine[:3, :3], axis=0) for volume in (self, other)]
        if np.abs(steps[0] - steps[1]).max() > SAME_MM:
            sizes = [_times([f"{step:.3g}" for step in found]) for found in steps]
            raise ValueError(
                f"{self.path} has voxels of {sizes[0]} mm, {other.path} of {sizes[1]} mm; register them to one grid"
            )
        corners = np.array([[x, y, z, 1] for x in (0, self.shape[0]) for y in (0, self.shape[1]) for z in (0, self.shape[2])])
        apart = float(np.abs((self.affine - other.affine)[:3] @ corners.T).max())
        if apart > max(SAME_MM, 0.1 * float(steps[0].min())):
            raise ValueError(f"{self.path} and {other.path} lie up to {apart:.2g} mm apart; register them to one grid")


def open_volume(path: Path | str, channel: int | None = None, ct: bool = False) -> Volume:
    """The volume at `path` (.nii, .nii.gz, .mha, .mhd, .nrrd, .nhdr); reads the header only, the voxels come when asked for.

    `channel` picks one of a file with four axes. Raises ValueError for another format, a damaged file, more or fewer than three
    axes, a channel that is not there, more than `MAX_VOXELS` voxels and axes that point nowhere; OSError when it cannot be
    opened.
    """
    path = Path(path)
    doubts: tuple[str, ...] = ()
    described = ""
    if path.name.casefold().endswith(raw_volumes.SUFFIXES):
        raw = raw_volumes.open_raw(path)
        shape, affine = (*raw.shape, *((raw.channels,) if raw.channels > 1 else ())), raw.affine

        def whole() -> np.ndarray:
            return raw.read()

        def part(number: int) -> np.ndarray:
            return raw.read()[..., number]

    else:
        with _damage_explained(path):
            doubts = _doubts(path)
            image: Any = _nifti(path)
        shape, affine = image.shape, image.affine
        described = bytes(image.header["descrip"].tobytes()).rstrip(b"\0").decode("utf-8", "replace")
        lasting = 4 if len(shape) == 5 and shape[3] == 1 else 3
        whole = partial(_squeezed, image.dataobj)
        part = partial(_one_channel, image.dataobj, lasting)
        shape = (*shape[:3], *shape[4:]) if lasting == 4 else shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 4 and channel is not None:
        if channel >= shape[3]:
            raise ValueError(
                f"{path} holds {shape[3]} channels, and channel {channel} (from 0) was asked for; name fewer modalities"
            )
        whole, shape = partial(part, channel), shape[:3]
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"{path} has the shape {_times(shape)}; a volume has three axes: save each modality by itself")
    if np.prod(shape, dtype=np.int64) > MAX_VOXELS:
        raise ValueError(f"{path} claims {_times(shape)} voxels, more than the limit of {MAX_VOXELS}; cut or resample it")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ValueError(f"{path}: its axes do not span space (affine {affine[:3].tolist()}); write a proper affine")
    turn, turned, affine = _as_looked_at(shape, affine)
    return Volume(path, turned, affine, described, whole, turn, doubts, ct)


def channels_of(path: Path) -> int:
    """How many volumes a file holds: the length of its fourth axis, 1 where it has none. Errors of `open_volume`."""
    if path.name.casefold().endswith(raw_volumes.SUFFIXES):
        return raw_volumes.open_raw(path).channels
    with _damage_explained(path):
        _doubts(path)
        shape = _nifti(path).shape
    return int(np.prod(shape[3:], dtype=np.int64))


def _as_looked_at(shape: tuple[int, ...], affine: Affine) -> tuple[Any, tuple[int, int, int], Affine]:
    """nibabel's transform to axes that run left, back and head, and the shape and the affine behind it."""
    orientations = nib.orientations
    turn = orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt(("L", "P", "S")))
    turned = [int(shape[axis]) for axis in np.argsort(turn[:, 0])]
    return turn, (turned[0], turned[1], turned[2]), affine @ orientations.inv_ornt_aff(turn, shape)


def _nifti(path: Path) -> Any:
    """nibabel's image; whether a file is packed its content says, not its name."""
    packed = _is_packed(path)
    if packed == path.name.casefold().endswith(".gz"):
        return nib.load(path)
    kind = nib.Nifti2Image if _first_bytes(path)[4:7] == b"n+2" else nib.Nifti1Image
    with gzip.open(path) if packed else path.open("rb") as handle:
        held = io.BytesIO(handle.read(MAX_OFFSET + 8 * MAX_VOXELS))
    return kind.from_file_map({"header": nib.FileHolder(fileobj=held), "image": nib.FileHolder(fileobj=held)})


def _squeezed(source: Any) -> np.ndarray:
    values = np.asanyarray(source)
    return values.reshape(values.shape[:3])


def _one_channel(source: Any, axis: int, number: int) -> np.ndarray:
    values = np.asanyarray(source[..., number])
    return values.reshape(values.shape[:3]) if axis == 4 else values


def is_volume(path: Path) -> bool:
    return path.name.casefold().endswith(SUFFIXES)


def without_suffix(path: Path) -> str:
    """The name of a volume without its ending, .nii.gz being one."""
    return path.name[:-7] if path.name.casefold().endswith(".nii.gz") else path.stem


def _is_packed(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(2) == b"\x1f\x8b"


def _first_bytes(path: Path) -> bytes:
    with gzip.open(path) if _is_packed(path) else path.open("rb") as handle:
        return handle.read(540)


def _doubts(path: Path) -> tuple[str, ...]:
    """What a NIfTI header says in two ways. ValueError for no header, and for voxels that begin too far behind it: nibabel
    would unpack and read all that stands before them."""
    head = _first_bytes(path)
    if len(head) < 348:
        raise ValueError("shorter than the header of a NIfTI file")
    order = "<" if struct.unpack("<i", head[:4])[0] in (348, 540) else ">"
    kind = struct.unpack(f"{order}i", head[:4])[0]
    if kind not in (348, 540) or (kind == 540 and len(head) < 540):
        raise ValueError("no NIfTI file inside")
    offset = struct.unpack(f"{order}f", head[108:112])[0] if kind == 348 else struct.unpack(f"{order}q", head[168:176])[0]
    if not 0 <= offset <= MAX_OFFSET:
        raise ValueError(f"its voxels begin at byte {offset:.0f}")
    header = nib.Nifti1Header(head[:348], order, False) if kind == 348 else nib.Nifti2Header(head[:540], order, False)
    found = []
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 and np.isfinite(intercept) and intercept != 0:
        found.append(
            f"scale by slope 0 with an intercept ({intercept:g}): by the standard neither counts, as here; ITK adds it"
        )
    if int(header["qform_code"]) > 0 and int(header["sform_code"]) > 0:
        sides = [max(1, int(side)) for side in header["dim"][1:4]]
        corners = np.array([[x, y, z, 1] for x in (0, sides[0]) for y in (0, sides[1]) for z in (0, sides[2])], dtype=float)
        apart = float(np.abs((header.get_qform() - header.get_sform())[:3] @ corners.T).max())
        if apart > max(0.1, 0.1 * float(np.abs(header["pixdim"][1:4]).min())):
            found.append(
                f"have two placements (qform and sform) up to {apart:.3g} mm apart: the sform is taken, ITK takes the qform"
            )
    return tuple(found)


@contextmanager
def _damage_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's own words: no permission, no such device
        raise ValueError(f"{path} is damaged or no NIfTI file ({error}); copy it again from its origin") from error


def _times(numbers: Any) -> str:
    return " x ".join(map(str, numbers))
