"""Patches of feature maps as vectors to compare: where they are, and what is seen there (Park et al., ECCV 2020, section 3)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

Places = list[Int64[Tensor, "n p"]]  # of each layer: row * width + column


class PatchHead(nn.Module):
    """Two linear layers for each tapped layer, then unit length: what is compared are directions of `width` dimensions."""

    def __init__(self, channels: Sequence[int], width: int = 256) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width)) for c in channels)

    def forward(self, vectors: Sequence[Float[Tensor, "n p _c"]]) -> list[Float[Tensor, "n p width"]]:
        return [F.normalize(layer(x).float(), dim=2, eps=1e-7) for layer, x in zip(self.layers, vectors, strict=True)]


def drawn_places(features: Sequence[Float[Tensor, "n _c _h _w"]], patches: int) -> Places:
    """`patches` different places in each layer, or all it has; the same ones in every image of the batch."""
    places = []
    for x in features:
        order = torch.randperm(x.shape[2] * x.shape[3], device=x.device)
        places.append(order[:patches].expand(len(x), -1))
    return places


def mirrored_places(places: Places, features: Sequence[Float[Tensor, "n _c _h _w"]], mirrored: Bool[Tensor, " n"]) -> Places:
    """Where the same places are in those images that are mirrored left-right."""
    found = []
    for at, x in zip(places, features, strict=True):
        width = x.shape[3]
        found.append(torch.where(mirrored[:, None], at + (width - 1) - 2 * (at % width), at))
    return found


def at_places(features: Sequence[Float[Tensor, "n _c _h _w"]], places: Places) -> list[Float[Tensor, "n p _c"]]:
    """The features at those places."""
    vectors = []
    for x, at in zip(features, places, strict=True):
        index = at[:, None, :].expand(-1, x.shape[1], -1)
        vectors.append(x.flatten(2).gather(2, index).mT)
    return vectors
