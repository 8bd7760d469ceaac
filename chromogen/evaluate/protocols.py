"""Scoring protocols by name. A PSNR or an SSIM without one cannot be compared: variants differ by more than entries do.

On one misaligned pair the two windows below differ by 0.024 SSIM; first and second place of the BCI challenge by 0.015.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from chromogen.config import nearest

Window = Literal["uniform7", "gauss11"]
WINDOWS: tuple[Window, ...] = get_args(Window)


@dataclass(frozen=True)
class Profile:
    """One way to turn two uint8 images into a PSNR and an SSIM, and many images into one number."""

    name: str
    window: Window
    description: str


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "bci2022",
            "uniform7",
            "uint8 RGB at the size of the files; PSNR with peak 255 over all pixels and channels; SSIM with a 7x7 uniform "
            "window, sample covariance, K1 0.01, K2 0.03, mean over channels; mean of the images' values. "
            "The convention of the BCI paper and most re-runs of it.",
        ),
        Profile(
            "gauss11",
            "gauss11",
            "uint8 RGB at the size of the files; PSNR as in bci2022; SSIM with an 11x11 Gaussian window of sigma 1.5 px, "
            "population covariance, K1 0.01, K2 0.03, whole windows only, mean over channels; mean of the images' values.",
        ),
    )
}


def profile_named(name: str) -> Profile:
    """The profile called `name`; any other name is a ValueError that offers the nearest."""
    if name not in PROFILES:
        raise ValueError(f"no scoring profile is called {name!r}; {nearest(name, PROFILES)}")
    return PROFILES[name]
