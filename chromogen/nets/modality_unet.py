"""A U-Net that is told which modality to make: it draws images from lines, translates between modalities, finds the organ."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.blocks import started

Condition = Literal["bottleneck", "film", "input"]
HALVINGS = 3


class ModalityUNet(nn.Module):
    """Three halvings by strided convolutions and as many doublings, copies across, a sigmoid at the end.

    Channels are `width`, twice and four times that; the thesis's author has 64 (quyili/MultimodalMedicalImagesSynthesis). Every
    convolution is 3x3; an instance norm with gain and shift and a ReLU follow it, but for the last halving and the last
    convolution of all: a norm in front of the sigmoid would fix each image's mean and contrast, so that "nothing here" could
    not be said. Sides must be multiples of 8, from 16 px.

    Where the modality enters, if there are several: "bottleneck": one-hot planes beside the smallest features (the thesis);
    "film": gain and shift of every norm on the way back up, one pair a modality (Perez et al., AAAI 2018): copies across
    bypass the bottleneck, and only there can their contrast be turned; "input": one-hot planes beside the image. The layer
    that sees one-hot planes has no norm: planes are constant, and a norm would subtract all they say but at the borders.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        modalities: int = 1,
        width: int = 64,
        condition: Condition = "bottleneck",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.modalities, self.condition = modalities, condition
        told = modalities if modalities > 1 else 0
        seen = inputs + (told if condition == "input" else 0)
        filmed = told if condition == "film" else 0
        self.dropout = nn.Dropout(dropout)
        self.down, self.halve = nn.ModuleList(), nn.ModuleList()
        for scale in range(HALVINGS):
            channels = width * 2**scale
            normed = scale > 0 or condition != "input" or not told
            self.down.append(nn.Sequential(_Layer(seen, channels, normed=normed), _Layer(channels, channels)))
            last = scale == HALVINGS - 1
            halving: nn.Module = _Layer(channels, channels, stride=2)
            self.halve.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1) if last else halving)
            seen = channels
        beside = told if condition == "bottleneck" else 0
        self.middle = _Layer(seen + beside, seen, filmed, normed=not beside)
        self.enlarge, self.merge, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for scale in reversed(range(HALVINGS)):
            channels, narrower = width * 2**scale, width * 2 ** max(scale - 1, 0)
            self.enlarge.append(_Layer(seen, channels, filmed))
            self.merge.append(_Layer(2 * channels, narrower, filmed))
            self.up.append(_Layer(narrower, narrower, filmed))
            seen = narrower
        self.out = nn.Conv2d(seen, outputs, 3, padding=1)
        started(self, "instance")

    def forward(self, x: Float[Tensor, "n c h w"], modality: int = 0) -> Float[Tensor, "n outputs h w"]:
        """One image a row of `x`, in [0, 1], of modality number `modality`."""
        if not 0 <= modality < self.modalities:
            raise ValueError(f"no modality {modality}: this network knows {self.modalities}, counted from 0")
        return self._upwards(*self._downwards(x, modality), modality)

    def _downwards(self, x: Float[Tensor, "n c h w"], modality: int) -> tuple[Tensor, list[Tensor]]:
        """The smallest features and the copies of each scale; the same for every modality but under "input"."""
        if any(side % 2**HALVINGS or side < 2 ** (HALVINGS + 1) for side in x.shape[-2:]):
            raise ValueError(f"sides must be multiples of {2**HALVINGS} px and at least 16 px, got {x.shape[-2]}x{x.shape[-1]}")
        if self.condition == "input":
            x = self._told(x, modality)
        x = self.dropout(x)
        copies: list[Tensor] = []
        for down, halve in zip(self.down, self.halve, strict=True):
            x = down(x)
            copies.append(x)
            x = halve(x)
        return x, copies

    def _upwards(self, x: Tensor, copies: list[Tensor], modality: int) -> Float[Tensor, "n outputs h w"]:
        x = self.middle(self._told(x, modality) if self.condition == "bottleneck" else x, modality)
        for enlarge, merge, up, copy in zip(self.enlarge, self.merge, self.up, reversed(copies), strict=True):
            x = enlarge(F.interpolate(x, scale_factor=2, mode="nearest"), modality)
            x = up(merge(torch.cat([x, copy], dim=1), modality), modality)
        return torch.sigmoid(self.out(x).float())  # float32: in bfloat16 its slope is 0 where it says almost 1

    def _told(self, x: Float[Tensor, "n c h w"], modality: int) -> Float[Tensor, "n more h w"]:
        if self.modalities == 1:
            return x
        planes = x.new_zeros(x.shape[0], self.modalities, *x.shape[-2:])
        planes[:, modality] = 1
        return torch.cat([x, planes], dim=1)


class LabelledUNet(ModalityUNet):
    """The renderer: from lines with noise, (N, 1, H, W), and label planes, (N, L, H, W), to images of every modality."""

    def __init__(
        self, planes: int, channels: int = 1, modalities: int = 1, width: int = 64, condition: Condition = "bottleneck"
    ) -> None:
        super().__init__(1 + planes, channels, modalities, width, condition)

    def forward(  # type: ignore[override]
        self, fused: Float[Tensor, "n 1 h w"], label: Float[Tensor, "n planes h w"]
    ) -> Float[Tensor, "n modalities channels h w"]:
        """The way down is gone once for all modalities, unless it is told which one it is for (condition "input")."""
        x = torch.cat([fused, label], dim=1)
        if self.condition == "input":
            return torch.stack([super(LabelledUNet, self).forward(x, modality) for modality in range(self.modalities)], dim=1)
        bottom, copies = self._downwards(x, 0)
        return torch.stack([self._upwards(bottom, copies, modality) for modality in range(self.modalities)], dim=1)


class _Layer(nn.Module):
    """3x3 convolution, instance norm, ReLU; with `filmed` modalities the norm's gain and shift are chosen by the modality."""

    def __init__(self, c_in: int, c_out: int, filmed: int = 0, stride: int = 1, normed: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=not normed)  # a norm would subtract it
        self.norm = nn.InstanceNorm2d(c_out, affine=not filmed) if normed else nn.Identity()
        self.film = nn.Parameter(0.02 * torch.randn(filmed, 2, c_out)) if filmed else None

    def forward(self, x: Float[Tensor, "n c h w"], modality: int = 0) -> Float[Tensor, "n c2 h2 w2"]:
        x = self.norm(self.convolution(x))
        if self.film is not None:
            gain, shift = self.film[modality][:, :, None, None]
            x = x * (1 + gain) + shift
        return x.relu()
