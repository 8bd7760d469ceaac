import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chromogen.data.findings import SHOWN
from chromogen.data.pairs.check import check


def write(path: Path, seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB", kind: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, kind)


def bci(root: Path) -> Path:
    names = ("train/00000_train_1+", "train/00001_train_3+", "test/00000_test_0")
    for k, name in enumerate(names):
        write(root / f"HE/{name}.png", k)
        write(root / f"IHC/{name}.png", 10 + k)
    return root


def test_a_sound_set(tmp_path: Path) -> None:
    report = check(bci(tmp_path))
    assert report.problems == ()
    assert report.lines() == [
        f"{tmp_path}: bci layout, 3 pairs, 6 files",
        "splits: test x1, train x2",
        "HER2 level of the slide: 0 x1, 1+ x1, 3+ x1",
        "sizes: 8 x 8 px x6",
        "formats: PNG x6",
        "note: these names hold no patient or slide id: that no patient is in two splits cannot be verified",
        "note: the HER2 level in a name is the slide's, not the patch's",
        "no problems found",
    ]


def test_one_corrupt_file_among_good_ones(tmp_path: Path) -> None:
    path = bci(tmp_path) / "IHC/train/00001_train_3+.png"
    path.write_bytes(path.read_bytes()[:120])
    report = check(tmp_path)
    assert len(report.problems) == 1 and report.problems[0].startswith(f"{path} is damaged or cut short")
    assert "sizes: 8 x 8 px x5" in report.lines() and report.lines()[-1] == "1 problem found"


def test_every_kind_of_problem(tmp_path: Path) -> None:
    bci(tmp_path)
    shutil.copy(tmp_path / "HE/train/00000_train_1+.png", tmp_path / "HE/test/00000_test_0.png")
    write(tmp_path / "IHC/train/00001_train_3+.png", 5, (8, 9))
    write(tmp_path / "HE/train/alone.png", 6)
    problems = check(tmp_path).problems
    assert len(problems) == 3
    assert problems[0] == f"{tmp_path / 'HE/train/alone.png'} has no partner of the same name"
    assert "00001_train_3+.png is 8 x 8 px" in problems[1] and "is 8 x 9 px; a pair has one size" in problems[1]
    assert problems[2].startswith("the same bytes in HE/") and problems[2].endswith(": the splits leak")


def test_equal_files_in_one_split_are_no_leak(tmp_path: Path) -> None:
    bci(tmp_path)
    shutil.copy(tmp_path / "HE/train/00000_train_1+.png", tmp_path / "HE/train/00001_train_3+.png")
    (problem,) = check(tmp_path).problems
    assert problem == "the same bytes in HE/train/00000_train_1+.png, HE/train/00001_train_3+.png"


def test_conversions_and_formats_are_noted(tmp_path: Path) -> None:
    write(tmp_path / "HE/a.png", 0, kind="JPEG")
    write(tmp_path / "IHC/a.png", 1, mode="L")
    lines = check(tmp_path).lines()
    assert "note: JPEG inside .png: 1 files (the content decides)" in lines
    assert "note: grey made RGB: 1 files" in lines and "formats: JPEG x1, PNG x1" in lines


def test_manifest_with_a_missing_file_and_a_parted_patient(tmp_path: Path) -> None:
    for k in range(3):
        write(tmp_path / f"{k}.png", k)
    rows = "he,ihc,split,patient,mpp,licence\n0.png,1.png,train,P1,0.5,CC0\n2.png,gone.png,test,P1,0.25,CC0\n"
    (tmp_path / "manifest.csv").write_text(rows)
    report = check(tmp_path)
    assert len(report.problems) == 2
    assert "gone.png" in report.problems[0]
    assert report.problems[1] == "patient or slide 'P1' is in test and train: the splits leak"
    assert {"resolution in um/px: 0.25, 0.5", "licences: CC0"} <= set(report.notes)


def test_a_file_that_trains_and_tests_is_a_leak(tmp_path: Path) -> None:
    for k, name in enumerate(("ha", "ia", "hb", "ib")):
        write(tmp_path / f"{name}.png", k)
    rows = [
        "he,ihc,split,id",
        "ha.png,ia.png,train,1",
        "ha.png,ia.png,test,2",
        "hb.png,ib.png,train,3",
        "hb.png,ia.png,train,4",
    ]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    assert check(tmp_path).problems == (
        "ha.png is used 2 times (train x1, test x1): the splits leak",
        "ia.png is used 3 times (train x2, test x1): the splits leak",
        "hb.png is used 2 times (train x2)",
    )


def test_a_copy_of_a_file_of_two_splits_is_a_leak(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / f"{name}.png", 0)
    (tmp_path / "manifest.csv").write_text("he,ihc,split,id\na.png,b.png,test,1\na.png,b.png,train,2\nc.png,c.png,train,3")
    assert check(tmp_path).problems[-1] == "the same bytes in a.png, b.png, c.png: the splits leak"


def test_absolute_paths_and_a_relative_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("set/a.png"), 0)
    write(Path("set/b.png"), 0)
    Path("set/manifest.csv").write_text(f"he,ihc\n{tmp_path}/set/a.png,b.png\n")
    assert check("set").problems == (f"the same bytes in {tmp_path}/set/a.png, b.png",)


def test_unpaired_sets_and_odd_side_by_side(tmp_path: Path) -> None:
    write(tmp_path / "cut/trainA/x.png", 0)
    write(tmp_path / "cut/trainB/y.png", 1)
    report = check(tmp_path / "cut")
    assert report.problems == () and "targets: train x1" in report.lines()
    assert "1 source images without pairs" in report.lines()[0]
    write(tmp_path / "ab/1.png", 0, (16, 8))
    assert check(tmp_path / "ab").lines()[0].endswith("ab layout, 1 pairs, 1 files")


def test_one_file_name_in_two_splits_is_no_leak(tmp_path: Path) -> None:
    for k, split in enumerate(("train", "test")):
        write(tmp_path / split / "1.png", k, (16, 8))
    assert check(tmp_path).problems == ()


def test_a_terminal_is_not_flooded(tmp_path: Path) -> None:
    bci(tmp_path)
    for k in range(SHOWN + 5):
        write(tmp_path / f"HE/train/alone{k}.png", 100 + k)
    report = check(tmp_path)
    assert len(report.problems) == SHOWN + 5
    assert (
        "problem: ... and 5 more" in report.lines() and sum(line.startswith("problem") for line in report.lines()) == SHOWN + 1
    )


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is empty; looked for"):
        check(tmp_path)


def test_real_pairs(bci_dev: Path) -> None:
    report = check(bci_dev)
    assert report.problems == () and len(report.files) == 16
    assert {
        "HER2 level of the slide: 0 x1, 1+ x2, 2+ x2, 3+ x3",
        "sizes: 1024 x 1024 px x16",
        "formats: JPEG x16",
    } <= set(report.facts)
    assert any("no patient or slide id" in note for note in report.notes)
    assert "JPEG inside .png: 16 files (the content decides)" in report.notes
