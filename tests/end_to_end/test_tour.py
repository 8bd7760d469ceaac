"""The commands of docs/tour.md work as written, in order."""

import os
import re
import subprocess
import sys
from pathlib import Path

from chromogen.checkpoint import DEFAULT_MODEL, shipped

REPOSITORY = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```(console|python)\n(.*?)```", re.DOTALL)


def test_every_command_of_the_tour_works(tmp_path: Path) -> None:
    blocks = BLOCK.findall((REPOSITORY / "docs" / "tour.md").read_text(encoding="utf-8"))
    assert len(blocks) >= 6
    (tmp_path / "recipes").symlink_to(REPOSITORY / "recipes")
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    for kind, text in blocks:
        if kind == "python":
            commands = [[sys.executable, "-c", text]]
        else:
            lines = text.strip().splitlines()
            assert all(line.startswith("$ chromogen ") for line in lines), lines
            commands = [line.removeprefix("$ ").split() for line in lines]
        for command in commands:
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_the_embedded_model_is_small_and_has_its_card() -> None:
    weights = shipped()[DEFAULT_MODEL]
    assert weights.stat().st_size <= 12_000_000
    card = weights.with_suffix(".md").read_text(encoding="utf-8")
    assert "non-commercial" in card and "demonstration" in card and "control: constant" in card
