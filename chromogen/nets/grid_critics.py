"""Critics that each look at one size of tile: a whole image, its quarters, its sixteenths."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def tiles(images: Float[Tensor, "n c height width"], grid: int) -> Float[Tensor, "n*grid*grid c tile_height tile_width"]:
    """Every image as grid x grid tiles: image by image, row by row. Sizes that `grid` does not divide are a ValueError."""
    n, channels, height, width = images.shape
    if height % grid or width % grid:
        raise ValueError(
            f"images of {width}x{height} px cannot be cut into {grid}x{grid} equal tiles; use multiples of {grid} px"
        )
    cut = images.reshape(n, channels, grid, height // grid, grid, width // grid)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(n * grid * grid, channels, height // grid, width // grid)


class TileCritic(nn.Module):
    """One score a tile: strided 4x4 convolutions and leaky ReLUs, as in a PatchGAN, then the mean of a map of scores.

    No norm, because a gradient penalty is a matter of each sample alone. `layers` halvings, so tiles have at least 2 ** layers
    px (else ValueError), and a place of the map sees 5 * 2 ** layers - 2 px. The last convolution has no bias: a difference of
    scores would not know it.
    """

    def __init__(self, inputs: int = 6, width: int = 64, layers: int = 4) -> None:
        super().__init__()
        self.least_px = 2**layers
        steps: list[nn.Module] = []
        c_in = inputs
        for scale in range(layers):
            c_out = width * min(2**scale, 8)
            steps += [nn.Conv2d(c_in, c_out, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            c_in = c_out
        self.body = nn.Sequential(*steps, nn.Conv2d(c_in, 1, 3, padding=1, bias=False))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        if min(x.shape[-2:]) < self.least_px:
            raise ValueError(
                f"this critic needs tiles of at least {self.least_px} px, and they are {x.shape[-1]}x{x.shape[-2]} px; "
                "use larger crops or fewer critic layers"
            )
        return self.body(x).to(torch.float32).mean(dim=(1, 2, 3))
