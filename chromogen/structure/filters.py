"""The small filters that lines and organs are made with, on batches (N, 1, H, W) and on any device.

Masks are uint8 tensors of 0 and 1 here: sums of bytes are several times as fast as those of floats.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from chromogen.tensors import UnitImages

Grey = Literal["luminance", "middle", "first"]
Values = Float[Tensor, "batch 1 height width"]
Binary = UInt8[Tensor, "batch 1 height width"]  # 0 or 1
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
SMALLEST_PX = 3


def grey_of(images: UnitImages, grey: Grey) -> Values:
    """One float32 plane of each image in [0, 1]. Of three channels: their luminance, the middle one or the first one.

    The middle channel is the green of a photograph, and the slice itself where its neighbours lie around it. Values outside
    [0, 1], other numbers of channels and images under 3 px are a ValueError.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise ValueError(f"expected images of shape (N, 1, H, W) or (N, 3, H, W), got {tuple(images.shape)}")
    if min(images.shape[-2:]) < SMALLEST_PX:
        raise ValueError(f"an image of {images.shape[3]}x{images.shape[2]} px is too small; lines need {SMALLEST_PX} px")
    low, high = (float(end) for end in images.aminmax())
    if not (low >= 0 and high <= 1):  # also true of NaN
        raise ValueError(f"the images must lie in [0, 1], and their values go from {low:g} to {high:g}; rescale them first")
    if images.shape[1] == 1:
        return images.float()
    if grey == "luminance":
        return (images.float() * images.new_tensor(LUMA, dtype=torch.float32).view(3, 1, 1)).sum(dim=1, keepdim=True)
    channel = 1 if grey == "middle" else 0
    return images[:, channel : channel + 1].float()


def as_binary(mask: Tensor, name: str, like: Tensor) -> Binary:
    """Any 0/1 mask of the batch and size of `like` as bytes; ValueError names the mask that is something else."""
    expected = (len(like), 1, *like.shape[-2:])
    if tuple(mask.shape) != expected:
        raise ValueError(f"the {name} must have shape {expected}, as the images have, got {tuple(mask.shape)}")
    binary = (mask != 0).to(torch.uint8)
    if not torch.equal(binary.to(mask.dtype), mask):
        raise ValueError(f"the {name} must hold 0 and 1 only; threshold it first")
    return binary


def sobel(grey: Values) -> tuple[Values, Values]:
    """The 3x3 Sobel responses down and to the right, the border mirrored: scipy.ndimage.sobel(mode="mirror") of each axis."""
    padded = F.pad(grey, (1, 1, 1, 1), mode="reflect")
    across = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    along = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    return across[..., 2:, :] - across[..., :-2, :], along[..., 2:] - along[..., :-2]


def blur3(values: Values, sigma_px: float) -> Values:
    """A true 3x3 Gaussian, the border mirrored: scipy.ndimage.gaussian_filter(radius=1, mode="mirror"). 0.01 px is none."""
    edge = _edge_tap(sigma_px)
    if edge == 0.0:
        return values
    padded = F.pad(values, (1, 1, 1, 1), mode="reflect")
    middle = 1 / (1 + 2 * edge)
    rows = middle * padded[..., 1:-1, :] + edge * middle * (padded[..., :-2, :] + padded[..., 2:, :])
    return middle * rows[..., 1:-1] + edge * middle * (rows[..., :-2] + rows[..., 2:])


def blurred_above(mask: Binary, sigma_px: float, above: float) -> Binary:
    """`blur3(mask, sigma_px) > above` of a binary mask, by bytes where the answer needs no sums of weights."""
    edge, middle = _edge_tap(sigma_px), 1 / (1 + 2 * _edge_tap(sigma_px))
    centre, beside, corners = middle**2, edge * middle**2, 4 * (edge * middle) ** 2
    if 1 - centre <= above < centre:  # all eight neighbours together are too little, and the pixel itself is enough
        return mask
    if corners <= above < min(centre, beside):  # it, or any one of the four beside it
        return _with_neighbours(mask)
    return (blur3(mask.float(), sigma_px) > above).to(torch.uint8)


def median(mask: Binary, side_px: int) -> Binary:
    """The median of every `side_px` square of a binary mask, border pixels repeated: 1 where more than half of it is 1.

    Equals scipy.ndimage.median_filter(mode="nearest"). `side_px` is odd; 1 changes nothing.
    """
    if side_px < 1 or side_px % 2 == 0:
        raise ValueError(f"the side of a median must be odd and at least 1 px, got {side_px}")
    if side_px == 1:
        return mask
    padded = _repeated(mask, side_px // 2)
    height, width = mask.shape[-2:]
    rows = padded[..., :height, :].clone()
    for step in range(1, side_px):
        rows += padded[..., step : step + height, :]
    wide = rows if side_px**2 < 256 else rows.to(torch.int16)  # a byte counts to 255
    count = wide[..., :width].clone()
    for step in range(1, side_px):
        count += wide[..., step : step + width]
    return (count > side_px**2 // 2).to(torch.uint8)


def dilate(mask: Binary, radius_px: int) -> Binary:
    """The mask grown by a disc: 1 wherever a 1 lies within `radius_px` of it (centre to centre)."""
    if radius_px < 0:
        raise ValueError(f"a mask cannot grow by {radius_px} px; the radius is at least 0")
    if radius_px == 0:
        return mask
    height, width = mask.shape[-2:]
    padded = F.pad(mask, (radius_px,) * 4)
    grown, reach = torch.zeros_like(mask), 0
    runs = padded[..., radius_px : radius_px + width].clone()  # grown sideways only, by `reach`
    for down in range(radius_px, -1, -1):
        while reach < math.isqrt(radius_px**2 - down**2):
            reach += 1
            left, right = radius_px - reach, radius_px + reach
            runs |= padded[..., left : left + width]
            runs |= padded[..., right : right + width]
        for row in {radius_px - down, radius_px + down}:
            grown |= runs[..., row : row + height, :]
    return grown


def minmax(values: Values) -> Values:
    """Each image stretched to [0, 1]; a flat one becomes 0."""
    low, high = values.amin(dim=(-2, -1), keepdim=True), values.amax(dim=(-2, -1), keepdim=True)
    return _stretched(values, low, high)


def between_percentiles(values: Values, outside_percent: float) -> Values:
    """As `minmax`, but between two percentiles, clipped: single pixels no longer decide what the others become."""
    flat = values.flatten(1)
    rank = int(flat.shape[1] * outside_percent / 100)
    low = flat.kthvalue(1 + rank, dim=1).values.view(-1, 1, 1, 1)
    high = flat.kthvalue(flat.shape[1] - rank, dim=1).values.view(-1, 1, 1, 1)
    return _stretched(values, low, high).clamp(0, 1)


def _stretched(values: Values, low: Tensor, high: Tensor) -> Values:
    span = high - low
    return (values - low) / torch.where(span > 0, span, torch.ones_like(span))


def _edge_tap(sigma_px: float) -> float:
    """The weight of a neighbour over that of the middle pixel."""
    if sigma_px <= 0:
        raise ValueError(f"the sigma of a blur must be above 0, got {sigma_px}; 0.01 blurs nothing")
    return math.exp(-0.5 / sigma_px**2)


def _with_neighbours(mask: Binary) -> Binary:
    """The mask grown by the four pixels beside each of its own. Mirroring at the border adds nothing: it repeats insiders."""
    grown = mask.clone()
    grown[..., 1:, :] |= mask[..., :-1, :]
    grown[..., :-1, :] |= mask[..., 1:, :]
    grown[..., 1:] |= mask[..., :-1]
    grown[..., :-1] |= mask[..., 1:]
    return grown


def _repeated(mask: Binary, margin: int) -> Binary:
    """The mask with its border pixels repeated; torch's own padding does not take bytes."""
    padded = F.pad(mask, (margin,) * 4)
    end_row, end_column = padded.shape[-2] - margin, padded.shape[-1] - margin
    padded[..., :margin, :] = padded[..., margin : margin + 1, :]
    padded[..., end_row:, :] = padded[..., end_row - 1 : end_row, :]
    padded[..., :margin] = padded[..., margin : margin + 1]
    padded[..., end_column:] = padded[..., end_column - 1 : end_column]
    return padded
