from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter
from torch import Tensor, nn

from chromogen.nets.pooling_unet import PoolingUNet


def test_number_of_parameters() -> None:
    """Counted on paper: 9 weights a 3x3 pair of channels, and a bias a channel."""
    widths = (64, 128, 256, 512)
    count = 0
    for c_in, c_out in zip((3, *widths), widths, strict=False):
        count += 9 * c_in * c_out + c_out + 9 * c_out * c_out + c_out  # down
    for c_out, c_in in pairwise(widths):
        count += 9 * c_in * c_out + c_out  # enlarge
        count += 9 * 2 * c_out * c_out + c_out + 9 * c_out * c_out + c_out  # up
    count += 64 * 3 + 3
    assert sum(p.numel() for p in PoolingUNet().parameters()) == count == 8_557_635


@pytest.mark.parametrize(("depth", "size"), [(1, (2, 4)), (3, (24, 40)), (5, (32, 64))])
def test_keeps_size_and_range(depth: int, size: tuple[int, int]) -> None:
    net = PoolingUNet(4, depth).requires_grad_(False)
    made = net(5 * torch.randn(2, 3, *size))
    assert made.shape == (2, 3, *size) and made.abs().max() <= 1


def test_outputs_are_unit_rgb_brought_to_signed() -> None:
    torch.manual_seed(0)
    nets = {kind: PoolingUNet(4, 2, kind).requires_grad_(False) for kind in ("tanh", "relu", "linear")}
    for net in nets.values():
        net.load_state_dict(nets["tanh"].state_dict())
    x = 3 * torch.randn(1, 3, 16, 16)
    signed = {kind: net(x) for kind, net in nets.items()}
    raw = torch.atanh(signed["tanh"].double())
    assert float(raw.min()) < 0 < float(raw.max())
    assert torch.allclose((signed["linear"] + 1) / 2, raw.float(), atol=1e-5)
    assert torch.allclose((signed["relu"] + 1) / 2, raw.float().clamp(min=0), atol=1e-5)
    assert torch.allclose((signed["tanh"] + 1) / 2, torch.sigmoid(2 * raw).float(), atol=1e-5)


@pytest.mark.parametrize("depth", [1, 3])
def test_scales_hold_what_they_should(depth: int) -> None:
    """Sizes and channels of every scale, and that what is pooled is the largest of 2x2."""
    net = PoolingUNet(4, depth).requires_grad_(False)
    entered: list[Tensor] = []
    left: list[Tensor] = []
    for step in net.down:
        step.register_forward_hook(lambda module, taken, made: (entered.append(taken[0]), left.append(made))[0])
    net(torch.randn(1, 3, 16, 16))
    assert [tuple(made.shape[1:]) for made in left] == [(4 * 2**s, 16 // 2**s, 16 // 2**s) for s in range(depth + 1)]
    for made, pooled in zip(left, entered[1:], strict=False):
        expected = maximum_filter(made.numpy(), size=(1, 1, 2, 2), origin=(0, 0, -1, -1))[:, :, ::2, ::2]
        assert np.array_equal(pooled.numpy(), expected)


@pytest.mark.parametrize("depth", [1, 2])
def test_reach_is_the_receptive_field(depth: int) -> None:
    """With means in the place of largest values and positive weights, the gradient of an output pixel ends exactly there."""
    net = PoolingUNet(2, depth, "linear").double()
    net.pool = nn.AvgPool2d(2)
    for parameter in net.parameters():
        parameter.data.abs_().add_(0.01)
    seen = 0
    for place in range(32, 32 + 2**depth):
        image = torch.rand(1, 3, 64, 64, dtype=torch.double, requires_grad=True)
        net(image)[0, :, place, place].sum().backward()
        seen = max(seen, int((image.grad.abs().sum((0, 1)).nonzero() - place).abs().max()))
    assert seen == PoolingUNet.reach_px(depth)
