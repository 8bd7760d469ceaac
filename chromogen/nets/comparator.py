"""A network that grades real IHC images, and whose last features tell how alike two of them are stained."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.stainer import LEVELS, halving
from chromogen.tensors import SignedImages


class Comparator(nn.Module):
    """IHC image to (logits of the HER2 level, features): halved `depth` times, at least twice, then averaged over the image.

    Strided convolutions, the first 7x7 and the others 3x3, of `width` to 8 x `width` channels, each with batch norm and a
    leaky ReLU (Zhu et al., 2023, arXiv:2305.03546, section "Just4Fun"). As published (width 32, depth 7: 1024 px become 8x8)
    it has 2.165 M parameters.
    """

    def __init__(self, width: int = 32, depth: int = 7, dropout: float = 0.2) -> None:
        super().__init__()
        channels = [width * min(2**step, 8) for step in range(max(2, depth))]
        layers = halving(3, width, kernel_px=7)
        for inputs, outputs in pairwise(channels):
            layers += halving(inputs, outputs)
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.grade = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels[-1], LEVELS))

    def forward(self, images: SignedImages) -> tuple[Float[Tensor, "n levels"], Float[Tensor, "n features"]]:
        features = self.features(images)
        return self.grade(features), features
