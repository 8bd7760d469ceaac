"""Adversarial losses: logits in, scalar out."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Scalar = Float[Tensor, ""]


def cross_entropy(logits: Tensor, real: bool) -> Scalar:
    """Mean binary cross-entropy of calling every patch real (or made): -log s(x) or -log(1 - s(x)) (Goodfellow et al. 2014).

    With `real=True` on made images it is the generator's non-saturating loss.
    """
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def least_squares(logits: Tensor, real: bool) -> Scalar:
    """Mean (D(x) - 1)^2 for real, D(x)^2 for made (Mao et al., ICCV 2017, equation 9 with a=0, b=c=1).

    Its factors 1/2 are left to the weights.
    """
    return (logits.float() - float(real)).square().mean()
