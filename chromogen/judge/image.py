"""Everything that is measured on one target and its prediction."""

import math
from dataclasses import dataclass, field, replace

from chromogen.color import background
from chromogen.data.images import read_image
from chromogen.data.levels import level_from_name
from chromogen.evaluate import controls, pixel, staining
from chromogen.evaluate.protocols import Profile
from chromogen.judge.files import Files, fitting
from chromogen.tensors import Uint8Image

Measures = dict[str, float]
MEASURES = ("psnr", "ssim", "sharpness")


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


def score(files: Files, profile: Profile) -> ImageScore:
    blank = ImageScore(files.name, level_from_name(files.target.name), files.target.name)
    try:
        target = read_image(files.target)
    except (ValueError, OSError) as error:
        return replace(blank, reason=f"its target could not be read: {error}", source_reason="the target could not be read")
    prediction, prediction_file, reason = fitting(files.predictions, target, "prediction")
    source, source_file, source_reason = fitting(files.sources, target, "source image")
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


def _measures(prediction: Uint8Image, target: Uint8Image, profile: Profile) -> Measures:
    return {
        "psnr": pixel.psnr(prediction, target),
        "ssim": pixel.ssim(prediction, target, profile.window),
        "sharpness": pixel.sharpness_ratio(prediction, target),
    }
