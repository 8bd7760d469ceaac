import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from chromogen.nets.ugatit import (
    AdaptiveLayerInstanceNorm,
    AttentionGenerator,
    ClassActivation,
    LayerInstanceNorm,
    StyleDiscriminator,
    clip_rho,
    layer_instance_norm,
)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_adaptive_layer_instance_norm_equals_equation_1_in_numpy() -> None:
    """Means and variances image by image and map by map, as the equation has them."""
    x = 3 * drawn(2, 5, 4, 6) + 10 * drawn(2, 5, 1, 1, seed=1)
    gain, shift, rho = drawn(2, 5, seed=2), drawn(2, 5, seed=3), torch.linspace(0, 1, 5, dtype=torch.float64)
    norm = AdaptiveLayerInstanceNorm(5).double()
    with torch.no_grad():
        norm.rho.copy_(rho)
    a, expected = x.numpy(), np.empty(x.shape)
    for n in range(2):
        by_layer = (a[n] - a[n].mean()) / np.sqrt(a[n].var() + 1e-5)
        for c in range(5):
            by_map = (a[n, c] - a[n, c].mean()) / np.sqrt(a[n, c].var() + 1e-5)
            share = float(rho[c])
            expected[n, c] = float(gain[n, c]) * (share * by_map + (1 - share) * by_layer[c]) + float(shift[n, c])
    found = layer_instance_norm(x, norm.rho, gain, shift)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(norm(x.float(), gain, shift).detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_at_its_ends_it_is_the_instance_norm_and_the_layer_norm() -> None:
    x = drawn(2, 4, 5, 7) + 3
    norm = LayerInstanceNorm(4).double()
    assert torch.allclose(norm(x), F.layer_norm(x, x.shape[1:]))
    with torch.no_grad():
        norm.rho.fill_(1)
    assert torch.allclose(norm(x), F.instance_norm(x))


def test_norm_keeps_its_digits_in_bfloat16_where_the_mean_is_large() -> None:
    x = (drawn(1, 2, 16, 16) + 20).bfloat16()
    gain, shift, rho = torch.ones(1, 2), torch.zeros(1, 2), torch.ones(2)
    found = layer_instance_norm(x, rho, gain, shift)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.double(), F.instance_norm(x.double()), atol=0.02)


def test_rho_is_put_back_into_its_range() -> None:
    network = nn.ModuleDict({"a": AdaptiveLayerInstanceNorm(3), "b": LayerInstanceNorm(3), "c": nn.Conv2d(3, 3, 1)})
    with torch.no_grad():
        for name in "ab":
            network[name].rho.copy_(torch.tensor([-0.5, 0.3, 1.5]))
        network["b"].shift.fill_(7.0)
    clip_rho(network)
    for name in "ab":
        assert network[name].rho.tolist() == pytest.approx([0.0, 0.3, 1.0])
    assert network["b"].shift.tolist() == [7.0] * 3


@pytest.mark.parametrize("normed", [False, True])
def test_class_activation_equals_weighting_both_maps_and_mixing_them(normed: bool) -> None:
    """Section 2.1.1 to the letter: pool, one linear logit each, weight the maps, put them side by side, 1x1 convolution."""
    torch.manual_seed(0)
    cam = ClassActivation(6, nn.ReLU(), normed).double().eval()
    x = drawn(2, 6, 5, 4)
    features, logits = cam(x)
    weights = [linear.weight[0] for linear in (cam.average, cam.maximum)]
    # as in the published code: a norm is on the weights that make the logits, not on those that weight the maps
    kept = [linear.parametrizations.weight.original[0] if normed else linear.weight[0] for linear in (cam.average, cam.maximum)]
    pooled = [x.flatten(2).mean(2), x.flatten(2).max(2).values]
    expected = torch.stack([pool @ weight for pool, weight in zip(pooled, weights, strict=True)], dim=1)
    weighted = torch.cat([x * weight[None, :, None, None] for weight in kept], dim=1)
    assert torch.allclose(logits, expected) and logits.shape == (2, 2)
    assert torch.allclose(features, torch.relu(cam.mix(weighted)))
    assert 0.2 < float((features > 0).double().mean()) < 0.8
    if normed:
        assert all(float(weight.detach().norm()) == pytest.approx(1, abs=1e-6) for weight in weights)


@pytest.mark.parametrize(("blocks", "size"), [(1, (36, 44)), (2, (12, 20)), (4, (64, 64))])
def test_generator_keeps_the_size_of_any_multiple_of_4(blocks: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    net = AttentionGenerator(4, blocks).eval()
    images = torch.rand(3, 3, *size) * 2 - 1
    with torch.no_grad():
        made, logits = net(images)
        alone, alone_logits = net(images[1:2])
    assert made.shape == images.shape and float(made.abs().max()) <= 1 and logits.shape == (3, 2)
    assert torch.allclose(made[1:2], alone, atol=1e-5) and torch.allclose(logits[1:2], alone_logits, atol=1e-5)
    assert len(net.blocks) == blocks
    assert sum(isinstance(m, AdaptiveLayerInstanceNorm) for m in net.modules()) == 2 * blocks
    assert sum(isinstance(m, LayerInstanceNorm) for m in net.modules()) == 2


def test_generator_has_the_weights_of_the_light_form() -> None:
    """Counted from the table of the source, 4 blocks, 256 features in the middle; no bias stands before a norm."""
    ends = 2 * 3 * 64 * 49
    scaling = 2 * (64 * 128 + 128 * 256) * 9 + 2 * (128 + 64) + (128 + 64)
    residual = 4 * 2 * 256 * 256 * 9
    activation = 2 * 256 + 512 * 256 + 256
    reading = 4 * 256 * 256
    adaptive = 4 * 2 * (256 * 256 * 9 + 256)
    counted = ends + scaling + residual + activation + reading + adaptive
    assert sum(p.numel() for p in AttentionGenerator().parameters()) == counted


@pytest.mark.parametrize(("layers", "patch_px", "image_px"), [(5, 70, 256), (7, 286, 704)])
def test_a_patch_is_as_wide_as_the_docstring_says(layers: int, patch_px: int, image_px: int) -> None:
    """Before class activation, whose maximum looks at the whole image."""
    net = StyleDiscriminator(4, layers, styles=2).double().eval()
    image = drawn(1, 3, image_px, image_px).requires_grad_()
    logits = net.style(net.body(image))
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    assert image.grad is not None
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == patch_px


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (64, 64), (64, 36), (256, 256)])
def test_discriminators_accept_any_size(size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size)
    for layers, halvings in ((5, 3), (7, 5)):
        style, level, cam = StyleDiscriminator(4, layers, styles=6)(images)
        sides = tuple(max(1, (side >> halvings) - 2) for side in size)
        assert style.shape == (2, 7, *sides) and level.shape == (2, 4) and cam.shape == (2, 2)


def test_convolutions_of_the_body_settle_at_a_spectral_norm_of_1() -> None:
    torch.manual_seed(0)
    net = StyleDiscriminator(4, 5)
    for _ in range(30):
        net(torch.rand(1, 3, 32, 32))
    checked = 0
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d) and name.startswith("body"):
            assert float(torch.linalg.matrix_norm(module.weight.detach().flatten(1), ord=2)) == pytest.approx(1, abs=0.02)
            checked += 1
    assert checked == 4
