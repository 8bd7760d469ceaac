"""How a reader of HER2 levels, trained on real IHC, reads the real and the virtual images: two tables side by side."""

from collections.abc import Sequence
from typing import Any

from chromogen.judge.table import number
from chromogen.report.markup import Content, Html, tag
from chromogen.report.section import counted

SHADES = 5


def readings(level: dict[str, Any]) -> Content:
    """The part `level` of a `metrics.json`; nothing where no reader was asked for, the reason where there could be none."""
    if not level:
        return []
    heading = tag("h3", "HER2 levels, as a reader trained on real IHC reads them")
    if "missing_because" in level:
        return [heading, tag("p", f"Not read: {level['missing_because']}.", class_="quiet")]
    tables = [
        matrix(level["real"], level["classes"], "Real IHC: the ceiling"),
        matrix(level["virtual"], level["classes"], "Virtual IHC"),
    ]
    notes = [
        f"The reader was trained on {counted(level['trained_on'], 'real image')}. Rows are the level of the slide, columns "
        "what was read; the darker a cell, the larger its share of the row, and the diagonal is framed. What the reader "
        "misses on real images it cannot be expected to find on virtual ones.",
        *level.get("notes", []),
    ]
    return [heading, tag("div", tables, class_="pair"), [tag("p", _sentence(note), class_="quiet") for note in notes]]


def matrix(reading: dict[str, Any], classes: Sequence[str], caption: str) -> Html:
    """Counts with real levels down and read levels across; each cell is shaded by its share of its row."""
    counts = reading["confusion"]
    head = tag("tr", tag("th", "level", scope="col"), (tag("th", f"read {name}", scope="col") for name in classes))
    rows = []
    for real, (name, row) in enumerate(zip(classes, counts, strict=True)):
        total = sum(row)
        cells = [tag("td", f"{count}", class_=_shade(count, total, real == read)) for read, count in enumerate(row)]
        rows.append(tag("tr", tag("th", name, scope="row"), cells))
    facts = (
        f"balanced accuracy {percent(reading['balanced_accuracy'])}, quadratic kappa {number(reading['kappa'], 2)}, "
        f"strangeness {number(reading['strangeness'], 2)}"
    )
    unknown = reading.get("without_level", 0)
    facts += f"; {counted(unknown, 'image')} without a level left out" if unknown else ""
    title = tag("caption", tag("b", caption), tag("span", f" {facts}"))
    return tag("table", title, tag("thead", head), tag("tbody", rows), class_="confusion")


def percent(share: float | None) -> str:
    return "\N{EN DASH}" if share is None else f"{100 * share:.0f} %"


def _shade(count: int, total: int, right: bool) -> str:
    step = 0 if not count else max(1, round((SHADES - 1) * count / total))
    return f"shade-{step} right" if right else f"shade-{step}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
