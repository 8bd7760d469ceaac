"""Grain for blank images, in which a norm finds nothing to divide by."""

from functools import lru_cache
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from chromogen.tensors import AnyBatch, SignedImages

GREY_LEVEL = 2 / 255  # of 8 bits, in the signed range
STAINED = ("source", "target")


def grained(batch: AnyBatch) -> AnyBatch:
    """The batch with noise of up to half a grey level on every source and target that is all of one colour; others as they are.

    Behind an instance or batch norm the gradient of a flat map is multiplied by 1 / sqrt(1e-5) = 316, and by as much at each
    norm before it: one blank pair gave gradients of 1e6 (CycleGAN) to 1e16 (WeCREST), which Adam's second moment remembers for
    a thousand steps. Eight bits say a value to half a grey level, so the noise says nothing that was not in the file. It is the
    same noise every time, clipped to [-1, 1]. Flat is an image whose deviation is below half a grey level in every colour.
    Nothing waits for a GPU.
    """
    made = {key: _grained(value) if key in STAINED and isinstance(value, Tensor) else value for key, value in batch.items()}
    return cast(AnyBatch, made)


def _grained(images: SignedImages) -> SignedImages:
    flat = images.std(dim=(2, 3), correction=0).amax(dim=1) < GREY_LEVEL / 2
    noisy = (images + _noise(*images.shape[1:], images.device).to(images.dtype)).clamp(-1, 1)
    return torch.where(flat[:, None, None, None], noisy, images)


@lru_cache(maxsize=4)
def _noise(channels: int, height: int, width: int, device: torch.device) -> Float[Tensor, "channels height width"]:
    drawn = torch.rand(channels, height, width, generator=torch.Generator().manual_seed(0))
    return ((drawn - 0.5) * GREY_LEVEL).to(device)
