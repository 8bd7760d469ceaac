"""The two-dimensional Haar wavelet transform, one level, orthonormal: four bands of half the size, and back."""

import torch
from jaxtyping import Float
from torch import Tensor


def haar(images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n 4*c h//2 w//2"]:
    """Bands LL, LH, HL, HH of every channel, all bands of a channel together; both sides must be even.

    LL is the sum of a square of 2x2 px, LH the upper minus the lower row, HL the left minus the right column, HH one diagonal
    minus the other, each halved: the matrix is orthonormal, and images in [-1, 1] have bands in [-2, 2]. It is the convolution
    with four fixed kernels of 2x2 and stride 2, written as sums so that autocast leaves it in float32: bfloat16 would round
    away the small differences that the bands are there for.
    """
    height, width = images.shape[-2:]
    if height % 2 or width % 2:
        raise ValueError(f"a Haar transform halves both sides, and {height} x {width} px does not halve; pad or cut the image")
    a, b = images[..., 0::2, 0::2], images[..., 0::2, 1::2]
    c, d = images[..., 1::2, 0::2], images[..., 1::2, 1::2]
    top, bottom, top_change, bottom_change = a + b, c + d, a - b, c - d
    bands = [top + bottom, top - bottom, top_change + bottom_change, top_change - bottom_change]
    return 0.5 * torch.stack(bands, dim=2).flatten(1, 2)


def inverse_haar(bands: Float[Tensor, "n 4*c h w"]) -> Float[Tensor, "n c 2*h 2*w"]:
    """The images whose `haar` bands these are. Raises ValueError when the channels are not a multiple of four."""
    n, channels, h, w = bands.shape
    if channels % 4:
        raise ValueError(f"Haar bands come in fours, got {channels} channels")
    low, rows, columns, diagonal = (0.5 * bands).unflatten(1, (channels // 4, 4)).unbind(dim=2)
    top, bottom, top_change, bottom_change = low + rows, low - rows, columns + diagonal, columns - diagonal
    a, b, c, d = top + top_change, top - top_change, bottom + bottom_change, bottom - bottom_change
    squares = torch.stack([torch.stack([a, b], dim=-1), torch.stack([c, d], dim=-1)], dim=-3)  # n c h 2 w 2
    return squares.reshape(n, channels // 4, 2 * h, 2 * w)
