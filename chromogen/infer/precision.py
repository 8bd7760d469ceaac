"""Make trained networks fast on this machine without letting the picture change: folding norms, bfloat16, channels last.

bfloat16 is taken only where the device multiplies it natively, and only after a check: both precisions translate a fixed probe
image, and their mean absolute difference must stay under one grey level of 255. The probe is always the same, so a model and a
machine give the same choice every time.
"""

import copy
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from chromogen.color import H_E, combine
from chromogen.config import nearest
from chromogen.devices import bf16_is_fast, pick_device
from chromogen.method import Method
from chromogen.nets.blocks import ActiveDropout, ImageStatisticsNorm
from chromogen.tensors import SignedImages, Uint8Image, signed_from_uint8

Precision = Literal["auto", "fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16")
MAX_ERROR = 1.0  # grey levels of 255, mean absolute, against fp32
PROBE_PX = 128


@dataclass(frozen=True)
class Prepared:
    """Networks ready to translate on one device. `why` says in words how the precision was chosen."""

    method: Method
    nets: nn.ModuleDict
    device: torch.device
    precision: Literal["fp32", "bf16"]
    why: str

    def translate(self, source: SignedImages) -> SignedImages:
        """Translate in the prepared precision, without gradients; float32 in [-1, 1] on the CPU comes back."""
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        with torch.inference_mode():
            ready = source.to(self.device, dtype, memory_format=torch.channels_last)
            return self.method.translate(self.nets, ready).to("cpu", torch.float32)


def prepare(method: Method, nets: nn.ModuleDict, device: str = "auto", precision: Precision = "auto") -> Prepared:
    """Copy the networks `translate` uses and make them fast; `nets` stays as it is.

    "fp32" and "bf16" are obeyed unchecked. ValueError for another precision or a device this machine does not have.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"no precision {precision!r}; {nearest(str(precision), PRECISIONS)}")
    place = pick_device(device)
    used = {name: nets[name] for name in method.released}
    exact = Prepared(method, _placed(used, place, torch.float32), place, "fp32", "asked for")
    if precision == "fp32":
        return exact
    if precision == "bf16":
        return Prepared(method, _placed(used, place, torch.bfloat16), place, "bf16", "asked for")
    if not bf16_is_fast(place):
        return replace(exact, why="the device has no fast bfloat16 arithmetic")
    quick = Prepared(method, _placed(used, place, torch.bfloat16), place, "bf16", "")
    try:
        error = _difference(exact, quick)
    except RuntimeError as problem:  # a method may mix in numbers of another precision, which PyTorch refuses
        return replace(exact, why=f"the method does not run in bfloat16: {str(problem).splitlines()[0]}")
    verdict = f"bfloat16 changes the probe by {error:.3f} grey levels on average; the limit is {MAX_ERROR:g}"
    return replace(quick if error < MAX_ERROR else exact, why=verdict)


def fold_norms(network: nn.Module) -> nn.Module:
    """A copy for evaluation in which each batch norm right behind a convolution is part of that convolution.

    A norm by the statistics of each image stays. Dropout that does nothing in evaluation is left out, and a ReLU right behind a
    convolution overwrites its input. Only
    the members of `nn.Sequential` are looked at, because there alone the order of the modules is the order of the work.
    """
    folded = copy.deepcopy(network).eval()
    for module in [*folded.modules()]:
        if isinstance(module, nn.Sequential):
            layers = _folded([*module])
            del module[:]
            module.extend(layers)
    return folded


def probe(height: int, width: int) -> Uint8Image:
    """A fixed image with the colours of H&E and detail at every scale from 1 to 32 px."""
    random = np.random.default_rng(0)
    amounts = np.zeros((height, width, 2))
    for cell_px in (1, 2, 4, 8, 16, 32):
        coarse = random.random((-(-height // cell_px), -(-width // cell_px), 2))
        amounts += coarse.repeat(cell_px, 0).repeat(cell_px, 1)[:height, :width]
    amounts = np.clip((amounts / 6 - 0.4) * 4, 0, None)  # a good third of it is blank glass
    return np.round(np.clip(combine(amounts, H_E), 0, 1) * 255).astype(np.uint8)


def _folded(layers: list[nn.Module]) -> list[nn.Module]:
    result: list[nn.Module] = []
    for layer in layers:
        before = result[-1] if result else None
        if isinstance(layer, nn.Dropout | nn.Dropout2d | nn.Identity) and not isinstance(layer, ActiveDropout):
            continue
        if isinstance(before, nn.Conv2d | nn.ConvTranspose2d):
            by_image = isinstance(layer, ImageStatisticsNorm)
            if isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats and not by_image:
                result[-1] = fuse_conv_bn_eval(before, layer, transpose=isinstance(before, nn.ConvTranspose2d))
                continue
            if isinstance(layer, nn.ReLU | nn.LeakyReLU):
                layer = copy.copy(layer)  # it may stand elsewhere too, where its input is still needed
                layer.inplace = True
        result.append(layer)
    return result


def _placed(nets: dict[str, nn.Module], device: torch.device, dtype: torch.dtype) -> nn.ModuleDict:
    folded = nn.ModuleDict({name: fold_norms(net) for name, net in nets.items()})
    folded.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return folded.requires_grad_(False)


def _difference(exact: Prepared, quick: Prepared) -> float:
    """Mean absolute difference on the probe, in grey levels of 255; infinity where either result is not finite."""
    multiple = exact.method.tiling.multiple_px
    side = -(-PROBE_PX // multiple) * multiple
    source = signed_from_uint8(probe(side, side))
    difference: Tensor = (exact.translate(source) - quick.translate(source)).abs().mean() * 127.5
    return float(difference.nan_to_num(torch.inf))
