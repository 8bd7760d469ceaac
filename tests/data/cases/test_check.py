from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from chromogen.data.cases.check import check_cases
from chromogen.data.cases.source import CaseSource, SliceRule
from chromogen.data.findings import SHOWN

REAL = Path(__file__).resolve().parents[4] / "shared" / "data"


def volume(path: Path, values: np.ndarray, spacing: tuple[float, float, float] = (1, 1, 1)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values.astype(np.int16), np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])), path)


def patients(root: Path, names: str = "ABC") -> Path:
    """A block of tissue in slices 1 to 4 of 6, of another brightness in everybody, with a lesion in slice 2."""
    for name in names:
        for part in ("t1", "flair", "seg"):
            values = np.zeros((8, 9, 6))
            if part == "seg":
                values[3, 3, 2] = 2
            else:
                values[2:6, 2:7, 1:5] = 100 + 2 * ord(name) + (part == "t1")
            volume(root / name / f"{name}_{part}.nii.gz", values)
    return root


def picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_a_sound_set(tmp_path: Path) -> None:
    report = check_cases(CaseSource(str(patients(tmp_path))))
    assert report.problems == ()
    assert report.lines() == [
        f"{tmp_path}: brats layout, 3 patients, 3 studies, 12 cases",
        "modalities: T1, FLAIR",
        "train: 1 patients, 4 cases",
        "val: 1 patients, 4 cases",
        "test: 1 patients, 4 cases",
        "label: mask, 25% of the cases",
        "  necrotic core: in 0 of 12 cases; number 1 in the files",
        "  oedema: in 3 of 12 cases, 0.35% of all pixels; number 2 in the files",
        "  enhancing tumour: in 0 of 12 cases; number 4 in the files",
        "grey levels: percentile",
        "sizes: 8 x 9 px x12",
        "spacing: 1 x 1 mm x12",
        "no problems found",
    ]


def test_every_fault_is_said_and_none_stops_the_rest(tmp_path: Path) -> None:
    patients(tmp_path, "ABCDEFG")
    (tmp_path / "A" / "A_t1.nii.gz").unlink()
    volume(tmp_path / "B" / "B_flair.nii.gz", np.zeros((8, 9, 7)))
    volume(tmp_path / "C" / "C_flair.nii.gz", np.zeros((8, 9, 6)), (1, 1, 2))
    raw = (tmp_path / "D" / "D_t1.nii.gz").read_bytes()
    (tmp_path / "D" / "D_t1.nii.gz").write_bytes(raw[: len(raw) // 2])
    lesion = np.zeros((8, 9, 6))
    lesion[0, 0, 2:4] = 1
    volume(tmp_path / "E" / "E_seg.nii.gz", lesion)
    lesion[0, 0, 2] = 9
    volume(tmp_path / "F" / "F_seg.nii.gz", lesion)
    report = check_cases(CaseSource(str(tmp_path)))
    expected = [
        ("A", "lacks T1 (it holds A_flair.nii.gz, A_seg.nii.gz)"),
        ("B", "B_flair.nii.gz 8 x 9 x 7; register them to one grid"),
        ("C", "C_flair.nii.gz of 1 x 1 x 2 mm; register them to one grid"),
        ("D", "D_t1.nii.gz is damaged or no NIfTI file"),
        ("E", "E_seg.nii.gz: in 2 cases the label lies outside all that is brighter than air"),
        ("F", "F_seg.nii.gz holds class 9, but the classes are 0 to 4"),
    ]
    assert len(report.problems) == len(expected)
    for problem, (_, sentence) in zip(report.problems, expected, strict=True):
        assert sentence in problem
    assert {facts.study.name: facts.cases for facts in report.studies if not facts.problems} == {"G": 4}
    assert report.lines()[-1] == "6 problems found"


def test_no_label_at_all(tmp_path: Path) -> None:
    for name in "AB":
        patients(tmp_path, name)
        volume(tmp_path / name / f"{name}_seg.nii.gz", np.zeros((8, 9, 6)))
    assert check_cases(CaseSource(str(tmp_path))).problems == (
        "none of the 8 cases bears a label: every file of it is empty; look whether they are the right ones",
    )


def test_leaks_between_splits(tmp_path: Path) -> None:
    for k, name in enumerate(("train/images/ID_0001_Z_0001", "test/images/ID_0001_Z_0002", "test/images/ID_0002_Z_0001")):
        picture(tmp_path / f"{name}.png", np.eye(8, dtype=np.uint8) * (100 + k))
        picture(tmp_path / f"{name}.png".replace("images", "masks"), np.eye(8, dtype=np.uint8))
    (tmp_path / "test" / "manifest.json").write_text(
        '{"cases": [{"name": "test/images/ID_0002_Z_0001", "origin": "synthetic"}]}'
    )
    report = check_cases(CaseSource(str(tmp_path)))
    assert [problem.split(":")[0] for problem in report.problems] == [
        "patient 'ID_0001' is in test and train",
        "test/images/ID_0002_Z_0001 is synthetic and stands in the test split; a test on made images says nothing about "
        "patients",
    ]
    assert "1 cases are synthetic" in report.notes


def test_unreadable_pictures_are_counted_one_by_one(tmp_path: Path) -> None:
    for k in range(SHOWN + 5):
        picture(tmp_path / "A" / f"{k}.png", np.eye(4, dtype=np.uint8) * 200)
        picture(tmp_path / "B" / f"b{k}.png", np.eye(4, dtype=np.uint8) * (200 + k))
        (tmp_path / "A" / f"{k}.png").write_bytes(b"broken")
    report = check_cases(CaseSource(str(tmp_path)))
    assert len(report.problems) == SHOWN + 5 and all("is none of PNG, JPEG, TIFF or BMP" in text for text in report.problems)
    assert "problem: ... and 5 more" in report.lines() and "  B: 25 of 25 cases" in report.lines()


def test_notes(tmp_path: Path) -> None:
    patients(tmp_path, "AB")
    volume(tmp_path / "B" / "B_seg.nii.gz", np.zeros((8, 9, 6)))
    report = check_cases(CaseSource(str(tmp_path), slices=SliceRule(lesion_only=True)))
    assert report.notes[:1] == ("1 studies have nothing that meets the slice rule, for example B",)
    for part in ("t1", "flair", "seg"):
        volume(tmp_path / "B" / f"B_{part}.nii.gz", np.pad(np.ones((4, 5, 4)), 2), (1, 0.5, 1))
    assert any(note.startswith("the spacing differs between cases") for note in check_cases(CaseSource(str(tmp_path))).notes)


def test_a_real_set() -> None:
    folder = REAL / "lung_ct" / "lung_pet_ct_dx"
    if not folder.is_dir():
        pytest.skip("needs the real slices in ../shared/data/lung_ct/lung_pet_ct_dx, which are not part of the repository")
    report = check_cases(CaseSource(str(folder)))
    assert report.problems == () and "label: boxes, 58% of the cases" in report.facts
    assert any(fact.startswith("  A: 38 boxes in 38 of 65 cases") for fact in report.facts)
