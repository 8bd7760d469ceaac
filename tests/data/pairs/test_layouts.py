from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromogen.data.pairs.layouts import find_pairs
from tests.miniatures import pairs as miniatures


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def paint(path: Path, width: int, height: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((height, width, 3), dtype=np.uint8)).save(path)


def found(root: Path, layout: str = "auto") -> dict[str, tuple[str, str, str]]:
    """{name: (split, source, target)} with paths relative to the root."""
    table = find_pairs(root, layout)
    root = table.root
    return {
        p.name: (p.split, p.source.relative_to(root).as_posix(), p.target.relative_to(root).as_posix() if p.target else "")
        for p in table.pairs
    }


BCI = {
    "sides first": ("HE/train/00000_train_1+.png", "IHC/train/00000_train_1+.png", "train"),
    "splits first": ("train/HE/00000_train_1+.png", "train/IHC/00000_train_1+.png", "train"),
    "lower case": ("he/validation/00000_train_1+.png", "ihc/VALID/00000_train_1+.png", "val"),
    "no splits": ("HE/00000_train_1+.png", "IHC/00000_train_1+.JPG", ""),
}


@pytest.mark.parametrize("source, target, split", BCI.values(), ids=BCI)
def test_bci(tmp_path: Path, source: str, target: str, split: str) -> None:
    touch(tmp_path, source, target, "README.txt", ".DS_Store", "__MACOSX/HE/x.png")
    table = find_pairs(tmp_path)
    assert (table.layout, table.paired, table.unpaired) == ("bci", True, ())
    assert found(tmp_path) == {"00000_train_1+": (split, source, target)}
    assert (table.pairs[0].level, table.pairs[0].group) == (1, "00000_train")
    assert [path.name for path in table.ignored] == ["README.txt"]


def test_bci_development_set(bci_dev: Path) -> None:
    """A manifest.csv of another kind lies beside HE and IHC."""
    table = find_pairs(bci_dev)
    assert (table.layout, len(table.pairs), table.unpaired) == ("bci", 8, ())
    assert Counter(pair.level for pair in table.pairs) == {0: 1, 1: 2, 2: 2, 3: 3}
    assert all(pair.target is not None and pair.target.parent.name == "IHC" for pair in table.pairs)


def test_files_without_partner_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "HE/a.png", "HE/b.png", "IHC/b.png", "IHC/c.png")
    table = find_pairs(tmp_path)
    assert [pair.name for pair in table.pairs] == ["b"]
    assert [path.relative_to(tmp_path).as_posix() for path in table.unpaired] == ["HE/a.png", "IHC/c.png"]


def test_bci_without_a_single_common_name(tmp_path: Path) -> None:
    touch(tmp_path, "HE/a.png", "IHC/b.png")
    with pytest.raises(ValueError, match=r"no source image has a target of the same name.*a\.png and .*b\.png\); give the two"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("a, b", [("trainA", "trainB"), ("train_A", "train_B"), ("A/train", "B/train"), ("train/A", "train/B")])
def test_cut(tmp_path: Path, a: str, b: str) -> None:
    touch(tmp_path, f"{a}/2.png", f"{b}/2.png", f"{a}/10.png", f"{b}/10.png")
    assert find_pairs(tmp_path).layout == "cut"
    assert found(tmp_path) == {"2": ("train", f"{a}/2.png", f"{b}/2.png"), "10": ("train", f"{a}/10.png", f"{b}/10.png")}


def test_cut_without_common_names_is_an_unpaired_set(tmp_path: Path) -> None:
    touch(tmp_path, "trainA/a1.png", "trainA/a2.png", "trainB/b1.png", "testA/a3.png", "testB/b3.png")
    table = find_pairs(tmp_path)
    assert not table.paired and all(pair.target is None for pair in table.pairs)
    assert sorted((split, path.name) for split, path in table.unpaired_targets) == [("test", "b3.png"), ("train", "b1.png")]


def test_slides_in_names_become_groups(tmp_path: Path) -> None:
    names = [f"1M{slide:02d}_{place}" for slide in range(10) for place in range(2)]
    touch(tmp_path, *(f"train{side}/{name}.jpg" for side in "AB" for name in names))
    assert {pair.name: pair.group for pair in find_pairs(tmp_path).pairs} == {name: name[:4] for name in names}


def test_few_common_beginnings_are_not_slides(tmp_path: Path) -> None:
    """As in a set where all but some names begin with one date."""
    names = [f"2020_{place}" for place in range(20)] + ["v_1", "v_2"]
    touch(tmp_path, *(f"train{side}/{name}.jpg" for side in "AB" for name in names))
    assert len({pair.group for pair in find_pairs(tmp_path).pairs}) == 22


@pytest.mark.parametrize("folder, split", [("train", "train"), ("AB/test", "test"), (".", "")])
def test_side_by_side(tmp_path: Path, folder: str, split: str) -> None:
    paint(tmp_path / folder / "1.png", 16, 8)
    (tmp_path / folder / "2.png").write_bytes(b"unreadable, and so without a say")
    table = find_pairs(tmp_path)
    assert table.layout == "ab" and [(p.name, p.split, p.side_by_side) for p in table.pairs] == [
        ("1", split, True),
        ("2", split, True),
    ]


def test_side_by_side_mixed_with_others(tmp_path: Path) -> None:
    paint(tmp_path / "1.png", 16, 8)
    paint(tmp_path / "2.png", 15, 8)
    with pytest.raises(ValueError, match=r"1 images look like side-by-side pairs.*but 1 do not, for example .*2\.png"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("name", miniatures.LAYOUTS)
def test_every_layout_that_is_known(name: str, tmp_path: Path) -> None:
    wanted = miniatures.write(name, tmp_path)
    table = find_pairs(tmp_path)
    found: dict[str, list[str]] = {}
    for pair in table.pairs:
        found.setdefault(pair.split, []).append(pair.name)
    assert table.layout == wanted.layout and table.unpaired == () and table.paired
    assert {split: sorted(names) for split, names in found.items()} == {
        split: sorted(names) for split, names in wanted.splits.items()
    }
    groups = {pair.name: pair.group for pair in table.pairs}
    assert all(groups[name] == group for name, group in wanted.groups.items())
    assert find_pairs(tmp_path, wanted.layout) == table


def write_manifest(root: Path, text: str, encoding: str = "utf-8") -> Path:
    (root / "manifest.csv").write_text(text, encoding=encoding)
    return root / "manifest.csv"


def test_manifest(tmp_path: Path) -> None:
    touch(tmp_path, "HE/left.png", "IHC/left.png")  # a bci layout too: the manifest goes first
    path = write_manifest(
        tmp_path,
        "id,he,ihc,split,her2,patient,slide,mpp,licence\n"
        "p1,x/a.png,y\\b.png,train,IHC 2+,P7,S1,0.46,CC-BY-4.0\n"
        ",x/c.png,y/c.png,Validation,,,S2,,\n",
        "utf-8-sig",
    )
    for root in (tmp_path, path):
        table = find_pairs(root)
        assert (table.layout, table.root) == ("manifest", tmp_path)
        first, second = table.pairs
        assert (first.name, first.split, first.level, first.group, first.mpp, first.licence) == (
            "p1", "train", 2, "P7", 0.46, "CC-BY-4.0",
        )  # fmt: skip
        assert (first.source, first.target) == (tmp_path / "x/a.png", tmp_path / "y/b.png")
        assert (second.name, second.split, second.level, second.group, second.mpp) == ("c", "val", None, "S2", None)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_manifest_aliases_and_separators(tmp_path: Path, separator: str) -> None:
    write_manifest(tmp_path, f"Source{separator}Target\n1.png{separator}2.png\n")
    assert found(tmp_path) == {"1": ("", "1.png", "2.png")}


@pytest.mark.parametrize(
    "row, sentence",
    [
        ("a.png,../b.png,,,", "line 2: '../b.png' leads out of"),
        ("/etc/a.png,b.png,,,", "line 2: '/etc/a.png' leads out of"),
        ("a.png,b.png,holdout,,", "line 2: no split is called 'holdout'"),
        ("a.png,b.png,,5+,", "line 2: '5+' is not a HER2 level"),
        ("a.png,b.png,,,half", "line 2: 'half' is not a resolution"),
        ("a.png,b.png,,,-1", "line 2: '-1' is not a resolution"),
        (",,train,,", "line 2: neither he nor ihc names a file"),
        ("a.png,b.png,,,\nb/a.png,c.png,,,", "line 3: 'a' occurs twice"),
        ("", "lists no pair"),
    ],
)
def test_faulty_manifests(tmp_path: Path, row: str, sentence: str) -> None:
    write_manifest(tmp_path, f"he,ihc,split,her2,mpp\n{row}\n")
    with pytest.raises(ValueError) as caught:
        find_pairs(tmp_path)
    assert sentence in str(caught.value)


def test_a_field_without_end(tmp_path: Path) -> None:
    write_manifest(tmp_path, 'he,ihc\na.png,b.png\n"' + "x" * 140_000)
    with pytest.raises(ValueError, match=r"manifest\.csv, line 3: field larger than field limit .*quotation mark"):
        find_pairs(tmp_path)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    touch(tmp_path, "secret.png")
    (tmp_path / "set/link.png").symlink_to(tmp_path / "secret.png")
    write_manifest(tmp_path / "set", "he,ihc\nlink.png,b.png\n")
    with pytest.raises(ValueError, match=r"'link\.png' leads out of"):
        find_pairs(tmp_path / "set")


def test_a_csv_of_another_kind_given_by_name(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, "file,her2\na.png,1+\n")
    with pytest.raises(ValueError, match="has the columns file, her2; a manifest needs he and ihc"):
        find_pairs(path)


def test_empty_folder(tmp_path: Path) -> None:
    touch(tmp_path, ".DS_Store")
    with pytest.raises(
        ValueError, match=r"is empty; looked for: a manifest\.csv.*HE with IHC.*trainA with trainB.*twice as wide"
    ):
        find_pairs(tmp_path)


def test_no_known_layout(tmp_path: Path) -> None:
    paint(tmp_path / "a.png", 9, 9)
    with pytest.raises(ValueError, match=r"no images in a known layout\. It holds a\.png; looked for"):
        find_pairs(tmp_path)
    with pytest.raises(ValueError, match="looked for: HE with IHC"):
        find_pairs(tmp_path, "bci")


def test_one_side_is_missing(tmp_path: Path) -> None:
    touch(tmp_path, "HE/train/a.png", "IHC/train/readme.txt")
    with pytest.raises(ValueError, match="It holds HE, IHC; looked for"):
        find_pairs(tmp_path)


def test_unknown_layout_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no layout is called 'bic'; did you mean 'bci'"):
        find_pairs(tmp_path, "bic")


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone does not exist; give the folder"):
        find_pairs(tmp_path / "gone")


def test_two_files_of_one_name(tmp_path: Path) -> None:
    touch(tmp_path, "HE/00001.png", "HE/00001.jpg", "IHC/00001.png")
    with pytest.raises(ValueError, match=r"00001\.jpg and .*00001\.png have the same name; keep one"):
        find_pairs(tmp_path)


names = st.text("abcXYZ019_+-. é", min_size=1, max_size=12).filter(lambda name: name.strip(". ") == name)


@settings(max_examples=40, deadline=None)
@given(
    sources=st.sets(names, min_size=1, max_size=6),
    targets=st.sets(names, min_size=1, max_size=6),
    layout=st.sampled_from(["HE IHC", "trainA trainB"]),
)
def test_exactly_the_common_names_are_pairs(
    tmp_path_factory: pytest.TempPathFactory, sources: set[str], targets: set[str], layout: str
) -> None:
    root = tmp_path_factory.mktemp("set")
    a, b = layout.split()
    touch(root, *(f"{a}/{name}.png" for name in sources), *(f"{b}/{name}.tif" for name in targets))
    if not sources & targets and layout == "HE IHC":
        with pytest.raises(ValueError, match="same name"):
            find_pairs(root)
        return
    table = find_pairs(root)
    if sources & targets:
        assert {pair.name for pair in table.pairs} == sources & targets
        assert {path.name[:-4] for path in table.unpaired} == sources ^ targets
    else:
        assert {pair.name for pair in table.pairs} == sources and len(table.unpaired_targets) == len(targets)


@pytest.mark.parametrize("columns", ["input,target", "src,tgt", "H&E,IHC", "HE,ground_truth"])
def test_a_manifest_may_call_its_columns_as_folders_are_called(tmp_path: Path, columns: str) -> None:
    write_manifest(tmp_path, f"{columns}\n1.png,2.png\n")
    assert found(tmp_path) == {"1": ("", "1.png", "2.png")}


def test_a_manifest_that_is_none_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    touch(tmp_path, "a.png")
    write_manifest(tmp_path, "left|right\n1.png|2.png\n")
    with pytest.raises(ValueError, match=r"its manifest\.csv has no columns he and ihc"):
        find_pairs(tmp_path)
