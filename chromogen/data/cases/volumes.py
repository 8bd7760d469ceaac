"""NIfTI volumes: opened once, cut into slices that lie as a radiologist looks at them.

Whatever the order of the axes in the file, a volume is turned so that its axes run to the patient's left, to the back and to
the head (the frame of DICOM). An axial slice then has the patient's right at the left of the picture and the front on top;
in coronal and sagittal slices the head is on top, and a sagittal one looks to the left. Only axes are swapped and mirrored:
no voxel is resampled.
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import nibabel as nib
import numpy as np
from jaxtyping import Float

Axis = Literal["axial", "coronal", "sagittal"]
Affine = Float[np.ndarray, "4 4"]

AXES: tuple[str, ...] = get_args(Axis)
SUFFIXES = (".nii", ".nii.gz")
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
    the header.
    """

    path: Path
    shape: tuple[int, int, int]
    affine: Affine
    described: str
    source: Any  # nibabel's proxy: reads the voxels when asked
    turn: Any  # nibabel's orientation transform from the file to `pixels`

    @cached_property
    def pixels(self) -> np.ndarray:
        """All voxels, (left, back, head); ValueError when they cannot be read or are not finite."""
        with _damage_explained(self.path):
            values = np.asanyarray(self.source)
        values = nib.orientations.apply_orientation(values.reshape(values.shape[:3]), self.turn)
        if values.dtype.kind not in "buif":
            raise ValueError(f"{self.path} holds values of type {values.dtype}, not grey levels; save one number a voxel")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            count = int((~np.isfinite(values)).sum())
            raise ValueError(
                f"{self.path} holds {count} voxels that are not finite (NaN or infinity); write 0 where nothing is"
            )
        return values

    @cached_property
    def range(self) -> tuple[float, float]:
        """From the 0.5th percentile of all voxels to the 99.5th of those above it (every second one of large volumes).

        So the share of empty background, which is most of a head without skull, has no say in the upper end.
        """
        step = 2 if self.pixels.size > 2**20 else 1
        return robust_range(self.pixels[::step, ::step, ::step])

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


def open_volume(path: Path | str) -> Volume:
    """The volume at `path` (.nii or .nii.gz); reads the header only, the voxels come when they are asked for.

    Raises ValueError for what is no NIfTI file, a damaged one, more or fewer than three axes, more than `MAX_VOXELS` voxels
    and axes that point nowhere; OSError when the file cannot be opened.
    """
    path = Path(path)
    with _damage_explained(path):
        _check_offset(path)
        image: Any = nib.load(path)
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"{path} has the shape {_times(image.shape)}; a volume has three axes: save each modality by itself")
    if np.prod(shape, dtype=np.int64) > MAX_VOXELS:
        raise ValueError(f"{path} claims {_times(shape)} voxels, more than the limit of {MAX_VOXELS}; cut or resample it")
    if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-12:
        raise ValueError(f"{path}: its axes do not span space (affine {image.affine[:3].tolist()}); write a proper affine")
    orientations = nib.orientations
    turn = orientations.ornt_transform(orientations.io_orientation(image.affine), orientations.axcodes2ornt(("L", "P", "S")))
    affine = image.affine @ orientations.inv_ornt_aff(turn, shape)
    turned = tuple(int(shape[axis]) for axis in np.argsort(turn[:, 0]))
    described = bytes(image.header["descrip"].tobytes()).rstrip(b"\0").decode("utf-8", "replace")
    return Volume(path, turned, affine, described, image.dataobj, turn)  # type: ignore[arg-type]


def robust_range(values: np.ndarray) -> tuple[float, float]:
    """The 0.5th percentile of all values and the 99.5th of those above it; equal when nothing is above."""
    low = float(np.percentile(values, 0.5))
    above = values[values > low]
    return low, float(np.percentile(above, 99.5)) if above.size else low


def is_volume(path: Path) -> bool:
    return path.name.casefold().endswith(SUFFIXES)


def _check_offset(path: Path) -> None:
    """Look at where the header says that voxels begin, before nibabel unpacks and reads all that stands before them."""
    with path.open("rb") as handle:
        packed = handle.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as handle:
        head = handle.read(540)
    if len(head) < 348:
        raise ValueError("shorter than the header of a NIfTI file")
    order = "<" if struct.unpack("<i", head[:4])[0] in (348, 540) else ">"
    kind = struct.unpack(f"{order}i", head[:4])[0]
    if kind not in (348, 540):
        raise ValueError("no NIfTI file inside")
    offset = struct.unpack(f"{order}f", head[108:112])[0] if kind == 348 else struct.unpack(f"{order}q", head[168:176])[0]
    if not 0 <= offset <= MAX_OFFSET:
        raise ValueError(f"its voxels begin at byte {offset:.0f}")


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
