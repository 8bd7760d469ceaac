from pathlib import Path

import pytest

from chromogen import cli
from chromogen.cli import challenge
from chromogen.cli.console import FINE, USAGE


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.GROUPS, "challenge", (challenge.ABOUT, dict(challenge.COMMANDS)))


def test_the_folder_is_written_and_the_next_step_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "gc"
    assert cli.main(["challenge", "init", str(folder), "--profile", "gauss11", "--output-slug", "virtual-ihc"]) == FINE
    told = capsys.readouterr()
    assert told.out.strip() == str(folder) and f"{folder}/do_wheel.sh" in told.err
    dockerfile = (folder / "Dockerfile").read_text()
    assert 'CHROMOGEN_PROFILE="gauss11"' in dockerfile and 'CHROMOGEN_OUTPUT_SLUG="virtual-ihc"' in dockerfile
    assert not (folder / "example").exists()


def test_mistakes_are_usage_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").touch()
    assert cli.main(["challenge", "init", str(tmp_path)]) == USAGE
    assert "is not empty" in capsys.readouterr().err
    assert cli.main(["challenge", "init", str(tmp_path / "new"), "--profile", "bci2023"]) == USAGE
    assert "bci2022" in capsys.readouterr().err and not (tmp_path / "new").exists()
