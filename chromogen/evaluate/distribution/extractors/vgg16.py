"""VGG-16 trained on ImageNet: 512 features, and the five stages of LPIPS, from a weight file that the user names.

Simonyan & Zisserman, ICLR 2015 (arXiv:1409.1556), configuration D. Parameter names are those of torchvision's
vgg16-397923af.pth (IMAGENET1K_V1). The file cannot be had where this is developed: there the network is tested with
random weights against the structure. Our features are the means over all places of the last ReLU; the classifier in the file
is left out.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.evaluate.distribution.extractors.extractor import Extractor
from chromogen.evaluate.distribution.extractors.network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    REDUCED,
    FrozenNetwork,
    name_of,
    reduced,
)
from chromogen.evaluate.distribution.extractors.weights import load_weights

NEEDS_FILE = True
WELL_KNOWN = "397923af"
DIMENSION = 512
WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16(nn.Module):
    """The convolutions; each stage ends with the last ReLU before a pooling."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for widths in WIDTHS:
            for width in widths:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)

    def stages(self, images: Float[Tensor, "n 3 h w"]) -> Iterator[tuple[str, Tensor]]:
        x, number = images, 0
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                number += 1
                yield f"relu{number}", x
            x = layer(x)

    def pooled(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 512"]:
        return dict(self.stages(images))["relu5"].mean(dim=(2, 3))


def network(file: Path) -> FrozenNetwork:
    """With the weights of `file`; ValueError when they are not this network's."""
    with torch.device("meta"):
        net = VGG16()
    sha256 = load_weights(net, file, unused="classifier.")
    name = name_of("vgg16", sha256, WELL_KNOWN)
    return FrozenNetwork(name, net, DIMENSION, IMAGENET_MEAN, IMAGENET_STD, sha256, reduced, REDUCED)


def extractor(file: Path) -> Extractor:
    return network(file).extractor()
