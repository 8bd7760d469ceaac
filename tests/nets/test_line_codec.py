import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chromogen.nets.line_codec import LatentCritic, LineDecoder, LineEncoder, halvings, resized


@pytest.mark.parametrize(("size", "count"), [(16, 2), (32, 3), (48, 3), (64, 4), (240, 4), (256, 6), (512, 6), (1024, 6)])
def test_maps_are_halved_down_to_a_small_side(size: int, count: int) -> None:
    assert halvings(size) == count


@given(st.integers(1, 2000))
def test_the_last_side_is_4_to_16_or_the_size_is_refused(size: int) -> None:
    try:
        side = size / 2 ** halvings(size)
    except ValueError as error:
        assert f"line maps of {size} px" in str(error)
        odd = size
        while odd % 2 == 0:
            odd //= 2
        assert size < 4 or odd > 16 or size / 2**6 > 16
    else:
        assert side == int(side) and 4 <= side <= 16


def test_sizes_of_the_published_networks() -> None:
    """Millions of parameters of the tables, at 512 px with 4096 latents and at 256 px with 1024."""
    with torch.device("meta"):
        for size, latents, encoder, decoder in ((512, 4096, 75.9, 37.7), (256, 1024, 12.9, 6.3)):
            for network, millions in ((LineEncoder, encoder), (LineDecoder, decoder)):
                count = sum(p.numel() for p in network(size, latents).parameters())
                assert count / 1e6 == pytest.approx(millions, abs=0.05)
        critic = sum(p.numel() for p in LatentCritic(4096, 64, "conv").parameters())
        assert critic / 1e6 == pytest.approx(2.6, abs=0.05)


@pytest.mark.parametrize("size", [32, 48, 64])
def test_there_and_back(size: int) -> None:
    torch.manual_seed(0)
    encoder, decoder = LineEncoder(size, 24, 4), LineDecoder(size, 24, 4)
    mean, logvar = encoder((torch.rand(3, 1, size, size) < 0.1).float())
    assert mean.shape == logvar.shape == (3, 24)
    made = decoder(mean)
    assert made.shape == (3, 1, size, size) and 0 <= float(made.detach().min()) <= float(made.detach().max()) <= 1
    (made.square().sum() + logvar.square().sum()).backward()
    for network in (encoder, decoder):
        assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in network.parameters())


def test_a_fresh_encoder_is_near_a_standard_normal_and_its_variance_is_bounded() -> None:
    torch.manual_seed(0)
    encoder = LineEncoder(64, 64, 8)
    lines = (torch.rand(8, 1, 64, 64) < 0.1).float()
    with torch.no_grad():
        mean, logvar = encoder(lines)
        assert 0.2 < float(mean.std()) < 2 and float(logvar.abs().max()) < 1
        encoder.logvar.bias.fill_(1000.0)
        assert float(encoder(lines)[1].max()) == 10


def test_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected line maps of 32 px, got 48x32"):
        LineEncoder(32, 8, 4)(torch.rand(1, 1, 48, 32))


@pytest.mark.parametrize("kind", ["mlp", "conv"])
def test_the_critic_of_latents_scores_each_vector(kind: str) -> None:
    torch.manual_seed(0)
    critic = LatentCritic(64, 4, kind)
    latents = torch.randn(3, 64)
    score = critic(latents)
    assert len(score) == 3 and score.dtype == torch.float32
    assert torch.allclose(critic(latents[1:2])[0], score[1], atol=1e-5)


@given(st.integers(1, 300))
def test_the_picture_of_latents_must_be_square_and_even(latents: int) -> None:
    side = math.sqrt(latents)
    if side == int(side) and side % 2 == 0 and side >= 4:
        LatentCritic(latents, 1, "conv")
    else:
        with pytest.raises(ValueError, match="not the square of an even number"):
            LatentCritic(latents, 1, "conv")


def test_resizing_takes_the_nearest_pixel() -> None:
    lines = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    wanted = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]])
    assert torch.equal(resized(lines, 4, 4)[0, 0], wanted)
    assert torch.equal(resized(resized(lines, 4, 4), 2, 2), lines)
    assert resized(lines, 2, 2) is lines


def test_a_fitted_decoder_learns_where_vectors_lie() -> None:
    """Mean and covariance of many batches, against NumPy's of all of them."""
    rng = np.random.default_rng(0)
    mixing, centre = rng.normal(size=(3, 3)), np.array([5.0, -2.0, 0.5])
    decoder = LineDecoder(16, 3, 2, fitted=True)
    normal = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(decoder.where_vectors_lie(normal), normal)  # before it has seen any
    for _ in range(600):
        decoder.observe(torch.tensor(rng.normal(size=(64, 3)) @ mixing.T + centre))
    moved = decoder.where_vectors_lie(normal).numpy()
    assert np.allclose(moved.mean(axis=0), centre, atol=0.3)
    wanted = mixing @ mixing.T
    assert np.abs(np.cov(moved.T) - wanted).max() < 0.15 * np.abs(wanted).max()
    assert torch.equal(decoder.of_normal(normal[:2]), decoder(torch.tensor(moved[:2])))


def test_a_plain_decoder_takes_noise_as_it_comes() -> None:
    decoder = LineDecoder(16, 3, 2)
    assert not list(decoder.buffers())
    normal = torch.randn(2, 3)
    assert torch.equal(decoder.of_normal(normal), decoder(normal))
