"""Everything that is measured on one target and its prediction."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from chromogen.color import dab_density
from chromogen.data.images import Decoded, decode_image
from chromogen.evaluate import controls
from chromogen.evaluate.distribution.extractors.extractor import Extractor
from chromogen.evaluate.pixels import likeness, protocols, validity
from chromogen.evaluate.staining import amounts
from chromogen.evaluate.staining.level_reader.features import features as level_features
from chromogen.evaluate.staining.level_reader.training import content_hash
from chromogen.evaluate.staining.nuclei_kept import nuclei_kept
from chromogen.judge.files import Files, fitting, shown
from chromogen.judge.judging import Tools
from chromogen.levels import level_from_name
from chromogen.tensors import Uint8Image
from chromogen.tissue import glass, unseen

Measures = dict[str, float]
MEASURES = ("psnr", "ssim", "sharpness")
CONTROLLED = (*MEASURES, "dab", "dab_error", "dab_wasserstein", "tile_dice_0.2")  # what stands beside in per_image.csv
LEVEL_READER = "level-reader"
PREDICTION = "prediction"  # among the controls, while pixels are compared
Row = Float[np.ndarray, " features"]
Result = TypeVar("Result")


@dataclass(frozen=True)
class ImageScore:
    """One target and what became of its prediction. NaN stands where there is nothing to measure.

    measures: by name, of the prediction; psnr, ssim and sharpness always, the others as the `Judging` asks for them.
    real: what is measured on the target alone. features: by extractor, of the prediction (None when it failed) and of the
    target. content: a hash of the target's pixels. notes: why something could not be measured on this image. conversions: what
    was converted on reading, by file name. mpp: um per pixel that the files of the source or of the target state.
    """

    name: str
    level: int | None
    target_file: str
    prediction_file: str = ""
    source_file: str = ""
    reason: str = ""  # why the prediction failed; empty: it was scored
    source_reason: str = ""  # why the source control is missing
    measures: Measures = field(default_factory=lambda: dict.fromkeys(MEASURES, math.nan))
    real: Measures = field(default_factory=dict)
    controls: dict[str, Measures] = field(default_factory=dict)
    octaves: validity.Octaves | None = None
    features: dict[str, tuple[Row | None, Row]] = field(default_factory=dict)
    content: str = ""
    notes: tuple[str, ...] = ()
    conversions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    mpp: float | None = None


def score(files: Files, tools: Tools) -> ImageScore:
    """Measure one target's prediction and its controls. What is wrong with a file becomes a reason, never an exception."""
    blank = ImageScore(files.name, level_from_name(files.name), shown(files.target.name))
    try:
        real_image = decode_image(files.target)
    except (ValueError, OSError) as error:
        reason = f"its target could not be read: {shown(str(error))}"
        return replace(blank, reason=reason, source_reason="the target could not be read")
    target = real_image.pixels
    made, prediction_file, reason = fitting(files.predictions, target, "prediction")
    he, source_file, source_reason = fitting(files.sources, target, "source image")
    prediction, source = (None if image is None else image.pixels for image in (made, he))
    found = (("prediction", prediction_file, made), ("target", blank.target_file, real_image), ("source", source_file, he))
    named = replace(
        blank, prediction_file=prediction_file, source_file=source_file, reason=reason, source_reason=source_reason,
        conversions=_conversions(found), mpp=real_image.mpp if he is None or he.mpp is None else he.mpp,
    )  # fmt: skip
    beside = controls.controls(target, source, tools.training_mean)
    try:
        compared = _pixels(beside if prediction is None else {PREDICTION: prediction, **beside}, target, tools)
    except ValueError as error:  # the images are smaller than the window
        return replace(named, reason=str(error), source_reason=str(error))
    measures = compared.pop(PREDICTION, blank.measures)
    if not tools.judging.staining:
        return replace(named, measures=measures, controls=compared)
    notes: list[str] = []

    hidden = unseen(target)
    light = glass(target, hidden)
    dab = amounts.Dab(dab_density(target, light), hidden)
    real = {"dab_target": dab.amounts["dab"]}
    for name, image in beside.items():
        compared[name] |= amounts.Dab(dab_density(image, light), hidden).measures(dab)
    octaves = None
    if prediction is not None:
        measures = measures | amounts.Dab(dab_density(prediction, light), hidden).measures(dab)
        measures |= _nuclei(prediction, source, tools.judging.mpp or named.mpp, notes)
        octaves = _tried(lambda: validity.sharpness_octaves(prediction, target), notes)
        if octaves is not None:
            measures |= {f"octave_{one.name}": getattr(octaves, one.name) for one in fields(octaves)}
    described = _features(prediction, target, tools, notes)
    return replace(
        named, measures=measures, real=real, controls=compared, octaves=octaves, features=described,
        content=content_hash(target) if tools.judging.training else "", notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _pixels(images: Mapping[str, Uint8Image], target: Uint8Image, tools: Tools) -> dict[str, Measures]:
    """PSNR, SSIM and sharpness of every image beside the target, by the names of the images."""
    found: dict[str, Measures] = {name: {} for name in images}
    for profile in (tools.profile, *tools.judging.others):
        mark = "" if profile is tools.profile else f"[{profile.name}]"
        rows = protocols.measure_each([*images.values()], target, profile)
        for measures, row in zip(found.values(), rows, strict=True):
            measures |= {f"{name}{mark}": value for name, value in row.items()}
        if profile is tools.profile:
            ratios = likeness.sharpness_of_each([*images.values()], target)
            for measures, ratio in zip(found.values(), ratios, strict=True):
                measures["sharpness"] = ratio
    return found


def _conversions(found: Iterable[tuple[str, str, Decoded | None]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Notes of each role's file, as ("target x.png", notes)."""
    return tuple((f"{role} {name}", image.notes) for role, name, image in found if image is not None and image.notes)


def _nuclei(prediction: Uint8Image, source: Uint8Image | None, mpp: float | None, notes: list[str]) -> Measures:
    if mpp is None or source is None:
        return {}
    kept = _tried(lambda: nuclei_kept(prediction, source, mpp), notes)
    if kept is None:
        return {}
    return {
        "nuclei_f1": kept.f1,
        "nuclei_recall": kept.recall,
        "nuclei_precision": kept.precision,
        "nuclei_chance": kept.chance,
    }


def _features(
    prediction: Uint8Image | None, target: Uint8Image, tools: Tools, notes: list[str]
) -> dict[str, tuple[Row | None, Row]]:
    """Features by each extractor, and those of the level reader where there is something to train it with."""
    describe: dict[str, Callable[[Uint8Image], Row]] = {one.name: partial(_described, one) for one in tools.extractors}
    if tools.judging.training is not None:
        describe[LEVEL_READER] = level_features
    found: dict[str, tuple[Row | None, Row]] = {}
    for name, features in describe.items():
        real = _tried(partial(features, target), notes)
        made = None if prediction is None else _tried(partial(features, prediction), notes)
        if real is not None:
            found[name] = (made, real)
    return found


def _described(extractor: Extractor, image: Uint8Image) -> Row:
    return extractor.features([image])[0]


def _tried(measure: Callable[[], Result], notes: list[str]) -> Result | None:
    """What the measure gives, or None and a note: a small image spoils one number, not the image."""
    try:
        return measure()
    except ValueError as error:
        notes.append(str(error))
        return None
