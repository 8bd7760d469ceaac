"""Golden losses: those of twenty steps with a fixed seed, kept in tests/golden. They change only on purpose."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "golden"


def file_of(name: str) -> Path:
    return FOLDER / f"{name.replace(':', '-')}.json"


def agrees(name: str, found: list[float], first: float = 2e-3, early: float = 2e-3) -> None:
    """Numbers change only on purpose: delete the file and run its test twice to write new ones.

    Rounding differs between processors, and adversaries amplify it: after a few steps only the course is compared. `first` and
    `early` are the shares by which the first loss and the three behind it may differ.
    """
    file = file_of(name)
    if not file.exists():
        file.write_text(json.dumps(found) + "\n")
        pytest.fail(f"no golden losses for {name}: they were written to {file.name}; look at them and commit them")
    golden = json.loads(file.read_text())
    assert found[:1] == pytest.approx(golden[:1], rel=first)
    assert found[:4] == pytest.approx(golden[:4], rel=early)
    assert len(found) == len(golden) and found == pytest.approx(golden, rel=0.15)
