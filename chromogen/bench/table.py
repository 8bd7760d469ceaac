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
from chromogen.evaluate.distribution.diversity import diversity
from chromogen.files import written_whole
from chromogen.levels import LEVELS
from chromogen.tables import read_table

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
    Column("detail", "detail", 2),
    Column("blurred", "blurred or noisy (%)", 0, -1),
    Column("within", "DAB r within", 2, +1),
    Column("between", "DAB r between", 2, +1),
    Column("dab_error", "DAB error", 3, -1),
    Column("wasserstein", "DAB distance", 3, -1),
    Column("tile_dice", "DAB area", 2, +1),
    Column("violations", "order violations", 0, -1),
    Column("level_accuracy", "HER2 accuracy", 2, +1),
    Column("kappa", "HER2 kappa", 2, +1),
    Column("nuclei", "nuclei kept", 2, +1),
    Column("kid", "KID", 3, -1),
    Column("diversity", "diversity", 2),
    Column("balance", "balance", 2, +1),
    Column("seconds_per_step", "s/step", 3),
    Column("parameters_m", "parameters (M)", 2),
    Column("memory_mib", "memory (MiB)", 0),
)
MEANING = """\
PSNR and SSIM: protocol bci2022 (uint8 RGB, SSIM 7x7 uniform window), mean over images. Sharpness ratio: Laplacian energy
over that of the real IHC, which single pixels of noise raise. Detail: energy at 1-2 px over that of the real IHC, median
over images; 1 is as sharp, below is blur. Blurred or noisy: images that the gate of `chromogen.evaluate.pixels.validity` flags.
DAB r: Pearson's r of mean DAB density, predicted against real, over images after subtracting their class mean (within) and
over class means (between). DAB error: mean absolute difference of mean DAB density. DAB distance: mean Wasserstein distance
of the two distributions of density, in optical densities. DAB area: Dice overlap of the shares of 32 px tiles above 0.2.
Order violations: pairs of HER2 classes whose mean DAB stands in the wrong order, of those that occur. HER2 accuracy and
(quadratic) kappa: the slide's level against what a reader trained on the real IHC of the training pairs makes of the
virtual IHC; the ceiling, its reading of the real test IHC, stands in the last row. Nuclei kept: F1 of the nuclei of the H&E
found again in the virtual IHC, minus that of chance. KID: kid[efficientnet-lite0]; the floor, real against real, in the
last row. Diversity: spread between generated images over that between real ones. Balance (ours): mean over five families of
the share of systems beaten: fidelity (PSNR, SSIM), detail (distance of its ratio from 1, in logarithms), DAB (r within,
distance, area), HER2 (order violations, accuracy), nuclei kept; families without numbers are left out; 1 is best in all.
s/step: the fastest 20 steps in a row, on this machine; memory: peak while training; parameters: all networks that train. No
system, here or anywhere, is given a HER2 label to translate with."""
FAMILIES: tuple[tuple[tuple[str, int], ...], ...] = (
    (("psnr", +1), ("ssim", +1)),
    (("blur", -1),),
    (("within", +1), ("wasserstein", -1), ("tile_dice", +1)),
    (("violations", -1), ("level_accuracy", +1)),
    (("nuclei", +1),),
)


def write_table(out: Path, outcomes: Sequence[Outcome], title: str) -> list[Row]:
    """Write table.md, table.csv and per_image.csv into the bench's folder; gives the rows of the systems that finished."""
    real = diversity(read_image(path) for path in list_images(out / "test" / "IHC"))
    done = [outcome.system for outcome in outcomes if not outcome.reason]
    rows = [_row(system, folder_of(out, system), real) | _about(out, system) for system in done]
    _add_balance(rows)
    control_rows = [_row(name, out / "controls" / name, real) for name in CONTROLS]
    images = len(list_images(out / "test" / "IHC"))
    parts = [f"# {title}", f"{images} test images. {_source(out)}", _markdown(rows, control_rows, _real_row(out))]
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
    overall, stained, kept = metrics["overall"], metrics["staining"], metrics["overall"].get("nuclei_f1")
    images = read_table(folder / "per_image.csv").records()
    order, shares = stained["ordering_prediction"], metrics["validity"].get("shares", {})
    made = list_images(folder / "made") if (folder / "made").is_dir() else list_images(folder)
    details = [float(image["octave_fine"]) for image in images if image.get("octave_fine")]
    detail = float(np.median(details)) if details else math.nan
    return {
        "system": name,
        **{key: _number(overall[key]) for key in ("psnr", "ssim", "sharpness", "dab_error")},
        "detail": detail,
        "blur": abs(math.log(max(detail, 1e-6))) if details else math.nan,
        "blurred": 100 * (shares.get("blurry", 0.0) + shares.get("noisy", 0.0)) if details else math.nan,
        "within": _number(stained["pearson"]["within"]),
        "between": _number(stained["pearson"]["between"]),
        "wasserstein": _number(overall["dab_wasserstein"]),
        "tile_dice": _number(overall["tile_dice_0.2"]),
        "violations": order["violations"],
        "pairs_of_classes": order["pairs"],
        "kappa": _number(metrics["level"].get("virtual", {}).get("kappa")),
        "level_accuracy": _number(metrics["level"].get("virtual", {}).get("accuracy")),
        "nuclei": math.nan if kept is None else kept - overall["nuclei_chance"],
        "kid": _number(metrics["distribution"].get("kid[efficientnet-lite0]")),
        "diversity": diversity(read_image(path) for path in made) / real_diversity if real_diversity else math.nan,
        "classes": metrics["per_class"],
    }


def _real_row(out: Path) -> Row:
    """What the real test images would have, where that is not 1, 0 or infinite: the ceiling of kappa, the floor of KID."""
    metrics = json.loads((out / "controls" / "constant" / "metrics.json").read_text(encoding="utf-8"))
    read = metrics["level"].get("real", {})
    ceiling = {"kappa": _number(read.get("kappa")), "level_accuracy": _number(read.get("accuracy"))}
    return ceiling | {"kid": _number(metrics["distribution"].get("kid_floor[efficientnet-lite0]"))}


def _about(out: Path, system: str) -> Row:
    """What a system learns from, its steps, seconds a step, parameters and memory."""
    found: Row = json.loads((folder_of(out, system) / "result.json").read_text(encoding="utf-8"))
    return {"learns_from": methods.source_of(system).supervision, "parameters_m": found["parameters"] / 1e6, **found}


def _number(value: float | str | None) -> float:
    return math.nan if value is None else float(value)


def _add_balance(rows: list[Row]) -> None:
    """Mean over families of the share of systems a row beats (ties count half). Our own summary; see MEANING."""

    def shares(key: str, sign: int) -> list[float]:
        scores = [-math.inf if math.isnan(row[key]) else sign * row[key] for row in rows]
        rivals = max(1, len(scores) - 1)
        return [(sum(b < a for b in scores) + 0.5 * (sum(b == a for b in scores) - 1)) / rivals for a in scores]

    families = []
    for family in FAMILIES:
        known = [(key, sign) for key, sign in family if not all(math.isnan(row[key]) for row in rows)]
        if known:
            families.append(np.mean([shares(key, sign) for key, sign in known], axis=0))
    for number, row in enumerate(rows):
        row["balance"] = float(np.mean([family[number] for family in families]))


def _markdown(rows: list[Row], control_rows: list[Row], real: Row) -> str:
    heading = ["system", "learns from", *(column.heading for column in COLUMNS)]
    lines = [heading, ["---", "---", *["---:"] * len(COLUMNS)]]
    best = {column.key: _best([row.get(column.key, math.nan) for row in rows], column) for column in COLUMNS}
    for row in sorted(rows, key=lambda row: -row["balance"]):
        cells = [_cell(row.get(column.key), column, best[column.key]) for column in COLUMNS]
        lines.append([row["system"], row.get("learns_from", ""), *cells])
    for row in control_rows:
        cells = [_cell(row.get(column.key), column, None) for column in COLUMNS]
        lines.append([f"*control: {row['system']}*", f"*{CONTROLS[row['system']]}*", *cells])
    cells = [_cell(real.get(column.key), column, None) for column in COLUMNS]
    lines.append(["*real IHC*", "*ceiling of the HER2 reader; floor of KID between halves*", *cells])
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
    kept = (
        "name",
        "level",
        "status",
        "reason",
        "psnr",
        "ssim",
        "sharpness",
        "octave_fine",
        "dab",
        "dab_target",
        "dab_wasserstein",
        "tile_dice_0.2",
        "nuclei_f1",
        "nuclei_chance",
    )
    for name, folder in places:
        records = read_table(folder / "per_image.csv").records()
        rows += [{"system": name, **{key: row.get(key, "") for key in kept}} for row in records]
    return rows


def _write_csv(path: Path, rows: list[Row]) -> None:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with written_whole(path) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=keys, restval="")
        writer.writeheader()
        writer.writerows(rows)
