import pytest
import torch

from chromogen.nets.noise_generators import NoiseCritic, NoiseGenerator, doublings, normal_latents


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
def test_every_size_is_reached_from_noise_and_judged(size: int) -> None:
    torch.manual_seed(0)
    made = NoiseGenerator(10, 3, size, width=4)(torch.randn(2, 10))
    assert made.shape == (2, 3, size, size) and 0 <= float(made.detach().min()) <= float(made.detach().max()) <= 1
    score, told = NoiseCritic(3, size, width=4, classes=5)(made)
    assert score.shape == (2,) and told is not None and told.shape == (2, 5)
    assert NoiseCritic(3, size, width=4)(made)[1] is None


def test_widths_are_those_of_the_paper_s_figure() -> None:
    """64 px: 1024 channels at 4 px, then 512, 256, 128, and the image."""
    generator = NoiseGenerator(100, 3, 64, width=128)
    shapes = [tuple(m.weight.shape) for m in generator if isinstance(m, torch.nn.ConvTranspose2d)]
    assert shapes == [(100, 1024, 4, 4), (1024, 512, 4, 4), (512, 256, 4, 4), (256, 128, 4, 4), (128, 3, 4, 4)]


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_without_batch_norm_images_are_judged_alone(norm: str) -> None:
    torch.manual_seed(0)
    critic = NoiseCritic(1, 32, 4, norm)  # type: ignore[arg-type]
    images = torch.rand(3, 1, 32, 32)
    assert torch.allclose(critic(images)[0][:1], critic(images[:1])[0], atol=1e-6)
    mixed = NoiseCritic(1, 32, 4, "batch")
    assert not torch.allclose(mixed(images)[0][:1], mixed(images[:1])[0], atol=1e-6)


def test_the_critic_sees_images_stretched_to_signed() -> None:
    torch.manual_seed(0)
    critic = NoiseCritic(1, 16, 4, "none")
    seen = []
    critic.look.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    critic(torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).expand(3, 1, 16, 16))
    assert [float(image.mean()) for image in seen[0]] == [-1, 0, 1]


def test_latents_come_from_their_generator() -> None:
    first, again, other = (normal_latents(4, 6, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("size", [8, 48, 100, 2048])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"or 1024 px, got {size}"):
        doublings(size)
