"""What a study leaves to read: utility.json, table.md, table.csv and plot.png."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chromogen.bench.utility.measures import MEASURES, Measures
from chromogen.bench.utility.plot import write_plot
from chromogen.bench.utility.study import FORMAT, Result
from chromogen.config import to_fields
from chromogen.evaluate.reading.usefulness import Summary
from chromogen.files import write_json, written_whole

MEANING = """\
Every reader is shown the same number of images and judged on the same real test cases, whose patients nobody trained on; where
it stops is chosen by real validation cases alone. Rows are those of Table 5 of Qu, "Synthesis of Multimodal Medical Images
Based on GAN" (2020): numbers are multiples of the real training cases. TRTR: trained on real, tested on real. TSTR: trained on
made, tested on real. few-shot: a tenth of the real cases after many made ones. augmented: turned and mirrored real cases, the
control of what made ones add. Gain: against row 1, seed by seed; p: paired t test over seeds, two-sided, corrected by Holm's
method over all rows. Seeds vary the reader and the order of images, not the patients: another test set moves all rows."""


def write_result(out: Path, result: Result, command: str = "") -> Path:
    """Write all files; gives table.md."""
    names = MEASURES[result.label]
    rows = [_row(result, row, names) for row in result.rows]
    write_json(out / "utility.json", _fields(result, rows, command))
    with written_whole(out / "table.csv") as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with written_whole(out / "table.md") as partial:
        partial.write_text(_markdown(result, names, command), encoding="utf-8")
    write_plot(out / "plot.png", result)
    return out / "table.md"


def _row(result: Result, row: Summary, names: Sequence[str]) -> dict[str, Any]:
    number = row.mixture.row
    measures = result.measures[number]
    found: dict[str, Any] = {
        "row": number,
        "mixture": str(row.mixture),
        "protocol": row.mixture.protocol,
        "seeds": row.seeds,
        "score": result.score,
        "mean": row.mean,
        "sd": row.sd,
        "gain": row.gain,
        "p": row.p,
        "p_corrected": row.p_corrected,
        "gap": result.gaps.get(number, math.nan),
        "seconds_per_step": result.seconds_per_step[number],
    }
    return found | {f"mean_{name}": _mean(measures, name) for name in names}


def _fields(result: Result, rows: Sequence[dict[str, Any]], command: str) -> dict[str, Any]:
    """JSON knows no NaN: null stands for it."""
    value: dict[str, Any] = {
        "format": FORMAT,
        "command": command,
        "recommendation": result.sentence,
        "table": result.table.number,
        "label": result.label,
        "score": result.score,
        "cases": result.cases,
        "reader": to_fields(result.reading),
        "floor": result.floor,
        "rows": [
            {
                **row,
                "scores": [one[result.score] for one in result.measures[row["row"]]],
                "measures": result.measures[row["row"]],
            }
            for row in rows
        ],
        "trts": result.trts,
        "failed": {str(row): reason for row, reason in result.failed.items()},
        "notes": result.notes,
    }
    whole: dict[str, Any] = _without_nan(value)
    return whole


def _markdown(result: Result, names: Sequence[str], command: str) -> str:
    real, made = result.cases, result.cases["made"]
    others = [name for name in names if name != result.score]
    heading = ["row", "trained on", "protocol", result.score, "sd", "gain", "p", "corrected", "gap", *others]
    lines = [heading, ["---:", "---", "---", *["---:"] * (len(heading) - 3)]]
    best = max(row.mean for row in result.rows)
    for row in result.rows:
        number = row.mixture.row
        mean = f"**{row.mean:.3f}**" if row.mean == best > result.floor[result.score] else f"{row.mean:.3f}"
        cells = [str(number), str(row.mixture), row.mixture.protocol, mean, _number(row.sd, 3)]
        gain = "" if number == 1 else f"{row.gain:+.3f}"
        cells += [gain, _number(row.p, 3), _number(row.p_corrected, 3), _number(result.gaps.get(number, math.nan), 2)]
        lines.append([*cells, *(_number(_mean(result.measures[number], name), 3) for name in others)])
    floor = ["", "*nothing learned*", "", f"*{result.floor[result.score]:.3f}*", "", "", "", "", ""]
    lines.append([*floor, *(f"*{result.floor[name]:.3f}*" for name in others)])
    on_made = ["", "*row 1, tested on made cases*", "*TRTS*", f"*{_mean(result.trts, result.score):.3f}*", "", "", "", "", ""]
    lines.append([*on_made, *(f"*{_number(_mean(result.trts, name), 3)}*" for name in others)])
    reading = result.reading
    parts = [
        f"# Use of {made} made cases: {result.table.about}",
        f"**{result.sentence}**",
        f"{real['train']} real training, {real['val']} validation and {real['test']} test cases; readers of width "
        f"{reading.width}, {reading.steps} steps of {reading.batch_size} images each. " + " ".join(result.notes),
        "\n".join("| " + " | ".join(line) + " |" for line in lines),
    ]
    if result.failed:
        failed = [f"- row {row}: {reason}" for row, reason in result.failed.items()]
        parts.append("Not in the table, because they failed:\n" + "\n".join(failed))
    parts += ["![scores](plot.png)", MEANING, *([f"Printed by `{command}`."] if command else [])]
    return "\n\n".join(parts) + "\n"


def _mean(measures: Sequence[Measures], name: str) -> float:
    return float(np.mean([one[name] for one in measures]))


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
