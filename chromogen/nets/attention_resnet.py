"""The ResNet generator with self-attention at every change of size."""

from torch import nn

from chromogen.nets.attention import Residual, SelfAttention
from chromogen.nets.blocks import Norm
from chromogen.nets.generators import ResnetGenerator, Upsampling


class AttentionResnetGenerator(nn.Sequential):
    """`ResnetGenerator` with attention behind each of its two down- and two up-sampling steps.

    Of the positions of an image, the four see a quarter, a sixteenth, a quarter and all: at 512x512 px the last has 262,144
    queries. Sizes must be multiples of 4. With 9 blocks, 64 filters and reduction 8 it has 11.511 M parameters; with gates that
    are still 0 it gives what `ResnetGenerator` with the same weights gives.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: int = 9,
        norm: Norm = "batch",
        dropout: float = 0.0,
        upsampling: Upsampling = "transposed",
        heads: int = 1,
        reduction: int = 8,
        pooled: int = 1,
        residual: Residual = "gated",
    ) -> None:
        layers: list[nn.Module] = []
        channels = iter((2 * width, 4 * width, 2 * width, width))
        for layer in ResnetGenerator(width, blocks, norm, dropout, upsampling):
            first_step = not any(isinstance(earlier, nn.ReLU) for earlier in layers)  # 7x7, at full size
            layers.append(layer)
            if isinstance(layer, nn.ReLU) and not first_step:  # the end of a step that halves or doubles the size
                layers.append(SelfAttention(next(channels), heads, reduction, pooled, residual))
        super().__init__(*layers)
