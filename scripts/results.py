"""Copies finished benches into docs/results: .venv/bin/python scripts/results.py runs/bench/aligned=phantom-aligned ...

For each BENCH=NAME: NAME.md (the table), NAME.csv, NAME-per-image.csv and NAME.jpg, as `chromogen bench staining` left them.
"""

import shutil
import sys
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "docs" / "results"
FILES = {"table.md": ".md", "table.csv": ".csv", "per_image.csv": "-per-image.csv", "picture.jpg": ".jpg"}


def copy(bench: Path, name: str) -> None:
    """The four files of one bench under one name."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for file, ending in FILES.items():
        shutil.copyfile(bench / file, RESULTS / f"{name}{ending}")


if __name__ == "__main__":
    for pair in sys.argv[1:]:
        folder, _, name = pair.partition("=")
        copy(Path(folder), name)
