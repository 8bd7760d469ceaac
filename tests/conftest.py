"""What several tests need."""

import os
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
torch.set_num_threads(1)  # tests run side by side
os.environ["OMP_NUM_THREADS"] = "1"  # and so do the programs they start


@pytest.fixture(scope="session")
def bci_dev() -> Path:
    """Eight real BCI pairs, which only some machines have."""
    folder = REPOSITORY.parent / "shared" / "data" / "bci_dev"
    if not folder.is_dir():
        pytest.skip("needs the eight real BCI pairs in ../shared/data/bci_dev, which are not part of the repository")
    return folder
