import pytest
import torch
from torch import nn

from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.generators import ResnetGenerator, UNetGenerator


def millions(net: nn.Module) -> float:
    return sum(parameter.numel() for parameter in net.parameters()) / 1e6


def test_sizes_are_those_of_the_published_networks() -> None:
    """As the authors' code logs them: 11.378 M (instance norm), 54.414 M, 2.769 M and 2.765 M (6 and 3 channels)."""
    assert millions(ResnetGenerator(norm="instance")) == pytest.approx(11.378, abs=5e-4)
    assert millions(UNetGenerator()) == pytest.approx(54.414, abs=5e-4)
    assert millions(PatchDiscriminator(6)) == pytest.approx(2.769, abs=5e-4)
    assert millions(PatchDiscriminator(3)) == pytest.approx(2.765, abs=1e-3)


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_resnet_keeps_size_and_range(upsampling: str) -> None:
    made = ResnetGenerator(4, 2, upsampling=upsampling).requires_grad_(False)(torch.randn(2, 3, 20, 32))
    assert made.shape == (2, 3, 20, 32) and made.abs().max() <= 1


@pytest.mark.parametrize(("depth", "size"), [(2, 8), (5, 32), (8, 256)])
def test_unet_keeps_size_and_range_and_drops_only_in_the_middle(depth: int, size: int) -> None:
    net = UNetGenerator(4, depth)
    made = net.eval().requires_grad_(False)(torch.randn(1, 3, size, size))
    assert made.shape == (1, 3, size, size) and made.abs().max() <= 1
    assert sum(isinstance(m, nn.Dropout) for m in net.modules()) == {2: 0, 5: 0, 8: 3}[depth]


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_reach_covers_the_receptive_field(upsampling: str) -> None:
    """The gradient of an output pixel is zero beyond `reach_px`, and not far inside it."""
    torch.manual_seed(0)
    net = ResnetGenerator(8, 2, norm="none", upsampling=upsampling).double()
    reach = ResnetGenerator.reach_px(2)
    seen = 0
    for place in range(64, 68):  # the four phases of the quarter-size grid
        image = torch.randn(1, 3, 128, 128, dtype=torch.double, requires_grad=True)
        net(image)[0, :, place, place].sum().backward()
        touched = image.grad.abs().sum((0, 1)).nonzero()
        seen = max(seen, int((touched - place).abs().max()))
    assert reach - 8 <= seen <= reach


def test_patch_discriminator_sees_70_px() -> None:
    net = PatchDiscriminator(3, 4, norm="none").double()
    image = torch.randn(1, 3, 256, 256, dtype=torch.double, requires_grad=True)
    logits = net(image)
    assert logits.shape == (1, 1, 30, 30)
    logits[0, 0, 15, 15].backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 70


@pytest.mark.parametrize("downsampling", ["strided", "blurred"])
def test_features_are_those_of_the_first_layers(downsampling: str) -> None:
    torch.manual_seed(0)
    net = ResnetGenerator(4, 6, "instance", upsampling="bilinear", downsampling=downsampling)
    image = torch.rand(2, 3, 24, 32)
    taps = net.contrast_taps
    expected = [image if tap == 0 else nn.Sequential(*[net[n] for n in range(tap)])(image) for tap in taps]
    made, beside = net(image, taps)
    for found in (net.features(image, taps), beside):
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert torch.equal(made, net(image)) and net.channels(taps) == [x.shape[1] for x in expected] == [3, 8, 16, 16, 16]


def test_features_run_no_layer_behind_the_last_tap() -> None:
    net = ResnetGenerator(4, 6, "instance", downsampling="blurred")
    ran = []
    for number, layer in enumerate(net, start=1):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    net.features(torch.rand(1, 3, 16, 16), net.contrast_taps)
    assert ran == list(range(1, 17))


def test_contrast_taps_have_the_published_numbers_and_shrink_with_the_network() -> None:
    assert ResnetGenerator(4, 9, downsampling="blurred").contrast_taps == (0, 4, 8, 12, 16)
    assert ResnetGenerator(4, 9).contrast_taps == (0, 4, 7, 10, 14)
    assert ResnetGenerator(4, 2, downsampling="blurred").contrast_taps == (0, 4, 8, 12, 13)
    assert ResnetGenerator(4, 1, downsampling="blurred").contrast_taps == (0, 4, 8, 12)


def test_blurred_keeps_size_weights_and_covers_its_receptive_field() -> None:
    torch.manual_seed(0)
    net = ResnetGenerator(8, 2, norm="none", upsampling="bilinear", downsampling="blurred").double()
    strided = ResnetGenerator(8, 2, norm="none", upsampling="bilinear")
    assert [p.shape for p in net.parameters()] == [p.shape for p in strided.parameters()]
    reach, seen = ResnetGenerator.reach_px(2, "blurred"), 0
    for place in range(64, 68):
        image = torch.randn(1, 3, 128, 128, dtype=torch.double, requires_grad=True)
        made = net(image)
        assert made.shape == image.shape
        made[0, :, place, place].sum().backward()
        touched = image.grad.abs().sum((0, 1)).nonzero()
        seen = max(seen, int((touched - place).abs().max()))
    assert reach - 8 <= seen <= reach
