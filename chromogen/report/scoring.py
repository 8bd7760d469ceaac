"""A folder of predictions scored against a folder of targets, beside three controls that need no network.

Every target counts. A prediction that is missing, unreadable or of the wrong size is a failure with a reason: it is left out
of the plain means, which are then marked incomplete, and enters as 0 dB and SSIM 0 in the means "failures as zero", so that
leaving out hard images never pays. A prediction identical to its target has infinite PSNR, and so has any mean it enters;
such files are listed, since they are nearly always a copy of the answer.
"""

import csv
import math
import platform
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from chromogen.color import background
from chromogen.data.images import list_images, read_image
from chromogen.data.levels import LEVELS, level_from_name
from chromogen.evaluate import controls, pixel, staining
from chromogen.evaluate.protocols import Profile, profile_named
from chromogen.files import write_json, written_whole
from chromogen.tensors import Uint8Image

MARK = re.compile(r"\.virtual-[a-z0-9]+$")  # `translate` writes NAME.virtual-her2.png for NAME.png
NO_SOURCE = "no source folder was given"
MEASURES = ("psnr", "ssim", "sharpness")
Measures = dict[str, float]
Progress = Callable[[int, int], None]  # (images done, images expected)


@dataclass(frozen=True)
class ImageScore:
    """One target and what became of its prediction. NaN stands where there is nothing to measure.

    dab, dab_target: mean DAB density of the prediction and of the target, both under the light of the target's glass.
    """

    name: str
    level: int | None
    target_file: str
    prediction_file: str = ""
    source_file: str = ""
    reason: str = ""  # why the prediction failed; empty: it was scored
    source_reason: str = ""  # why the source control is missing
    measures: Measures = field(default_factory=lambda: dict.fromkeys(MEASURES, math.nan))
    dab: float = math.nan
    dab_target: float = math.nan
    controls: dict[str, Measures] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """What `score_folder` found: one entry a target, in the order of the target folder."""

    profile: Profile
    prediction: Path
    target: Path
    source: Path | None
    images: tuple[ImageScore, ...]
    extra: tuple[str, ...]  # predictions without a target

    @property
    def failures(self) -> tuple[ImageScore, ...]:
        return tuple(image for image in self.images if image.reason)

    @property
    def complete(self) -> bool:
        return not self.failures

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Everything `metrics.json` holds. Numbers that do not exist are null; an infinite PSNR is the string "inf"."""
        classes = {LEVELS[k]: [i for i in self.images if i.level == k] for k in range(len(LEVELS))}
        classes["unknown"] = [image for image in self.images if image.level is None]
        overall = _summary(self.images)
        return {
            "profile": self.profile.name,
            "profile_description": self.profile.description,
            "expected": len(self.images),
            "scored": len(self.images) - len(self.failures),
            "complete": self.complete,
            "failures": [{"name": image.name, "reason": image.reason} for image in self.failures],
            "identical": [image.name for image in self.images if image.measures["psnr"] == math.inf],
            "extra_predictions": list(self.extra),
            "controls": overall.pop("controls"),
            "overall": overall,
            "per_class": {
                name: _summary(images) for name, images in classes.items() if images and len(images) < len(self.images)
            },
            "staining": _staining([image for image in self.images if not image.reason]),
            "prediction": str(self.prediction),
            "target": str(self.target),
            "source": None if self.source is None else str(self.source),
            "command": self._command(),
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in ("chromogen", "numpy", "scipy", "pillow")},
        }

    def _command(self) -> str:
        folders = ["--pred", str(self.prediction), "--target", str(self.target)]
        folders += [] if self.source is None else ["--source", str(self.source)]
        return shlex.join(["chromogen", "evaluate", *folders, "--profile", self.profile.name])

    def table(self) -> Table:
        """The scores for a terminal: predictions, HER2 classes, and always the three controls."""
        metrics = self.metrics
        title = f"profile {self.profile.name}, PSNR in dB"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("", no_wrap=True)
        for heading in ("images", "PSNR", "SSIM", "sharpness", "DAB", "real DAB"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_row("predictions", *_cells(metrics["overall"]))
        if not self.complete:
            zero = {"psnr": "psnr_failures_as_zero", "ssim": "ssim_failures_as_zero"}
            row = {name: metrics["overall"][key] for name, key in zero.items()}
            table.add_row("  failures as zero", *_cells(row | {"scored": len(self.images), "expected": len(self.images)}))
        for name, row in metrics["per_class"].items():
            table.add_row(f"  HER2 {name}", *_cells(row))
        table.add_section()
        for name, row in metrics["controls"].items():
            table.add_row(f"control: {name.replace('_', ' ')}", *_cells(row))
        return table


def score_folder(
    prediction: Path, target: Path, source: Path | None, profile: str = "bci2022", progress: Progress | None = None
) -> Scores:
    """Score every image of `target` by the prediction (and control it by the source) whose file has the same stem.

    A prediction may also be called NAME.virtual-her2.png. HER2 levels are read from the names of the targets.
    ValueError: unknown profile, a folder that is missing or empty, two targets of one name, or no prediction that fits any
    target. Everything that is wrong with a single image is a failure in the result.
    """
    chosen = profile_named(profile)
    targets = _by_stem(target, "target")
    doubled = [paths for paths in targets.values() if len(paths) > 1]
    if doubled:
        raise ValueError(f"{target}: {doubled[0][0].name} and {doubled[0][1].name} have one name; keep one of them")
    predictions = _by_stem(prediction, "prediction")
    if not predictions.keys() & targets.keys():
        raise ValueError(
            f"no image in {prediction} has the name of a target in {target} (the first there is {next(iter(targets))!r}); "
            "predictions carry the name of their target"
        )
    sources = {} if source is None else _by_stem(source, "source")
    images = []
    for done, (name, (path,)) in enumerate(targets.items(), start=1):
        files = _Files(name, path, predictions.get(name, []), sources.get(name, []) if source else None)
        images.append(_score(files, chosen))
        if progress:
            progress(done, len(targets))
    extra = [path.name for name, paths in predictions.items() if name not in targets for path in paths]
    return Scores(chosen, prediction, target, source, tuple(images), tuple(extra))


def write_scores(scores: Scores, out: Path) -> None:
    """Write `metrics.json` and `per_image.csv` (one row a target, failures included) into the folder `out`."""
    write_json(out / "metrics.json", scores.metrics)
    with written_whole(out / "per_image.csv") as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        rows = [_csv_row(image) for image in scores.images]
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@dataclass(frozen=True)
class _Files:
    """What bears the name of one target; `sources` is None when no source folder was given."""

    name: str
    target: Path
    predictions: Sequence[Path]
    sources: Sequence[Path] | None


def _by_stem(folder: Path, role: str) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise ValueError(f"the {role} folder {folder} is not there; name a folder of images")
    found: dict[str, list[Path]] = {}
    for path in list_images(folder):
        found.setdefault(MARK.sub("", path.stem), []).append(path)
    if not found:
        raise ValueError(f"the {role} folder {folder} holds no images")
    return found


def _score(files: _Files, profile: Profile) -> ImageScore:
    blank = ImageScore(files.name, level_from_name(files.target.name), files.target.name)
    try:
        target = read_image(files.target)
    except (ValueError, OSError) as error:
        return replace(blank, reason=f"its target could not be read: {error}", source_reason="the target could not be read")
    prediction, prediction_file, reason = _fitting(files.predictions, target, "prediction")
    source, source_file, source_reason = _fitting(files.sources, target, "source image")
    named = replace(blank, prediction_file=prediction_file, source_file=source_file, reason=reason, source_reason=source_reason)
    try:
        beside = {name: _measures(image, target, profile) for name, image in controls.controls(target, source).items()}
        measures = blank.measures if prediction is None else _measures(prediction, target, profile)
    except ValueError as error:  # the images are smaller than the window
        return replace(named, reason=str(error), source_reason=str(error))
    light = background(target)
    return replace(
        named,
        measures=measures,
        dab=math.nan if prediction is None else staining.mean_dab(prediction, light),
        dab_target=staining.mean_dab(target, light),
        controls=beside,
    )


def _fitting(paths: Sequence[Path] | None, target: Uint8Image, role: str) -> tuple[Uint8Image | None, str, str]:
    """The one image of the target's size among `paths`, its file name, and why there is none."""
    if paths is None:
        return None, "", NO_SOURCE
    if not paths:
        return None, "", f"there is no {role} of this name"
    if len(paths) > 1:
        return None, paths[0].name, f"several files have this name: {', '.join(path.name for path in paths)}"
    try:
        image = read_image(paths[0])
    except (ValueError, OSError) as error:
        return None, paths[0].name, str(error)
    if image.shape != target.shape:
        sizes = [f"{shape[1]}x{shape[0]} px" for shape in (image.shape, target.shape)]
        return None, paths[0].name, f"the {role} is {sizes[0]}, its target {sizes[1]}"
    return image, paths[0].name, ""


def _measures(prediction: Uint8Image, target: Uint8Image, profile: Profile) -> Measures:
    return {
        "psnr": pixel.psnr(prediction, target),
        "ssim": pixel.ssim(prediction, target, profile.window),
        "sharpness": pixel.sharpness_ratio(prediction, target),
    }


def _summary(images: Sequence[ImageScore]) -> dict[str, Any]:
    """Means over images: of the predictions that could be scored, and of each control over all targets."""
    scored = [image for image in images if not image.reason]
    row: dict[str, Any] = {"expected": len(images), "scored": len(scored)}
    row |= {name: _mean(image.measures[name] for image in scored) for name in MEASURES}
    for name in ("psnr", "ssim"):
        row[f"{name}_failures_as_zero"] = _mean(0.0 if image.reason else image.measures[name] for image in images)
    for name in ("dab", "dab_target"):
        row[name] = _mean(getattr(image, name) for image in scored)
    row["controls"] = {name: _control_summary(name, images) for name in controls.MEANING}
    return row


def _control_summary(name: str, images: Sequence[ImageScore]) -> dict[str, Any]:
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


def _staining(images: Sequence[ImageScore]) -> dict[str, Any]:
    """DAB of the scored predictions against that of their targets."""
    level = [image.level for image in images]
    predicted, real = [image.dab for image in images], [image.dab_target for image in images]
    pearson = staining.correlation(level, predicted, real)
    result: dict[str, Any] = {
        "dab": "mean decadic optical density along the DAB vector of H-E-DAB, in the light of the target's glass",
        "pearson": {name: _json_number(value) for name, value in vars(pearson).items()},
    }
    for name, values in (("prediction", predicted), ("target", real)):
        order = staining.ordering_violations(level, values)
        means = {LEVELS[k]: _json_number(value) for k, value in order.means.items()}
        result[f"ordering_{name}"] = {"violations": order.violations, "pairs": order.pairs, "class_means": means}
    return result


def _mean(values: Iterable[float]) -> float | str | None:
    defined = [value for value in values if not math.isnan(value)]
    return _json_number(float(np.mean(defined))) if defined else None


def _json_number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return "inf" if value == math.inf else value


def _csv_row(image: ImageScore) -> dict[str, str | float]:
    numbers = image.measures | {"dab": image.dab, "dab_target": image.dab_target}
    for name in controls.MEANING:
        numbers |= {f"{name}_{measure}": image.controls.get(name, {}).get(measure, math.nan) for measure in MEASURES}
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


def _cells(row: dict[str, Any]) -> list[str]:
    count = f"{row['scored']}" if row["scored"] == row["expected"] else f"{row['scored']} of {row['expected']}"
    places = {"psnr": 2, "ssim": 3, "sharpness": 2, "dab": 3, "dab_target": 3}
    return [count, *(number(row.get(name), digits) for name, digits in places.items())]


def number(value: float | str | None, digits: int) -> str:
    """A number of `metrics.json` for people: a dash where there is none."""
    if value is None:
        return "\N{EN DASH}"
    return "\N{INFINITY}" if value == "inf" else f"{value:.{digits}f}"
