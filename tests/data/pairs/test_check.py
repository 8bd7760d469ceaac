import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from chromogen.data.findings import SHOWN
from chromogen.data.pairs.check import check
from tests.miniatures import pairs as miniatures


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
        "sources look like: neither H&E nor IHC x3",
        "targets look like: neither H&E nor IHC x3",
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


def test_no_layout_of_pairs_raises_a_false_alarm(tmp_path: Path) -> None:
    for name in miniatures.LAYOUTS:
        root = tmp_path / name.replace("/", " ")
        miniatures.write(name, root)
        assert check(root).problems == (), name


def phantoms(root: Path, count: int = 4, first: int = 0) -> Path:
    for number in range(first, first + count):
        for side, image in zip(("HE", "IHC"), miniatures.tissue(number, 96), strict=True):
            miniatures.save(root / side / f"p{number}.png", image)
    return root


def test_it_says_what_the_pictures_are(tmp_path: Path) -> None:
    report = check(phantoms(tmp_path))
    assert "sources look like: H&E x4" in report.facts and "targets look like: IHC (haematoxylin and DAB) x4" in report.facts
    assert report.problems == ()


def test_swapped_sides_are_told(tmp_path: Path) -> None:
    root = phantoms(tmp_path)
    (root / "HE").rename(root / "x")
    (root / "IHC").rename(root / "HE")
    (root / "x").rename(root / "IHC")
    (problem,) = check(root).problems
    assert problem.startswith("source and target look swapped in 4 of 4 pairs looked at: p0, p1, p2, ...")


def test_a_side_without_stain_is_told(tmp_path: Path) -> None:
    root = phantoms(tmp_path)
    for path in (root / "IHC").iterdir():
        with Image.open(path) as image:
            grey = image.convert("L")
        grey.save(path)
    assert any(problem.startswith("the targets look like a grey picture") for problem in check(root).problems)


def test_one_swapped_pair_among_good_ones(tmp_path: Path) -> None:
    root = phantoms(tmp_path)
    he, ihc = (root / side / "p1.png" for side in ("HE", "IHC"))
    held = he.read_bytes()
    he.write_bytes(ihc.read_bytes())
    ihc.write_bytes(held)
    assert "swapped in 1 of 4 pairs looked at: p1: the source" in check(root).problems[0]


def test_one_stain_on_both_sides_is_told(tmp_path: Path) -> None:
    for number in range(3):
        miniatures.save(tmp_path / f"HE/{number}.png", miniatures.tissue(number, 96)[0])
        miniatures.save(tmp_path / f"IHC/{number}.png", miniatures.tissue(number + 4, 96)[0])
    assert check(tmp_path).problems == ("sources and targets both look like H&E: a pair needs two stains",)


@pytest.mark.parametrize("turn", range(1, 8))
def test_turned_and_mirrored_targets_are_told(turn: int, tmp_path: Path) -> None:
    root = phantoms(tmp_path)
    for path in (root / "IHC").iterdir():
        image = np.asarray(Image.open(path))
        miniatures.save(path, np.ascontiguousarray(np.rot90(image[:, ::-1] if turn >= 4 else image, turn % 4)))
    (problem,) = check(root).problems
    told = ("", "a quarter to the left", "180 degrees", "a quarter to the right", "lie mirrored left to right")
    told += ("mirrored and a quarter to the left", "mirrored top to bottom", "mirrored and a quarter to the right")
    assert problem.startswith("most targets lie") and told[turn] in problem


def test_a_picture_of_another_kind_is_noted(tmp_path: Path) -> None:
    root = phantoms(tmp_path)
    miniatures.save(root / "IHC/p2.png", np.full((96, 96, 3), 240, np.uint8))
    assert "the target looks like blank, without tissue in 1 of 4 pairs looked at: p2" in check(root).notes


def test_alpha_and_twelve_bits_are_said(tmp_path: Path) -> None:
    root = phantoms(tmp_path)
    with_alpha = np.dstack([miniatures.tissue(1, 96)[0], np.zeros((96, 96), np.uint8)])
    Image.fromarray(with_alpha).save(root / "HE/p1.png")
    tifffile.imwrite(root / "IHC/p2.tif", miniatures.tissue(2, 96)[1].astype(np.uint16) * 16, photometric="rgb")
    (root / "IHC/p2.png").unlink()
    notes = " ".join(check(root).notes)
    assert "alpha" in notes and "12-bit" in notes


@pytest.mark.parametrize("place", ["test", "train"])
def test_the_same_pixels_under_another_format_are_told(place: str, tmp_path: Path) -> None:
    """As a TIFF, and as a PNG of another compression with words in it."""
    for number, split in enumerate(("train", "train", "test", "test")):
        for side, image in zip(("HE", "IHC"), miniatures.tissue(number, 96), strict=True):
            miniatures.save(tmp_path / side / split / f"p{number}.png", image)
    image = Image.open(tmp_path / "HE/train/p0.png")
    where = tmp_path / "HE" / place / ("p2.png" if place == "test" else "p1.png")
    image.save(where, compress_level=1, pnginfo=_said())
    (problem,) = [one for one in check(tmp_path).problems if "same" in one]
    name = where.relative_to(tmp_path)
    names = ", ".join(sorted(["HE/train/p0.png", str(name)]))
    assert problem == f"the same pixels in {names}" + (": the splits leak" if place == "test" else "")
    where.unlink()
    image.save(where.with_suffix(".tif"))
    assert names[:-4] in check(tmp_path).problems[0].replace(".tif", ".png") and ".tif" in check(tmp_path).problems[0]


def _said() -> PngInfo:
    info = PngInfo()
    info.add_text("Comment", "the same picture")
    return info


def test_a_jpeg_without_its_words_is_the_same_picture(tmp_path: Path) -> None:
    for number in range(3):
        for side, image in zip(("HE", "IHC"), miniatures.tissue(number, 96), strict=True):
            miniatures.save(tmp_path / side / f"p{number}.jpg", image)
    raw = (tmp_path / "HE/p0.jpg").read_bytes()
    (tmp_path / "HE/p2.jpg").write_bytes(raw[:2] + b"\xff\xfe\x00\x06word" + raw[2:])
    assert check(tmp_path).problems == ("the same pixels in HE/p0.jpg, HE/p2.jpg",)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_damage_is_found_wherever_it_is(suffix: str, tmp_path: Path) -> None:
    for number in range(4):
        for side, image in zip(("HE", "IHC"), miniatures.tissue(number, 96), strict=True):
            miniatures.save(tmp_path / side / f"p{number}.{suffix}", image)
    raw = (tmp_path / f"HE/p0.{suffix}").read_bytes()
    (tmp_path / f"HE/p0.{suffix}").write_bytes(raw[: len(raw) // 2])
    (tmp_path / f"HE/p1.{suffix}").write_bytes(b"")
    (tmp_path / f"HE/p2.{suffix}").write_bytes(raw[:20])
    problems = check(tmp_path).problems
    assert [f"p{number}.{suffix}" in problem for number, problem in enumerate(problems)] == [True] * 3
