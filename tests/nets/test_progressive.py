import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from chromogen.nets.progressive import (
    EqualConv,
    EqualLinear,
    ProgressiveCritic,
    ProgressiveGenerator,
    at_level,
    grow_to,
    level_at,
    level_channels,
    minibatch_deviation,
    pixel_norm,
)

NEAR = 1e-6


def networks() -> tuple[ProgressiveGenerator, ProgressiveCritic]:
    torch.manual_seed(0)
    return ProgressiveGenerator(12, 2, 32, width=8), ProgressiveCritic(2, 32, width=8)


def enlarged(x: torch.Tensor) -> torch.Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_pixel_norm_equals_numpy() -> None:
    x = torch.randn(2, 5, 3, 4)
    array = x.numpy().astype(float)
    expected = array / np.sqrt((array**2).mean(axis=1, keepdims=True) + 1e-8)
    assert pixel_norm(x).numpy() == pytest.approx(expected, abs=1e-6)


def test_minibatch_deviation_equals_numpy() -> None:
    x = torch.randn(4, 5, 3, 3)
    found = minibatch_deviation(x)
    assert torch.equal(found[:, :5], x)
    assert found[:, 5].numpy() == pytest.approx(float(np.std(x.numpy(), axis=0).mean()), abs=1e-5)
    assert float(minibatch_deviation(x[:1].expand(4, -1, -1, -1))[:, 5].max()) < 1e-3


@torch.no_grad()
def test_equalised_layers_are_convolutions_with_scaled_weights() -> None:
    torch.manual_seed(0)
    layer, x = EqualConv(6, 4, 3), torch.randn(2, 6, 5, 5)
    assert torch.allclose(layer(x), F.conv2d(x, layer.weight * (2 / 54) ** 0.5, padding=1), atol=1e-6)
    line, y = EqualLinear(7, 3, gain=1.0), torch.randn(2, 7)
    assert torch.allclose(line(y), y @ line.weight.T / 7**0.5, atol=1e-6)
    wide = EqualConv(300, 200, 3)
    assert float(wide.weight.std()) == pytest.approx(1, abs=0.01)  # stored
    assert float(wide(torch.randn(1, 300, 9, 9))[..., 1:-1, 1:-1].std()) == pytest.approx(2**0.5, rel=0.1)


@torch.no_grad()
@pytest.mark.parametrize("level", [0, 1, 2])
def test_fading_in_begins_with_the_coarser_image_and_ends_with_the_finer_one(level: int) -> None:
    generator, critic = networks()
    z = torch.randn(3, 12)
    coarse, fine = generator(z, level), generator(z, level + 1)
    assert coarse.shape == (3, 2, 4 * 2**level, 4 * 2**level) and fine.shape[-1] == 2 * coarse.shape[-1]
    assert torch.allclose(generator(z, level + NEAR), enlarged(coarse), atol=1e-5)
    assert torch.allclose(generator(z, level + 1 - NEAR), fine, atol=1e-5)
    assert not torch.allclose(enlarged(coarse), fine, atol=1e-2)
    logits = torch.lerp(enlarged(torch.logit(coarse)), torch.logit(fine), 0.3)
    assert torch.allclose(generator(z, level + 0.3), torch.sigmoid(logits), atol=1e-5)

    assert torch.allclose(critic(enlarged(coarse), level + NEAR), critic(coarse, level), atol=1e-4)
    assert torch.allclose(critic(fine, level + 1 - NEAR), critic(fine, level + 1), atol=1e-4)
    assert not torch.allclose(critic(fine, level + 0.5), critic(fine, level + 1), atol=1e-4)


@torch.no_grad()
def test_the_generator_remembers_its_level_and_averages_keep_it() -> None:
    generator, _ = networks()
    z = torch.randn(1, 12)
    assert generator(z).shape[-1] == 4
    grow_to(generator, 1.25)
    assert generator.level == 1.25 and torch.equal(generator(z), generator(z, 1.25)) and generator(z).shape[-1] == 16
    loaded, _ = networks()
    loaded.load_state_dict(copy.deepcopy(generator.state_dict()))
    assert loaded.level == 1.25 and not generator.grown.is_floating_point()


@torch.no_grad()
def test_real_images_are_shown_at_the_level() -> None:
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(at_level(images, 3.0), images)
    quarter = images.reshape(2, 3, 8, 4, 8, 4).mean(dim=(3, 5))
    assert torch.allclose(at_level(images, 1), quarter, atol=1e-6)
    half = images.reshape(2, 3, 16, 2, 16, 2).mean(dim=(3, 5))
    assert torch.allclose(at_level(images, 1.25), 0.75 * enlarged(quarter) + 0.25 * half, atol=1e-6)


@pytest.mark.parametrize(
    ("progress", "level"),
    [(0, 0), (0.05, 0), (0.1, 0), (0.15, 0.5), (0.2, 1), (0.25, 1), (0.3, 1), (0.375, 1.75), (0.4, 2), (0.5, 2), (0.99, 2)],
)
def test_levels_fade_in_and_stay_for_equal_times(progress: float, level: float) -> None:
    """Three levels in half a run: five phases of 0.1 each."""
    assert level_at(progress, 3, 0.5) == pytest.approx(level, abs=1e-9)


@given(st.floats(0, 0.999), st.integers(1, 9), st.floats(0.1, 1))
def test_levels_only_rise_and_never_jump(progress: float, levels: int, growth: float) -> None:
    level, later = (level_at(min(p, 0.9999), levels, growth) for p in (progress, progress + 1e-4))
    assert 0 <= level <= later <= levels - 1 and later - level < 0.03


def test_channels_are_those_of_the_paper() -> None:
    assert level_channels(1024, 512) == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert level_channels(32, 2) == [2, 2, 2, 2] and level_channels(256, 4)[-1] == 1


def test_levels_that_are_not_there_are_refused() -> None:
    generator, critic = networks()
    with pytest.raises(ValueError, match="levels from 0 to 3, got 3.5"):
        generator(torch.randn(1, 12), 3.5)
    with pytest.raises(ValueError, match="got -1"):
        critic(torch.rand(1, 2, 4, 4), -1)
