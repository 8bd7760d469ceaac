"""How far the scores of a segmenter are from the mask: logits (N, classes, H, W) and classes (N, H, W) in, scalar out."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from chromogen.losses.adversarial import Scalar

Logits = Float[Tensor, "batch classes height width"]
Mask = Int64[Tensor, "batch height width"]
ONE_PX = 1.0  # keeps the Dice of a class that nobody sees away from 0/0


def planes(mask: Mask, classes: int) -> Logits:
    """A plane of 0 and 1 for each class, 0 included. A class beyond them is in no plane."""
    return (mask[:, None] == torch.arange(classes, device=mask.device)[:, None, None]).float()


def cross_entropy(logits: Logits, mask: Mask) -> Scalar:
    """Mean over images and pixels of -log softmax(logits) at the true class."""
    return F.cross_entropy(logits.float(), mask)


def dice(logits: Logits, mask: Mask) -> Scalar:
    """1 - soft Dice, mean over the classes from 1: 2 sum(p t) / (sum(p) + sum(t)), summed over all pixels of the batch.

    p is the softmax; one pixel is added above and below (Milletari et al., 3DV 2016, without their squares). Summing over the
    batch, an image without a class weighs as much as its false pixels, not as much as a whole image.
    """
    probability = logits.float().softmax(1)[:, 1:]
    truth = planes(mask, logits.shape[1])[:, 1:]
    both = (probability * truth).sum((0, 2, 3))
    sizes = probability.sum((0, 2, 3)) + truth.sum((0, 2, 3))
    return 1 - ((2 * both + ONE_PX) / (sizes + ONE_PX)).mean()


def weighted_squares(logits: Logits, mask: Mask, class_weights: Sequence[float] = ()) -> Scalar:
    """Sum over the classes of weight x mean (sigmoid(logit) - truth)^2; without weights each counts 1."""
    classes = logits.shape[1]
    weights = tuple(class_weights) or (1.0,) * classes
    if len(weights) != classes:
        raise ValueError(f"expected a weight for each of {classes} classes (0 included), got {len(weights)}")
    squares = (logits.float().sigmoid() - planes(mask, classes)).square().mean((0, 2, 3))
    return (squares * torch.tensor(weights, device=logits.device)).sum()
