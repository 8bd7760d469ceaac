import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from chromogen.nets.blocks import ResidualBlock, SpectralNorm, spectral_started, without_idle_biases, xavier_started


@pytest.mark.parametrize("made", [lambda: nn.Conv2d(3, 8, 4), lambda: nn.ConvTranspose2d(6, 5, 3)], ids=["conv", "transposed"])
def test_spectral_norm_divides_by_the_largest_singular_value(made: Callable[[], nn.Module]) -> None:
    layer = made()
    stored = layer.weight.detach().clone()
    rows = stored.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else stored
    spectral_started(layer)
    for _ in range(100):
        used = layer.weight
    sigma = np.linalg.svd(rows.flatten(1).numpy(), compute_uv=False)[0]
    np.testing.assert_allclose(used.detach().numpy(), (stored / sigma).numpy(), rtol=1e-4)
    assert not layer.bias.any()


def test_spectral_norm_follows_in_training_and_rests_in_evaluation() -> None:
    torch.manual_seed(0)
    conv = spectral_started(nn.Conv2d(3, 8, 3))
    conv.parametrizations.weight.original.data.normal_()
    resting = conv.eval().weight
    assert torch.equal(conv.weight, resting)
    moved = conv.train().weight
    assert not torch.allclose(moved, resting)
    assert float(np.linalg.svd(moved.detach().flatten(1).numpy(), compute_uv=False)[0]) < float(
        np.linalg.svd(resting.detach().flatten(1).numpy(), compute_uv=False)[0]
    )


def test_gradient_of_a_spectral_norm_equals_autograd_through_numbers_held_still() -> None:
    torch.manual_seed(0)
    norm = SpectralNorm(torch.randn(4, 3, 2, 2)).eval()
    weight = torch.randn(4, 3, 2, 2, requires_grad=True)
    factor = torch.randn(4, 3, 2, 2)
    (norm(weight) * factor).sum().backward()
    outer = torch.outer(norm.u, norm.v).view_as(weight)
    sigma = (weight.detach() * outer).sum()
    by_hand = factor / sigma - (factor * weight.detach()).sum() / sigma**2 * outer
    assert torch.allclose(weight.grad, by_hand, atol=1e-4)


def test_two_uses_before_one_backward_pass() -> None:
    """What the first use kept for its gradient must survive the second."""
    torch.manual_seed(0)
    conv = spectral_started(nn.Conv2d(3, 4, 3))
    image = torch.rand(1, 3, 8, 8)
    twin = copy.deepcopy(conv)
    first, second = conv(image).square().sum(), conv(image).square().sum()
    (first + second).backward()
    for _ in range(2):
        twin(image).square().sum().backward()
    assert torch.allclose(conv.parametrizations.weight.original.grad, twin.parametrizations.weight.original.grad, rtol=1e-5)


def test_spectral_norm_ignores_autocast() -> None:
    torch.manual_seed(0)
    conv = spectral_started(nn.Conv2d(3, 8, 3)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(conv.weight, conv.weight.float()) and conv(torch.rand(1, 3, 8, 8)).dtype == torch.bfloat16
        mixed = conv.weight
    assert torch.equal(mixed, conv.weight)


def test_xavier_spread() -> None:
    torch.manual_seed(0)
    net = xavier_started(nn.ModuleList([nn.Conv2d(32, 64, 3), nn.Linear(300, 200)]))
    for layer, fans in zip(net, (9 * 32 + 9 * 64, 500), strict=True):
        assert float(layer.weight.detach().std()) == pytest.approx(0.02 * (2 / fans) ** 0.5, rel=0.05) and not layer.bias.any()


def test_idle_biases_go_and_change_nothing() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.InstanceNorm2d(4), ResidualBlock(4, "instance"), nn.Conv2d(4, 3, 1), nn.ReLU()
    )
    image = torch.rand(1, 3, 8, 8)
    before = net(image)
    without_idle_biases(net)
    assert [key for key, _ in net.named_parameters() if key.endswith("bias")] == ["3.bias"]
    assert torch.allclose(net(image), before, atol=1e-5)
