"""The table of a bench of synthesis: controls first, then one row a system, as Markdown and CSV."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chromogen.bench.one import folder_of
from chromogen.bench.synthesis.bench import CONTROL_SYSTEMS, Outcome
from chromogen.bench.synthesis.plan import CONTROL_PREFIX, CONTROLS, Plan
from chromogen.files import written_whole

Row = dict[str, Any]

LARGE = 1e5
MEANING = """\
All measures of images are means over modalities. KID and FID carry their extractor; FID depends on the number of cases, KID
does not. The reference are training cases, so that a copier scores well in all of them: read the columns of copies beside
them. Floor: the same measure between two halves of the reference. precision, density: how much of what is made lies among
real cases; recall, coverage: how much of the real ones is reached (over the first extractor). MS-SSIM: its name carries the
number of scales; made-made above real-real is less variety than real cases have. shift: median distance in px by which two
modalities of a case lie apart; overlap: Dice of their lines; both have no ideal value but that of real cases. read: how well
a reader of real cases, which guided nobody, finds the labels that cases were made with; lack a class: cases without some
class of the label, where a mean over classes counts 1 if the reader rightly finds none. copies: share of cases more like a
training case than 95 of 100 strangers are; nearness: share nearer to training cases than to held-out ones, 0.5 is no
memorisation. s/step: the fastest stretch of the log, on this machine; parameters: of the networks that make images. A chain
has budgets of its own for each stage, and random_contrast draws from the lines and labels of training cases without learning
anything."""


@dataclass(frozen=True)
class Column:
    """One column: its heading, digits, and whether more (+1), less (-1) or neither (0) is better."""

    key: str
    heading: str
    digits: int
    better: int = 0


def columns(plan: Plan, keys: Sequence[str]) -> list[Column]:
    """The columns that some row has a number for, in order; `keys` are all that were scored."""
    names = [name.partition(":")[0] for name in plan.extractors]
    found = [Column(f"kid[{name}]", f"KID [{name}]", 4, -1) for name in names]
    found += [Column(f"fid[{name}]", f"FID [{name}]", 2, -1) for name in names]
    found += [Column(f"{one}[{names[0]}]", one, 2, +1) for one in ("precision", "recall", "density", "coverage") if names]
    similar = sorted(key for key in keys if key.startswith("ms-ssim"))
    found += [
        Column(key, f"{key.partition('[')[0]} {key.partition('[')[2][:-1].replace('fake', 'made')}", 3) for key in similar
    ]
    found += [
        Column("shift_px", "shift (px)", 2),
        Column("line_overlap", "overlap", 2),
        Column("read", "read", 3, +1),
        Column("read_lacking", "lack a class", 0),
        Column("copies", "copies", 2, -1),
        Column("nearness", "nearness", 2),
        Column("authentic", "authentic", 2),
        Column("steps", "steps", 0),
        Column("seconds_per_step", "s/step", 3),
        Column("parameters_m", "parameters (M)", 2),
    ]
    return [column for column in found if column.key in keys]


def write_table(out: Path, plan: Plan, outcomes: Sequence[Outcome]) -> list[Row]:
    """Write table.md and table.csv into the bench's folder; the rows of the systems that finished, best KID first."""
    done = [outcome.system for outcome in outcomes if not outcome.reason]
    rows = {system: _row(out, system) for system in done}
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    shown = columns(plan, keys)
    systems = sorted((name for name in done if name not in CONTROL_SYSTEMS), key=lambda name: _sorting(rows[name], shown))
    order = [*(name for name in CONTROL_SYSTEMS if name in rows), *systems]
    best = {column.key: _best([_number(rows[name], column.key) for name in systems], column) for column in shown}
    lines = [["system", *(column.heading for column in shown)], ["---", *["---:"] * len(shown)]]
    for name in order:
        cells = [
            _cell(_number(rows[name], column.key), column, best[column.key] if name in systems else None) for column in shown
        ]
        label = f"*{name}: {CONTROLS[name.removeprefix(CONTROL_PREFIX)]}*" if name in CONTROL_SYSTEMS else name
        lines.append([label, *cells])
    if order:
        cells = [_cell(_floor(rows[order[0]], column.key), column, None) for column in shown]
        lines.append(["*floor: halves of the reference*", *cells])
    kind = next((row["read_as"] for row in rows.values() if "read_as" in row), None)
    parts = [f"# Systems of synthesis on {plan.data.resolve().name}: {plan.title()}", _source(out)]
    parts.append("\n".join("| " + " | ".join(line) + " |" for line in lines))
    failed = [f"- {outcome.system}: {outcome.reason}" for outcome in outcomes if outcome.reason]
    parts += ["Not in the table, because they failed:\n" + "\n".join(failed)] if failed else []
    parts += ["![one row a system, the real cases first](picture.jpg)"]
    parts.append(MEANING + (f" Here read is {kind}." if kind else " These cases have no labels that could be read."))
    with written_whole(out / "table.md") as partial:
        partial.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    with written_whole(out / "table.csv") as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=["system", *keys], restval="")
        writer.writeheader()
        writer.writerows({"system": name} | rows[name] for name in order)
    return [{"system": name} | rows[name] for name in systems]


def order_of(outcomes: Sequence[Outcome], rows: Sequence[Row]) -> list[str]:
    """The controls that finished, then the systems as the table has them."""
    done = [outcome.system for outcome in outcomes if not outcome.reason]
    return [*(name for name in CONTROL_SYSTEMS if name in done), *(row["system"] for row in rows)]


def _row(out: Path, system: str) -> Row:
    found = json.loads((folder_of(out, system) / "result.json").read_text(encoding="utf-8"))
    cost = found["cost"]
    parameters = {"parameters_m": cost["parameters"] / 1e6} if "parameters" in cost else {}
    return {**found["scores"], **cost, **parameters}


def _source(out: Path) -> str:
    command = json.loads((out / "bench.json").read_text(encoding="utf-8"))["command"]
    return f"Printed by `{command}`." if command else ""


def _sorting(row: Row, shown: Sequence[Column]) -> float:
    value = _number(row, shown[0].key) if shown else math.nan
    return math.inf if math.isnan(value) else value


def _number(row: Row, key: str) -> float:
    value = row.get(key)
    return math.nan if value is None else float(value)


def _floor(row: Row, key: str) -> float:
    name, bracket, rest = key.partition("[")
    return _number(row, f"{name}_floor{bracket}{rest}")


def _best(values: Sequence[float], column: Column) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    if not known or not column.better:
        return None
    return max(known) if column.better > 0 else min(known)


def _cell(value: float, column: Column, best: float | None) -> str:
    if math.isnan(value):
        return "\N{EN DASH}"
    text = _text(value, column)
    return f"**{text}**" if best is not None and text == _text(best, column) else text


def _text(value: float, column: Column) -> str:
    """A distance of a network that has learned nothing may have nine digits before the point."""
    return f"{value:.2e}" if abs(value) >= LARGE and column.digits else f"{value:.{column.digits}f}"
