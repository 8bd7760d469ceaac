import io
import stat
import struct
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.data.pairs.submission import Limits, opened, stepped_into


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return path


def with_attributes(path: Path, mode: int) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("a.png")
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, b"/etc/passwd")
    return path


def contents(path: Path, limits: Limits | None = None) -> dict[str, bytes]:
    with opened(path, limits or Limits()) as folder:
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_folder_is_given_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    with opened(tmp_path) as folder:
        assert folder == tmp_path


def test_only_images_come_out_and_the_folder_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    inside = {
        "a.png": b"1", "B.TIFF": b"2", "c.mha": b"3", "predictions.json": b"[]", "__MACOSX/._a.png": b"x", ".DS_Store": b"x",
        "notes.txt": b"x", "inner.zip": b"PK", "run.sh": b"x",
    }  # fmt: skip
    ignored: list[str] = []
    with opened(zipped(tmp_path / "a.zip", inside), on_ignored=ignored.append) as folder:
        assert {path.name for path in folder.iterdir()} == {"a.png", "B.TIFF", "c.mha", "predictions.json"}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert ignored == ["notes.txt", "inner.zip", "run.sh"]
    assert not folder.exists()


def test_the_folder_is_gone_when_its_user_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), opened(zipped(tmp_path / "a.zip", {"a.png": b"1"})) as folder:
        raise RuntimeError
    assert not folder.exists()


def test_a_single_top_folder_is_stepped_into(tmp_path: Path) -> None:
    assert contents(zipped(tmp_path / "a.zip", {"team/run 2/": b"", "team/run 2/a.png": b"1"})) == {"a.png": b"1"}
    assert contents(zipped(tmp_path / "b.zip", {"team/a.png": b"1", "b.png": b"2"})) == {"team/a.png": b"1", "b.png": b"2"}
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "link").symlink_to(tmp_path)
    assert stepped_into(tmp_path / "outer") == tmp_path / "outer"


@pytest.mark.parametrize("encoding", ["flagged", "utf-8", "gb18030"])
def test_names_of_any_language_survive_with_and_without_the_flag(tmp_path: Path, encoding: str) -> None:
    name = "00001_测试_1+ 乙.png"
    if encoding == "flagged":
        path = zipped(tmp_path / "a.zip", {name: b"1"})
    else:  # a name of as many ASCII bytes, replaced in the finished archive
        raw = name.encode(encoding)
        path = zipped(tmp_path / "a.zip", {"x" * len(raw): b"1"})
        path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))
    assert list(contents(path)) == [name]


def test_a_decomposed_name_is_composed(tmp_path: Path) -> None:
    assert list(contents(zipped(tmp_path / "a.zip", {"e\u0301.png": b"1"}))) == ["\u00e9.png"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../evil.png", "leads out"),
        ("a/../../evil.png", "leads out"),
        ("..\\evil.png", "leads out"),
        ("../notes.txt", "leads out"),
        ("/tmp/evil.png", "absolute"),
        ("\\\\host\\evil.png", "absolute"),
        ("C:\\evil.png", "absolute"),
        ("c:evil.png", "absolute"),
        ("a\nb.png", "control character"),
        ("n" * 300 + ".png", "too long"),
    ],
)
def test_an_entry_that_goes_elsewhere_is_refused_and_nothing_is_written(tmp_path: Path, name: str, sentence: str) -> None:
    path = zipped(tmp_path / "a.zip", {"good.png": b"1", name: b"2"})
    with pytest.raises(ValueError, match=sentence):
        contents(path)
    assert [file.name for file in tmp_path.rglob("*")] == ["a.zip"]


def test_a_name_cut_by_nul_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"ab.png@.txt": b"1"})
    path.write_bytes(path.read_bytes().replace(b"ab.png@.txt", b"ab.png\0.txt"))
    with pytest.raises(ValueError, match="control character"):
        contents(path)


@pytest.mark.parametrize(
    ("mode", "sentence"), [(stat.S_IFLNK | 0o777, "symbolic link"), (stat.S_IFIFO | 0o644, "neither a file nor a folder")]
)
def test_links_and_pipes_are_refused(tmp_path: Path, mode: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        contents(with_attributes(tmp_path / "a.zip", mode))


def test_an_encrypted_entry_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": b"1"})
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[6] |= 1  # the flags in the entry's own header, and in the directory
    data[directory + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="encrypted; make the archive without a password"):
        contents(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": bytes(9 * 2**20)})
    assert path.stat().st_size < 20_000
    with pytest.raises(ValueError, match="decompression bomb"):
        contents(path)
    assert contents(path, Limits(ratio=2000))["a.png"] == bytes(9 * 2**20)


def test_a_small_blank_picture_is_no_bomb(tmp_path: Path) -> None:
    assert len(contents(zipped(tmp_path / "a.zip", {"a.bmp": bytes(2**20)}))["a.bmp"]) == 2**20


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (Limits(entries=2), "3 entries, more than 2"),
        (Limits(file_bytes=9), "of 10 bytes, more than 9"),
        (Limits(total_bytes=29), "unpacks to 30 bytes, more than 29"),
    ],
)
def test_limits(tmp_path: Path, limits: Limits, sentence: str) -> None:
    path = zipped(tmp_path / "a.zip", {f"{k}.png": b"0123456789" for k in range(3)})
    with pytest.raises(ValueError, match=sentence):
        contents(path, limits)
    assert len(contents(path, Limits(entries=3, file_bytes=10, total_bytes=30))) == 3


def test_a_directory_of_many_entries_is_not_even_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {f"{'n' * 200}{k}.png": b"" for k in range(9000)})  # over 2 MB of directory
    with pytest.raises(ValueError, match="lists more than 10 files"):
        contents(path, Limits(entries=10))


def test_an_entry_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"a.png": b"1" * 5000})
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 5000), struct.pack("<I", 50)))
    with pytest.raises(ValueError, match="damaged|larger than it says"):
        contents(path)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a.png", "A.PNG"], "one name twice"),
        (["x/a.png", "X\\a.png"], "one name twice"),
        (["a.png", "A.png/b.png"], "as a file and as a folder"),
    ],
)
def test_names_that_collide_are_refused(tmp_path: Path, names: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        contents(zipped(tmp_path / "a.zip", dict.fromkeys(names, b"1")))


def test_other_packing_methods_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="use plain zip"):
        contents(zipped(tmp_path / "a.zip", {"a.png": b"1" * 100}, zipfile.ZIP_BZIP2))


def test_without_an_image_there_is_nothing_to_score(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no image"):
        contents(zipped(tmp_path / "a.zip", {"a.txt": b"1", "p.json": b"{}"}))


def test_what_is_no_zip_is_refused_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"\x1f\x8b\x08 a tarball")
    with pytest.raises(ValueError, match="neither a folder nor a zip"):
        contents(tmp_path / "a.zip")
    archive = zipped(tmp_path / "b.zip", {"a.png": b"1"}).read_bytes()
    (tmp_path / "picture.png").write_bytes(b"\x89PNG" + archive)  # zipfile itself would open this
    with pytest.raises(ValueError, match="neither a folder nor a zip"):
        contents(tmp_path / "picture.png")


def test_a_full_disk_is_told_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=3))
    with pytest.raises(OSError, match="10 bytes are needed .* and 3 are free"):
        contents(zipped(tmp_path / "a.zip", {"a.png": b"0123456789"}))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_is_a_sentence_and_never_another_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", b"abc" * 100)
        archive.writestr("b/c.png", b"def" * 100)
    raw = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(4, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("z") / "a.zip"
    path.write_bytes(raw[: data.draw(st.integers(4, len(raw)))])
    try:
        found = contents(path)
    except ValueError:
        return
    assert all(".." not in name for name in found)
