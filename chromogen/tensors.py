"""The ranges an image lives in, and the only conversions between them; what a training batch holds.

`uint8`  arrays (H, W, 3), values 0-255: what files hold and what metrics read.
`unit`   floats in [0, 1]: what optics (`chromogen.color`) works in, and radiology images, whose networks end in a sigmoid.
`signed` float32 tensors (N, 3, H, W) in [-1, 1]: what the methods, networks and losses of staining see.

Most published range errors of this field are one missing conversion; so here they have names.
"""

from typing import NotRequired, TypedDict, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

Uint8Image = UInt8[np.ndarray, "height width 3"]
Uint8Images = UInt8[np.ndarray, "batch height width 3"]
SignedImages = Float[Tensor, "batch 3 height width"]
UnitImages = Float[Tensor, "batch channels height width"]


class Batch(TypedDict):
    """One training batch. `level` is the HER2 level 0-3 (-1 unknown): for losses only, `translate` never sees it.

    `index` is each pair's number in its set, `group` that of its patient or slide (of the pair itself where names tell none):
    for losses that tell images apart.
    """

    source: SignedImages
    target: SignedImages
    level: NotRequired[Int64[Tensor, " batch"]]
    index: NotRequired[Int64[Tensor, " batch"]]
    group: NotRequired[Int64[Tensor, " batch"]]


class CaseBatch(TypedDict):
    """One training batch of cases: registered images of one place of one patient, with what is known of it.

    A channel is 1 grey one, or 3: the colours of a fundus, or a CT slice between its neighbours. `organ` is 1 inside. A box is
    its class (from 1; 0 fills up), x0, y0, x1, y1 in px. `category` -1 is unknown. `index` is each case's number in its set.
    """

    images: Float[Tensor, "batch modality channel height width"]  # [0, 1]
    lines: Float[Tensor, "batch 1 height width"]  # 0 or 1
    organ: Float[Tensor, "batch 1 height width"]  # 0 or 1
    mask: NotRequired[Int64[Tensor, "batch height width"]]  # class of every pixel, 0: nothing
    category: NotRequired[Int64[Tensor, " batch"]]
    boxes: NotRequired[Float[Tensor, "batch boxes 5"]]
    index: Int64[Tensor, " batch"]


AnyBatch = TypeVar("AnyBatch", bound=Batch | CaseBatch)


def on_device(batch: AnyBatch, device: torch.device) -> AnyBatch:
    """The same batch on another device."""
    moved = {key: tensor.to(device, non_blocking=True) for key, tensor in batch.items() if isinstance(tensor, Tensor)}
    return cast(AnyBatch, moved)


def full_precision(like: Tensor) -> torch.autocast:
    """A context in which nothing is cast to bfloat16 on the device of `like`: for sums and penalties that need float32."""
    return torch.autocast("cpu" if like.is_meta else like.device.type, enabled=False)


def signed_from_uint8(images: Uint8Image | Uint8Images) -> SignedImages:
    """Turn uint8 RGB, (H, W, 3) or (N, H, W, 3), into a float32 tensor (N, 3, H, W) in [-1, 1]."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[-1] != 3:
        raise ValueError(
            f"expected uint8 RGB of shape (H, W, 3) or (N, H, W, 3), got {images.dtype} {images.shape}; "
            "read files with chromogen.data.images.read_image, which converts"
        )
    stacked = images if images.ndim == 4 else images[None]
    tensor = torch.from_numpy(np.ascontiguousarray(stacked)).permute(0, 3, 1, 2)
    return tensor.to(torch.float32).div_(127.5).sub_(1.0).contiguous()


def uint8_from_signed(images: SignedImages) -> Uint8Images:
    """Turn (N, 3, H, W) in [-1, 1] into uint8 (N, H, W, 3): clipped and rounded, never wrapped or truncated.

    Raises ValueError when a value is not finite, because no grey level tells the truth about it.
    """
    if not bool(torch.isfinite(images).all()):
        raise ValueError("the image holds values that are not finite (NaN or infinity); it was not converted")
    scaled = images.detach().float().add(1.0).mul_(127.5).clamp_(0.0, 255.0).round_()
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()
