"""Small methods that behave like the real ones, and images to feed them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from chromogen.checkpoint import Card, Model
from chromogen.infer.precision import prepare
from chromogen.infer.stainer import Stainer
from chromogen.method import Tiling


@dataclass(frozen=True)
class TinyMethod:
    """One network, any network, under the method contract."""

    tiling: Tiling = Tiling(multiple_px=1, context_px=0)
    released = ("generator",)

    def translate(self, nets, source):
        return nets["generator"](source)


def _conv_net(seed: int = 0, width: int = 4) -> nn.Sequential:
    """Halves, works, doubles; sizes are multiples of 2, and a pixel sees at most 10 px to each side."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, width, 5, padding=2, padding_mode="reflect", bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2),
        nn.Dropout(0.5),
        nn.Conv2d(2 * width, 2 * width, 3, padding=1, padding_mode="reflect"),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 3, 3, padding=1, padding_mode="reflect"),
        nn.Tanh(),
    )
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics as after training, not the 0 and 1 of a fresh norm
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.05, 0.3)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return net.eval()


CONV_TILING = Tiling(multiple_px=2, context_px=10)


@pytest.fixture(scope="session")
def conv_net() -> Callable[..., nn.Sequential]:
    return _conv_net


@pytest.fixture(scope="session")
def tiling() -> Tiling:
    """What `conv_net` asks for."""
    return CONV_TILING


@pytest.fixture(scope="session")
def stainer_of() -> Callable[..., Stainer]:
    """A stainer around any network."""

    def build(net: nn.Module, tiling: Tiling = CONV_TILING, precision: str = "fp32", **fields) -> Stainer:
        method, nets = TinyMethod(tiling), nn.ModuleDict({"generator": net})
        card = Card(title="tiny", data="numbers drawn at random", data_licence="CC0-1.0")
        return Stainer(Model("tiny", method, nets, card, "0" * 64), prepare(method, nets, "cpu", precision), **fields)

    return build


@pytest.fixture(scope="session")
def he() -> Callable[..., np.ndarray]:
    """A seeded image with detail at two scales."""

    def build(height: int, width: int, seed: int = 0) -> np.ndarray:
        random = np.random.default_rng(seed)
        coarse = random.integers(60, 200, (-(-height // 8), -(-width // 8), 3)).repeat(8, 0).repeat(8, 1)[:height, :width]
        return (coarse + random.integers(-40, 56, (height, width, 3))).astype(np.uint8)

    return build
