"""A critic of patches that may also say which modality it sees."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.blocks import started

CriticStyle = Literal["thesis", "leaky"]


class PatchCritic(nn.Module):
    """One score for every 16 x 16 px (1: real, 0: made; no sigmoid) and, with `classes`, as many maps of another answer.

    Halvings by 5x5, 5x5, 3x3 and 3x3 convolutions to `width`, `width` and twice that, then two 3x3 convolutions for each
    answer; dropout on the image. style "thesis": instance norm and ReLU behind every convolution but the last ones. "leaky":
    LeakyReLU and no norms, as in StarGAN (Choi et al., CVPR 2018): norms take away how bright and contrasty an image is, and
    at 32 px, where four numbers remain of a map, nearly all else. Sides are multiples of 16, from 32 px.
    """

    def __init__(
        self, inputs: int, width: int = 64, classes: int = 0, dropout: float = 0.15, style: CriticStyle = "leaky"
    ) -> None:
        super().__init__()
        thesis = style == "thesis"
        self.look = nn.Sequential(
            nn.Dropout(dropout),
            *_layer(inputs, width, 5, 2, thesis),
            *_layer(width, width, 5, 2, thesis),
            *_layer(width, 2 * width, 3, 2, thesis),
            *_layer(2 * width, 2 * width, 3, 2, thesis),
        )
        self.score = nn.Sequential(*_layer(2 * width, width, 3, 1, thesis), nn.Conv2d(width, 1, 3, padding=1))
        self.tell = None
        if classes:
            self.tell = nn.Sequential(*_layer(2 * width, width, 3, 1, thesis), nn.Conv2d(width, classes, 3, padding=1))
        started(self, "instance" if thesis else "none")

    def forward(
        self, x: Float[Tensor, "n c h w"]
    ) -> tuple[Float[Tensor, "n 1 h16 w16"], Float[Tensor, "n classes h16 w16"] | None]:
        if any(side % 16 or side < 32 for side in x.shape[-2:]):
            raise ValueError(f"sides must be multiples of 16 px and at least 32 px, got {x.shape[-2]}x{x.shape[-1]}")
        seen = self.look(x)
        return self.score(seen).float(), None if self.tell is None else self.tell(seen).float()


def _layer(c_in: int, c_out: int, kernel: int, stride: int, thesis: bool) -> list[nn.Module]:
    convolution = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, bias=not thesis)
    return [convolution, nn.InstanceNorm2d(c_out, affine=True), nn.ReLU()] if thesis else [convolution, nn.LeakyReLU(0.2)]
