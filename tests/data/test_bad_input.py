"""What is wrong with a set is said in a sentence by whoever opens it; checks of the parts are beside their modules."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from chromogen.data.cases.check import check_cases
from chromogen.data.cases.source import CaseSource, open_cases
from tests.data.cases.test_layouts import dicom, voc
from tests.data.cases.test_source import volumes


def rewritten(path: Path, affine: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(np.asarray(nib.load(path).dataobj), affine), path)  # type: ignore[attr-defined]


@pytest.mark.parametrize("part", ["flair", "seg"])
def test_another_spacing_within_a_case(tmp_path: Path, part: str) -> None:
    rewritten(volumes(tmp_path) / "B" / f"B_{part}.nii.gz", np.diag([-2.0, -1.0, 1.5, 1.0]))
    with pytest.raises(ValueError, match=rf"voxels of 2 x 1 x 3 mm, .*B_{part}.nii.gz of 2 x 1 x 1.5 mm; register"):
        open_cases(CaseSource(str(tmp_path)))
    told: list[str] = []
    assert set(open_cases(CaseSource(str(tmp_path)), told.append).patients) == {"A", "C"} and len(told) == 1


def test_a_label_that_lies_beside_its_image(tmp_path: Path) -> None:
    moved = np.diag([-2.0, -1.0, 3.0, 1.0])
    moved[:3, 3] = (40.0, 0.0, 0.0)
    rewritten(volumes(tmp_path) / "B" / "B_seg.nii.gz", moved)
    with pytest.raises(ValueError, match=r"B_seg.nii.gz lie up to 40 mm apart; register"):
        open_cases(CaseSource(str(tmp_path)))


def test_a_box_outside_its_image(tmp_path: Path) -> None:
    for patient in ("P1", "P2", "P3"):
        dicom(tmp_path / patient / "a.dcm", 0.0, f"1.2.{patient[1]}", patient)
        voc(tmp_path / patient / "a.xml", box=(1, 1, 3, 3) if patient != "P2" else (1, 1, 9, 3))
    sentence = r"P2/a.xml has the box 'A' from \(1, 1\) to \(9, 3\), outside the image of 4 x 4 px; draw the boxes on the image"
    cases = open_cases(CaseSource(str(tmp_path)))
    with pytest.raises(ValueError, match=sentence):
        for number in range(len(cases)):
            cases[number]
    with pytest.raises(ValueError, match=sentence):
        raise ValueError("\n".join(check_cases(CaseSource(str(tmp_path))).problems))
