"""A published network with frozen weights: what comes in, what its stages give, and the extractor made of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.evaluate.distribution.extractors.extractor import Extractor
from chromogen.tensors import Uint8Image

Triple = tuple[float, float, float]

SIDE_PX = 512  # the shorter side that networks see whose size the literature leaves open
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)
REDUCED = (
    f"an RGB image whose shorter side is above {SIDE_PX} px is reduced to that (bilinear, antialiased; 1024 px become "
    f"{SIDE_PX} px), a smaller one keeps its size; features are means over all places"
)


class Staged(Protocol):
    """A convolutional network that shows the activations of its stages."""

    def stages(self, images: Float[Tensor, "n 3 h w"]) -> Iterator[tuple[str, Float[Tensor, "n c h2 w2"]]]: ...

    def pooled(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n dimension"]: ...


@dataclass(frozen=True)
class FrozenNetwork:
    """Weights that nothing trains. `mean` and `std` are those of unit RGB that the network was trained with."""

    name: str
    net: Staged
    dimension: int
    mean: Triple
    std: Triple
    sha256: str
    resized: Callable[[Float[Tensor, "n 3 h w"]], Float[Tensor, "n 3 h2 w2"]]
    preprocessing: str
    least_px: int = 32

    def normalised(self, unit: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (unit - mean) / std

    def extractor(self) -> Extractor:
        return Extractor(self.name, self.dimension, self.preprocessing, self._measure, self.sha256, self.least_px)

    @torch.inference_mode()
    def _measure(self, image: Uint8Image) -> Float[np.ndarray, " dimension"]:
        row = self.net.pooled(self.normalised(self.resized(unit_tensor(image))))[0]
        return row.double().numpy()


def unit_tensor(image: Uint8Image) -> Float[Tensor, "1 3 h w"]:
    """uint8 (H, W, 3) as float32 in [0, 1]: channels first in shape, last in memory, which is what convolutions like."""
    copied = np.array(image, order="C")  # views that are flipped or must not be written to are welcome
    return torch.from_numpy(copied)[None].permute(0, 3, 1, 2).float().div_(255)


def reduced(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h2 w2"]:
    """The images with a shorter side of at most SIDE_PX, in the way that `REDUCED` tells."""
    height, width = images.shape[2:]
    ratio = SIDE_PX / min(height, width)
    if ratio >= 1:
        return images
    size = [round(height * ratio), round(width * ratio)]
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)


def name_of(architecture: str, sha256: str, well_known: str) -> str:
    """The bare name for the file that everyone uses, whose sha256 begins with `well_known`; others show their own beginning.

    So a column called `fid[inception2015]` holds nothing else, whatever file was named.
    """
    return architecture if sha256.startswith(well_known) else f"{architecture}@{sha256[:8]}"


def convolution(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int] = 1,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    groups: int = 1,
) -> nn.Conv2d:
    """A convolution without bias, as batch normalisation follows it."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
