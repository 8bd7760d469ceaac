"""Scoring one test image at a time, so that memory and scratch space stay those of one image however many there are.

This is the only file of the challenge that knows how a folder is scored (`chromogen.judge`).
"""

import math
import re
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from chromogen.challenge.mha import SUFFIX as MHA
from chromogen.challenge.mha import mha_facts, read_mha
from chromogen.data.images import image_facts
from chromogen.judge.files import MARK
from chromogen.judge.folder import Scores, score_folder
from chromogen.judge.image import ImageScore
from chromogen.judge.judging import Judging
from chromogen.levels import level_from_name


def stem_of_prediction(stem: str) -> str:
    """The name of the test image a file of this stem predicts: `translate` marks what it writes."""
    return MARK.sub("", stem)


def check_profile(profile: str) -> None:
    """ValueError for a protocol that is unknown, or that has no PSNR and so cannot rank alone."""
    Judging(profile=profile)


def score_one(prediction: Path | None, reason: str, target: Path, profile: str) -> ImageScore:
    """Score one prediction, or count it as failed for `reason`. Nothing that is wrong with it is raised.

    Sizes are compared before pixels are decoded, so that a prediction never needs more memory than its target.
    """
    try:
        reason = reason or _wrong_size(prediction, target)
        with tempfile.TemporaryDirectory(prefix="scoring-") as scratch:
            folder = Path(scratch)
            _stage(None if reason else prediction, target, folder)
            score = score_folder(folder / "prediction", folder / "target", None, profile).images[0]
            reason = reason or score.reason.replace(f"{folder / 'prediction'}/", "").replace(f"{folder / 'target'}/", "")
        return replace(score, reason=reason)
    except (ValueError, OSError, MemoryError) as error:
        said = str(error) or "there is not enough memory for it"
        return ImageScore(target.stem, level_from_name(target.name), target.name, reason=said)


def together(images: tuple[ImageScore, ...], profile: str) -> dict[str, Any]:
    """All that `chromogen evaluate` would say of these images as one submission."""
    return Scores(Judging(profile=profile), Path(), Path(), None, images, ()).metrics


def aggregates(metrics: Mapping[str, Any], profile: str) -> dict[str, float | None]:
    """The means over all test images, each name with the protocol behind it.

    A mean that is infinite (an image identical to its target has infinite PSNR) is null: it cannot be ranked, and should be
    looked at.
    """
    found = {name: value for name, value in metrics["overall"].items() if name not in ("expected", "scored")}
    for control, means in metrics["controls"].items():
        if means["scored"]:
            found |= {f"control_{control}_{name}": means[name] for name in ("psnr", "ssim")}
    found |= {"images": metrics["expected"], "failed": len(metrics["failures"]), "identical": len(metrics["identical"])}
    return {under(name, profile): None if value == "inf" else value for name, value in found.items()}


def under(name: str, profile: str) -> str:
    """The key of a number under a protocol, fit for a JSONPath: `ssim_bci2022`."""
    return re.sub(r"\W+", "_", f"{name}_{profile}", flags=re.ASCII)


def row(image: ImageScore, profile: str) -> dict[str, float | None]:
    """The numbers of one scored image; those that do not exist are absent, and an infinite PSNR is null."""
    known = {name: value for name, value in (image.measures | image.real).items() if not math.isnan(value)}
    return {under(name, profile): value if math.isfinite(value) else None for name, value in known.items()}


def _wrong_size(prediction: Path | None, target: Path) -> str:
    """Why the prediction cannot be compared, judged from the headers alone; empty: it can be."""
    if prediction is None:
        return "no prediction was handed in"
    wanted = image_facts(target)
    facts = mha_facts(prediction) if prediction.suffix.lower() == MHA else image_facts(prediction)
    if (facts.width, facts.height) == (wanted.width, wanted.height):
        return ""
    return f"the prediction is {facts.width}x{facts.height} px, its target {wanted.width}x{wanted.height} px"


def _stage(prediction: Path | None, target: Path, folder: Path) -> None:
    """Lay one prediction beside its target as two folders; where there is none lies an empty file, which fails."""
    for role in ("prediction", "target"):
        (folder / role).mkdir()
    (folder / "target" / target.name).symlink_to(target.resolve())
    staged = folder / "prediction" / f"{stem_of_prediction(target.stem)}.tif"  # the content decides the format, not the name
    if prediction is None:
        staged.touch()
    elif prediction.suffix.lower() == MHA:
        Image.fromarray(read_mha(prediction)).save(staged, format="TIFF")
    else:
        staged.symlink_to(prediction.resolve())
