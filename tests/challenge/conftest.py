"""A small test set, and submissions for it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chromogen.challenge import container

NAMES = ("00000_test_0", "00001_test_1+", "00010_test_2+")


def picture(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, image: np.ndarray, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, format=kind)
    return path


@dataclass(frozen=True)
class Places:
    """Input, ground truth and output of one evaluation."""

    input: Path
    truth: Path
    output: Path

    def flags(self, *more: str) -> list[str]:
        return ["--input", str(self.input), "--ground-truth", str(self.truth), "--output", str(self.output), *more]

    def run(self, *more: str) -> int:
        return container.main(self.flags(*more), {})

    @property
    def metrics(self) -> dict[str, Any]:
        return json.loads((self.output / "metrics.json").read_text(encoding="utf-8"))

    @property
    def errors(self) -> dict[str, str | None]:
        return {result["name"]: result.get("error") for result in self.metrics["results"]}

    def jobs(self, *jobs: dict[str, Any]) -> None:
        self.input.mkdir(exist_ok=True)
        (self.input / "predictions.json").write_text(json.dumps(jobs))

    def out(self, key: str) -> Path:
        return self.input / key / "output" / "images" / "ihc"


def job(key: str, name: str, socket: str = "interface") -> dict[str, Any]:
    return {
        "pk": key,
        "inputs": [{socket: {"slug": "he"}, "image": {"name": name}}],
        "outputs": [{socket: {"slug": "ihc", "relative_path": "images/ihc"}, "image": None}],
    }


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Three real images of 24 x 32 px; nothing is handed in yet."""
    made = Places(tmp_path / "input", tmp_path / "truth", tmp_path / "output")
    for seed, name in enumerate(NAMES):
        save(made.truth / f"{name}.png", picture(seed))
    return made
