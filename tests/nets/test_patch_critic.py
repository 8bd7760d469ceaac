import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.nets.patch_critic import CriticStyle, PatchCritic

STYLES: tuple[CriticStyle, ...] = ("thesis", "leaky")


def test_sizes_of_the_published_network() -> None:
    """25 and 9 taps a kernel; biases only where no norm follows; 0.40 M, and 0.48 M with the answer of four classes."""
    f = 64
    trunk = 25 * f + 2 * f + 25 * f * f + 2 * f + 9 * f * 2 * f + 4 * f + 9 * 4 * f * f + 4 * f
    answer = 9 * 2 * f * f + 2 * f + 9 * f + 1
    assert sum(p.numel() for p in PatchCritic(1, f, style="thesis").parameters()) == trunk + answer
    told = 9 * 2 * f * f + 2 * f + 4 * (9 * f + 1)
    assert sum(p.numel() for p in PatchCritic(1, f, 4, style="thesis").parameters()) == trunk + answer + told


@given(height=st.integers(1, 100), width=st.integers(1, 100))
@settings(max_examples=25, deadline=None)
def test_one_score_for_every_16_px_and_sizes_that_do_not_divide_are_named(height: int, width: int) -> None:
    critic, image = PatchCritic(3, 4, 5), torch.rand(2, 3, height, width)
    if height % 16 == width % 16 == 0 and min(height, width) >= 32:
        score, told = critic(image)
        assert score.shape == (2, 1, height // 16, width // 16) and told.shape == (2, 5, height // 16, width // 16)
    else:
        with pytest.raises(ValueError, match=f"multiples of 16 px and at least 32 px, got {height}x{width}"):
            critic(image)


@pytest.mark.parametrize("style", STYLES)
def test_scores_are_unbounded_and_float32_in_bfloat16_too(style: CriticStyle) -> None:
    torch.manual_seed(0)
    critic = PatchCritic(1, 4, 2, style=style)
    with torch.no_grad():
        critic.score[-1].bias.fill_(7.0)
    with torch.autocast("cpu", torch.bfloat16):
        score, told = critic(torch.rand(2, 1, 32, 32))
    assert score.dtype == told.dtype == torch.float32 and float(score.detach().mean()) > 5
    (score.sum() + told.square().sum()).backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in critic.parameters())


def test_without_classes_there_is_no_second_answer() -> None:
    assert PatchCritic(1, 4)(torch.rand(1, 1, 32, 32))[1] is None


def test_dropout_acts_in_training_only() -> None:
    critic, image = PatchCritic(1, 4, dropout=0.5), torch.rand(1, 1, 32, 32)
    assert not torch.equal(critic(image)[0], critic(image)[0])
    critic.eval()
    assert torch.equal(critic(image)[0], critic(image)[0])


def test_only_the_leaky_critic_sees_how_contrasty_an_image_is() -> None:
    """Half the contrast: behind instance norms everywhere nothing of it is left but rounding and the norms' small constant."""
    torch.manual_seed(0)
    image = torch.rand(1, 1, 32, 32)
    moved = {}
    for style in STYLES:
        torch.manual_seed(1)
        critic = PatchCritic(1, 16, style=style).eval()
        with torch.no_grad():
            critic.look[1].weight.mul_(20)  # far above the norms' constant
            first, second = critic(image)[0], critic(0.5 * image)[0]
        moved[style] = float((first - second).abs().mean() / first.std())
    assert moved["thesis"] < 0.01 < 0.3 < moved["leaky"]
