import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from chromogen.data.cases.layouts import find_studies
from chromogen.data.cases.studies import Found


def volume(path: Path, value: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.full((3, 4, 5), value, dtype=np.int16), np.eye(4)), path)
    return path


def picture(path: Path, value: int = 1, size: tuple[int, int] = (4, 3)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return path


def dicom(path: Path, place: float = 0.0, series: str = "1.2.3", patient: str = "P1") -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    dataset.PatientID, dataset.SeriesInstanceUID, dataset.Modality = patient, series, "CT"
    dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 4, 4, 16, 16, 15
    dataset.PixelRepresentation, dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 0, 1, "MONOCHROME2"
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, place], [1, 0, 0, 0, 1, 0]
    dataset.PixelData = np.full((4, 4), int(place), dtype=np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def voc(path: Path, name: str = "A", box: tuple[int, ...] = (1, 1, 3, 3)) -> Path:
    corners = "".join(f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    path.write_text(f"<annotation><object><name>{name}</name><bndbox>{corners}</bndbox></object></annotation>")
    return path


def rows(found: Found) -> list[tuple[str, str, str]]:
    return [(study.name, study.patient, study.split) for study in found.studies]


def brats(root: Path, *patients: str, ending: str = ".nii.gz") -> Path:
    for patient in patients:
        for part in ("flair", "t1", "t1ce", "t2", "seg"):
            volume(root / patient / f"{Path(patient).name}_{part}{ending}")
    return root


def test_brats_folders(tmp_path: Path) -> None:
    layout, found = find_studies(brats(tmp_path, "Brats18_A_1", "Brats18_B_1", ending=".nii"))
    assert layout == "brats" and found.modalities == ("T1", "T1c", "T2", "FLAIR") and found.problems == []
    assert rows(found) == [("Brats18_A_1", "Brats18_A_1", ""), ("Brats18_B_1", "Brats18_B_1", "")]
    assert [path.name for path in found.studies[0].files] == [
        f"Brats18_A_1_{part}.nii" for part in ("t1", "t1ce", "t2", "flair", "seg")
    ]
    _, some = find_studies(tmp_path, "brats", ("FLAIR", "T1"))
    assert [path.name for _, path in some.studies[0].images] == ["Brats18_A_1_flair.nii", "Brats18_A_1_t1.nii"]


def test_one_person_scanned_twice_is_one_patient(tmp_path: Path) -> None:
    for name in ("BraTS-GLI-00005-100", "BraTS-GLI-00005-101"):
        for part in ("t1n", "t1c", "t2w", "t2f", "seg"):
            volume(tmp_path / "training" / name / f"{name}-{part}.nii.gz")
    _, found = find_studies(tmp_path)
    assert [row[1:] for row in rows(found)] == [("BraTS-GLI-00005", "train")] * 2
    assert found.modalities == ("T1", "T1c", "T2", "FLAIR")


def test_a_missing_modality_and_a_missing_label_are_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    brats(tmp_path, "A", "B", "C")
    (tmp_path / "A" / "A_t2.nii.gz").unlink()
    (tmp_path / "B" / "B_seg.nii.gz").unlink()
    _, found = find_studies(tmp_path)
    assert [study.name for study in found.studies] == ["C"]
    assert found.problems[0].startswith(f"{tmp_path / 'A'} lacks T2 (it holds A_flair.nii.gz, A_seg.nii.gz")
    assert found.problems[1].startswith(f"{tmp_path / 'B'} has no label")
    volume(tmp_path / "C" / "other_t1.nii.gz")
    _, found = find_studies(tmp_path)
    assert [study.name for study in found.studies] == ["C"] and "passed over, such as" in found.notes[0]
    (tmp_path / "C" / "C_t1.nii.gz").rename(tmp_path / "C" / "more_t1.nii.gz")
    _, found = find_studies(tmp_path)
    assert not found.studies and any("both are T1 of one patient; keep one" in problem for problem in found.problems)


def test_the_two_sets_with_names_of_their_own(tmp_path: Path) -> None:
    for name in ("T1", "T1POST", "T2", "FLAIR", "GOLD_STANDARD"):
        volume(tmp_path / "ms" / "patient07" / f"{name}.nii.gz")
    layout, found = find_studies(tmp_path / "ms")
    assert layout == "open_ms" and found.modalities == ("T1", "T1POST", "T2", "FLAIR") and found.classes == ("none", "lesion")
    for name in ("Flair_subtrMeanDivStd", "T1c_subtrMeanDivStd", "OTMultiClass", "brainmask"):
        volume(tmp_path / "b" / "validation" / "brats_2013_pat0004_1" / f"{name}.nii.gz")
    layout, found = find_studies(tmp_path / "b")
    assert layout == "brats2015" and found.modalities == ("T1c", "FLAIR") and len(found.classes) == 5
    assert rows(found) == [("validation/brats_2013_pat0004_1", "brats_2013_pat0004", "val")]


def nnunet(root: Path, facts: object = None) -> Path:
    usual = {"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0, "lesion": 2}, "file_ending": ".nii.gz"}
    for folder, name in (("Tr", "a_1"), ("Tr", "b_2"), ("Ts", "c_3")):
        for channel in range(2):
            volume(root / f"images{folder}" / f"{name}_000{channel}.nii.gz")
        volume(root / f"labels{folder}" / f"{name}.nii.gz")
    (root / "dataset.json").write_text(json.dumps(usual if facts is None else facts))
    return root


def test_nnunet(tmp_path: Path) -> None:
    layout, found = find_studies(nnunet(tmp_path))
    assert layout == "nnunet" and found.modalities == ("T1", "FLAIR") and found.classes == ("background", "unused 1", "lesion")
    assert rows(found) == [("imagesTr/a_1", "a_1", ""), ("imagesTr/b_2", "b_2", ""), ("imagesTs/c_3", "c_3", "test")]
    (tmp_path / "imagesTr" / "a_1_0001.nii.gz").unlink()
    (tmp_path / "labelsTr" / "b_2.nii.gz").rename(tmp_path / "labelsTr" / "z.nii.gz")
    _, found = find_studies(tmp_path)
    assert [study.patient for study in found.studies] == ["c_3"]
    assert [problem.split("imagesTr/")[-1] for problem in found.problems[:2]] == [
        "a_1 lacks FLAIR; add the file, or leave the channel out",
        "b_2 has no label in labelsTr; add it or take the images out",
    ]
    assert found.problems[2].endswith("labelsTr/z.nii.gz labels no image of imagesTr; add the image or take the label out")


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"labels": {"background": 0, "a": 1}}, "names no channels"),
        ({"channel_names": ["T1"], "labels": {}}, "channel_names must look like"),
        ({"channel_names": {"0": "T1"}, "labels": {"background": 0, "whole": ["a", 2]}}, "or a region its numbers"),
        ({"channel_names": {"0": "T1"}, "labels": {"a": 1}}, "labels must hold background 0"),
        ([], "is not an object"),
    ],
)
def test_nnunet_with_a_faulty_description(tmp_path: Path, facts: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        find_studies(nnunet(tmp_path, facts))


def test_both_eyes_are_one_patient(tmp_path: Path) -> None:
    for name in ("Image_01L", "Image_01R", "Image_02L"):
        picture(tmp_path / f"{name}.jpg")
        picture(tmp_path / f"{name}_1stHO.png")
    picture(tmp_path / "Image_03L.jpg")
    layout, found = find_studies(tmp_path)
    assert layout == "chase" and found.colour is True
    assert [study.patient for study in found.studies] == ["01", "01", "02"]
    assert found.problems == [f"{tmp_path / 'Image_03L.jpg'} has no Image_03L_1stHO.png; add the vessels or take the image out"]


def test_stacks(tmp_path: Path) -> None:
    for name, count in (("x_train", 2), ("y_train", 2), ("x_test", 1), ("y_test", 3)):
        np.save(tmp_path / f"{name}.npy", np.zeros((count, 4, 4, 1), dtype=np.float32))
    layout, found = find_studies(tmp_path)
    assert layout == "stacks" and [(study.index, study.split) for study in found.studies] == [(0, "train"), (1, "train")]
    assert "x_test.npy holds 1 pictures, and" in found.problems[0] and found.problems[0].endswith(
        "give as many labels as images"
    )
    assert "hold no patient id" in found.notes[0]


def test_slices_with_boxes(tmp_path: Path) -> None:
    for name, place, patient in (("a", 0.0, "P1"), ("b", 5.0, "P1"), ("c", 10.0, "P1"), ("d", 40.0, "P1"), ("e", 0.0, "P2")):
        dicom(tmp_path / patient / f"{name}.dcm", place, f"1.2.{patient[1]}", patient)
    voc(tmp_path / "P1" / "b.xml", "G")
    voc(tmp_path / "P2" / "e.xml", "A")
    layout, found = find_studies(tmp_path)
    assert (
        layout == "dicom_boxes"
        and found.label == "boxes"
        and found.classes == ("none", "A", "G")
        and found.modalities == ("CT",)
    )
    assert rows(found) == [("P1/a", "P1", ""), ("P1/b", "P1", ""), ("P1/c", "P1", ""), ("P1/d", "P1", ""), ("P2/e", "P2", "")]
    near = ["".join(path.stem for path in study.between or ()) for study in found.studies]
    assert near == ["ab", "ac", "bc", "dd", "ee"]  # the slice itself at the ends and across a gap
    (tmp_path / "P1" / "c.dcm").write_bytes(b"broken")
    (tmp_path / "P2" / "e.xml").write_text("<annotation><object></annotation>")
    _, found = find_studies(tmp_path)
    assert [study.name for study in found.studies] == ["P1/a", "P1/b", "P1/d"] and found.classes == ("none", "G")
    assert "c.dcm is damaged or no DICOM image" in found.problems[0] and "e.xml is not XML" in found.problems[1]


def test_images_beside_masks(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("ID_0013_Z_0047", "ID_0014_Z_0001"):
            picture(tmp_path / split / "images" / f"{name}.png")
            picture(tmp_path / split / "masks" / f"{name}_mask.png")
    picture(tmp_path / "train" / "images" / "alone.png")
    picture(tmp_path / "train" / "masks" / "other.png")
    layout, found = find_studies(tmp_path)
    assert layout == "image_masks"
    assert [row[1:] for row in rows(found)] == [
        ("ID_0013", "test"),
        ("ID_0014", "test"),
        ("ID_0013", "train"),
        ("ID_0014", "train"),
    ]
    assert "alone.png has no partner in" in found.problems[0] and "other.png labels no image of" in found.problems[1]


def test_a_folder_a_modality_beside_masks(tmp_path: Path) -> None:
    for folder in ("T1", "T2", "labels"):
        picture(tmp_path / folder / "case.png")
    _, found = find_studies(tmp_path, modalities=("T2", "T1"))
    (study,) = found.studies
    assert [(name, path.parent.name) for name, path in study.images] == [("T2", "T2"), ("T1", "T1")]


def test_files_that_differ_by_their_ending_alone(tmp_path: Path) -> None:
    for name in ("images/a.png", "images/a.bmp", "masks/a.png"):
        picture(tmp_path / name)
    assert "a.bmp and" in find_studies(tmp_path)[1].problems[0]
    for name in ("x/NORMAL/a.png", "x/NORMAL/a.bmp", "x/SICK/b.png"):
        picture(tmp_path / name)
    _, found = find_studies(tmp_path / "x")
    assert [study.name for study in found.studies] == ["SICK/b"] and len(found.problems) == 2


def test_a_folder_a_class(tmp_path: Path) -> None:
    for name in (
        "train/NORMAL/IM-0115-0001",
        "train/SICK/person7_virus_1",
        "train/SICK/person7_virus_2",
        "test/SICK/person8_virus_3",
    ):
        picture(tmp_path / f"{name}.jpeg")
    picture(tmp_path / "train" / "stray.png")
    layout, found = find_studies(tmp_path)
    assert layout == "class_folders" and found.classes == ("NORMAL", "SICK")
    assert [(s.category, s.patient, s.split) for s in found.studies] == [
        ("SICK", "person8_virus", "test"),
        ("NORMAL", "IM-0115", "train"),
        ("SICK", "person7_virus", "train"),
        ("SICK", "person7_virus", "train"),
    ]
    assert "stray.png lies in no class" in found.problems[0] and "bacteria and with virus" in found.notes[0]
    _, found = find_studies(tmp_path, pattern=r"(\d+)_virus|IM")
    assert {study.patient for study in found.studies} >= {"7", "8"}


def test_what_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is no folder"):
        find_studies(tmp_path / "gone")
    with pytest.raises(
        ValueError, match=r"holds no cases in a known layout. It holds nothing; looked for: made, nnunet, bids, brats2015"
    ):
        find_studies(tmp_path)
    with pytest.raises(ValueError, match="no layout is called 'brat'; did you mean 'brats'"):
        find_studies(tmp_path, "brat")
    for name in ("images/a.png", "masks/a.png"):
        picture(tmp_path / name)
    with pytest.raises(ValueError, match=r"patient_pattern 'P.+d' finds no patient in 'a'"):
        find_studies(tmp_path, pattern=r"P\d")
