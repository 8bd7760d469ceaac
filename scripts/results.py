"""Copies what is finished into docs/results: .venv/bin/python scripts/results.py runs/bench/aligned=phantom-aligned ...

For each FOLDER=NAME what `chromogen bench`, `chromogen utility` or `chromogen synthesize` left there, under that name: NAME.md
(the table, or the data sheet), NAME.csv, NAME-per-image.csv, NAME.jpg (the picture), NAME.png (plot, or a made set's overview).
"""

import shutil
import sys
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "docs" / "results"
FILES = {
    "table.csv": ".csv", "per_image.csv": "-per-image.csv", "picture.jpg": ".jpg", "plot.png": ".png", "overview.png": ".png",
}  # fmt: skip
PAGES = ("table.md", "data_sheet.md")


def copy(folder: Path, name: str) -> None:
    """The files of one folder under one name; its page shows the pictures under theirs. SystemExit where there is no page."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    found = {file: ending for file, ending in FILES.items() if (folder / file).is_file()}
    page = next((folder / page for page in PAGES if (folder / page).is_file()), None)
    if page is None:
        raise SystemExit(f"{folder} holds no {' or '.join(PAGES)}; it is no finished bench, study or set")
    for file, ending in found.items():
        shutil.copyfile(folder / file, RESULTS / f"{name}{ending}")
    text = page.read_text(encoding="utf-8")
    for file, ending in found.items():
        text = text.replace(f"]({file})", f"]({name}{ending})")
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for pair in sys.argv[1:]:
        folder, _, name = pair.partition("=")
        copy(Path(folder), name)
