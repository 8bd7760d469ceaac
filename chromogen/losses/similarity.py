"""How alike a made image and its target are as wholes: structural similarity and the normalised Frobenius norm.

Both are defined on intensities, so signed images are read as unit ones, in [0, 1]. The arithmetic is float32, also in autocast.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from chromogen.losses.adversarial import Scalar
from chromogen.tensors import SignedImages, full_precision

C1, C2 = 0.01**2, 0.03**2  # Wang et al. 2004, section III-B, for a data range of 1
DARKEST = (
    0.1  # root mean square of a target, in [0, 1], below which its norm is not lowered: a black image is no reason to explode
)


def ssim(fake: SignedImages, target: SignedImages, window_px: int = 11, sigma: float = 1.5) -> Scalar:
    """Mean structural similarity in [-1, 1] (Wang et al., IEEE Trans. Image Process. 13:600, 2004, equation 13).

    Gaussian windows of `window_px` pixels (odd) and standard deviation `sigma`, in pixels; the mean is over images, channels
    and the windows that lie wholly inside: skimage's structural_similarity of unit images with gaussian_weights=True and
    use_sample_covariance=False. Images smaller than a window are a ValueError.
    """
    if window_px < 1 or window_px % 2 == 0 or sigma <= 0:
        raise ValueError(f"SSIM needs an odd window and a sigma above 0, got {window_px} px and {sigma}")
    if min(fake.shape[-2:]) < window_px:
        raise ValueError(f"SSIM with windows of {window_px} px needs larger images than {fake.shape[-1]}x{fake.shape[-2]} px")
    # autocast would turn the convolutions into bfloat16, whose 3 digits are less than a variance needs; it knows no meta device
    with full_precision(fake):
        # halved, not yet shifted to [0, 1]: a variance is a difference, and closer to 0 it loses fewer digits
        x, y = fake.float() / 2, target.float() / 2
        moments = _blurred(torch.cat([x, y, x * x + y * y, x * y], dim=1), _gaussian(window_px, sigma, like=x))
        mean_x, mean_y, powers, products = moments.chunk(4, dim=1)
        variances = powers - mean_x * mean_x - mean_y * mean_y
        covariance = products - mean_x * mean_y
        mean_x, mean_y = mean_x + 0.5, mean_y + 0.5
        light = (2 * mean_x * mean_y + C1) / (mean_x * mean_x + mean_y * mean_y + C1)
        return (light * (2 * covariance + C2) / (variances + C2)).mean()


def structural_dissimilarity(fake: SignedImages, target: SignedImages, window_px: int = 11, sigma: float = 1.5) -> Scalar:
    """1 - ssim, in [0, 2]; 0 for equal images."""
    return 1 - ssim(fake, target, window_px, sigma)


def normalised_frobenius(fake: SignedImages, target: SignedImages) -> Scalar:
    """Mean over images of |X - Y| / |Y|, at least 0: Frobenius norms over channels and pixels, X made, Y target, in [0, 1].

    The norm of a target counts as that of an even grey of 0.1 at least, so that the loss stays below 10.
    """
    difference = (fake.float() - target.float()) / 2
    size = torch.linalg.vector_norm((target.float() + 1) / 2, dim=(1, 2, 3))
    least = DARKEST * target[0].numel() ** 0.5
    return (torch.linalg.vector_norm(difference, dim=(1, 2, 3)) / size.clamp(min=least)).mean()


def _gaussian(window_px: int, sigma: float, like: Tensor) -> Float[Tensor, " taps"]:
    places = torch.arange(window_px, device=like.device, dtype=like.dtype) - window_px // 2
    taps = torch.exp(-0.5 * (places / sigma) ** 2)
    return taps / taps.sum()


def _blurred(x: Float[Tensor, "n c h w"], taps: Float[Tensor, " taps"]) -> Float[Tensor, "n c h2 w2"]:
    channels, size = x.shape[1], len(taps)
    x = F.conv2d(x, taps.view(1, 1, 1, size).expand(channels, 1, 1, size), groups=channels)
    return F.conv2d(x, taps.view(1, 1, size, 1).expand(channels, 1, size, 1), groups=channels)
