import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chromogen.report.page import write_report
from tests.report.test_page import Reader

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "all" / "set"
    folder.mkdir(parents=True)
    audit = {
        "cases": 12, "copies": 2, "compared_with": f"9 training cases {EVIL}", "note": "Evidence only.",
        "nearness": {"share": 0.25},
    }  # fmt: skip
    (folder / "audit.json").write_text(json.dumps(audit))
    (folder / "synthesis.json").write_text(json.dumps({"command": "chromogen synthesize -n 12"}))
    (folder / "data_sheet.md").write_text(f"# 10 synthetic cases {EVIL}\n")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "overview.png")
    return folder


def page(folder: Path) -> Reader:
    write_report(folder.parent, folder.parent / "page.html", "t")
    return Reader(folder.parent / "page.html")


def test_a_made_set_is_shown_with_its_copies_and_its_sheet(made: Path) -> None:
    shown = page(made)
    assert "10 synthetic cases; 2 more quarantined as copies. Nearer to a training case than to a stranger: 0.25" in shown.text
    assert EVIL in shown.text and "chromogen synthesize -n 12" in shown.text
    assert [image["alt"] for image in shown.all("img")] == [
        "Made cases above three real ones: lines, then every modality with the outline of the lesion"
    ]


def test_a_study_ends_in_its_sentence(made: Path) -> None:
    folder = made.parent / "use"
    folder.mkdir()
    row = {"row": 1, "mixture": "1 real", "mean": 0.5, "sd": 0.125, "gain": 0.0, "p_corrected": None}
    other = {"row": 3, "mixture": EVIL, "mean": 0.25, "sd": None, "gain": -0.25, "p_corrected": 0.0625}
    study = {
        "command": "chromogen utility", "recommendation": "Do not use them.", "score": "dice", "failed": {"7": "too few"},
        "cases": {"train": 9, "made": 10, "test": 4}, "reader": {"steps": 20}, "rows": [row, other],
    }  # fmt: skip
    (folder / "utility.json").write_text(json.dumps(study))
    shown = page(folder)
    assert "Use of made cases: use" in shown.text and "Do not use them." in shown.text and "row 7 : too few" in shown.text
    cells = [word.strip() for word in shown.words]
    at = cells.index("1 real")
    assert cells[at + 1 : at + 3] == ["0.500", "0.125"]
    at = cells.index(EVIL, at)
    assert cells[at + 1 : at + 5] == ["0.250", "\N{EN DASH}", "-0.250", "0.062"]


def test_damaged_records_are_listed(made: Path) -> None:
    (made / "audit.json").write_text("{}")
    assert "Could not be shown" in page(made).text
