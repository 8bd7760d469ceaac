"""Losses of reading a grade (the HER2 level): logits or features in, scalar out.

A level of -1 means unknown: such a row counts for nothing, and where no row is known the loss is 0.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from chromogen.losses.adversarial import Scalar


def cross_entropy(logits: Float[Tensor, "n classes"], level: Int64[Tensor, " n"]) -> Scalar:
    """Mean over known rows of -log softmax(logits)[level]."""
    return _over_known(F.cross_entropy(logits.float(), level.clamp(min=0), reduction="none"), level)


def focal(logits: Float[Tensor, "n classes"], level: Int64[Tensor, " n"], alpha: tuple[float, ...], gamma: float) -> Scalar:
    """Mean over known rows of -alpha_y (1 - p_y)^gamma log p_y, p = softmax(logits) (Lin et al., ICCV 2017, equation 5).

    `alpha` holds one weight a class. Only the true class of a row enters.
    """
    terms = _focal_terms(logits, _is_level(level, logits.shape[1]), alpha, gamma)
    return _over_known((terms * _is_level(level, logits.shape[1])).sum(dim=1), level)


def generalised_focal(
    logits: Float[Tensor, "n classes"], level: Int64[Tensor, " n"], alpha: tuple[float, ...], gamma: float
) -> Scalar:
    """Mean over classes n of -alpha_n (1 - p_t)^gamma log p_t, where p_t is p_n for the true class and 1 - p_n for the others.

    p = softmax(logits), then the mean over known rows (Zhu et al., BCI challenge, 2023, equations 5-7). Unlike `focal` it also
    pushes the wrong classes down one by one, each by its own `alpha`.
    """
    return _over_known(_focal_terms(logits, _is_level(level, logits.shape[1]), alpha, gamma).mean(dim=1), level)


def cosine_distance(a: Float[Tensor, "n features"], b: Float[Tensor, "n features"]) -> Scalar:
    """Mean over rows of 1 - cosine of the angle between `a` and `b`, in [0, 2] (Zhu et al. 2023, equation 8)."""
    return 1 - F.cosine_similarity(a.float(), b.float(), dim=1).mean()


def _focal_terms(
    logits: Float[Tensor, "n classes"], true: Bool[Tensor, "n classes"], alpha: tuple[float, ...], gamma: float
) -> Float[Tensor, "n classes"]:
    classes = logits.shape[1]
    if len(alpha) != classes or classes < 2:
        raise ValueError(f"a focal loss needs one alpha a class and at least 2 classes, got {len(alpha)} for {classes} classes")
    logits = logits.float()
    # p_n = sigmoid(margin_n) with margin_n = logit_n - log(sum of the other exponentials), so that neither log p_n nor
    # log(1 - p_n) ever takes the logarithm of a rounded 0.
    itself = torch.eye(classes, dtype=torch.bool, device=logits.device)
    others = logits[:, None, :].expand(-1, classes, -1).masked_fill(itself, -torch.inf).logsumexp(dim=2)
    margin = torch.where(true, logits - others, others - logits)
    return -logits.new_tensor(alpha) * torch.sigmoid(-margin).pow(gamma) * F.logsigmoid(margin)


def _is_level(level: Int64[Tensor, " n"], classes: int) -> Bool[Tensor, "n classes"]:
    return level[:, None] == torch.arange(classes, device=level.device)


def _over_known(rows: Float[Tensor, " n"], level: Int64[Tensor, " n"]) -> Scalar:
    known = (level >= 0).to(rows.dtype)
    return (rows * known).sum() / known.sum().clamp(min=1)
