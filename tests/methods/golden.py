"""Golden losses: those of twenty steps with a fixed seed, kept in tests/golden. They change only on purpose."""

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "golden"


def file_of(name: str) -> Path:
    return FOLDER / f"{name.replace(':', '-')}.json"


def disagreement(name: str, found: list[float], first: float = 2e-3, early: float = 2e-3) -> str:
    """Where the losses leave the golden ones; empty where they do not. They change only on purpose: delete the file and run its
    test twice to write new ones.

    Rounding differs between processors, and adversaries amplify it: after a few steps only the course is compared. `first` and
    `early` are the shares by which the first loss and the three behind it may differ.
    """
    file = file_of(name)
    if not file.exists():
        file.write_text(json.dumps(found) + "\n")
        return f"no golden losses for {name}: they were written to {file.name}; look at them and commit them"
    golden = json.loads(file.read_text())
    if len(found) != len(golden):
        return f"{name}: {len(found)} losses, {len(golden)} golden ones"
    for step, (now, before) in enumerate(zip(found, golden, strict=True)):
        share = first if step == 0 else early if step < 4 else 0.15
        if now != pytest.approx(before, rel=share):
            return f"{name}: the loss of step {step} is {now:.6g}, the golden one {before:.6g}"
    return ""
