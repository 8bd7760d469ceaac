import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from chromogen.nets.modality_unet import Condition, LabelledUNet, ModalityUNet

CONDITIONS: tuple[Condition, ...] = ("bottleneck", "film", "input")


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_sizes_of_the_published_networks() -> None:
    """Counted by hand from the table of layers: 3x3 kernels, gains and shifts, few biases."""

    def convolution(c_in: int, c_out: int) -> int:
        return 9 * c_in * c_out + 2 * c_out  # no bias but a gain and a shift

    f, inputs, modalities = 64, 5, 4
    down = convolution(inputs, f) + 2 * convolution(f, f)
    down += convolution(f, 2 * f) + 2 * convolution(2 * f, 2 * f)
    down += convolution(2 * f, 4 * f) + convolution(4 * f, 4 * f) + 9 * 16 * f * f + 4 * f  # the last halving: a bias, no norm
    middle = 9 * (4 * f + modalities) * 4 * f + 4 * f
    up = convolution(4 * f, 4 * f) + convolution(8 * f, 2 * f) + convolution(2 * f, 2 * f)
    up += convolution(2 * f, 2 * f) + convolution(4 * f, f) + convolution(f, f)
    up += convolution(f, f) + convolution(2 * f, f) + convolution(f, f)
    assert parameters(LabelledUNet(4, 1, modalities, f)) == down + middle + up + 9 * f + 1
    assert parameters(ModalityUNet(1, 1, width=32)) == pytest.approx(1.08e6, rel=0.01)


@given(height=st.integers(1, 80), width=st.integers(1, 80))
@settings(max_examples=25, deadline=None)
def test_sizes_that_do_not_divide_are_named(height: int, width: int) -> None:
    network, image = ModalityUNet(1, 2, width=4), torch.rand(1, 1, height, width)
    if height % 8 == width % 8 == 0 and min(height, width) >= 16:
        made = network(image)
        assert made.shape == (1, 2, height, width) and 0 <= float(made.detach().min()) <= float(made.detach().max()) <= 1
    else:
        with pytest.raises(ValueError, match=f"multiples of 8 px and at least 16 px, got {height}x{width}"):
            network(image)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_modality_reaches_the_middle_of_a_large_image(condition: Condition) -> None:
    """Constant planes in front of an instance norm would be subtracted again, everywhere but near the borders."""
    torch.manual_seed(0)
    network = LabelledUNet(2, 1, 3, 8, condition).eval()
    fused, label = torch.rand(1, 1, 128, 128), torch.rand(1, 2, 128, 128)
    with torch.no_grad():
        images = network(fused, label)[..., 48:80, 48:80].unbind(1)
    spread = float(images[0].std())
    for j, i in ((0, 1), (0, 2), (1, 2)):
        assert float((images[j] - images[i]).abs().mean()) > 0.05 * spread


@pytest.mark.parametrize("condition", CONDITIONS)
def test_all_modalities_at_once_are_each_of_them(condition: Condition) -> None:
    torch.manual_seed(0)
    network = LabelledUNet(2, 1, 3, 4, condition)
    fused, label = torch.rand(2, 1, 16, 32), torch.rand(2, 2, 16, 32)
    one_by_one = [ModalityUNet.forward(network, torch.cat([fused, label], dim=1), i) for i in range(3)]
    assert torch.equal(network(fused, label), torch.stack(one_by_one, dim=1))


@pytest.mark.parametrize("condition", ("bottleneck", "input"))
def test_the_layer_that_sees_the_planes_passes_them_on(condition: Condition) -> None:
    torch.manual_seed(0)
    network, seen = ModalityUNet(1, 1, 2, 8, condition).eval(), []
    layer = network.middle if condition == "bottleneck" else network.down[0][0]
    layer.convolution.weight.data.mul_(20)  # so that much of it survives the ReLU, and a norm's small constant is small
    layer.register_forward_hook(lambda module, given, answer: seen.append(answer[..., 4:-4, 4:-4]))
    with torch.no_grad():
        image = torch.rand(1, 1, 128, 128)
        network(image, 0), network(image, 1)
    assert float((seen[0] - seen[1]).abs().mean()) > 0.2 * float(seen[0].std(dim=(2, 3)).mean())


@pytest.mark.parametrize("condition", CONDITIONS)
def test_one_modality_has_no_condition_and_others_are_refused(condition: Condition) -> None:
    network = ModalityUNet(1, 1, 1, 4, condition)
    assert network(torch.rand(2, 1, 16, 32)).shape == (2, 1, 16, 32)
    assert parameters(network) == parameters(ModalityUNet(1, 1, 1, 4))
    with pytest.raises(ValueError, match="no modality 1: this network knows 1"):
        network(torch.rand(1, 1, 16, 16), 1)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_an_image_does_not_depend_on_its_batch(condition: Condition) -> None:
    torch.manual_seed(0)
    network = ModalityUNet(2, 1, 2, 4, condition)
    images = torch.rand(3, 2, 32, 32)
    assert torch.allclose(network(images, 1)[1:2], network(images[1:2], 1), atol=1e-6)


def test_an_empty_answer_can_be_learned() -> None:
    """With a norm in front of the sigmoid the mean of an answer would be fixed, so that "nothing" could not be said."""
    torch.manual_seed(0)
    network = ModalityUNet(1, 1, width=4)
    with torch.no_grad():
        network.out.bias.fill_(-12.0)
        assert float(network(torch.rand(2, 1, 16, 16)).max()) < 1e-3


def test_every_weight_learns_in_float32_and_in_bfloat16() -> None:
    for bf16 in (False, True):
        torch.manual_seed(0)
        network = ModalityUNet(1, 1, 2, 4, "film")
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            total = sum(network(torch.rand(2, 1, 32, 32), i).square().sum() for i in range(2))
        assert total.dtype == torch.float32
        total.backward()
        assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in network.parameters())
