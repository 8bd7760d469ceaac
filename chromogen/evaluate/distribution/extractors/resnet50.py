"""ResNet-50 trained on ImageNet: 2048 features, from a weight file that the user names.

He et al., CVPR 2016 (arXiv:1512.03385), with the stride in the 3x3 convolution as torchvision has it. Parameter names are
those of torchvision's resnet50-0676ba61.pth (IMAGENET1K_V1), with which ASP's perceptual hash value was published. The file
cannot be had where this is developed: there the network is tested with random weights against the structure.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.evaluate.distribution.extractors.extractor import Extractor
from chromogen.evaluate.distribution.extractors.network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    REDUCED,
    FrozenNetwork,
    convolution,
    name_of,
    reduced,
)
from chromogen.evaluate.distribution.extractors.weights import load_weights

NEEDS_FILE = True
WELL_KNOWN = "0676ba61"
DIMENSION = 2048


class ResNet50(nn.Module):
    """The network; its stages are the four groups of blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = convolution(3, 64, 7, stride=2, padding=3), nn.BatchNorm2d(64)
        self.layer1, self.layer2 = group(64, 64, 3, stride=1), group(256, 128, 4, stride=2)
        self.layer3, self.layer4 = group(512, 256, 6, stride=2), group(1024, 512, 3, stride=2)
        self.fc = nn.Linear(DIMENSION, 1000)

    def stages(self, images: Float[Tensor, "n 3 h w"]) -> Iterator[tuple[str, Tensor]]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, stride=2, padding=1)
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = getattr(self, name)(x)
            yield name, x

    def pooled(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 2048"]:
        return dict(self.stages(images))["layer4"].mean(dim=(2, 3))


class Bottleneck(nn.Module):
    """Narrow, look around, widen; added to what came in."""

    def __init__(self, inputs: int, width: int, stride: int, reshaped: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = convolution(inputs, width), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = convolution(width, width, 3, stride, padding=1), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = convolution(width, 4 * width), nn.BatchNorm2d(4 * width)
        if reshaped:
            self.downsample = nn.Sequential(convolution(inputs, 4 * width, stride=stride), nn.BatchNorm2d(4 * width))
        self.reshaped = reshaped

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(y)) + (self.downsample(x) if self.reshaped else x))


def group(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(inputs, width, stride, reshaped=True)
    return nn.Sequential(first, *(Bottleneck(4 * width, width, 1, reshaped=False) for _ in range(blocks - 1)))


def network(file: Path) -> FrozenNetwork:
    """With the weights of `file`; ValueError when they are not this network's."""
    with torch.device("meta"):
        net = ResNet50()
    sha256 = load_weights(net, file)
    name = name_of("resnet50", sha256, WELL_KNOWN)
    return FrozenNetwork(name, net, DIMENSION, IMAGENET_MEAN, IMAGENET_STD, sha256, reduced, REDUCED)


def extractor(file: Path) -> Extractor:
    return network(file).extractor()
