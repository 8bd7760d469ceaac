"""Contrast between patches: a made patch should be nearer to its own counterpart than to other patches of the same image.

`query` and `key` are unit vectors, (images, patches, dimensions); patches of the same number belong together. Keys are given:
no gradient reaches them. The arithmetic is float32, also in autocast.
"""

from jaxtyping import Float
from torch import Tensor

from chromogen.losses.adversarial import Scalar
from chromogen.tensors import full_precision

Vectors = Float[Tensor, "n p d"]


def patch_nce(query: Vectors, key: Vectors, temperature: float = 0.07) -> Scalar:
    """PatchNCE (Park et al., ECCV 2020, equation 3), mean over patches: -log softmax_j(q_i . k_j / temperature) at j = i.

    The other patches of the same image are the negatives. With keys from the true target it is the paired InfoNCE.
    """
    _, losses = _own_and_losses(query, key, temperature)
    return losses.mean()


def adaptive_patch_nce(query: Vectors, key: Vectors, trust: float, temperature: float = 0.07) -> Scalar:
    """Adaptive Supervised PatchNCE: `patch_nce` weighted patch by patch by how far pairs agree (Li et al., MICCAI 2023)."""
    own, losses = _own_and_losses(query, key, temperature)
    return (agreement_weights(own, trust) * losses).mean()


def agreement_weights(own: Float[Tensor, "n p"], trust: float) -> Float[Tensor, "n p"]:
    """Weights trust + (1 - trust) max(0, cosine of query and own key), divided by their mean over the batch; no gradient.

    `trust` in the pairs, in [0, 1], is 1 early in training, when a low cosine says nothing about a pair yet, and falls to 0.
    """
    weights = trust + (1 - trust) * own.detach().clamp(min=0)
    return weights / weights.mean().clamp(min=1e-8)


def _own_and_losses(query: Vectors, key: Vectors, temperature: float) -> tuple[Float[Tensor, "n p"], Float[Tensor, "n p"]]:
    # autocast would round cosines to 3 digits, which the temperature then multiplies by 14; it knows no meta device
    with full_precision(query):
        cosines = query.float() @ key.detach().float().mT
    own = cosines.diagonal(dim1=1, dim2=2)
    return own, (cosines / temperature).logsumexp(dim=2) - own / temperature
