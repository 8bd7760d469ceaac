"""All modalities of a case as the planes of one image: for networks that make or judge whole cases."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

CaseImages = Float[Tensor, "batch modality channel height width"]
Planes = Float[Tensor, "batch planes height width"]


def joined(images: CaseImages, modalities: int, channels: int, size_px: int) -> Planes:
    """The images of each case one behind the other, brought to size_px x size_px by area means or bilinear enlargement.

    ValueError for another number of modalities or channels, and for images that are not square: stretching would change the
    anatomy.
    """
    if images.ndim != 5 or tuple(images.shape[1:3]) != (modalities, channels):
        raise ValueError(
            f"expected cases of {modalities} modalities with {channels} channels, (N, {modalities}, {channels}, H, W), "
            f"got {tuple(images.shape)}; set the method's `modalities` and `channels`"
        )
    height, width = images.shape[-2:]
    if height != width:
        raise ValueError(f"this method makes square images and the cases are {width}x{height} px; prepare them as squares")
    planes = images.flatten(1, 2)
    if height > size_px:
        return F.adaptive_avg_pool2d(planes, size_px)
    return planes if height == size_px else F.interpolate(planes, size=(size_px, size_px), mode="bilinear")


def separated(planes: Planes, modalities: int) -> CaseImages:
    """What `joined` put together, taken apart again."""
    return planes.unflatten(1, (modalities, planes.shape[1] // modalities))


def beside_each_other(images: CaseImages) -> Float[Tensor, "batch 3 height columns"]:
    """The modalities of a case from left to right, to look at; one channel is shown grey."""
    rgb = images.expand(-1, -1, 3, -1, -1) if images.shape[2] == 1 else images
    return torch.cat(list(rgb.unbind(1)), dim=-1)
