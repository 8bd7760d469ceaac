"""The scores for a terminal."""

from typing import Any

from rich import box
from rich.table import Table

from chromogen.judge.folder import Scores


def table(scores: Scores) -> Table:
    """The scores for a terminal: predictions, HER2 classes, and always the three controls ("none" without a source)."""
    metrics = scores.metrics
    title = f"profile {scores.judging.profile}, PSNR in dB"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for heading in ("images", "PSNR", "SSIM", "sharpness", "DAB", "real DAB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row("predictions", *_cells(metrics["overall"]))
    if not scores.complete:
        zero = {"psnr": "psnr_failures_as_zero", "ssim": "ssim_failures_as_zero"}
        row = {name: metrics["overall"][key] for name, key in zero.items()}
        table.add_row("  failures as zero", *_cells(row | {"scored": len(scores.images), "expected": len(scores.images)}))
    for name, row in metrics["per_class"].items():
        table.add_row(f"  HER2 {name}", *_cells(row))
    table.add_section()
    for name, row in metrics["controls"].items():
        count, *numbers = _cells(row)
        missing = name == "source" and scores.source is None  # nobody asked for it, so nothing failed
        table.add_row(f"control: {name.replace('_', ' ')}", "none" if missing else count, *numbers)
    return table


def _cells(row: dict[str, Any]) -> list[str]:
    count = f"{row['scored']}" if row["scored"] == row["expected"] else f"{row['scored']} of {row['expected']}"
    places = {"psnr": 2, "ssim": 3, "sharpness": 2, "dab": 3, "dab_target": 3}
    return [count, *(number(row.get(name), digits) for name, digits in places.items())]


def number(value: float | str | None, digits: int) -> str:
    """A number of `metrics.json` for people: a dash where there is none."""
    if value is None:
        return "\N{EN DASH}"
    return "\N{INFINITY}" if value == "inf" else f"{value:.{digits}f}"
