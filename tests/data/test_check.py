"""`data check` on whole folders: pairs, classes, and what is neither."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from chromogen.data.check import check_folder
from chromogen.data.pairs.layouts import NotRecognisedError, find_pairs
from chromogen.data.pairs.sets import FolderData
from tests.miniatures import pairs as miniatures

REPOSITORY = Path(__file__).resolve().parents[2]


def pictures(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        miniatures.save(root / name, miniatures.tissue(number, 64)[number % 2])
    return root


def greys(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        values = np.random.default_rng(number).integers(0, 256, (16, 16), dtype=np.uint8)
        miniatures.save(root / name, values)
    return root


@pytest.mark.parametrize("name", ["MIST", "MIST from above", "x_HE, x_IHC", "input, target", "source, target", "patient/HE"])
def test_pairs_are_no_classes(name: str, tmp_path: Path) -> None:
    wanted = miniatures.write(name, tmp_path)
    assert f"{wanted.layout} layout" in check_folder(tmp_path).facts[0]


def test_classes_of_stained_pictures_are_a_problem(tmp_path: Path) -> None:
    report = check_folder(pictures(tmp_path, "one/a.png", "two/b.png", "one/c.png", "two/d.png"))
    assert "taken for classes, and their pictures look like H&E and IHC" in report.problems[-1]
    assert "looked for: a manifest.csv" in report.problems[-1]


def test_classes_of_other_pictures_are_none(tmp_path: Path) -> None:
    report = check_folder(greys(tmp_path, "one/a.png", "two/b.png", "one/c.png", "two/d.png"))
    assert "class_folders layout" in report.facts[0] and not any("stained" in problem for problem in report.problems)


def test_a_fault_of_pairs_is_not_hidden_behind_classes(tmp_path: Path) -> None:
    pictures(tmp_path, "HE/test_images/a.png", "IHC/test_images/a.png", "HE/train/b.png", "IHC/train/b.png")
    with pytest.raises(ValueError, match="folder 'test_images', which may be a split, and only exact words are"):
        check_folder(tmp_path)


def test_neither_says_both(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no images in a known layout.*; and as radiology cases: "):
        check_folder(pictures(tmp_path, "a.png", "b.png"))


@pytest.mark.parametrize(
    "train, test", [("Training", "Testing"), ("TRAIN", "TEST"), ("trainset", "testing_set"), ("Train", "valid")]
)
def test_no_image_of_a_test_folder_trains(train: str, test: str, tmp_path: Path) -> None:
    pictures(tmp_path, *(f"{side}/{split}/{split}.png" for split in (train, test) for side in ("HE", "IHC")))
    table = find_pairs(tmp_path)
    assert {pair.name: pair.split for pair in table.pairs} == {train: "train", test: "val" if test == "valid" else "test"}
    assert any(test in note for note in table.notes) or test == test.lower()


@pytest.mark.parametrize("word", ["test_images", "TestData", "test2", "holdout", "testdata", "Test (1)"])
def test_a_folder_that_may_be_a_split_is_refused(word: str, tmp_path: Path) -> None:
    pictures(tmp_path, "train/HE/a.png", "train/IHC/a.png", f"{word}/HE/b.png", f"{word}/IHC/b.png")
    with pytest.raises(ValueError, match="only exact words are.*rename the folder so that no test image trains"):
        find_pairs(tmp_path)


def test_two_splits_on_one_way_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, "train/test/HE/a.png", "train/test/IHC/a.png")
    with pytest.raises(ValueError, match="an image has one split"):
        find_pairs(tmp_path)


def test_several_stains_beside_one_source_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "a", "HE/a.png", "HER2/a.png", "ER/a.png")
    with pytest.raises(ValueError, match=r"several stains beside the source \(er, her2\)"):
        find_pairs(tmp_path / "a")
    pictures(tmp_path / "b", *(f"{stain}/TrainValAB/train{side}/a.png" for stain in ("HER2", "Ki67") for side in "AB"))
    with pytest.raises(ValueError, match=r"a set of each of several stains \(HER2, Ki67\); name the folder of one"):
        find_pairs(tmp_path / "b")


def test_names_of_two_unicode_forms_pair(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Gewebe_ä") for form in ("NFC", "NFD"))
    pictures(tmp_path / "a", f"HE/{composed}.png", f"IHC/{decomposed}.png")
    assert [pair.name for pair in find_pairs(tmp_path / "a").pairs] == [composed]
    pictures(tmp_path / "b", f"{composed}_HE.png", f"{decomposed}_IHC.png")
    assert len(find_pairs(tmp_path / "b").pairs) == 1
    pictures(tmp_path / "c", f"{decomposed}.png", "y.png")
    (tmp_path / "c/manifest.csv").write_text(f"he,ihc\n{composed}.png,y.png\n", encoding="utf-8")
    assert check_folder(tmp_path / "c").problems == ()


def test_folders_where_one_is_the_other_and_a_number(tmp_path: Path) -> None:
    pictures(tmp_path, "HE/a.png", "HE2/a.png", "IHC/a.png", "IHC/a2.png", "HE/a2.png")
    assert sorted(pair.name for pair in find_pairs(tmp_path).pairs) == ["a", "a2"]


def test_slides_are_no_classes(tmp_path: Path) -> None:
    for name in ("HE/a.svs", "HE/b.svs", "IHC/a.ndpi", "IHC/b.mrxs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"II*\0")
    with pytest.raises(
        ValueError, match=r"holds whole slides \(a\.svs, b\.svs, a\.ndpi, \.\.\.\), which are neither pairs nor classes"
    ):
        check_folder(tmp_path)


def prediction(path: Path, number: int) -> None:
    text = PngInfo()
    text.add_itxt("TargetStain", "virtual HER2 IHC")
    text.add_itxt("ModelSHA256", "0" * 64)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(miniatures.tissue(number, 64)[1]).save(path, pnginfo=text)


def test_predictions_are_no_classes_and_no_targets(tmp_path: Path) -> None:
    for number, name in enumerate(("one/a", "two/b", "one/c")):
        prediction(tmp_path / "classes" / f"{name}.virtual-her2.png", number)
    with pytest.raises(ValueError, match="holds predictions that `chromogen translate` made .*score them: chromogen evaluate"):
        check_folder(tmp_path / "classes")
    for number in range(2):
        miniatures.save(tmp_path / f"pairs/HE/{number}.png", miniatures.tissue(number, 64)[0])
        prediction(tmp_path / f"pairs/IHC/{number}.png", number)
    assert "predictions that `chromogen translate` made" in check_folder(tmp_path / "pairs").problems[0]


def test_no_radiology_case_is_taken_for_pairs() -> None:
    folder = REPOSITORY.parent / "shared" / "cases" / "radiology"
    if not folder.is_dir():
        pytest.skip("needs ../shared/cases/radiology, which is not part of the repository")
    for case in sorted(folder.iterdir()):
        with pytest.raises(NotRecognisedError):
            find_pairs(case)


def test_one_picture_in_two_classes_under_another_format_is_told(tmp_path: Path) -> None:
    greys(tmp_path, "one/a.png", "one/b.png", "two/c.png", "two/d.png")
    Image.open(tmp_path / "one/a.png").save(tmp_path / "two/e.tif")
    Image.open(tmp_path / "one/b.png").save(tmp_path / "two/f.png", compress_level=0)
    problems = check_folder(tmp_path).problems
    assert len(problems) == 2 and all("are the same image, once one and once two" in problem for problem in problems)


def test_slides_that_names_carry_are_split_whole(tmp_path: Path) -> None:
    """MIST's names; also names of TCGA and of patients. Whole slides validate, and none of them trains."""
    for slides in (["15M2102762", "100M2004069", "7M1"], ["TCGA-A2-A0T2", "TCGA-A2-A0T3"], ["patient1", "patient2"]):
        root = tmp_path / slides[0]
        pictures(root, *(f"train{side}/{slide}_{place}.png" for slide in slides for place in range(4) for side in "AB"))
        data = FolderData(root=root, crop_px=16, validation_share=0.34)
        train, val = ({name.rpartition("_")[0] for name in data.open(split).names} for split in ("train", "val"))
        known = [slide for slide in slides if slide != "7M1"]
        assert train and val and not (train & val & set(known)) and len(val & set(known)) <= 1


def test_a_fault_of_cases_does_not_hide_why_they_are_no_pairs(tmp_path: Path) -> None:
    pictures(tmp_path, "image/a.png", "label/a.png")
    with pytest.raises(ValueError, match="colours, too many for classes.*; as stained pairs: .*looked for: a manifest"):
        check_folder(tmp_path)
