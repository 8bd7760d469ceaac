import pytest
import torch

from chromogen.methods import attention_pyramid
from chromogen.methods.attention_pyramid import AttentionPyramid
from chromogen.nets.attention import SelfAttention


@pytest.mark.parametrize("pooled", [1, 4])
def test_every_pixel_sees_the_whole_image_so_it_is_never_cut(pooled: int) -> None:
    """Far beyond the reach of the convolutions, a change matters once the gates are open, and not before."""
    torch.manual_seed(0)
    method = AttentionPyramid(width=8, blocks=0, reduction=2, pooled=pooled)
    assert method.tiling.whole_image
    generator = method.networks().double().eval().requires_grad_(False)["generator"]
    image = torch.randn(1, 3, 64, 64, dtype=torch.double)
    other = image.clone()
    other[..., 44:, 44:] = 0
    assert method.tiling.context_px < 44 - 4

    def corner_moves() -> float:
        return float((generator(image) - generator(other))[..., :4, :4].abs().max())

    assert corner_moves() == 0
    for module in generator.modules():
        if isinstance(module, SelfAttention):
            module.gate.fill_(1.0)
    assert corner_moves() > 1e-9


def test_presets_differ_in_what_they_are_named_for() -> None:
    assert attention_pyramid.METHOD.residual == "gated" and attention_pyramid.METHOD.pooled == 1
    assert attention_pyramid.VARIANTS["literal"].residual == "none"
    assert attention_pyramid.VARIANTS["pooled"].pooled > 1


def test_impossible_fields_say_so() -> None:
    with pytest.raises(ValueError, match="heads divide the width 64"):
        AttentionPyramid(heads=3)
    with pytest.raises(ValueError, match="reduction and pooled are 1-64"):
        AttentionPyramid(pooled=0)
