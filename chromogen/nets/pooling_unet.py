"""The U-Net of segmentation: paired convolutions, max-pooling between them, copies across (Ronneberger et al., MICCAI 2015)."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from chromogen.nets.blocks import Tanh
from chromogen.tensors import SignedImages

Output = Literal["tanh", "relu", "linear"]


class PoolingUNet(nn.Module):
    """Two 3x3 convolutions with ReLU a scale; `depth` max-poolings, each doubling the channels, and as many steps back.

    Sizes must be multiples of 2 ** depth. As in Keras, padding is with zeros, biases begin at 0 and weights as Glorot and
    Bengio (AISTATS 2010) draw them; no norm, no dropout. With depth 3 and 64 filters it has 8.558 M parameters.
    `output="tanh"` gives signed RGB (a sigmoid in unit RGB); "relu" and "linear" act in unit RGB, and their signed RGB may
    leave its range.
    """

    def __init__(self, width: int = 64, depth: int = 3, output: Output = "tanh") -> None:
        super().__init__()
        channels = [width * 2**scale for scale in range(depth + 1)]
        self.output = output
        self.pool = nn.MaxPool2d(2)
        self.down = nn.ModuleList([_two_convolutions(c_in, c_out) for c_in, c_out in pairwise([3, *channels])])
        self.enlarge, self.up = nn.ModuleList(), nn.ModuleList()
        for c_in, c_out in pairwise(reversed(channels)):
            self.enlarge.append(nn.ConvTranspose2d(c_in, c_out, 3, stride=2, padding=1, output_padding=1))
            self.up.append(_two_convolutions(2 * c_out, c_out))
        self.out = nn.Conv2d(width, 3, 1)
        self.tanh = Tanh()
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: SignedImages) -> SignedImages:
        copies: list[Tensor] = []
        for number, step in enumerate(self.down):
            x = step(self.pool(x) if number else x)
            copies.append(x)
        copies.pop()
        for enlarge, step in zip(self.enlarge, self.up, strict=True):
            x = step(torch.cat([copies.pop(), enlarge(x)], dim=1))
        x = self.out(x).float()
        if self.output == "tanh":
            return self.tanh(x)
        return 2 * (x.relu() if self.output == "relu" else x) - 1

    @staticmethod
    def reach_px(depth: int) -> int:
        """How far from an output pixel an input pixel can still matter: half the receptive field."""
        return 8 * 2**depth - 6


def _two_convolutions(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1), nn.ReLU()
    )  # fmt: skip
