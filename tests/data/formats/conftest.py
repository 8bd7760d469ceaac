from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def shared() -> Path:
    """Real and once failing files beside the repository; a user's clone has none."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "cases" / "images").is_dir():
        pytest.skip("needs ../shared/cases/images, which is not part of the repository")
    return folder
