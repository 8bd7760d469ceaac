"""What a command takes for its pictures."""

from pathlib import Path

import pytest

from chromogen.data.inputs import find_inputs


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "he"
    for name in (
        "2.png",
        "10.png",
        "notes.txt",
        "scan.svs",
        "a/1.png",
        "a/b/3.tif",
        "c/readme.md",
        ".git/4.png",
        "__MACOSX/5.png",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(*given: Path, out: Path, subfolders: bool = False) -> list[str]:
    return [one.name for one in find_inputs(given, out, subfolders).pictures]


def test_a_folder_and_what_lies_below_it(tree: Path, tmp_path: Path) -> None:
    found = find_inputs([tree], tmp_path / "out")
    assert [one.name for one in found.pictures] == ["2.png", "10.png"] and found.ignored == ("scan.svs",)
    assert found.passed_over == (("a", 1), ("a/b", 1)) and found.origin == tree
    assert found.remark.startswith("2 pictures in subfolders were passed over (a, a/b); add --subfolders")
    assert names(tree, out=tmp_path / "out", subfolders=True) == ["2.png", "10.png", "a/1.png", "a/b/3.tif"]
    assert names(tree, out=tree / "a", subfolders=True) == ["2.png", "10.png"]  # results are no sources


def test_files_patterns_and_folders_together(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert names(tree / "*.png", out=out) == ["2.png", "10.png"]
    assert names(tree / "**" / "*.tif", tree / "2.png", out=out) == ["a/b/3.tif", "2.png"]
    assert names(tree / "2.png", tree, out=out) == ["2.png", "10.png"]  # each once
    assert names(tree / "2.png", tree / "notes.txt", out=out) == ["2.png"]  # what a shell's * brings along
    assert names(tree / "a", tree / "a" / "b", out=out) == ["1.png", "b/3.tif"]
    (tree / "x[1].png").touch()
    assert names(tree / "x[1].png", out=out) == ["x[1].png"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("*.bmp", r"no picture or folder matches .*\*\.bmp; check the pattern"),
        ("nowhere", "there is no file or folder .*nowhere"),
        ("c", "c holds no PNG, JPEG, TIFF or BMP image and no subfolder with pictures"),
    ],
)
def test_nothing_to_take_is_said(tree: Path, tmp_path: Path, given: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        find_inputs([tree / given], tmp_path / "out")
    (tree / "2.png").unlink()
    (tree / "10.png").unlink()
    with pytest.raises(ValueError, match="holds no PNG, JPEG, TIFF or BMP image; 2 pictures in subfolders were passed over"):
        find_inputs([tree], tmp_path / "out")
