"""Networks that read an image: which pixel is of which class, or which class the image is of. Images are in [0, 1]."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.tensors import UnitImages

FeatureNorm = Literal["instance", "group"]


class SegmentationUNet(nn.Module):
    """A score (logit) of every class for every pixel, (N, classes, H, W); 3 halvings by strides, 3 doublings, copies across.

    Two 3x3 convolutions a scale with `width`, 2 and 4 times `width` channels, each with an instance norm and ReLU. None of
    that stands behind the last convolution: a norm there would fix how much of an image each class takes up, so that no image
    could be without a lesion. Sizes must be multiples of 8, from 16 px. 4.31 M parameters with a width of 64.
    """

    def __init__(self, channels: int, classes: int, width: int) -> None:
        super().__init__()
        f = width
        self.down1 = nn.Sequential(convolution(channels, f), convolution(f, f))
        self.down2 = nn.Sequential(convolution(f, f, stride=2), convolution(f, 2 * f), convolution(2 * f, 2 * f))
        self.down4 = nn.Sequential(
            convolution(2 * f, 2 * f, stride=2), convolution(2 * f, 4 * f), convolution(4 * f, 4 * f)
        )  # fmt: skip
        self.down8 = nn.Sequential(nn.Conv2d(4 * f, 4 * f, 3, stride=2, padding=1), convolution(4 * f, 4 * f))
        self.enlarge4 = _enlarge(4 * f)
        self.up4 = nn.Sequential(convolution(8 * f, 2 * f), convolution(2 * f, 2 * f))
        self.enlarge2 = _enlarge(2 * f)
        self.up2 = nn.Sequential(convolution(4 * f, f), convolution(f, f))
        self.enlarge1 = _enlarge(f)
        self.up1 = nn.Sequential(convolution(2 * f, f), convolution(f, f))
        self.out = nn.Conv2d(f, classes, 3, padding=1)

    def forward(self, images: UnitImages) -> Float[Tensor, "batch classes height width"]:
        height, width = images.shape[-2:]
        if height % 8 or width % 8 or min(height, width) < 16:
            raise ValueError(f"a segmenter reads images whose sides are multiples of 8, from 16 px; got {width}x{height} px")
        top = self.down1(images)
        half = self.down2(top)
        quarter = self.down4(half)
        x = self.enlarge4(self.down8(quarter))
        x = self.enlarge2(self.up4(torch.cat([x, quarter], 1)))
        x = self.enlarge1(self.up2(torch.cat([x, half], 1)))
        return self.out(self.up1(torch.cat([x, top], 1))).float()


class VGG11Classifier(nn.Module):
    """A score (logit) of every class, (N, classes): the 8 convolutions of VGG11 (Simonyan and Zisserman, ICLR 2015).

    Behind them the mean over all places and one linear layer, so that any size from 16 px is read. Group norms, where the
    original had none: an instance norm fixes each channel's mean over all places, which is what the linear layer goes by.
    """

    def __init__(self, channels: int, classes: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for times, pooled in ((1, True), (2, True), (4, False), (4, True), (8, False), (8, True), (8, False), (8, False)):
            layers.append(convolution(channels, times * width, norm="group"))
            layers += [nn.MaxPool2d(2)] if pooled else []
            channels = times * width
        self.features = nn.Sequential(*layers)
        self.out = nn.Linear(channels, classes)

    def forward(self, images: UnitImages) -> Float[Tensor, "batch classes"]:
        _from_px(images, 16, "a VGG11 classifier")
        return self.out(self.features(images).mean((2, 3))).float()


class PatchClassifier(nn.Module):
    """A score of every class, (N, classes): the mean over the map of a patch critic with one output a class.

    Four convolutions with stride 2 (5x5 and 5x5 with `width` channels, 3x3 and 3x3 with twice as many), two 3x3 without; the
    norms are instance norms, and 15 % of the input is dropped in training. Images from 32 px.
    """

    def __init__(self, channels: int, classes: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Dropout(0.15),
            convolution(channels, width, 5, 2),
            convolution(width, width, 5, 2),
            convolution(width, 2 * width, 3, 2),
            convolution(2 * width, 2 * width, 3, 2),
            convolution(2 * width, width),
            nn.Conv2d(width, classes, 3, padding=1),
        )

    def forward(self, images: UnitImages) -> Float[Tensor, "batch classes"]:
        _from_px(images, 32, "a patch classifier")
        return self.body(images).float().mean((2, 3))


class ReaderPerModality(nn.Module):
    """One network for each modality, called with an image and the number of its modality."""

    def __init__(self, readers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.readers = nn.ModuleList(readers)

    def forward(self, images: UnitImages, modality: int) -> Any:
        """What the network of that modality says of the images, (N, C, H, W)."""
        if not 0 <= modality < len(self.readers):
            raise ValueError(f"this reader knows the modalities 0-{len(self.readers) - 1}, got {modality}")
        return self.readers[modality](images)


def read_each(
    reader: nn.Module, images: Float[Tensor, "batch modality channel height width"], modalities: int
) -> Iterator[Any]:
    """What `reader` says of each modality of a batch. ValueError when the images have another number of modalities."""
    if images.shape[1] != modalities:
        raise ValueError(f"this reader knows {modalities} modalities and the cases have {images.shape[1]}; set `modalities`")
    for modality in range(modalities):
        yield reader(images[:, modality], modality)


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, norm: FeatureNorm = "instance") -> nn.Sequential:
    """Convolution, norm with a gain and a shift for each channel, ReLU; the size is kept, or divided by the stride."""
    made: nn.Module = nn.InstanceNorm2d(outputs, affine=True)
    if norm == "group":  # of 16 channels or more
        made = nn.GroupNorm(math.gcd(outputs, max(1, outputs // 16)), outputs)
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), made, nn.ReLU())


def _enlarge(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2), convolution(channels, channels))


def _from_px(images: UnitImages, least: int, who: str) -> None:
    height, width = images.shape[-2:]
    if min(height, width) < least:
        raise ValueError(f"{who} reads images from {least} px; got {width}x{height} px")
