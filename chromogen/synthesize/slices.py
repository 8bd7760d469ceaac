"""A made slice as a NIfTI volume one voxel thick, that lies in the patient as the slices it was learned from do.

Pictures lie as a radiologist looks at them (`data.cases.volumes`): in axial and coronal ones columns run to the patient's left,
in sagittal ones to the back; rows run to the back (axial) or to the feet. The file's axes are column, row, across; its affine
says so, in nibabel's frame (right, front, head).

nnU-Net turns the axis of the largest spacing to the front and takes the other two for its 2-D patch; a slice thinner than its
pixels gets a patch of rows. So the thickness is at least the larger side of a pixel.
"""

from pathlib import Path

import nibabel
import numpy as np
from jaxtyping import Float

from chromogen.data.cases.volumes import Axis
from chromogen.files import written_whole

LEFT, BACK, FEET = (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)
_RUN = {"axial": (LEFT, BACK), "coronal": (LEFT, FEET), "sagittal": (BACK, FEET)}  # columns and rows of a picture


def slice_affine(
    shape: tuple[int, int], spacing_mm: tuple[float, float] | None, axis: Axis = "axial"
) -> Float[np.ndarray, "4 4"]:
    """From (column, row, 0) to mm (right, front, head), the middle of the picture at 0.

    `shape` is rows and columns, `spacing_mm` between rows and between columns (1 mm where nobody knows).
    """
    row, column = spacing_mm or (1.0, 1.0)
    across = np.cross(*_RUN[axis])
    affine = np.eye(4)
    affine[:3, :3] = np.stack([*_RUN[axis], across], axis=1) @ np.diag([column, row, max(1.0, row, column)])
    affine[:3, 3] = -affine[:3, :3] @ [(shape[1] - 1) / 2, (shape[0] - 1) / 2, 0]
    return affine + 0.0  # no -0


def write_slice(path: Path, plane: np.ndarray, affine: Float[np.ndarray, "4 4"], described: str) -> None:
    """Write (H, W) as a volume of one slice, whole or not at all; both of NIfTI's placements say the same."""
    volume = nibabel.Nifti1Image(plane.T[..., None], affine)
    volume.set_sform(affine, "aligned")
    volume.set_qform(affine, "aligned")
    volume.header.set_xyzt_units("mm")
    volume.header["descrip"] = described.encode()
    with written_whole(path) as partial:
        named = partial.with_name(partial.name + ".nii.gz")  # nibabel goes by the ending
        try:
            nibabel.save(volume, named)
            named.replace(partial)
        finally:
            named.unlink(missing_ok=True)
