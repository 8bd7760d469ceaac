"""From the scores of images to those of a submission: means, controls and staining."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from chromogen.data.levels import LEVELS
from chromogen.evaluate import controls, staining
from chromogen.judge.image import MEASURES, ImageScore


def summary(images: Sequence[ImageScore]) -> dict[str, Any]:
    """Means over images: of the predictions that could be scored, and of each control over all targets."""
    scored = [image for image in images if not image.reason]
    row: dict[str, Any] = {"expected": len(images), "scored": len(scored)}
    row |= {name: _mean(image.measures[name] for image in scored) for name in MEASURES}
    for name in ("psnr", "ssim"):
        row[f"{name}_failures_as_zero"] = _mean(0.0 if image.reason else image.measures[name] for image in images)
    for name in ("dab", "dab_target"):
        row[name] = _mean(getattr(image, name) for image in scored)
    row["controls"] = {name: _controls(name, images) for name in controls.MEANING}
    return row


def _controls(name: str, images: Sequence[ImageScore]) -> dict[str, Any]:
    """`model_better` counts images on which the prediction scores higher; a failed prediction never does."""
    present = [image for image in images if name in image.controls]
    row: dict[str, Any] = {"meaning": controls.MEANING[name], "expected": len(images), "scored": len(present)}
    row |= {measure: _mean(image.controls[name][measure] for image in present) for measure in MEASURES}
    row["model_better"] = {
        measure: sum(image.measures[measure] > image.controls[name][measure] for image in present)
        for measure in ("psnr", "ssim")
    }
    reasons = sorted({image.source_reason for image in images if name == "source" and image.source_reason})
    return row | ({"missing_because": reasons} if reasons else {})


def stain(images: Sequence[ImageScore]) -> dict[str, Any]:
    """DAB of the scored predictions against that of their targets."""
    level = [image.level for image in images]
    predicted, real = [image.dab for image in images], [image.dab_target for image in images]
    pearson = staining.correlation(level, predicted, real)
    result: dict[str, Any] = {
        "dab": "mean decadic optical density along the DAB vector of H-E-DAB, in the light of the target's glass",
        "pearson": {name: json_number(value) for name, value in vars(pearson).items()},
    }
    for name, values in (("prediction", predicted), ("target", real)):
        order = staining.ordering_violations(level, values)
        means = {LEVELS[k]: json_number(value) for k, value in order.means.items()}
        result[f"ordering_{name}"] = {"violations": order.violations, "pairs": order.pairs, "class_means": means}
    return result


def _mean(values: Iterable[float]) -> float | str | None:
    defined = [value for value in values if not math.isnan(value)]
    return json_number(float(np.mean(defined))) if defined else None


def json_number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return "inf" if value == math.inf else value
