"""A generator that grades the tissue while it stains it: what it believes of the HER2 level steers its residual blocks."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.blocks import ResidualBlock, Tanh, started
from chromogen.tensors import SignedImages

LEVELS = 4  # HER2 0, 1+, 2+, 3+
LevelMap = Float[Tensor, "batch levels h16 w16"]


class LevelReader(nn.Module):
    """Evidence of the HER2 level at every sixteenth pixel, from features at every fourth.

    Three convolutions, then the mean over `window` x `window` positions (16 px apart), then one linear reading. The evidence
    is local, so that a tile and the whole image agree; an image's logits are the mean of its map.
    """

    def __init__(self, inputs: int, width: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.look = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(inputs, inputs, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(inputs, width, 3, padding=1, padding_mode="reflect"),
            nn.ReLU(),
        )
        self.grade = nn.Conv2d(width, LEVELS, 1)

    def forward(self, features: Float[Tensor, "batch c h4 w4"]) -> tuple[Float[Tensor, "batch width h16 w16"], LevelMap]:
        padding = self.window // 2
        evidence = F.avg_pool2d(self.look(features), self.window, stride=1, padding=padding, count_include_pad=False)
        return evidence, self.grade(evidence)


class LevelAwareGenerator(nn.Module):
    """ResNet generator without norms whose residual blocks are modulated by the predicted level.

    Before each block a feature x becomes x (1 + scale) + shift (FiLM, Perez et al., AAAI 2018); scale and shift are linear in
    the reader's evidence and in its softmax over the levels, both resized to the features. Features of whole and half
    size are added on the way back up, so that nuclei stay where the source has them. No label enters. Sizes are multiples of
    16 px, from 32 px. Its first weights are those of `blocks.started` without norms, modulation and grade at a tenth.
    """

    def __init__(self, width: int = 64, blocks: int = 9, level_width: int = 64, window: int = 5) -> None:
        super().__init__()
        c = 4 * width
        self.whole_in = nn.Sequential(nn.Conv2d(3, width, 7, padding=3, padding_mode="reflect"), nn.ReLU())
        self.half_in = nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU())
        self.quarter_in = nn.Sequential(nn.Conv2d(2 * width, c, 3, stride=2, padding=1), nn.ReLU())
        self.reader = LevelReader(c, level_width, window)
        self.modulations = nn.ModuleList([nn.Conv2d(level_width + LEVELS, 2 * c, 1) for _ in range(blocks)])
        self.blocks = nn.ModuleList([ResidualBlock(c, "none") for _ in range(blocks)])
        self.half_out = _doubled(c, 2 * width)
        self.whole_out = _doubled(2 * width, width)
        self.exit = nn.Sequential(nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"), Tanh())
        started(self, "none")
        with torch.no_grad():
            for small in (self.reader.grade, *self.modulations):
                small.weight.mul_(0.1)

    def forward(self, source: SignedImages) -> tuple[SignedImages, LevelMap]:
        """The stained image and the map of level logits."""
        whole = self.whole_in(source)
        half = self.half_in(whole)
        x = self.quarter_in(half)
        evidence, levels = self.reader(x)
        style = torch.cat([evidence, levels.softmax(dim=1).to(evidence.dtype)], dim=1)
        style = F.interpolate(style, size=x.shape[-2:], mode="bilinear", align_corners=False)
        for modulation, block in zip(self.modulations, self.blocks, strict=True):
            assert isinstance(block, ResidualBlock)
            scale, shift = modulation(style).chunk(2, dim=1)
            x = x + block.body(x * (1 + scale) + shift)
        x = self.half_out(x) + half
        return self.exit(self.whole_out(x) + whole), levels

    @staticmethod
    def reach_px(blocks: int, window: int) -> int:
        """How far from an output pixel an input pixel can still matter: half the receptive field, rounded up."""
        encoder, decoder = 3 + 1 + 2, 9 + 3
        reader = 4 + 8 + 16 + 16 * (window // 2) + 16 + 8  # the last two: resizing its map
        return encoder + reader + 8 * blocks + decoder


def _doubled(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect"),
        nn.ReLU(),
    )
