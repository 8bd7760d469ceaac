"""A folder of predictions scored against a folder of targets, beside controls that need no network.

Every target counts. A prediction that is missing, unreadable or of the wrong size is a failure with a reason: it is left out
of the plain means, which are then marked incomplete, and enters as 0 dB and SSIM 0 in the means "failures as zero", so that
leaving out hard images never pays. A prediction identical to its target has infinite PSNR, and so has any mean it enters;
such files are listed, since they are nearly always a copy of the answer.
"""

import math
import multiprocessing
import platform
import shlex
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from chromogen.data.images import conversion_lines
from chromogen.evaluate.pixels.protocols import profile_named
from chromogen.judge.files import Files, by_stem, shown, without_words
from chromogen.judge.image import ImageScore, score
from chromogen.judge.judging import Judging, Tools, slides_of
from chromogen.judge.sets import distances, read_levels
from chromogen.judge.summary import intervals, sharp_enough, stain, summary
from chromogen.levels import LEVELS

Progress = Callable[[int, int], None]  # (images done, images expected)
ALONE = 8  # images that are scored faster than a second process starts


@dataclass(frozen=True)
class Scores:
    """What `score_folder` found: one entry a target, in the order of the target folder."""

    judging: Judging
    prediction: Path
    target: Path
    source: Path | None
    images: tuple[ImageScore, ...]
    extra: tuple[str, ...]  # predictions without a target
    of_sources: bool = False  # the predictions are the files of the source folder

    @property
    def failures(self) -> tuple[ImageScore, ...]:
        return tuple(image for image in self.images if image.reason)

    @property
    def complete(self) -> bool:
        return not self.failures

    @property
    def against_itself(self) -> str:
        """That predictions are copies of the targets, or of the H&E, in one sentence; "" where they are not."""
        scored = [image for image in self.images if not image.reason]
        equal = sum(image.measures["psnr"] == math.inf for image in scored)
        if equal and equal == len(scored):
            same = self.prediction.exists() and self.prediction.resolve() == self.target.resolve()
            what = (
                f"{self.prediction} is the target folder itself" if same else "every prediction equals its target to the pixel"
            )
            return f"{what}: a folder scored against itself says nothing of a model; name the folder of predictions with --pred"
        if equal:
            return f"{equal} of {len(scored)} predictions equal their targets to the pixel, as copies of the answer do"
        if self.of_sources:
            return f"{self.prediction} is the source folder itself: what is scored is the H&E, not a prediction"
        return ""

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Everything `metrics.json` holds. Numbers that do not exist are null; an infinite PSNR is the string "inf"."""
        classes = {LEVELS[k]: [i for i in self.images if i.level == k] for k in range(len(LEVELS))}
        classes["unknown"] = [image for image in self.images if image.level is None]
        overall, profile = summary(self.images), profile_named(self.judging.profile)
        scored = [image for image in self.images if not image.reason]
        return {
            "profile": profile.name,
            "profile_description": profile.description,
            "further_profiles": {one.name: one.description for one in self.judging.others},
            "expected": len(self.images),
            "scored": len(scored),
            "complete": self.complete,
            "failures": [{"name": image.name, "reason": image.reason} for image in self.failures],
            "identical": [image.name for image in self.images if image.measures["psnr"] == math.inf],
            "extra_predictions": list(self.extra),
            "not_measured": _notes(self.images),
            "controls": overall.pop("controls"),
            "overall": overall,
            "per_class": {
                name: summary(images) for name, images in classes.items() if images and len(images) < len(self.images)
            },
            **(self._beyond_pixels(scored) if self.judging.staining else {}),
            "prediction": str(self.prediction),
            "target": str(self.target),
            "source": None if self.source is None else str(self.source),
            "mpp": self.judging.mpp,
            "mpp_from_files": sorted({float(f"{image.mpp:.3g}") for image in self.images if image.mpp is not None}),
            "converted_on_reading": conversion_lines(named for image in self.images for named in image.conversions),
            "command": self._command(),
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in ("chromogen", "numpy", "scipy", "pillow", "scikit-image", "torch")},
        }

    def _beyond_pixels(self, scored: Sequence[ImageScore]) -> dict[str, Any]:
        judging = self.judging
        slides = None if judging.slides is None else slides_of(judging.slides, [image.name for image in scored])
        return {
            "staining": stain(scored),
            "validity": sharp_enough(scored, judging),
            "distribution": distances(self.images, Tools(judging)),
            "level": read_levels(self.images, judging),
            "intervals": intervals(scored, slides, judging.seed),
        }

    def _command(self) -> str:
        judging = self.judging
        words = ["--pred", str(self.prediction), "--target", str(self.target)]
        words += [] if self.source is None else ["--source", str(self.source)]
        words += ["--profile", judging.profile]
        words += ["--also", *judging.also] if judging.also else []
        words += ["--features", *judging.extractors] if judging.extractors else []
        for name, value in (("mpp", judging.mpp), ("training", judging.training), ("slides", judging.slides)):
            words += [] if value is None else [f"--{name}", str(value)]
        words += [] if judging.staining else ["--pixels-only"]
        words += [] if judging.seed == 0 else ["--seed", str(judging.seed)]
        return shlex.join(["chromogen", "evaluate", *words])


def score_folder(
    prediction: Path, target: Path, source: Path | None, judging: Judging | str = "bci2022", progress: Progress | None = None
) -> Scores:
    """Score every image of `target` by the prediction (and control it by the source) whose file has the same stem.

    A prediction may also be called NAME.virtual-her2.png. HER2 levels are read from the names of the targets. `judging` says
    what is measured; a name is that profile, and staining beside it. The number of workers changes no number.
    ValueError: unknown profile, a folder that is missing or empty, two targets of one name, or no prediction that fits any
    target. Everything that is wrong with a single image is a failure in the result.
    """
    chosen = Judging(profile=judging) if isinstance(judging, str) else judging
    targets = by_stem(target, "target")
    doubled = [paths for paths in targets.values() if len(paths) > 1]
    if doubled:
        names = [shown(path.name) for path in doubled[0]]
        raise ValueError(f"{target}: {names[0]} and {names[1]} have one name; keep one of them")
    predictions = by_stem(prediction, "prediction")
    if not predictions.keys() & targets.keys():
        predictions = without_words(predictions)
    if not predictions.keys() & targets.keys():
        raise ValueError(
            f"no image in {prediction} has the name of a target in {target} (the first there is {next(iter(targets))!r}); "
            "predictions carry the name of their target"
        )
    sources = {} if source is None else by_stem(source, "source")
    if chosen.slides is not None:
        slides_of(chosen.slides, list(targets))  # what is wrong with the table is said before an hour of scoring
    work = [
        Files(name, path, predictions.get(name, []), sources.get(name, []) if source else None)
        for name, (path,) in targets.items()
    ]
    images = []
    for image in _scored(work, chosen):
        images.append(image)
        if progress:
            progress(len(images), len(targets))
    extra = [shown(path.name) for name, paths in predictions.items() if name not in targets for path in paths]
    of_sources = all(
        files.sources and [*map(Path.resolve, files.predictions)] == [*map(Path.resolve, files.sources)] for files in work
    )
    return Scores(chosen, prediction, target, source, tuple(images), tuple(extra), of_sources)


_tools: Tools | None = None  # of a worker process


def _scored(work: Sequence[Files], judging: Judging) -> Iterator[ImageScore]:
    """Scores in the order of the work, by as many processes as are asked for."""
    tools = Tools(judging)
    _ = tools.extractors, tools.training_mean  # what is wrong with a weight file is said here
    if judging.workers == 1 or len(work) <= ALONE:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in a worker, so that sums are added in the same order
        try:
            for files in work:
                yield score(files, tools)
        finally:
            torch.set_num_threads(threads)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(judging.workers, context, _begin_worker, (judging,)) as pool:
        try:
            yield from pool.map(_score_in_worker, work, chunksize=4)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin_worker(judging: Judging) -> None:
    global _tools
    torch.set_num_threads(1)
    _tools = Tools(judging)


def _score_in_worker(files: Files) -> ImageScore:
    assert _tools is not None
    return score(files, _tools)


def _notes(images: Sequence[ImageScore]) -> list[dict[str, Any]]:
    """Why numbers are missing although the prediction was scored, each reason once."""
    found: dict[str, list[str]] = {}
    for image in images:
        for note in image.notes:
            found.setdefault(note, []).append(image.name)
    return [{"reason": note, "images": len(names), "first": names[0]} for note, names in found.items()]
