"""From the scores of images to those of a submission: means, controls, staining, intervals."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chromogen.evaluate import controls, statistics
from chromogen.evaluate.pixels import validity
from chromogen.evaluate.staining import amounts
from chromogen.judge.image import MEASURES, ImageScore
from chromogen.judge.judging import Judging
from chromogen.levels import LEVELS

WITH_INTERVALS = ("psnr", "ssim", "sharpness", "dab_error", "dab_wasserstein", "tile_dice_0.2", "nuclei_f1")


def summary(images: Sequence[ImageScore]) -> dict[str, Any]:
    """Means over images: of the predictions that could be scored, and of each control over all targets."""
    scored = [image for image in images if not image.reason]
    row: dict[str, Any] = {"expected": len(images), "scored": len(scored)}
    names = list(dict.fromkeys(name for image in scored for name in image.measures)) or list(MEASURES)
    row |= {name: mean(image.measures.get(name, math.nan) for image in scored) for name in names}
    for name in ("psnr", "ssim"):
        row[f"{name}_failures_as_zero"] = mean(0.0 if image.reason else image.measures[name] for image in images)
    row.setdefault("dab", None)
    row["dab_target"] = mean(image.real.get("dab_target", math.nan) for image in scored)
    present = [name for name in controls.MEANING if name != "training_mean" or any(name in i.controls for i in images)]
    row["controls"] = {name: _control(name, images) for name in present}
    return row


def _control(name: str, images: Sequence[ImageScore]) -> dict[str, Any]:
    """`model_better` counts images on which the prediction scores higher; a failed prediction never does."""
    present = [image for image in images if name in image.controls]
    row: dict[str, Any] = {"meaning": controls.MEANING[name], "expected": len(images), "scored": len(present)}
    names = list(dict.fromkeys(measure for image in present for measure in image.controls[name])) or list(MEASURES)
    row |= {measure: mean(image.controls[name].get(measure, math.nan) for image in present) for measure in names}
    row["model_better"] = {
        measure: sum(image.measures[measure] > image.controls[name][measure] for image in present)
        for measure in ("psnr", "ssim")
    }
    reasons = sorted({image.source_reason for image in images if name == "source" and image.source_reason})
    return row | ({"missing_because": reasons} if reasons else {})


def stain(images: Sequence[ImageScore]) -> dict[str, Any]:
    """DAB of the scored predictions against that of their targets, and of each control."""
    level = [image.level for image in images]
    real = [image.real.get("dab_target", math.nan) for image in images]
    predicted = [image.measures.get("dab", math.nan) for image in images]
    pearson = amounts.correlation(level, predicted, real)
    line = amounts.calibration(predicted, real)
    result: dict[str, Any] = {
        "dab": "mean decadic optical density along the DAB vector of H-E-DAB, in the light of the target's glass",
        "pearson": {name: json_number(value) for name, value in vars(pearson).items()},
        "calibration": {name: json_number(value) for name, value in vars(line).items()},
    }
    for name, values in (("prediction", predicted), ("target", real)):
        result[f"ordering_{name}"] = _ordering(level, values)
    result["controls"] = {}
    for name in controls.MEANING:
        present = [k for k, image in enumerate(images) if "dab" in image.controls.get(name, {})]
        if present:
            of_these = [level[k] for k in present]
            values = [images[k].controls[name]["dab"] for k in present]
            within = amounts.correlation(of_these, values, [real[k] for k in present]).within
            result["controls"][name] = {"within": json_number(within), "ordering": _ordering(of_these, values)}
    return result


def _ordering(level: Sequence[int | None], values: Sequence[float]) -> dict[str, Any]:
    order = amounts.ordering_violations(level, values)
    means = {LEVELS[k]: json_number(value) for k, value in order.means.items()}
    return {"violations": order.violations, "pairs": order.pairs, "class_means": means}


def sharp_enough(images: Sequence[ImageScore], judging: Judging) -> dict[str, Any]:
    """The gate against blur: a flag for the submission, and for every image that has one other than valid."""
    looked_at = [image for image in images if image.octaves is not None]
    if not looked_at:
        return {"flag": "unjudged", "reasons": ["no image was large enough, or none was looked at"], "images": []}
    found = validity.judge_submission([image.octaves for image in looked_at if image.octaves], judging.thresholds)
    flagged = [
        {"name": image.name, "flag": one.flag, "reasons": list(one.reasons)}
        for image, one in zip(looked_at, found.images, strict=True)
        if one.flag != "valid"
    ]
    return {
        "flag": found.flag,
        "reasons": list(found.reasons),
        "shares": dict(found.shares),
        "thresholds": dataclasses.asdict(judging.thresholds),
        "images": flagged,
    }


def intervals(images: Sequence[ImageScore], slides: Sequence[str] | None, seed: int) -> dict[str, Any]:
    """95 % bootstrap intervals of the means, over images or (where slides are known) over slides."""
    found: dict[str, Any] = {}
    for name in WITH_INTERVALS:
        chosen = [k for k, image in enumerate(images) if math.isfinite(image.measures.get(name, math.nan))]
        if len(chosen) < 2:
            continue
        values = np.array([images[k].measures[name] for k in chosen])
        groups = None if slides is None else [slides[k] for k in chosen]
        one = statistics.interval(values, groups=groups, seed=seed)
        found[name] = {key: json_number(value) if isinstance(value, float) else value for key, value in vars(one).items()}
    return found


def mean(values: Iterable[float]) -> float | str | None:
    """The mean of the numbers among the values, as JSON has it."""
    defined = [value for value in values if not math.isnan(value)]
    return json_number(float(np.mean(defined))) if defined else None


def json_number(value: float) -> float | str | None:
    """JSON has neither NaN nor infinity: null and "inf"."""
    if math.isnan(value):
        return None
    return "inf" if value == math.inf else value
