"""The table of a bench: one row a system, the controls below, per HER2 class; as Markdown and CSV, with every image scored."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chromogen import methods
from chromogen.bench.one import folder_of
from chromogen.bench.staining import CONTROLS, Outcome
from chromogen.data.images import list_images, read_image
from chromogen.data.levels import LEVELS
from chromogen.evaluate.diversity import diversity
from chromogen.files import written_whole

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column: its heading, digits, and whether more (+1), less (-1) or neither (0) is better."""

    key: str
    heading: str
    digits: int
    better: int = 0


COLUMNS = (
    Column("psnr", "PSNR (dB)", 2, +1),
    Column("ssim", "SSIM", 3, +1),
    Column("sharpness", "sharpness ratio", 2),
    Column("within", "DAB r within", 2, +1),
    Column("between", "DAB r between", 2, +1),
    Column("dab_error", "DAB error", 3, -1),
    Column("violations", "order violations", 0, -1),
    Column("diversity", "diversity", 2),
    Column("balance", "balance", 2, +1),
    Column("seconds_per_step", "s/step", 3),
    Column("parameters_m", "parameters (M)", 2),
    Column("memory_mib", "memory (MiB)", 0),
)
MEANING = """\
PSNR and SSIM: protocol bci2022 (uint8 RGB, SSIM 7x7 uniform window), mean over images. Sharpness ratio: to the real
IHC; 1 is as sharp, below is blur. DAB r: Pearson's r of mean DAB density, predicted against real, over images after
subtracting their class mean (within) and over class means (between). DAB error: mean absolute difference of mean DAB
density. Order violations: pairs of HER2 classes whose mean DAB stands in the wrong order, of those that occur.
Diversity: spread between generated images over that between real ones. Balance (ours): mean rank, as a share of the
systems beaten, of fidelity (PSNR, SSIM), sharpness (distance of the ratio from 1, in logarithms), DAB agreement (r
within, DAB error) and class order together; 1 is best in all. s/step: the fastest 20 steps in a row, on this
machine; memory: peak while training; parameters: all networks that train. No system, here or anywhere, is given a
HER2 label to translate with."""


def write_table(out: Path, outcomes: Sequence[Outcome], title: str) -> list[Row]:
    """Write table.md, table.csv and per_image.csv into the bench's folder; gives the rows of the systems that finished."""
    real = diversity(read_image(path) for path in list_images(out / "test" / "IHC"))
    done = [outcome.system for outcome in outcomes if not outcome.reason]
    rows = [_row(system, folder_of(out, system), real) | _about(out, system) for system in done]
    _add_balance(rows)
    control_rows = [_row(name, out / "controls" / name, real) for name in CONTROLS]
    images = len(list_images(out / "test" / "IHC"))
    parts = [f"# {title}", f"{images} test images. {_source(out)}", _markdown(rows, control_rows)]
    failed = [f"- {outcome.system}: {outcome.reason}" for outcome in outcomes if outcome.reason]
    parts += ["Not in the table, because they failed:\n" + "\n".join(failed)] if failed else []
    parts += ["## By HER2 class of the slide", _by_class([*rows, *control_rows]), MEANING]
    with written_whole(out / "table.md") as partial:
        partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    _write_csv(out / "table.csv", [{k: v for k, v in row.items() if k != "classes"} for row in [*rows, *control_rows]])
    _write_csv(out / "per_image.csv", _per_image(out, done))
    return rows


def _source(out: Path) -> str:
    plan = json.loads((out / "bench.json").read_text(encoding="utf-8"))
    return f"Printed by `{plan['command']}`." if plan["command"] else ""


def _row(name: str, folder: Path, real_diversity: float) -> Row:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    overall, staining = metrics["overall"], metrics["staining"]
    with (folder / "per_image.csv").open(newline="", encoding="utf-8") as handle:
        images = list(csv.DictReader(handle))
    order = staining["ordering_prediction"]
    made = list_images(folder / "made") if (folder / "made").is_dir() else list_images(folder)
    return {
        "system": name,
        **{key: _number(overall[key]) for key in ("psnr", "ssim", "sharpness")},
        "within": _number(staining["pearson"]["within"]),
        "between": _number(staining["pearson"]["between"]),
        "dab_error": float(np.mean([abs(float(image["dab"]) - float(image["dab_target"])) for image in images])),
        "violations": order["violations"],
        "pairs_of_classes": order["pairs"],
        "diversity": diversity(read_image(path) for path in made) / real_diversity if real_diversity else math.nan,
        "classes": metrics["per_class"],
    }


def _about(out: Path, system: str) -> Row:
    """What a system learns from, its steps, seconds a step, parameters and memory."""
    found: Row = json.loads((folder_of(out, system) / "result.json").read_text(encoding="utf-8"))
    return {"learns_from": methods.source_of(system).supervision, "parameters_m": found["parameters"] / 1e6, **found}


def _number(value: float | str | None) -> float:
    return math.nan if value is None else float(value)


def _add_balance(rows: list[Row]) -> None:
    """Mean over four families of the share of systems a row beats (ties count half). Our own summary; see MEANING."""

    def share(scores: list[float]) -> list[float]:
        known = [-math.inf if math.isnan(score) else score for score in scores]
        rivals = max(1, len(known) - 1)
        return [(sum(b < a for b in known) + 0.5 * (sum(b == a for b in known) - 1)) / rivals for a in known]

    def column(key: str, sign: float = 1.0) -> list[float]:
        return share([sign * row[key] for row in rows])

    sharpness = share([-abs(math.log(max(row["sharpness"], 1e-6))) for row in rows])
    families = [
        np.mean([column("psnr"), column("ssim")], axis=0) if rows else [],
        sharpness,
        np.mean([column("within"), column("dab_error", -1)], axis=0) if rows else [],
        column("violations", -1),
    ]
    for number, row in enumerate(rows):
        row["balance"] = float(np.mean([family[number] for family in families]))


def _markdown(rows: list[Row], control_rows: list[Row]) -> str:
    heading = ["system", "learns from", *(column.heading for column in COLUMNS)]
    lines = [heading, ["---", "---", *["---:"] * len(COLUMNS)]]
    best = {column.key: _best([row.get(column.key, math.nan) for row in rows], column) for column in COLUMNS}
    for row in sorted(rows, key=lambda row: -row["balance"]):
        cells = [_cell(row.get(column.key), column, best[column.key]) for column in COLUMNS]
        lines.append([row["system"], row.get("learns_from", ""), *cells])
    for row in control_rows:
        cells = [_cell(row.get(column.key), column, None) for column in COLUMNS]
        lines.append([f"*control: {row['system']}*", f"*{CONTROLS[row['system']]}*", *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _best(values: list[float], column: Column) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    if not known or not column.better:
        return None
    return max(known) if column.better > 0 else min(known)


def _cell(value: float | None, column: Column, best: float | None) -> str:
    if value is None or math.isnan(value):
        return "\N{EN DASH}"
    text = f"{value:.{column.digits}f}"
    return f"**{text}**" if best is not None and text == f"{best:.{column.digits}f}" else text


def _by_class(rows: list[Row]) -> str:
    present = [level for level in LEVELS if any(level in row["classes"] for row in rows)]
    if not present:
        return "The test images carry no class, or one class only."
    lines = [["system", *(f"{what} {level}" for what in ("PSNR", "SSIM", "DAB") for level in present)]]
    lines.append(["---", *["---:"] * (3 * len(present))])
    for row in rows:
        cells = [
            f"{_number(row['classes'].get(level, {}).get(key)):.{digits}f}"
            for key, digits in (("psnr", 2), ("ssim", 3), ("dab", 3))
            for level in present
        ]
        lines.append([row["system"], *cells])
    real = [f"{_number(rows[0]['classes'].get(level, {}).get('dab_target')):.3f}" for level in present]
    lines.append(["*real IHC*", *[""] * (2 * len(present)), *real])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _per_image(out: Path, systems: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    places = [(name, folder_of(out, name)) for name in systems]
    places += [(f"control: {name}", out / "controls" / name) for name in CONTROLS]
    kept = ("name", "level", "status", "reason", "psnr", "ssim", "sharpness", "dab", "dab_target")
    for name, folder in places:
        with (folder / "per_image.csv").open(newline="", encoding="utf-8") as handle:
            rows += [{"system": name, **{key: row[key] for key in kept}} for row in csv.DictReader(handle)]
    return rows


def _write_csv(path: Path, rows: list[Row]) -> None:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=keys, restval="")
        writer.writeheader()
        writer.writerows(rows)
