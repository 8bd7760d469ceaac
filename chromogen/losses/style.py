"""Losses of a discriminator that tells N styles of real images, and made ones, apart: logits in, scalar out.

Class 0 is "made", classes 1 ... N are the styles of the pool of real images (BCI challenge, team stan9, equations 16 and 17).
"""

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from chromogen.losses.adversarial import Scalar

MADE = 0


def of_index(index: Int64[Tensor, " n"], styles: int) -> Int64[Tensor, " n"]:
    """The style class, 1 ... `styles`, of real images by their number in the set: one each if there are enough, else shared."""
    return 1 + index % styles


def cross_entropy(logits: Float[Tensor, "n classes h w"], style: Int64[Tensor, " n"]) -> Scalar:
    """Mean over images and patches of -log softmax(logits)[style]; `style` is 0 for made, 1 ... N for real."""
    return F.nll_loss(F.log_softmax(logits.float(), dim=1).mean(dim=(2, 3)), style)
