"""The files of an evaluation: metrics.json and per_image.csv."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from chromogen.evaluate import controls
from chromogen.files import write_json, written_whole
from chromogen.judge.folder import Scores
from chromogen.judge.image import CONTROLLED, MEASURES, ImageScore
from chromogen.levels import LEVELS


def write_scores(scores: Scores, out: Path) -> None:
    """Write `metrics.json` and `per_image.csv` (one row a target, failures included) into the folder `out`."""
    write_json(out / "metrics.json", scores.metrics)
    with written_whole(out / "per_image.csv") as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        measures = list(dict.fromkeys([*MEASURES, "dab", *(name for image in scores.images for name in image.measures)]))
        rows = [_csv_row(image, measures) for image in scores.images]
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _csv_row(image: ImageScore, measures: Sequence[str]) -> dict[str, str | float]:
    numbers = {name: image.measures.get(name, math.nan) for name in measures} | {
        "dab_target": image.real.get("dab_target", math.nan)
    }
    for name in controls.MEANING:
        beside = image.controls.get(name, {})
        numbers |= {f"{name}_{measure}": beside.get(measure, math.nan) for measure in CONTROLLED}
    return {
        "name": image.name,
        "level": "" if image.level is None else LEVELS[image.level],
        "status": "failed" if image.reason else "ok",
        "reason": image.reason,
        **{name: "" if math.isnan(value) else value for name, value in numbers.items()},
        "prediction_file": image.prediction_file,
        "target_file": image.target_file,
        "source_file": image.source_file,
    }
