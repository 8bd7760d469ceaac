"""Whether a prediction is sharp enough to be scored by PSNR and SSIM at all, which both reward blur.

Sharpness is looked at in octaves, because the energy of a Laplacian (`likeness.sharpness_ratio`) is mostly
that of single pixels: noise or a weave of stripes on a blurred image makes it "sharp". Noise hardly reaches the octaves above.

Real images differ in the amount of detail, by a factor of 18 in the fine octave among the eight below, but little in how
detail falls off from octave to octave; blur is what steepens that. So the gate compares neighbouring octaves of the
prediction with those of the target, and neither content, nor contrast, nor a displaced section can close it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from chromogen.evaluate.pixels.likeness import LUMA, check_pair
from chromogen.evaluate.pixels.smoothing import smoothed
from chromogen.tensors import Uint8Image

Flag = Literal["valid", "blurry", "noisy", "unjudged"]

SIDE_PX = 32
LEAST_STRUCTURE = 0.1  # squared grey levels; rounding to uint8 alone leaves less than 0.001, real tissue 2 and more


@dataclass(frozen=True)
class Octaves:
    """One value for each octave of detail: what a Gaussian of one sigma keeps and the next takes away."""

    grain: float  # below sigma 1 px: noise, and edges of single pixels
    fine: float  # 1-2 px
    middle: float  # 2-4 px
    coarse: float  # 4-8 px


@dataclass(frozen=True)
class Thresholds:
    """Where the gate closes. A step is how an octave compares with the next coarser one, relative to the same in the target.

    The defaults were chosen by the eight IHC images of BCI that `chromogen` is developed on (1024 px, HER2 0 to 3+) and eight
    phantoms (512 px, two of each level). Every real image against every other: fine step 0.59-1.70, grain step 0.46-2.19,
    middle octave 0.063-16.0; phantoms stay within 0.72-1.39, 0.61-1.63 and 0.053-19.0. Blurred by sigma px, against
    themselves (real and phantom): fine step 0.65-0.74 at 1, 0.46-0.57 at 1.5, 0.33-0.45 at 2, 0.15-0.23 at 4 px; enlarged
    from a quarter of the size 0.38-0.51. Noise that hides a blur of 2 or 4 px raises the grain step instead: with a deviation
    of 2, 5 or 10 grey levels added, every one of the sixteen is flagged, as one or the other.
    """

    blurry_below: float = 0.5  # step from fine to middle
    flat_below: float = 0.03  # middle octave: nothing there; a flat colour, or a blur beyond measuring
    noisy_above: float = 3.0  # step from grain to fine
    share_above: float = 0.1  # of the judged images that may be flagged before a submission is

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not 0 <= value < math.inf:
                raise ValueError(f"Thresholds.{one.name} is {value}; it must be a number from 0 up")


@dataclass(frozen=True)
class Validity:
    """A flag and why, in words; without a reason the image is valid. Blur outranks noise, and both give their reasons."""

    flag: Flag
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class SubmissionValidity:
    """The flag of many images together. shares: of all images, by flag, those that occur."""

    flag: Flag
    reasons: tuple[str, ...]
    shares: dict[Flag, float]
    images: tuple[Validity, ...]


def octave_energies(image: Uint8Image) -> Octaves:
    """Mean squared luma (grey levels) in each octave: differences of Gaussians of sigma 0, 1, 2, 4 and 8 px.

    From sigma 2 px on every second pixel is left out before the next Gaussian, which loses nothing that is still there.
    Images under 32 px are a ValueError.
    """
    check_pair(image, image)
    if min(image.shape[:2]) < SIDE_PX:
        raise ValueError(f"octaves need images of at least {SIDE_PX} px, got {image.shape[1]}x{image.shape[0]} px")
    energies, luma = [], image @ LUMA
    luma -= luma[0, 0]  # a grey level is no detail, and single precision then keeps its digits for what is
    for sigma, step in ((1.0, 1), (math.sqrt(3), 2), (math.sqrt(3), 2), (math.sqrt(3), 2)):
        smooth = smoothed(luma, sigma, exact=False)  # after sigma s, sigma sqrt(3) s makes it 2 s
        energies.append(float(np.mean(np.square(luma - smooth), dtype=np.float64)))
        luma = smooth[::step, ::step]
    return Octaves(*energies)


def octave_ratios(prediction: Octaves, target: Octaves) -> Octaves:
    """Energies of the prediction over those of the target: 1 is as much detail. NaN beside a target without structure."""
    if target.middle < LEAST_STRUCTURE:
        return Octaves(math.nan, math.nan, math.nan, math.nan)
    pairs = [(getattr(prediction, one.name), getattr(target, one.name)) for one in fields(Octaves)]
    return Octaves(*(mine / real if real > 0 else math.nan for mine, real in pairs))


def sharpness_octaves(prediction: Uint8Image, target: Uint8Image) -> Octaves:
    """Detail of the prediction over that of the target in each octave; it asks for no alignment."""
    check_pair(prediction, target)
    return octave_ratios(octave_energies(prediction), octave_energies(target))


def judge(ratios: Octaves, thresholds: Thresholds | None = None) -> Validity:
    """Whether one prediction, by its `octave_ratios`, is blurry or noisy; `unjudged` where its target has no structure."""
    limits = thresholds or Thresholds()
    if math.isnan(ratios.middle):
        return Validity("unjudged", ("the target has no structure to compare with",))
    if ratios.middle < limits.flat_below:
        sentence = f"hardly any structure: {ratios.middle:.2g} of the target's at 2-4 px (limit {limits.flat_below:g})"
        return Validity("blurry", (sentence,))
    reasons: dict[Flag, str] = {}
    fine_step, grain_step = _step(ratios.fine, ratios.middle), _step(ratios.grain, ratios.fine)
    if fine_step < limits.blurry_below:
        reasons["blurry"] = (
            f"blurred, or enlarged from fewer pixels: detail at 1-2 px, measured by that at 2-4 px, is {fine_step:.2g} of the "
            f"target's (limit {limits.blurry_below:g})"
        )
    if grain_step > limits.noisy_above:
        reasons["noisy"] = (
            f"pixel noise: detail below 1 px, measured by that at 1-2 px, is {grain_step:.2g} times the target's "
            f"(limit {limits.noisy_above:g})"
        )
    return Validity(next(iter(reasons), "valid"), tuple(reasons.values()))


def judge_submission(ratios: Sequence[Octaves], thresholds: Thresholds | None = None) -> SubmissionValidity:
    """Judge every image and all together: flagged when more than `share_above` of the judged images are.

    The flag is then the more frequent of the two (blurry when equally many). A submission without images is a ValueError.
    """
    if not ratios:
        raise ValueError("a submission without images cannot be judged")
    limits = thresholds or Thresholds()
    images = tuple(judge(one, limits) for one in ratios)
    counts = Counter(image.flag for image in images)
    judged = len(images) - counts["unjudged"]
    shares = {flag: count / len(images) for flag, count in sorted(counts.items())}
    if judged == 0:
        return SubmissionValidity("unjudged", ("no target has structure to compare with",), shares, images)
    flagged = counts["blurry"] + counts["noisy"]
    if flagged <= limits.share_above * judged:
        return SubmissionValidity("valid", (), shares, images)
    flag: Flag = "noisy" if counts["noisy"] > counts["blurry"] else "blurry"
    sentence = (
        f"{flagged} of {judged} judged images are flagged ({counts['blurry']} blurry, {counts['noisy']} noisy), "
        f"more than {limits.share_above:.0%}"
    )
    return SubmissionValidity(flag, (sentence,), shares, images)


def _step(finer: float, coarser: float) -> float:
    """Detail measured by that of the next coarser octave, both relative to the target."""
    return finer / coarser if coarser > 0 else (math.inf if finer > 0 else 1.0)
