"""Tables of one evaluation: stain and pixels, each beside the controls, and each by HER2 class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chromogen.judge.table import number
from chromogen.report.confusion import percent
from chromogen.report.findings import NAMES, spread
from chromogen.report.markup import Content, Html, tag

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A key of `metrics.json` and how people read it."""

    key: str
    heading: str
    digits: int


STAIN = (
    Column("dab_error", "error of mean DAB, OD", 3),
    Column("dab_wasserstein", "DAB distance, OD", 3),
    Column("tile_dice_0.2", "tile Dice, DAB > 0.2", 2),
    Column("within", "r within classes", 2),
    Column("wrong", "pairs in wrong order", 0),
    Column("nuclei_f1", "nuclei kept, F1", 2),
    Column("nuclei_chance", "by chance, F1", 2),
    Column("dab", "mean DAB", 3),
    Column("dab_target", "DAB of real", 3),
)
BY_CLASS = tuple(column for column in STAIN if column.key not in ("within", "wrong"))


def stain_table(metrics: Row) -> Content:
    """Staining of the predictions and of every control; nothing where no staining was measured."""
    staining = metrics.get("staining", {})
    if not staining:
        return []
    within, order = staining["pearson"]["within"], staining["ordering_prediction"]
    ours = metrics["overall"] | {"within": within, "wrong": _wrong(order)}
    rows = [("Virtual IHC", ours)]
    for name, control in metrics["controls"].items():
        more = staining.get("controls", {}).get(name, {})
        rows.append((control_name(name), control | {"within": more.get("within"), "wrong": _wrong(more.get("ordering"))}))
    rows.append(("Real IHC", {"dab": metrics["overall"].get("dab_target"), "wrong": _wrong(staining.get("ordering_target"))}))
    note = (
        f"DAB is the {staining['dab'].removeprefix('mean ')}, averaged over the image, stroma included; it is no HER2 score. "
        "Errors and distances: 0 is best. Tile Dice, r and F1: 1 is best. Tiles are 32 px. The flat colour of each real image "
        "and the blurred real image have seen the answer; the other controls have not."
    )
    return [_table("Staining beside the controls", STAIN, rows, metrics.get("intervals", {})), tag("p", note, class_="quiet")]


def pixel_table(metrics: Row) -> Content:
    """PSNR, SSIM and sharpness beside the controls, a column of its own for every measure of every profile."""
    columns = pixel_columns(metrics)
    rows = [("Virtual IHC", metrics["overall"])]
    if not metrics["complete"]:
        zero = {name: metrics["overall"][f"{name}_failures_as_zero"] for name in ("psnr", "ssim")}
        rows.append(("Virtual IHC, failures as zero", zero | dict.fromkeys(("scored", "expected"), metrics["expected"])))
    rows += [(control_name(name), control) for name, control in metrics["controls"].items()]
    note = (
        "Means over images. Sharpness is fine detail relative to the real image: 1 is as sharp, 0 is flat, noise raises it. "
        "A useful prediction beats the flat colours and the untranslated H&E; the blurred real image has seen the answer. "
        "Columns of different profiles cannot be compared."
    )
    return [
        _table("PSNR and SSIM beside the controls", columns, rows, metrics.get("intervals", {})),
        tag("p", note, class_="quiet"),
    ]


def pixel_columns(metrics: Row) -> tuple[Column, ...]:
    """PSNR and SSIM of the main profile, then those that occur of each further one, then sharpness."""
    found = [Column("psnr", f"PSNR, dB [{metrics['profile']}]", 2), Column("ssim", f"SSIM [{metrics['profile']}]", 3)]
    for name in metrics.get("further_profiles", {}):
        for measure, heading, digits in (("psnr", "PSNR, dB", 2), ("ssim", "SSIM", 3)):
            if f"{measure}[{name}]" in metrics["overall"]:
                found.append(Column(f"{measure}[{name}]", f"{heading} [{name}]", digits))
    return (*found, Column("sharpness", "sharpness", 2))


def class_tables(metrics: Row) -> Content:
    """Stain and reading, then PSNR and SSIM beside the controls, a row for each HER2 class."""
    classes = metrics["per_class"]
    if not classes:
        return []
    tables: list[Content] = []
    level, rows = metrics.get("level", {}), list(classes.items())
    if metrics.get("staining"):
        read = {name: row | _read(level, name) for name, row in rows}
        columns = [*BY_CLASS, *(Column(f"read_{kind}", f"level read right, {kind}", 0) for kind in ("virtual", "real"))]
        tables.append(_table("Staining by HER2 class", columns, list(read.items()), {}, "HER2"))
    heads = ["HER2", "images", "Virtual IHC", *(control_name(name) for name in metrics["controls"])]
    body = []
    for name, row in rows:
        pairs = [_pair(row), *(_pair(row["controls"][control]) for control in metrics["controls"])]
        body.append(tag("tr", tag("th", name, scope="row"), (tag("td", cell) for cell in (_count(row), *pairs))))
    tables.append(_whole(f"PSNR, dB / SSIM [{metrics['profile']}] by HER2 class", heads, body))
    note = "The class is the slide's, read from the target's file name, and used here only."
    return [tag("h3", "By HER2 class"), tables, tag("p", note, class_="quiet")]


def control_name(name: str) -> str:
    words = NAMES.get(name, name)
    return f"Control: {words}"


def _table(caption: str, columns: Sequence[Column], rows: Sequence[tuple[str, Row]], intervals: Row, corner: str = "") -> Html:
    """Only columns in which some row has a value; the first row, the predictions, with its intervals."""
    shown = [column for column in columns if any(row.get(column.key) is not None for _, row in rows)]
    body = []
    for k, (name, row) in enumerate(rows):
        cells = [tag("td", _count(row))]
        for column in shown:
            value = row.get(column.key)
            between = spread(intervals.get(column.key), column.digits) if k == 0 else ""
            text = value if isinstance(value, str) and value != "inf" else number(value, column.digits)
            cells.append(tag("td", text, tag("span", between, class_="interval") if between else []))
        body.append(tag("tr", tag("th", name, scope="row"), cells, class_="ours" if name.startswith("Virtual") else None))
    basis = _basis(intervals)
    return _whole(f"{caption}{basis}", [corner, "images", *(column.heading for column in shown)], body)


def _basis(intervals: Row) -> str:
    """What the intervals are over; empty where there are none."""
    one = next(iter(intervals.values()), None)
    if one is None:
        return ""
    over = "images" if one["units"] == one["images"] else f"{one['units']} slides"
    notes = sorted({f". {row['note']}" for row in intervals.values() if row.get("note")})
    return f"; small figures are 95 % bootstrap intervals over {over}{''.join(notes)}"


def _whole(caption: str, heads: Sequence[str], rows: Sequence[Html]) -> Html:
    head = tag("thead", tag("tr", (tag("th", text, scope="col") for text in heads)))
    return tag("div", tag("table", tag("caption", caption), head, tag("tbody", rows)), class_="scroll")


def _count(row: Row) -> str:
    if "scored" not in row:
        return ""
    return f"{row['scored']}" if row["scored"] == row["expected"] else f"{row['scored']} of {row['expected']}"


def _pair(row: Row) -> str:
    return f"{number(row['psnr'], 2)} / {number(row['ssim'], 3)}"


def _wrong(order: Row | None) -> str | None:
    return f"{order['violations']} of {order['pairs']}" if order and order["pairs"] else None


def _read(level: Row, name: str) -> Row:
    """Share of a class that was read as what it is, of the virtual and of the real images."""
    found: Row = {}
    for kind in ("virtual", "real"):
        if kind in level and name in level["classes"]:
            row = level[kind]["confusion"][level["classes"].index(name)]
            found[f"read_{kind}"] = percent(row[level["classes"].index(name)] / sum(row)) if sum(row) else None
    return found
