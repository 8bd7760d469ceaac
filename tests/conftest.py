"""What several tests need."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
pytest_plugins = ["tests.chance"]  # every test starts from the same random states
torch.set_num_threads(1)  # tests run side by side
os.environ["OMP_NUM_THREADS"] = "1"  # and so do the programs they start


@pytest.fixture(scope="session")
def bci_dev() -> Path:
    """Eight real BCI pairs, which only some machines have."""
    folder = REPOSITORY.parent / "shared" / "data" / "bci_dev"
    if not folder.is_dir():
        pytest.skip("needs the eight real BCI pairs in ../shared/data/bci_dev, which are not part of the repository")
    return folder


LEVELS = ("0", "1+", "2+", "3+")


@dataclass(frozen=True)
class Folders:
    prediction: Path
    target: Path
    source: Path

    @staticmethod
    def save(path: Path, image: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def scene(index: int, side: int = 40) -> np.ndarray:
    """Brown dots on bright glass, more of them the higher the index."""
    rng = np.random.default_rng(index)
    image = rng.integers(225, 240, (side, side, 3))
    for _ in range(6 * (index + 1)):
        row, column = rng.integers(0, side - 6, 2)
        image[row : row + 6, column : column + 6] = (140, 90, 50)
    return image.astype(np.uint8)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Four targets, one of each HER2 level; predictions are the targets with noise of +-10 grey levels."""
    made = Folders(tmp_path / "predicted", tmp_path / "IHC", tmp_path / "HE")
    for index, level in enumerate(LEVELS):
        name, target = f"{index:05d}_test_{level}", scene(index)
        noise = np.random.default_rng(99 + index).integers(-10, 11, target.shape)
        made.save(made.target / f"{name}.png", target)
        made.save(made.source / f"{name}.png", target[::-1, :, ::-1])
        made.save(made.prediction / f"{name}.virtual-her2.png", np.clip(target + noise, 0, 255).astype(np.uint8))
    return made
