"""Networks that tell real from made."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.antialias import Downsampling, blurs
from chromogen.nets.blocks import Norm, needs_bias, norm_layer


class PatchDiscriminator(nn.Sequential):
    """A map of logits, one for each overlapping patch: 70x70 px with `layers=3` (Isola et al., CVPR 2017, appendix 6.1.2).

    With 64 filters and 6 input channels (source and target side by side) it has 2.769 M parameters. `downsampling="blurred"`
    is CUT's form: convolutions at full size, then `BlurDown`. With `classes`, as many maps follow the first one: each patch's
    logits of what class its image is of (`read_classes` takes them apart). An image with a side below 3 * 2 ** layers px is
    mirrored at its edges up to that, because the last convolutions would have nothing to look at; mirroring cannot more than
    triple a side.
    """

    def __init__(
        self,
        inputs: int = 6,
        width: int = 64,
        layers: int = 3,
        norm: Norm = "batch",
        downsampling: Downsampling = "strided",
        classes: int = 0,
    ) -> None:
        stride = 2 if downsampling == "strided" else 1
        steps: list[nn.Module] = [
            nn.Conv2d(inputs, width, 4, stride=stride, padding=1),
            nn.LeakyReLU(0.2),
            *blurs(downsampling),
        ]
        c_in = width
        for scale in range(1, layers + 1):
            c_out = width * min(2**scale, 8)
            last = scale == layers
            steps += [nn.Conv2d(c_in, c_out, 4, stride=1 if last else stride, padding=1, bias=needs_bias(norm))]
            steps += [norm_layer(norm, c_out), nn.LeakyReLU(0.2), *([] if last else blurs(downsampling))]
            c_in = c_out
        super().__init__(*steps, nn.Conv2d(c_in, 1 + classes, 4, padding=1))
        self.least_px = 3 * 2**layers

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n maps h2 w2"]:
        short = [max(0, self.least_px - side) for side in (x.shape[-1], x.shape[-2])]
        if any(short):
            x = F.pad(x, [part for gap in short for part in (gap // 2, gap - gap // 2)], mode="reflect")
        return super().forward(x)


def read_classes(
    maps: Float[Tensor, "n maps h w"],
) -> tuple[Float[Tensor, "n 1 h w"], Float[Tensor, "n classes"]]:
    """The two answers of a `PatchDiscriminator` with classes: each patch's logit of being real, each image's class logits."""
    return maps[:, :1], maps[:, 1:].float().mean((2, 3))
