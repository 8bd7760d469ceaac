import pytest
import torch
from torch import Tensor, nn

from chromogen.nets.attention import SelfAttention
from chromogen.nets.attention_resnet import AttentionResnetGenerator
from chromogen.nets.generators import ResnetGenerator


@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_attention_stands_behind_each_step_of_size(norm: str, upsampling: str) -> None:
    """Two strided convolutions and two up-samplings: four places, at a half, a quarter, a half and the whole of the size."""
    net = AttentionResnetGenerator(4, 2, norm, upsampling=upsampling).eval().requires_grad_(False)
    sizes: list[tuple[int, ...]] = []

    def note(module: nn.Module, entered: tuple[Tensor, ...]) -> None:
        sizes.append(tuple(entered[0].shape[1:]))

    for module in net.modules():
        if isinstance(module, SelfAttention):
            module.register_forward_pre_hook(note)
    made = net(torch.randn(1, 3, 16, 24))
    assert sizes == [(8, 8, 12), (16, 4, 6), (8, 8, 12), (4, 16, 24)]
    assert made.shape == (1, 3, 16, 24) and made.abs().max() <= 1


def test_with_closed_gates_it_is_the_resnet() -> None:
    torch.manual_seed(0)
    net = AttentionResnetGenerator(4, 2).eval().requires_grad_(False)
    plain = ResnetGenerator(4, 2).eval().requires_grad_(False)
    shared = [value for key, value in net.state_dict().items() if key.partition(".")[0] in _places(net)]
    plain.load_state_dict(dict(zip(plain.state_dict(), shared, strict=True)))
    image = torch.randn(2, 3, 32, 32)
    assert torch.equal(net(image), plain(image))


def _places(net: AttentionResnetGenerator) -> set[str]:
    return {name for name, layer in net.named_children() if not isinstance(layer, SelfAttention)}


def test_number_of_parameters() -> None:
    """11.383 M of the ResNet, and at c channels 2 c (c / 8) + c c + 1: c = 128, 256, 128, 64."""
    extra = sum(c * c + c * c // 4 + 1 for c in (128, 256, 128, 64))
    count = {kind: sum(p.numel() for p in kind().parameters()) for kind in (ResnetGenerator, AttentionResnetGenerator)}
    assert count[AttentionResnetGenerator] - count[ResnetGenerator] == extra == 128_004
    assert count[AttentionResnetGenerator] / 1e6 == pytest.approx(11.511, abs=5e-4)
