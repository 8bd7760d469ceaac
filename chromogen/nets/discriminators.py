"""Networks that tell real from made."""

from torch import nn

from chromogen.nets.blocks import Norm, needs_bias, norm_layer


class PatchDiscriminator(nn.Sequential):
    """A map of logits, one for each overlapping patch: 70x70 px with `layers=3` (Isola et al., CVPR 2017, appendix 6.1.2).

    With 64 filters and 6 input channels (source and target side by side) it has 2.769 M parameters.
    """

    def __init__(self, inputs: int = 6, width: int = 64, layers: int = 3, norm: Norm = "batch") -> None:
        steps: list[nn.Module] = [nn.Conv2d(inputs, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        c_in = width
        for scale in range(1, layers + 1):
            c_out = width * min(2**scale, 8)
            stride = 2 if scale < layers else 1
            steps += [nn.Conv2d(c_in, c_out, 4, stride=stride, padding=1, bias=needs_bias(norm))]
            steps += [norm_layer(norm, c_out), nn.LeakyReLU(0.2)]
            c_in = c_out
        super().__init__(*steps, nn.Conv2d(c_in, 1, 4, padding=1))
