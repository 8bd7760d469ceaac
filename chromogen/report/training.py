"""The section of one training run: a curve for each logged quantity, and sample grids from the first step to the last."""

import json
import re
from pathlib import Path

from chromogen.methods import available
from chromogen.report.figures import curve
from chromogen.report.gallery import picture
from chromogen.report.markup import Content, tag
from chromogen.report.section import Section, counted, origin, read_record

SAMPLE_PX = 560


def training_section(folder: Path, name: str) -> Section:
    """The run in `folder`: run.json, log.jsonl and samples/step_000100.png.

    Raises OSError, ValueError or KeyError where these files are not what a training leaves.
    """
    run = read_record(folder / "run.json")
    lines, broken = _log(folder / "log.jsonl")
    series: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        for key in line:
            series.setdefault(key, []).append((line["step"], line[key]))
    series.pop("step", None)
    held_out = {key: points for key, points in series.items() if key.startswith("validation/")}
    training = {key: points for key, points in series.items() if key not in held_out}
    charts = [
        (heading, [curve(points, "step", key.removeprefix("validation/")) for key, points in group.items()])
        for heading, group in (("On held-out images", held_out), ("While training", training))
    ]
    last = max((int(line["step"]) for line in lines), default=0)
    planned = run.get("loop", {}).get("steps", last)
    summary = f"{run['method_name']} trained for {last:,} of {counted(planned, 'step')}."
    body: list[Content] = [
        [(tag("h3", heading), tag("div", drawn, class_="charts")) for heading, drawn in charts if drawn],
        tag("p", f"{counted(broken, 'line')} of log.jsonl could not be read.", class_="quiet") if broken else [],
        _samples(folder, run["method_name"]),
        origin(run.get("command", ""), run.get("versions", {}), ""),
    ]
    return Section(f"Training: {name}", summary, body)


def _log(path: Path) -> tuple[list[dict[str, float]], int]:
    """The readable lines, and how many are not: a killed run may have cut its last one short."""
    lines, broken = [], 0
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = {key: float(value) for key, value in json.loads(text).items() if isinstance(value, int | float)}
            lines.append(line | {"step": line["step"]})
        except (ValueError, KeyError, AttributeError):
            broken += 1
    return lines, broken


def _samples(folder: Path, method: str) -> Content:
    files = (folder / "samples").glob("step_*.png")
    grids = sorted((int(found[1]), path) for path in files if (found := re.fullmatch(r"step_(\d+)", path.stem)))
    if not grids:
        return []
    chosen = [grids[k] for k in sorted({0, len(grids) // 2, len(grids) - 1})]
    figures = [picture(path, f"step {step:,}", f"sample images at step {step:,}", SAMPLE_PX) for step, path in chosen]
    stains = method.partition(":")[0] in available("staining")
    note = "Held-out images, one a row: source, virtual stain, real stain." if stains else "Held-out cases."
    return [tag("h3", "Seen while training"), tag("p", note, class_="quiet"), tag("div", figures, class_="row three")]
