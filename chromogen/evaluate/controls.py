"""Predictions that no network made. Printed beside every score, because PSNR and SSIM reward blur.

On 8 BCI test pairs (1024 px, `bci2022`): constant 23.29 dB / 0.613, source 15.28 / 0.332, blurred target 29.40 / 0.711.
A challenge model with flip averaging, as published, scores 22.81 / 0.566 there: less than a flat colour.
"""

import numpy as np
from jaxtyping import UInt8

from chromogen.evaluate.pixels.smoothing import smoothed
from chromogen.tensors import Uint8Image

BLUR_PX = 4.0


def constant(target: Uint8Image) -> Uint8Image:
    """A flat image in the target's own mean colour: what knowing nothing but the colour is worth."""
    height, width, _ = target.shape
    total = target.sum(axis=0, dtype=np.uint32).sum(axis=0, dtype=np.uint64)
    return flat(np.rint(total / (height * width)).astype(np.uint8), target)


def flat(colour: UInt8[np.ndarray, "3"], target: Uint8Image) -> Uint8Image:
    """An image of the target's size in one colour, written out: every measure that met a view of it would copy it slowly."""
    height, width, _ = target.shape
    return np.broadcast_to(np.tile(colour, width), (height, width * 3)).copy().reshape(target.shape)


def blurred(target: Uint8Image) -> Uint8Image:
    """The target behind a Gaussian of sigma 4 px (borders mirrored): what blur alone is worth with every cell in place."""
    made = np.empty_like(target, order="C")
    for channel in range(3):
        made[..., channel] = np.rint(smoothed(target[..., channel].astype(np.float32), BLUR_PX))
    return made


# The source needs no function: it is the H&E image itself, scored as if it were the prediction.
MEANING = {
    "constant": "one flat colour, the mean of the real image",
    "training_mean": "one flat colour, the mean of the real training images",
    "source": "the source image itself, not translated",
    "blurred_target": f"the real image, blurred (sigma {BLUR_PX:g} px)",
}


def controls(
    target: Uint8Image, source: Uint8Image | None, training_mean: UInt8[np.ndarray, "3"] | None = None
) -> dict[str, Uint8Image]:
    """The control predictions for one target, by name, in the order of `MEANING`; two, one more with each of the others."""
    mean = None if training_mean is None else flat(training_mean, target)
    made = {"constant": constant(target), "training_mean": mean, "source": source, "blurred_target": blurred(target)}
    return {name: image for name, image in made.items() if image is not None}
