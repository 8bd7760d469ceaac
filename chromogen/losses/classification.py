"""How far the scores of a classifier are from the class: scores (N, classes) and classes (N) in, scalar out.

The class -1 is unknown and asks for nothing; a batch of them gives 0.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from chromogen.losses.adversarial import Scalar

Scores = Float[Tensor, "batch classes"]
Category = Int64[Tensor, " batch"]


def cross_entropy(scores: Scores, category: Category) -> Scalar:
    """Mean over the images of known class of -log softmax(scores) at the true class."""
    each = F.cross_entropy(scores.float(), category, ignore_index=-1, reduction="none")
    return each.sum() / (category >= 0).sum().clamp(min=1)


def squares(scores: Scores, category: Category) -> Scalar:
    """Mean over the images of known class, and over classes, of (score - 1)^2 at the true class, score^2 elsewhere."""
    known = category >= 0
    truth = (category[:, None] == torch.arange(scores.shape[1], device=scores.device)).float()
    each = (scores.float() - truth).square().mean(1)
    return (each * known).sum() / known.sum().clamp(min=1)
