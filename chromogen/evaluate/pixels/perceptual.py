"""How alike two images are to a network trained on photographs: the perceptual hash value of ASP, and LPIPS.

Neither network was trained on tissue. Both values depend on the weights, which therefore stand in their names.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.evaluate.distribution.extractors import network_named
from chromogen.evaluate.distribution.extractors.network import FrozenNetwork, name_of, unit_tensor
from chromogen.evaluate.distribution.extractors.vgg16 import WIDTHS
from chromogen.evaluate.distribution.extractors.weights import load_weights
from chromogen.tensors import Uint8Image

THRESHOLD = 0.01
LPIPS_SHIFT, LPIPS_SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of signed RGB; Zhang et al., version 0.1
HEADS_WELL_KNOWN = "a78928a0"  # beginning of the sha256 of vgg.pth, version 0.1, in the authors' package lpips 0.1.4


@torch.inference_mode()
def phv(prediction: Uint8Image, target: Uint8Image, network: FrozenNetwork, compat_range_bug: bool = False) -> dict[str, float]:
    """Share of channels whose mean activation differs by more than 0.01, stage by stage and their mean; lower is better.

    Li et al., MICCAI 2023 (ASP): ResNet-50, its four groups of blocks, images at their own size. Names are
    `phv[resnet50].layer1` to `.layer4` and `phv[resnet50]`. With other networks (`phv[efficientnet-lite0]`) the values are a
    scale of their own, and a blunt one: two neighbouring halves of one real tile differ by 0.91, in the head by 0.53. The
    published script gave the network unit RGB where it expected signed RGB, so it saw washed-out images; `compat_range_bug`
    repeats that, to compare with published tables, as `phv-range-bug[resnet50]`. ValueError for images that are not
    uint8 RGB of equal size and at least 32 px, and for the flag with another network than resnet50.
    """
    _check_pair(prediction, target)
    if compat_range_bug and network.name.partition("@")[0] != "resnet50":
        raise ValueError(f"the range bug is one of ASP's script, which used resnet50; leave it out with {network.name}")
    means = []
    for image in (prediction, target):
        unit = unit_tensor(image)
        prepared = network.normalised((unit + 1) / 2 if compat_range_bug else unit)
        means.append({stage: values.mean(dim=(2, 3)) for stage, values in network.net.stages(prepared)})
    name = f"{'phv-range-bug' if compat_range_bug else 'phv'}[{network.name}]"
    shares = {stage: float(((means[0][stage] - means[1][stage]).abs() > THRESHOLD).double().mean()) for stage in means[0]}
    return {f"{name}.{stage}": share for stage, share in shares.items()} | {name: sum(shares.values()) / len(shares)}


class Heads(nn.Module):
    """The weight of each channel in LPIPS; parameter names are those of the authors' vgg.pth, version 0.1."""

    def __init__(self) -> None:
        super().__init__()
        for number, widths in enumerate(WIDTHS):
            setattr(self, f"lin{number}", Head(widths[-1]))


class Head(nn.Module):
    """One weight a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), nn.Conv2d(channels, 1, 1, bias=False))


@dataclass(frozen=True)
class Lpips:
    """LPIPS with VGG-16 and the heads of a file. `sha256` is of both files, the network's first."""

    name: str
    network: FrozenNetwork
    heads: tuple[Float[Tensor, "1 c 1 1"], ...]
    sha256: tuple[str, str]

    @torch.inference_mode()
    def __call__(self, prediction: Uint8Image, target: Uint8Image) -> float:
        """Zhang et al., CVPR 2018 (arXiv:1801.03924), eq. 1: weighted squared differences of unit-length activations.

        0 is alike; means over places, sums over the five stages; images at their own size. ValueError for images that are not
        uint8 RGB of equal size and at least 32 px.
        """
        _check_pair(prediction, target)
        shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (LPIPS_SHIFT, LPIPS_SCALE))
        pair = [self.network.net.stages((unit_tensor(image) * 2 - 1 - shift) / scale) for image in (prediction, target)]
        total = 0.0
        for (_, ours), (_, theirs), head in zip(*pair, self.heads, strict=True):
            total += float((head * (_unit_length(ours) - _unit_length(theirs)) ** 2).sum(dim=1).double().mean())
        return total


def lpips(network_file: Path, heads_file: Path) -> Lpips:
    """LPIPS from the weights of VGG-16 and the heads, both files of the user; ValueError when either does not fit."""
    network = network_named(f"vgg16:{network_file}")
    heads = Heads()
    sha256 = load_weights(heads, heads_file)
    weights = tuple(heads.state_dict()[f"lin{number}.model.1.weight"] for number in range(len(WIDTHS)))
    name = name_of(network.name, sha256, HEADS_WELL_KNOWN)
    return Lpips(f"lpips[{name}]", network, weights, (network.sha256, sha256))


def _unit_length(values: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    return values / (values.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)


def _check_pair(prediction: Uint8Image, target: Uint8Image) -> None:
    for name, image in (("prediction", prediction), ("target", target)):
        if str(image.dtype) != "uint8" or image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < 32:
            shape = f"{image.dtype} {image.shape}"
            raise ValueError(f"the {name} must be uint8 RGB of shape (H, W, 3) and at least 32 px a side, got {shape}")
    if prediction.shape != target.shape:
        sizes = [f"{image.shape[1]}x{image.shape[0]} px" for image in (prediction, target)]
        raise ValueError(f"the prediction is {sizes[0]}, its target {sizes[1]}; score images of equal size")
