import errno
import stat
from pathlib import Path

import pytest

from chromogen.files import write_json, written_whole


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "f.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), written_whole(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_a_good_write_replaces_it_and_keeps_the_users_permissions(tmp_path: Path) -> None:
    target, other = tmp_path / "deep" / "f.txt", tmp_path / "plain"
    with written_whole(target) as partial:
        partial.write_text("new")
        partial.chmod(0o600)
    other.touch()
    assert target.read_text() == "new" and list(target.parent.iterdir()) == [target]
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


@pytest.mark.parametrize(("number", "sentence"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "not permitted")])
def test_system_errors_become_sentences(tmp_path: Path, number: int, sentence: str) -> None:
    with pytest.raises(OSError, match=sentence) as caught, written_whole(tmp_path / "f"):
        raise OSError(number, "raw")
    assert caught.value.errno == number


def test_json_is_readable_and_not_ascii_only(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": "µm"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "x": "µm"\n}\n'
