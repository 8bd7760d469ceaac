"""Scoring protocols by name. A PSNR or an SSIM without one cannot be compared: variants differ by more than entries do.

On one misaligned pair `bci2022` and `gauss11` differ by 0.024 SSIM; first and second place of the BCI challenge by 0.015.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from chromogen.config import nearest
from chromogen.evaluate.pixels import likeness
from chromogen.evaluate.pixels.likeness import WINDOWS, Window
from chromogen.evaluate.pixels.multiscale import SIDE_PX, WEIGHTS, ms_ssim
from chromogen.evaluate.pixels.tolerant import BLOCK_PX, RADIUS_PX, REACH_PX, flow_tolerant, shift_tolerant
from chromogen.tensors import Uint8Image

Similarity = Window | Literal["global", "multiscale"]
Tolerance = Literal["none", "shift", "flow"]


@dataclass(frozen=True)
class Profile:
    """One way to turn two uint8 images into a PSNR and an SSIM, and many images into one number.

    similarity: the window of the SSIM, or what stands in its place. tolerance: which displacement is forgiven before both.
    """

    name: str
    similarity: Similarity
    description: str
    tolerance: Tolerance = "none"


_UINT8 = "uint8 RGB at the size of the files"
_MEAN = "mean of the images' values"
PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "bci2022",
            "uniform7",
            f"{_UINT8}; PSNR with peak 255 over all pixels and channels; SSIM with a 7x7 uniform "
            f"window, sample covariance, K1 0.01, K2 0.03, mean over channels; {_MEAN}. "
            "The convention of the BCI paper and most re-runs of it.",
        ),
        Profile(
            "gauss11",
            "gauss11",
            f"{_UINT8}; PSNR as in bci2022; SSIM with an 11x11 Gaussian window of sigma 1.5 px, "
            f"population covariance, K1 0.01, K2 0.03, whole windows only, mean over channels; {_MEAN}.",
        ),
        Profile(
            "piqa9",
            "gauss9",
            f"{_UINT8}; PSNR as in bci2022; SSIM with a 9x9 Gaussian window of sigma 2.375 px, "
            f"population covariance, K1 0.01, K2 0.03, whole windows only, mean over channels; {_MEAN}. "
            "The convention BCIStainer chooses its models by, there on images not yet rounded to uint8.",
        ),
        Profile(
            "global",
            "global",
            f"{_UINT8}; PSNR as in bci2022; SSIM as equation (3) of the BCI challenge review prints it: mean and population "
            "standard deviation of the whole image, the product of the deviations in place of the covariance, K1 0.01, "
            f"K2 0.03, mean over channels; {_MEAN}. It sees brightness and contrast and no structure at all.",
        ),
        Profile(
            "ms-ssim",
            "multiscale",
            f"{_UINT8}, at least {SIDE_PX} px; MS-SSIM over five scales with the weights {', '.join(map(str, WEIGHTS))}, "
            "11x11 Gaussian windows of sigma 1.5 px, population covariance, K1 0.01, K2 0.03, 2x2 means between scales, whole "
            "windows on four scales and the mirrored border on the coarsest, means over channels before the powers, negative "
            f"means as 0; {_MEAN}. As torchmetrics. No PSNR.",
        ),
        Profile(
            "shift-tolerant",
            "uniform7",
            f"{_UINT8} without a rim of {RADIUS_PX} px of the target; PSNR and SSIM as in bci2022, each at the whole shift of "
            f"the prediction of up to {RADIUS_PX} px along each axis that is best for it; the SSIM at no shift, at the shift "
            f"of the best PSNR and at the three most promising by a sample of the rows; {_MEAN}.",
            "shift",
        ),
        Profile(
            "flow-tolerant",
            "uniform7",
            f"{_UINT8} without a rim of {REACH_PX} px of the target; PSNR and SSIM as in bci2022, each the better of the "
            f"prediction as it is and laid on the target: one displacement of up to {REACH_PX} px along each axis for every "
            f"{BLOCK_PX}x{BLOCK_PX} px block, by correlation of luma, medians over 3x3 blocks, bilinear between their "
            f"centres, nearest pixels; {_MEAN}.",
            "flow",
        ),
    )
}


def profile_named(name: str) -> Profile:
    """The profile called `name`; any other name is a ValueError that offers the nearest."""
    if name not in PROFILES:
        raise ValueError(f"no scoring profile is called {name!r}; {nearest(name, PROFILES)}")
    return PROFILES[name]


def measure(prediction: Uint8Image, target: Uint8Image, profile: str | Profile) -> dict[str, float]:
    """What the profile says of one prediction: "psnr" in dB and "ssim", or "ssim" alone where it has no PSNR.

    ValueError for an unknown name, arrays that are not uint8 RGB of one size, or images too small for the profile.
    """
    return measure_each([prediction], target, profile)[0]


def measure_each(predictions: Sequence[Uint8Image], target: Uint8Image, profile: str | Profile) -> list[dict[str, float]]:
    """`measure` of several predictions of one target, whose own part of an SSIM is computed once."""
    chosen = profile_named(profile) if isinstance(profile, str) else profile
    if chosen.tolerance == "none" and chosen.similarity in WINDOWS:
        similarities = likeness.ssim_of_each(predictions, target, chosen.similarity)
        return [
            {"psnr": likeness.psnr(prediction, target), "ssim": similarity}
            for prediction, similarity in zip(predictions, similarities, strict=True)
        ]
    return [_without_window(prediction, target, chosen) for prediction in predictions]


def _without_window(prediction: Uint8Image, target: Uint8Image, chosen: Profile) -> dict[str, float]:
    if chosen.tolerance == "shift":
        shifted = shift_tolerant(prediction, target)
        return {"psnr": shifted.psnr, "ssim": shifted.ssim}
    if chosen.tolerance == "flow":
        laid = flow_tolerant(prediction, target)
        return {"psnr": laid.psnr, "ssim": laid.ssim}
    if chosen.similarity == "multiscale":
        return {"ssim": ms_ssim(prediction, target)}
    return {"psnr": likeness.psnr(prediction, target), "ssim": likeness.global_ssim(prediction, target)}


def seed000_score(psnr: float, ssim: float) -> float:
    """`seed000-score`: 0.4 PSNR (dB) + 0.6 SSIM, the values themselves, as one published BCI result is stated.

    22.047 dB and 0.5684 give 9.160, and 96 % of that is PSNR. It is no rank and needs no field of entries: never put it in
    one column, nor one mean, with the challenge's 0.4 rank of PSNR + 0.6 rank of SSIM, of which the smallest wins.
    """
    return 0.4 * psnr + 0.6 * ssim
