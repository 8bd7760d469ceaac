"""Losses of a critic that estimates the Wasserstein distance between real and made images (Arjovsky et al., ICML 2017).

A critic's score has no range. It is only a distance while the critic is 1-Lipschitz, which the gradient penalty asks for.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from chromogen.losses.adversarial import Scalar
from chromogen.tensors import full_precision

Scores = Float[Tensor, "..."]


def critic(on_real: Scores, on_fake: Scores) -> Scalar:
    """What a critic lowers: the mean score of made images less that of real ones, minus the distance (WGAN, equation 2)."""
    return on_fake.float().mean() - on_real.float().mean()


def generator(on_fake: Scores) -> Scalar:
    """What a generator lowers: minus the mean score of what it made."""
    return -on_fake.float().mean()


def gradient_penalty(
    score: Callable[[Float[Tensor, "n c h w"]], Float[Tensor, " n"]],
    real: Float[Tensor, "n c h w"],
    fake: Float[Tensor, "n c h w"],
) -> Scalar:
    """Mean over samples of (|grad score(x)| - 1)^2, x uniformly between real and fake (Gulrajani et al., NeurIPS 2017, eq. 3).

    `score` gives one number a sample and may not mix samples (no batch norm): the norm is that of each sample's own gradient,
    over all its channels and pixels. Tiles of an image are samples of their own. One uniform number a sample is drawn from
    torch's global generator. All of it is float32, also in autocast: a squared norm of many small gradients leaves the
    range of half precision. Differentiable with respect to what `score` is made of, not to the images.
    """
    with full_precision(real):
        real, fake = real.detach().float(), fake.detach().float()
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        between = torch.lerp(real, fake, share).requires_grad_(True)
        (gradient,) = torch.autograd.grad(score(between).sum(), between, create_graph=True)
        return (torch.linalg.vector_norm(gradient, dim=(1, 2, 3)) - 1).square().mean()
