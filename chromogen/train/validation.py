"""Scores on held-out pairs while training, and the named rules that choose a checkpoint by them."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn

from chromogen.config import nearest
from chromogen.data.pairs.sets import PairSet
from chromogen.evaluate.pixels.likeness import psnr, sharpness_ratio, ssim
from chromogen.evaluate.staining.amounts import mean_dab
from chromogen.method import Method
from chromogen.tensors import Uint8Image, signed_from_uint8, uint8_from_signed

PICTURES = 4  # validation images in a sample grid


def _balanced(scores: Mapping[str, float]) -> float:
    """SSIM times how close the sharpness is to the target's: blur raises the first and lowers the second. Our own rule."""
    sharpness = scores["sharpness"]
    return scores["ssim"] * min(sharpness, 1 / max(sharpness, 1e-9))


RULES: dict[str, Callable[[Mapping[str, float]], float]] = {
    "balanced": _balanced,
    "psnr": lambda scores: scores["psnr"],
    "ssim": lambda scores: scores["ssim"],
    "dab": lambda scores: -scores["dab_error"],
    "score": lambda scores: scores["score"],  # what a method of synthesis or reading says of itself
    "last": lambda scores: scores["step"],
}


def rule(name: str) -> Callable[[Mapping[str, float]], float]:
    """The selection rule of that name: scores in, a number out, larger is better."""
    if name not in RULES:
        raise ValueError(f"no selection rule {name!r}; {nearest(name, RULES)}")
    return RULES[name]


@torch.inference_mode()
def validate(
    method: Method, nets: nn.ModuleDict, pairs: PairSet, images: int, crop_px: int, device: torch.device
) -> tuple[dict[str, float], list[list[Uint8Image]]]:
    """Mean scores over the first `images` pairs (centre crops, evaluation mode) and rows of source, made, real pictures.

    `psnr` in dB and `ssim` as in protocol bci2022; `sharpness` relative to the target; `dab_error` is the mean absolute
    difference of mean DAB optical density. A rule may select by them; a result is scored by `chromogen evaluate`.
    """
    training = {name: net.training for name, net in nets.items()}
    nets.eval()
    found: list[dict[str, float]] = []
    rows: list[list[Uint8Image]] = []
    for index in range(min(images, len(pairs))):
        pair = pairs[index]
        if pair.target is None:
            continue
        source, target = (_centre(image, crop_px, method.tiling.multiple_px) for image in (pair.source, pair.target))
        fake = uint8_from_signed(method.translate(nets, signed_from_uint8(source).to(device)))[0]
        found.append(
            {
                "psnr": min(psnr(fake, target), 100.0),  # a perfect image is infinite; one must not decide the mean
                "ssim": ssim(fake, target),
                "sharpness": sharpness_ratio(fake, target),
                "dab_error": abs(mean_dab(fake) - mean_dab(target)),
            }
        )
        if len(rows) < PICTURES:
            rows.append([source, fake, target])
    for name, mode in training.items():
        nets[name].train(mode)
    return {key: _mean([scores[key] for scores in found]) for key in found[0]} if found else {}, rows


def _mean(values: list[float]) -> float:
    """The mean of the values that exist: a blank target has no sharpness. 0 when none exists, so that no rule prefers it."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else 0.0


def _centre(image: Uint8Image, crop_px: int, multiple_px: int) -> Uint8Image:
    """The largest centre crop whose sides are multiples, at most `crop_px`; a side below one multiple is mirrored up to it."""
    gaps = [max(0, multiple_px - side) for side in image.shape[:2]]
    if any(gaps):
        image = np.pad(image, [*((0, gap) for gap in gaps), (0, 0)], mode="reflect")
    height, width = (min(side, crop_px) // multiple_px * multiple_px for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])
