"""Every layout and fault of `tests/miniatures/cases.py` is read right, or refused with the right sentence."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from chromogen.cli import main
from chromogen.data.cases.check import check_cases
from chromogen.data.cases.source import CaseSource, SliceRule, open_cases
from tests.miniatures import more_cases as more_cases
from tests.miniatures.cases import MINIATURES

SOURCE = SliceRule(min_foreground=0)


@pytest.mark.parametrize("name", list(MINIATURES))
def test_a_check_says_what_is_right(name: str, tmp_path: Path) -> None:
    write, right = MINIATURES[name]
    write(tmp_path)
    source = CaseSource(str(tmp_path), slices=SOURCE)
    if right.refused:
        with pytest.raises(ValueError, match=right.refused):
            check_cases(source)
        return
    report = check_cases(source)
    for words in right.problems:
        assert any(words in problem for problem in report.problems), (words, report.problems)
    assert right.problems or not report.problems, report.problems
    for words in right.notes:
        assert any(words in note for note in report.notes), (words, report.notes)
    assert report.facts[0].startswith(f"{tmp_path}: {right.layout} layout, {right.patients} patients")
    assert sum(facts.cases for facts in report.studies) == right.cases


@pytest.mark.parametrize("name", [name for name, (_, right) in MINIATURES.items() if not right.refused])
def test_the_cases_are_read(name: str, tmp_path: Path) -> None:
    write, right = MINIATURES[name]
    write(tmp_path)
    told: list[str] = []
    try:
        cases = open_cases(CaseSource(str(tmp_path), slices=SOURCE), told.append)
    except ValueError as error:
        assert right.problems and any(words in str(error) for words in right.problems)
        return
    assert not right.classes or cases.classes == right.classes
    assert not right.modalities or cases.modalities == right.modalities
    case = cases[0]
    for image in case.images.values():
        assert image.dtype == np.float32 and image.min() >= 0 and 0.5 < image.max() <= 1 and image.std() > 0.1
    splits = Counter(member.split for member in cases.members)
    assert set(splits) <= {"train", "val", "test"}
    by_patient = {(member.patient, member.split) for member in cases.members}
    assert len({patient for patient, _ in by_patient}) == len(by_patient)


@pytest.mark.parametrize(
    ("name", "squares"),
    [
        ("masks_of_grey_levels", {1: 25, 2: 25, 3: 25}),
        ("masks_of_colours", {1: 25, 2: 25}),
        ("masks_of_a_palette_whose_0_is_white", {1: 25}),
        ("masks_of_12_bits", {1: 25}),
        ("masks_whose_background_is_white", {1: 119, 2: 25}),
        ("montgomery", {1: 25, 2: 25}),
        ("drive", {1: 25}),
        ("nnunet_colours_in_one_png", {1: 25}),
    ],
)
def test_masks_mean_what_was_drawn(name: str, squares: dict[int, int], tmp_path: Path) -> None:
    MINIATURES[name][0](tmp_path)
    case = open_cases(CaseSource(str(tmp_path)))[-1]
    assert case.mask is not None
    assert {number: int((case.mask == number).sum()) for number in np.unique(case.mask) if number} == squares


def test_busi_masks_are_united_and_mean_their_folder(tmp_path: Path) -> None:
    MINIATURES["busi"][0](tmp_path)
    cases = {case.name: case for case in open_cases(CaseSource(str(tmp_path)))}
    counts = {
        name: np.bincount(case.mask.ravel(), minlength=3)[1:].tolist() for name, case in cases.items() if case.mask is not None
    }
    assert counts["set/benign/benign (3)"] == [50, 0] and counts["set/malignant/malignant (1)"] == [0, 25]
    assert counts["set/normal/normal (1)"] == [0, 0]
    classes = open_cases(CaseSource(str(tmp_path), layout="class_folders"))
    assert len(classes) == 5 and classes.classes == ("benign", "malignant", "normal")


def test_official_test_folders_never_train(tmp_path: Path) -> None:
    MINIATURES["official_folders_are_splits"][0](tmp_path)
    for member in open_cases(CaseSource(str(tmp_path))).members:
        assert (member.split == "test") == member.name.startswith("Testing/")


def test_twins_stay_in_one_split(tmp_path: Path) -> None:
    MINIATURES["one_patient_under_two_names"][0](tmp_path)
    for seed in range(6):
        members = open_cases(CaseSource(str(tmp_path), seed=seed, slices=SOURCE)).members
        split = {member.patient: member.split for member in members}
        assert split["BraTS20_Training_001"] == split["BraTS20_Training_003"]


def test_the_command_line_says_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MINIATURES["masks_of_colours"][0](tmp_path)
    assert main(["data", "check", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "  red (255, 0, 0): in 4 of 4 cases, 2.44% of all pixels; red (255, 0, 0) in the files" in out


ROWS = Path(__file__).resolve().parents[4] / "shared" / "cases" / "radiology"
SAID = {
    "a10_ts_nolabels": "have no labels, as is usual",
    "a11b_brats2023": "enhancing tumour: in 4 of 24 cases",
    "a11c_brats2024_rc": "resection cavity: in 4 of 24 cases",
    "a17_gz_named_nii": "4 patients, 4 studies, 24 cases",
    "a19_png_rgb": "road: in 4 of 4 cases",
    "a19b_mha": "4 patients, 4 studies, 24 cases",
    "a21b_nonconsecutive": "tumour: in 8 of 24 cases, 0.35% of all pixels; number 5",
    "a26_ct_padding": "4 patients, 4 studies, 24 cases",
    "a27_zero_modality": "BraTS20_Training_003_t1ce.nii.gz holds 0 in every voxel",
    "a28_same_bytes": "they stay in one split",
    "a6_msd4d": "modalities: FLAIR, T1w, t1gd, T2w",
    "a8_regions": "tumor core: in 8 of 24 cases",
    "a9_ignore": "4 slices or pictures with something labelled to be ignored are left out",
    "d10b_padding_mr": "3 patients, 9 studies, 9 cases",
    "d18_localizer": "1 slices are localisers",
    "p12_rgb_classes": "red (255, 0, 0): in 5 of 5 cases",
    "p14_busi": "malignant: in 3 of 9 cases",
    "p16_montgomery": "4 patients, 4 studies, 4 cases",
    "p17_classes_dup": "are the same image, once glioma and once notumor",
    "p6b_levels": "level 170: in 5 of 5 cases",
    "v2_difficult": "A: 3 boxes in 3 of 8 cases",
    "x_noair_inverted": "label: in 6 of 6 cases, 2.66% of all pixels",
    "x_noair_refuge": "level 255 is none, level 128 is class 1, level 0 is class 2",
    "z13_nnunet_cases_of_patient": "3 patients, 6 studies, 36 cases",
    "z4_extra_volumes": "8 volumes are no modality or label of this layout",
}


@pytest.mark.parametrize("row", list(SAID))
def test_rows_of_the_cases_that_failed(row: str) -> None:
    if not (ROWS / row).is_dir():
        pytest.skip("needs the folders in ../shared/cases/radiology, which are not part of the repository")
    assert any(SAID[row] in line for line in check_cases(CaseSource(str(ROWS / row))).lines())
