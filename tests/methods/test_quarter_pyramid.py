from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from chromogen import methods
from chromogen.infer.tiles import blend, plan
from chromogen.methods.quarter_pyramid import METHOD, QuarterPyramid
from chromogen.tensors import signed_from_uint8
from tests.methods.test_contract import batch

SMALL = QuarterPyramid(width=4, blocks=1, discriminator_width=4)


def pillow(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A signed (H, W, 3) image resized by Pillow in floats, channel by channel, and clipped; `size` is height, width."""
    channels = [Image.fromarray(image[..., k]).resize(size[::-1], Image.Resampling.BICUBIC) for k in range(3)]
    return np.clip(np.stack(channels, axis=-1), -1, 1)


@torch.no_grad()
def test_it_shows_the_network_what_pillow_would_and_brings_back_as_pillow_would() -> None:
    """A network that hands on what it sees: the translation is the image down and up again."""
    seen = []
    nets = nn.ModuleDict({"generator": nn.Identity()})
    nets["generator"].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    source = torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    made = SMALL.translate(nets, source)
    assert seen[0].shape == (2, 3, 12, 16) and made.shape == source.shape
    for k in range(2):
        small = pillow(np.ascontiguousarray(source[k].permute(1, 2, 0).numpy()), (12, 16))
        assert np.allclose(seen[0][k].permute(1, 2, 0), small, atol=1e-5)
        assert np.allclose(made[k].permute(1, 2, 0), pillow(small, (48, 64)), atol=1e-5)


def test_all_losses_are_of_small_images() -> None:
    """A step on 256 px images is a step without reduction on what Pillow makes of them."""
    large = batch(size=256)
    small = {key: shrunk_by_pillow(large[key]) for key in ("source", "target")}  # type: ignore[literal-required]
    found = []
    for data, reduction in ((large, 4), (small, 1)):
        torch.manual_seed(0)
        method = replace(SMALL, dropout=0.0, reduction=reduction)
        nets = method.networks().train()
        updates = method.step(nets, data, 0.0)  # type: ignore[arg-type]
        found.append([value.item() for update in updates for terms in update.values() for value in terms.values()])
    assert found[0] == pytest.approx(found[1], rel=1e-4) and len(found[0]) == 2 + 5


def shrunk_by_pillow(images: torch.Tensor) -> torch.Tensor:
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy()
    return torch.from_numpy(np.stack([pillow(one, (64, 64)) for one in arrays])).permute(0, 3, 1, 2).contiguous()


@torch.no_grad()
@pytest.mark.parametrize("height, width", [(1, 1), (33, 50), (100, 130)])
def test_any_size_keeps_its_size(height: int, width: int) -> None:
    torch.manual_seed(0)
    nets = SMALL.networks().eval()
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    grid = plan(height, width, SMALL.tiling, 1024)
    made = blend(image, grid, lambda tiles: SMALL.translate(nets, signed_from_uint8(tiles)), 1, None)
    assert made.shape == image.shape


@torch.no_grad()
def test_context_covers_what_a_pixel_depends_on() -> None:
    torch.manual_seed(0)
    nets = SMALL.networks().eval()
    far = SMALL.tiling.context_px
    source = torch.rand(1, 3, 64, 512) * 2 - 1
    changed = source.clone()
    changed[..., :100] *= -1
    difference = (SMALL.translate(nets, source) - SMALL.translate(nets, changed)).abs().amax((0, 1, 2))
    assert float(difference[100 + far :].max()) == 0 and float(difference[:100].max()) > 0
    assert int(difference.nonzero().max()) > 100 + far // 2  # no idle promise either


def test_its_practice_leaves_out_a_tenth_and_shows_256_px() -> None:
    practice = methods.practice_of("quarter_pyramid")
    assert practice.drop_worst == 0.1 and practice.crop_px == 256 * METHOD.reduction


@pytest.mark.parametrize("fields", [{"reduction": 0}, {"reduction": 17}, {"width": 0}, {"blocks": 33}, {"dropout": 1.0}])
def test_impossible_fields(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="quarter_pyramid: "):
        QuarterPyramid(**fields)
