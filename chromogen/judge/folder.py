"""A folder of predictions scored against a folder of targets, beside three controls that need no network.

Every target counts. A prediction that is missing, unreadable or of the wrong size is a failure with a reason: it is left out
of the plain means, which are then marked incomplete, and enters as 0 dB and SSIM 0 in the means "failures as zero", so that
leaving out hard images never pays. A prediction identical to its target has infinite PSNR, and so has any mean it enters;
such files are listed, since they are nearly always a copy of the answer.
"""

import math
import platform
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chromogen.data.levels import LEVELS
from chromogen.evaluate.protocols import Profile, profile_named
from chromogen.judge.files import Files, by_stem
from chromogen.judge.image import ImageScore, score
from chromogen.judge.summary import stain, summary

Progress = Callable[[int, int], None]  # (images done, images expected)


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
        overall = summary(self.images)
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
                name: summary(images) for name, images in classes.items() if images and len(images) < len(self.images)
            },
            "staining": stain([image for image in self.images if not image.reason]),
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


def score_folder(
    prediction: Path, target: Path, source: Path | None, profile: str = "bci2022", progress: Progress | None = None
) -> Scores:
    """Score every image of `target` by the prediction (and control it by the source) whose file has the same stem.

    A prediction may also be called NAME.virtual-her2.png. HER2 levels are read from the names of the targets.
    ValueError: unknown profile, a folder that is missing or empty, two targets of one name, or no prediction that fits any
    target. Everything that is wrong with a single image is a failure in the result.
    """
    chosen = profile_named(profile)
    targets = by_stem(target, "target")
    doubled = [paths for paths in targets.values() if len(paths) > 1]
    if doubled:
        raise ValueError(f"{target}: {doubled[0][0].name} and {doubled[0][1].name} have one name; keep one of them")
    predictions = by_stem(prediction, "prediction")
    if not predictions.keys() & targets.keys():
        raise ValueError(
            f"no image in {prediction} has the name of a target in {target} (the first there is {next(iter(targets))!r}); "
            "predictions carry the name of their target"
        )
    sources = {} if source is None else by_stem(source, "source")
    images = []
    for done, (name, (path,)) in enumerate(targets.items(), start=1):
        files = Files(name, path, predictions.get(name, []), sources.get(name, []) if source else None)
        images.append(score(files, chosen))
        if progress:
            progress(done, len(targets))
    extra = [path.name for name, paths in predictions.items() if name not in targets for path in paths]
    return Scores(chosen, prediction, target, source, tuple(images), tuple(extra))
