"""A grader of the HER2 level and a generator whose residual blocks are steered by what the grader believes."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.color import H_DAB
from chromogen.nets.blocks import ResidualBlock, Tanh, started
from chromogen.tensors import SignedImages, full_precision

LEVELS = 4  # HER2 0, 1+, 2+, 3+
LevelMap = Float[Tensor, "batch levels h16 w16"]  # logits or probabilities


class LevelGrader(nn.Module):
    """Logits of the HER2 level at every sixteenth pixel, from the image alone.

    Five convolutions, then the mean over `window` x `window` positions (16 px apart), then one linear reading. The evidence
    is local, so that a tile and the whole image agree; an image's logits are the mean of its map. Weights are those of
    `blocks.started` without norms: the last layer begins at a tenth, so that a fresh grader is sure of nothing.
    """

    def __init__(self, width: int = 32, window: int = 5) -> None:
        super().__init__()
        self.window = window
        self.look = nn.Sequential(
            nn.Conv2d(3, width, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.ReLU(),
        )
        self.grade = nn.Conv2d(2 * width, LEVELS, 1)
        started(self, "none")

    def forward(self, source: SignedImages) -> LevelMap:
        seen = self.look(source)
        return self.grade(F.avg_pool2d(seen, self.window, stride=1, padding=self.window // 2, count_include_pad=False)).float()

    @staticmethod
    def reach_px(window: int) -> int:
        """How far from an output position an input pixel can still matter."""
        return 2 + 2 + 4 + 8 + 16 + 16 * (window // 2) + 24  # the last: resizing its map


class LevelGraders(nn.ModuleList):
    """Several graders of one form, each with weights of its own, side by side: logits (graders, batch, levels, h/16, w/16)."""

    def __init__(self, count: int, width: int = 32, window: int = 5) -> None:
        super().__init__([LevelGrader(width, window) for _ in range(count)])

    def forward(self, source: SignedImages) -> Float[Tensor, "graders batch levels h16 w16"]:
        return torch.stack([grader(source) for grader in self])


class Staining(nn.Module):
    """Light through stained tissue: three maps of any range become an image, by the law of Lambert and Beer.

    The maps become densities of haematoxylin, of DAB and of the glass, at least 0; a pixel is 10 to the minus their sum, each
    along its own colour. The three colours begin as Ruifrok and Johnston's vectors and grey, and are learned. So an image of
    this network can have no colour that these stains cannot make: no green fringes, no cyan nuclei.

    A map x becomes the density (x + sqrt(x^2 + 0.2^2)) / 2 (Barron, 2021, arXiv:2112.11687): its slope falls with the square
    of x, where that of a softplus falls exponentially: with one, a training that once painted all white stayed white.
    """

    SOFTNESS = 0.2  # a map of 0 is a density of 0.1

    def __init__(self) -> None:
        super().__init__()
        self.colours = nn.Parameter(torch.tensor([*H_DAB.vectors, (1.0, 1.0, 1.0)], dtype=torch.float32))

    def forward(self, maps: Float[Tensor, "batch 3 height width"]) -> SignedImages:
        with full_precision(maps):
            maps = maps.float()
            density = 0.5 * (maps + (maps.square() + self.SOFTNESS**2).sqrt())
            total = torch.einsum("nshw,sc->nchw", density, F.normalize(self.colours.float(), dim=1))
            return 2 * 10.0**-total - 1


class LevelAwareGenerator(nn.Module):
    """ResNet generator without norms whose residual blocks are modulated by what is believed of the level.

    Before each block a feature x becomes x (1 + scale) + shift (FiLM, Perez et al., AAAI 2018); scale and shift are linear in
    the probabilities of the four levels, so that a doubtful grade is stained between its levels. Features of whole and half
    size are added on the way back up, so that nuclei stay where the source has them. Colours are those of `Staining`, or any
    (`stained=False`). Sizes are multiples of 16 px, from 32 px. Its first weights are those of `blocks.started` without norms,
    modulation at a tenth.
    """

    def __init__(self, width: int = 64, blocks: int = 9, stained: bool = True) -> None:
        super().__init__()
        c = 4 * width
        self.whole_in = nn.Sequential(nn.Conv2d(3, width, 7, padding=3, padding_mode="reflect"), nn.ReLU())
        self.half_in = nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU())
        self.quarter_in = nn.Sequential(nn.Conv2d(2 * width, c, 3, stride=2, padding=1), nn.ReLU())
        modulations = [nn.Conv2d(LEVELS, 2 * c, 1) for _ in range(blocks)]
        self.modulations = nn.ModuleList(modulations)
        self.blocks = nn.ModuleList([ResidualBlock(c, "none") for _ in range(blocks)])
        self.half_out = _doubled(c, 2 * width)
        self.whole_out = _doubled(2 * width, width)
        self.exit = nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect")
        self.colour: nn.Module = Staining() if stained else Tanh()
        started(self, "none")
        with torch.no_grad():
            for modulation in modulations:
                modulation.weight.mul_(0.1)

    def forward(self, source: SignedImages, levels: LevelMap) -> SignedImages:
        """The stained image; `levels` are probabilities."""
        whole = self.whole_in(source)
        half = self.half_in(whole)
        x = self.quarter_in(half)
        levels = F.interpolate(levels, size=x.shape[-2:], mode="bilinear", align_corners=False)
        for modulation, block in zip(self.modulations, self.blocks, strict=True):
            assert isinstance(block, ResidualBlock)
            scale, shift = modulation(levels).chunk(2, dim=1)
            x = x + block.body(x * (1 + scale) + shift)
        x = self.half_out(x) + half
        return self.colour(self.exit(self.whole_out(x) + whole))

    @staticmethod
    def reach_px(blocks: int) -> int:
        """How far from an output pixel a pixel of the source can still matter: half the receptive field, rounded up."""
        encoder, decoder = 3 + 1 + 2, 9 + 3
        return encoder + 8 * blocks + decoder


def _doubled(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect"),
        nn.ReLU(),
    )
