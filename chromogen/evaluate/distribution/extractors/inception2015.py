"""The Inception-v3 behind published FIDs: 2048 features, from a weight file that the user names.

Heusel et al., NeurIPS 2017 (arXiv:1706.08500) measured with TensorFlow's inception-2015-12-05; its weights circulate for
PyTorch as pt_inception-2015-12-05-6726825d.pth. It is Szegedy et al., CVPR 2016 (arXiv:1512.00567) with three peculiarities
of that graph: 1008 classes, averages at the border over real pixels only, and a maximum where the last block should average.
Parameter names are the file's. The file cannot be had where this is developed: there the network is tested with random weights
against the structure (names, shapes, counts, sizes), and the first one to load the real file is its user.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.evaluate.distribution.extractors.extractor import Extractor
from chromogen.evaluate.distribution.extractors.network import FrozenNetwork, convolution, name_of
from chromogen.evaluate.distribution.extractors.weights import load_weights

NEEDS_FILE = True
WELL_KNOWN = "6726825d"  # beginning of the sha256 that the file carries in its name
DIMENSION = 2048
SIDE_PX = 299
PREPROCESSING = (
    f"RGB resized to {SIDE_PX}x{SIDE_PX} px (bilinear without antialiasing, as pytorch-fid does), scaled to [-1, 1]; features "
    "are means over the last 8x8 places"
)


class Inception2015(nn.Module):
    """The network. Its input is 299 px; stages end before each pooling and at the last average."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Unit(64, 80)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = MixedA(192, 32), MixedA(256, 64), MixedA(288, 64)
        self.Mixed_6a = ReductionB(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (MixedC(width) for width in (128, 160, 160, 192))
        self.Mixed_7a = ReductionD(768)
        self.Mixed_7b, self.Mixed_7c = MixedE(1280, pooled_by_maximum=False), MixedE(2048, pooled_by_maximum=True)
        self.fc = nn.Linear(DIMENSION, 1008)

    def stages(self, images: Float[Tensor, "n 3 h w"]) -> Iterator[tuple[str, Tensor]]:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        yield "conv2b", x
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        yield "conv4a", x
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, 2))))
        yield "mixed5d", x
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        yield "mixed6e", x
        yield "mixed7c", self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))

    def pooled(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 2048"]:
        return dict(self.stages(images))["mixed7c"].mean(dim=(2, 3))


class Unit(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int] = 1, stride: int = 1, padding: int | tuple[int, int] = 0
    ) -> None:
        super().__init__()
        self.conv = convolution(inputs, outputs, kernel, stride, padding)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def row(inputs: int, outputs: int, length: int = 7) -> Unit:
    return Unit(inputs, outputs, (1, length), padding=(0, length // 2))


def column(inputs: int, outputs: int, length: int = 7) -> Unit:
    return Unit(inputs, outputs, (length, 1), padding=(length // 2, 0))


class MixedA(nn.Module):
    """35 px: 1x1, 5x5, two 3x3, and a pooled branch."""

    def __init__(self, inputs: int, last: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(inputs, 64)
        self.branch5x5_1, self.branch5x5_2 = Unit(inputs, 48), Unit(48, 64, 5, padding=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(inputs, 64), Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, padding=1)
        self.branch_pool = Unit(inputs, last)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(average(x))], 1)


class ReductionB(nn.Module):
    """35 px to 17."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = Unit(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(inputs, 64), Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class MixedC(nn.Module):
    """17 px: 7x7 windows as rows and columns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(768, 192)
        self.branch7x7_1, self.branch7x7_2, self.branch7x7_3 = Unit(768, width), row(width, width), column(width, 192)
        self.branch7x7dbl_1, self.branch7x7dbl_2, self.branch7x7dbl_3 = (
            Unit(768, width),
            column(width, width),
            row(width, width),
        )
        self.branch7x7dbl_4, self.branch7x7dbl_5 = column(width, width), row(width, 192)
        self.branch_pool = Unit(768, 192)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(average(x))], 1)


class ReductionD(nn.Module):
    """17 px to 8."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Unit(inputs, 192), Unit(192, 320, 3, stride=2)
        self.branch7x7x3_1, self.branch7x7x3_2 = Unit(inputs, 192), row(192, 192)
        self.branch7x7x3_3, self.branch7x7x3_4 = column(192, 192), Unit(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, F.max_pool2d(x, 3, 2)], 1)


class MixedE(nn.Module):
    """8 px: rows and columns side by side. The last block pools by the maximum, a slip of the original that FIDs rest on."""

    def __init__(self, inputs: int, pooled_by_maximum: bool) -> None:
        super().__init__()
        self.branch1x1 = Unit(inputs, 320)
        self.branch3x3_1 = Unit(inputs, 384)
        self.branch3x3_2a, self.branch3x3_2b = row(384, 384, 3), column(384, 384, 3)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Unit(inputs, 448), Unit(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = row(384, 384, 3)
        self.branch3x3dbl_3b = column(384, 384, 3)
        self.branch_pool = Unit(inputs, 192)
        self.pooled_by_maximum = pooled_by_maximum

    def forward(self, x: Tensor) -> Tensor:
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.pooled_by_maximum else average(x)
        branches = [self.branch1x1(x), self.branch3x3_2a(single), self.branch3x3_2b(single)]
        return torch.cat([*branches, self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(pooled)], 1)


def average(x: Tensor) -> Tensor:
    """3x3 means, at the border over the pixels that are there."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def resized(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 299 299"]:
    return F.interpolate(images, size=(SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)


def network(file: Path) -> FrozenNetwork:
    """With the weights of `file`; ValueError when they are not this network's."""
    with torch.device("meta"):
        net = Inception2015()
    sha256 = load_weights(net, file)
    half = (0.5, 0.5, 0.5)
    name = name_of("inception2015", sha256, WELL_KNOWN)
    return FrozenNetwork(name, net, DIMENSION, half, half, sha256, resized, PREPROCESSING)


def extractor(file: Path) -> Extractor:
    return network(file).extractor()
