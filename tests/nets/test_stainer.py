import math
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from chromogen.nets.comparator import Comparator
from chromogen.nets.stainer import AdaptiveNorm, ModulatedConv, SimAM, StyledBlock, StyledGenerator


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def reflected(image: np.ndarray) -> np.ndarray:
    return np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="reflect")


@torch.no_grad()
def test_modulated_convolution_equals_loops_with_own_weights_for_each_image() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(5, 3, 4).double()
    x, style = drawn(2, 3, 5, 4), drawn(2, 5, seed=1)
    made = layer(x, style).numpy()
    w, a, b = (p.numpy() for p in (layer.conv.weight, layer.scale.weight, layer.scale.bias))
    for n in range(2):
        own = np.empty_like(w)
        scale = [1 + sum(a[i, k] * style[n, k].item() for k in range(5)) + b[i] for i in range(3)]
        for o in range(4):
            power = 0.0
            for i in range(3):
                own[o, i] = w[o, i] * scale[i]
                power += (own[o, i] ** 2).sum()
            own[o] /= math.sqrt(power + 1e-8)
        padded = reflected(x[n].numpy())
        for o in range(4):
            for row in range(5):
                for column in range(4):
                    expected = (own[o] * padded[:, row : row + 3, column : column + 3]).sum()
                    # the modulation's own arithmetic is float32
                    assert made[n, o, row, column] == pytest.approx(expected, rel=1e-5, abs=1e-6)


@torch.no_grad()
def test_the_size_of_modulated_weights_cancels_and_their_output_keeps_the_variance() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(8, 16, 16)
    x, style = torch.randn(1, 16, 64, 64), torch.randn(1, 8)
    made = layer(x, style)
    layer.conv.weight.mul_(7)
    assert torch.allclose(layer(x, style), made, rtol=1e-4, atol=1e-5)
    assert float(made.var()) == pytest.approx(1.0, rel=0.1)


@torch.no_grad()
def test_adaptive_norm_equals_numpy() -> None:
    torch.manual_seed(0)
    layer = AdaptiveNorm(5, 3).double()
    x, style = drawn(2, 3, 6, 4), drawn(2, 5, seed=1)
    h = style.numpy() @ layer.linear.weight.numpy().T + layer.linear.bias.numpy()
    for n in range(2):
        for c in range(3):
            one = x[n, c].numpy()
            expected = (1 + h[n, c]) * (one - one.mean()) / np.sqrt(one.var() + 1e-5) + h[n, 3 + c]
            assert np.allclose(layer(x, style)[n, c].numpy(), expected, atol=1e-9)


@torch.no_grad()
def test_simam_equals_the_energy_of_its_paper() -> None:
    """The least energy, 4 (v + slack) / ((t - m)^2 + 2 v + 2 slack) with v over M - 1, in loops over every pixel."""
    x = drawn(2, 2, 4, 3)
    made = SimAM(1e-4)(x).numpy()
    for n in range(2):
        for c in range(2):
            one = x[n, c].numpy()
            mean, variance = one.mean(), one.var(ddof=1)
            for place, t in np.ndenumerate(one):
                energy = 4 * (variance + 1e-4) / ((t - mean) ** 2 + 2 * variance + 2e-4)
                assert made[n, c][place] == pytest.approx(t / (1 + math.exp(-1 / energy)), rel=1e-5)


@torch.no_grad()
def test_simam_of_a_single_pixel_is_finite() -> None:
    assert float(SimAM()(torch.full((1, 1, 1, 1), 3.0))) == pytest.approx(3 / (1 + math.exp(-0.5)))


@torch.no_grad()
@pytest.mark.parametrize("attention", [False, True])
def test_adain_blocks_pad_with_zeros_and_equal_numpy(attention: bool) -> None:
    """As the published blocks: convolution, AdaIN, leaky ReLU, convolution, SimAM, AdaIN, leaky ReLU; zeros around each map."""
    torch.manual_seed(0)
    block = StyledBlock(5, 3, "adain", attention).double()
    x, style = drawn(1, 3, 6, 4), drawn(1, 5, seed=1)
    y = x[0].numpy()
    for number, (conv, norm) in enumerate(zip(block.convs, block.norms, strict=True)):
        w = conv.weight.numpy()
        padded = np.pad(y, ((0, 0), (1, 1), (1, 1)))
        y = np.array([[[(w[o] * padded[:, i : i + 3, j : j + 3]).sum() for j in range(4)] for i in range(6)] for o in range(3)])
        if attention and number == 1:
            square = (y - y.mean((1, 2), keepdims=True)) ** 2
            energy = square / (4 * (square.sum((1, 2), keepdims=True) / 23 + 1e-4)) + 0.5
            y = y / (1 + np.exp(-energy))
        h = style.numpy()[0] @ norm.linear.weight.numpy().T + norm.linear.bias.numpy()
        normed = (y - y.mean((1, 2), keepdims=True)) / np.sqrt(y.var((1, 2), keepdims=True) + 1e-5)
        y = (1 + h[:3, None, None]) * normed + h[3:, None, None]
        y = np.where(y > 0, y, 0.2 * y)
    assert np.allclose(block(x, style)[0].numpy(), (x[0].numpy() + y) / math.sqrt(2), atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("modulation", ["weights", "adain"])
def test_blocks_end_with_a_residual_sum_over_root_two(modulation: Literal["weights", "adain"]) -> None:
    torch.manual_seed(0)
    x, style = torch.randn(1, 4, 8, 8), torch.randn(1, 6)
    plain = StyledBlock(6, 4, modulation, attention=False)
    attentive = StyledBlock(6, 4, modulation, attention=True)
    attentive.load_state_dict(plain.state_dict())  # SimAM has no parameters
    body = math.sqrt(2) * plain(x, style) - x
    gated = math.sqrt(2) * attentive(x, style) - x
    assert float(body.min()) < 0 < float(body.max()) and not torch.allclose(body, gated, atol=1e-3)
    if modulation == "weights":
        assert torch.allclose(gated, SimAM()(body), atol=1e-5)
    for parameter in plain.parameters():
        parameter.zero_()
    assert torch.allclose(plain(x, style), x / math.sqrt(2), atol=1e-6)


@pytest.mark.parametrize("modulation", ["weights", "adain"])
@pytest.mark.parametrize("size", [(16, 24), (64, 64), (72, 40)])
@torch.no_grad()
def test_generator_keeps_size_and_range(modulation: Literal["weights", "adain"], size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    fake, low, logits = StyledGenerator(4, 2, 4, modulation).eval()(torch.randn(2, 3, *size))
    assert fake.shape == (2, 3, *size) and low.shape == (2, 3, size[0] // 8, size[1] // 8) and logits.shape == (2, 4)
    assert float(fake.abs().max()) <= 1 and float(low.abs().max()) <= 1


def test_sizes_are_those_of_the_published_layers() -> None:
    """Counted by hand from the published channels (32 to 256, 9 blocks; 32 to 256 for the comparator)."""
    halvings = 3 * 32 * 49 + sum(9 * a * b + 2 * b for a, b in ((32, 64), (64, 128), (128, 256))) + 2 * 32
    style = 4 * (9 * 256 * 256 + 2 * 256) + 256 * 4 + 4
    blocks = 9 * 2 * (9 * 256 * 256 + 256 * 256 + 256)
    up = sum(9 * a * b + 2 * b for a, b in ((256, 128), (128, 64), (64, 32))) + 32 * 3 * 49 + 3
    low = 256 * 3 * 9 + 3
    generator = StyledGenerator()
    assert sum(p.numel() for p in generator.parameters()) == halvings + style + blocks + up + low
    steps = ((32, 64), (64, 128), (128, 256), (256, 256), (256, 256), (256, 256))
    comparator = 3 * 32 * 49 + 2 * 32 + sum(9 * a * b + 2 * b for a, b in steps) + 256 * 4 + 4
    assert sum(p.numel() for p in Comparator().parameters()) == comparator


def test_reach_is_half_the_receptive_field() -> None:
    """With a style that changes nothing, the gradient of an output pixel ends at `reach_px`, for the worst of 8 places."""
    torch.manual_seed(0)
    net = StyledGenerator(4, 1, 1, attention=False).eval()
    for module in net.modules():
        if isinstance(module, ModulatedConv):
            nn.init.zeros_(module.scale.weight)
    source = torch.rand(1, 3, 128, 128, requires_grad=True)
    furthest = 0
    for place in range(64, 72):
        (gradient,) = torch.autograd.grad(net(source)[0][0, :, place, place].sum(), source)
        seen = gradient.abs().sum(dim=(0, 1)).nonzero()
        furthest = max(furthest, place - int(seen.min()), int(seen.max()) - place)
    assert furthest == StyledGenerator.reach_px(1)


@torch.no_grad()
def test_comparator_gives_logits_of_its_features() -> None:
    torch.manual_seed(0)
    net = Comparator(4, 3).eval()
    logits, features = net(torch.randn(2, 3, 64, 48))
    assert logits.shape == (2, 4) and features.shape == (2, 16)
    assert torch.allclose(net.grade[1](features), logits)
