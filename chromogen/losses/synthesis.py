"""Losses of synthesis: images, lines, class maps in, scalar out. Every square norm is a mean over images and pixels.

Equation numbers are those of Qu, "Synthesis of Multimodal Medical Images Based on GAN" (Sun Yat-sen University, 2020). Its m
is 1 outside the organ; here `organ` is 1 inside, and m is 1 - organ.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from chromogen.losses.adversarial import Scalar
from chromogen.tensors import UnitImages, full_precision

Inside = Float[Tensor, "batch 1 height width"]
ClassMap = Float[Tensor, "batch classes h w"]  # a critic's second answer, one vector for each patch
Translated = Mapping[tuple[int, int], UnitImages]  # (from, to) -> images


def squared(made: Float[Tensor, "..."], wanted: Float[Tensor, "..."]) -> Scalar:
    """Mean squared difference: the ||.||^2 of every equation."""
    return (made.float() - wanted.float()).square().mean()


def outside(images: UnitImages, organ: Inside) -> Scalar:
    """Mean of (m x)^2: what is drawn outside the organ, as in equations (7) and (11)."""
    return ((1 - organ.float()) * images.float()).square().mean()


def outside_difference(made: UnitImages, wanted: UnitImages, organ: Inside) -> Scalar:
    """Mean of (m x_g - m x)^2: the second term of equation (18)."""
    return outside(made.float() - wanted.float(), organ)


def moments(mean: Float[Tensor, "batch latents"], logvar: Float[Tensor, "batch latents"]) -> Scalar:
    """(mean of the means)^2 + (mean of the standard deviations - 1)^2: 0 for a standard normal distribution."""
    with full_precision(mean):
        return mean.float().mean().square() + ((0.5 * logvar.float()).exp().mean() - 1).square()


def divergence(mean: Float[Tensor, "batch latents"], logvar: Float[Tensor, "batch latents"]) -> Scalar:
    """Mean over vectors and their numbers of the Kullback-Leibler divergence from a standard normal distribution."""
    with full_precision(mean):
        mean, logvar = mean.float(), logvar.float()
        return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()


def ordered_pairs(modalities: int) -> Iterator[tuple[int, int]]:
    """Every (from, to) of two different modalities."""
    return ((j, i) for j in range(modalities) for i in range(modalities) if i != j)


def ring(modalities: int) -> list[tuple[int, int]]:
    """Each modality with one other, on a round trip through all of them in random order."""
    order = torch.randperm(modalities).tolist()
    return list(zip(order, [*order[1:], order[0]], strict=True)) if modalities > 1 else []


def registration(images: Sequence[UnitImages], translated: Translated) -> Scalar:
    """Sum over ordered pairs (j, i) of ||x_i - G_t(x_j, i)||^2: equation (16). 0 where there is only one modality.

    Where only some pairs are there, those count for all.
    """
    if not translated:
        return images[0].new_zeros(())
    share = len(translated) / (len(images) * (len(images) - 1))
    return torch.stack([squared(made, images[i]) for (_, i), made in translated.items()]).sum() / share


def agreement(translated: Translated, modalities: int) -> Scalar:
    """Sum over targets of how much two translations into it differ, the mean over pairs of sources; 0 below three modalities.

    Not in the thesis; in the public constants.
    """
    total = next(iter(translated.values())).new_zeros(())
    for target in range(modalities):
        sources = [j for j in range(modalities) if j != target]
        pairs = [(j, k) for number, j in enumerate(sources) for k in sources[number + 1 :]]
        if pairs:
            total = total + torch.stack([squared(translated[j, target], translated[k, target]) for j, k in pairs]).mean()
    return total


def cross_entropy(classes: ClassMap, modality: int) -> Scalar:
    """-log softmax of the class, of logits averaged over the patches of each image."""
    logits = classes.float().mean(dim=(2, 3))
    return F.cross_entropy(logits, torch.full((len(logits),), modality, device=logits.device))


def index_squared(classes: ClassMap, modality: int) -> Scalar:
    """||c(x) - i||^2, as equations (13), (14), (20) and (21) have it: one number a patch is to be the modality's number."""
    return (classes.float() - modality).square().mean()


def told_apart(classes: ClassMap, modality: int) -> Float[Tensor, " batch"]:
    """1 where the class read off an image is `modality`, else 0: of several maps the largest mean, of one its rounded mean."""
    mean = classes.detach().float().mean(dim=(2, 3))
    read = mean.argmax(dim=1) if mean.shape[1] > 1 else mean[:, 0].round().long()
    return (read == modality).float()


def contrast(images: Sequence[UnitImages]) -> Scalar:
    """Mean absolute difference of two modalities of one case, over all pairs: near 0 when a renderer ignores the modality."""
    terms = [(images[j].float() - images[i].float()).abs().mean() for j, i in ordered_pairs(len(images)) if j < i]
    return torch.stack(terms).mean() if terms else images[0].new_zeros(())


def hard_dice(made: Float[Tensor, "batch ..."], wanted: Float[Tensor, "batch ..."]) -> Float[Tensor, " batch"]:
    """2 |A B| / (|A| + |B|) of what is above 0.5, for each case; 1 where both are empty. No gradient: a measure."""
    first, second = (made > 0.5).flatten(1).float(), (wanted > 0.5).flatten(1).float()
    both = first.sum(1) + second.sum(1)
    return torch.where(both > 0, 2 * (first * second).sum(1) / both.clamp(min=1), torch.ones_like(both))
