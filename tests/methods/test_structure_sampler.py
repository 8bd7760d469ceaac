import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from chromogen import methods
from chromogen.methods.structure_sampler import StructureSampler
from tests.methods.synthesis_cases import Say, cases, lent, numbers, small, terms, updates

SPREAD = math.log(4.0)  # of a log variance: the deviation is 2


def by_hand(size: int = 32, latents: int = 6) -> nn.ModuleDict:
    """Networks whose answers are plain functions: a vector is drawn as its first number, everywhere."""
    flat = torch.tensor([0.2, 0.4])

    def drawn(latent: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(latent[:, :1, None, None]).expand(-1, 1, size, size)

    return nn.ModuleDict(
        {
            "encoder": Say(
                lambda lines: (flat[: len(lines), None].repeat(1, latents), torch.full((len(lines), latents), SPREAD))
            ),
            "decoder": Decoder(drawn),
            "latent_critic": Say(lambda latent: latent.mean(dim=1, keepdim=True)),
            "line_critic": Say(lambda lines: (lines.mean(dim=(1, 2, 3), keepdim=True), None)),
            "organ": Say(lambda lines: 1 - lines),
        }
    )


class Decoder(Say):
    """It takes noise as it comes."""

    of_normal = Say.forward


def test_equations_7_to_11_in_numpy() -> None:
    weights = {"squared": 1.5, "absolute": 0.5, "background": 2.0, "latent_critic": 3.0, "encoder": 0.7, "moments": 0.3}
    weights |= {"divergence": 0.9, "line_critic": 4.0, "decoder": 0.6}
    method = small(
        "structure_sampler", latents=6, prior="normal", **{f"weight_{term}": weight for term, weight in weights.items()}
    )
    batch = cases()
    torch.manual_seed(3)
    critics, codec = (update for update in updates(method, by_hand(), batch))
    torch.manual_seed(3)
    z, noise = torch.randn(2, 6).numpy(), torch.randn(2, 6).numpy()

    lines, organ = batch["lines"].numpy(), batch["organ"].numpy()
    mean = np.repeat(np.array([[0.2], [0.4]]), 6, axis=1)
    f = mean + 2 * noise
    s_g = (1 / (1 + np.exp(-z[:, 0])))[:, None, None, None] * np.ones_like(lines)
    s_r = (1 / (1 + np.exp(-f[:, 0])))[:, None, None, None] * np.ones_like(lines)
    background, m_g = 1 - organ, s_g  # this organ reader answers 1 - lines, so its background is the lines
    wanted = {
        "line_real": 4 * np.mean((lines.mean((1, 2, 3)) - 1) ** 2),
        "line_made": 4 * np.mean(s_g.mean((1, 2, 3)) ** 2),
        "latent_real": 3 * np.mean((z.mean(1) - 1) ** 2),
        "latent_made": 3 * np.mean(f.mean(1) ** 2),
    }
    assert numbers(critics["critics"]) == pytest.approx(wanted, rel=1e-4)
    wanted = {
        "squared": 1.5 * np.mean((lines - s_r) ** 2),
        "absolute": 0.5 * np.mean(np.abs(lines - s_r)),
        "background": 2 * np.mean((background * s_r) ** 2),
        "encoder": 0.7 * np.mean((f.mean(1) - 1) ** 2),
        "moments": 0.3 * (mean.mean() ** 2 + (2 - 1) ** 2),
        "divergence": 0.9 * np.mean(0.5 * (mean**2 + 4 - 1 - SPREAD)),
        "decoder": 0.6 * np.mean((s_g.mean((1, 2, 3)) - 1) ** 2),
        "drawn_background": 2 * np.mean((m_g * s_g) ** 2),
    }
    assert numbers(codec["codec"]) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize(
    ("weight", "missing"),
    [
        ("weight_squared", {"codec/squared"}),
        ("weight_absolute", {"codec/absolute"}),
        ("weight_background", {"codec/background", "codec/drawn_background"}),
        ("weight_encoder", {"codec/encoder", "critics/latent_real", "critics/latent_made"}),
        ("weight_moments", {"codec/moments"}),
        ("weight_divergence", {"codec/divergence"}),
        ("weight_decoder", {"codec/decoder", "codec/drawn_background"}),
    ],
)
def test_a_weight_of_zero_takes_exactly_its_terms_away(weight: str, missing: set[str]) -> None:
    whole = small("structure_sampler", weight_divergence=0.1)

    without = replace(whole, **{weight: 0.0})
    assert terms(whole, lent(whole), cases()) - terms(without, lent(without), cases()) == missing


def test_adversarial_terms_teach_only_their_own_network() -> None:
    """Equation 9 the encoder and 11 the decoder; neither reaches the frozen organ reader."""
    method = small("structure_sampler")
    nets = lent(method)
    codec = updates(method, nets, cases())[1]["codec"]
    for term, taught, other in (("encoder", "encoder", "decoder"), ("decoder", "decoder", "encoder")):
        weights = [*nets[taught].parameters()]
        assert any(bool(g.any()) for g in torch.autograd.grad(codec[term], weights, retain_graph=True))
        unused = torch.autograd.grad(codec[term], [*nets[other].parameters()], retain_graph=True, allow_unused=True)
        assert all(gradient is None for gradient in unused)
    drawn = torch.autograd.grad(codec["drawn_background"], [*nets["decoder"].parameters()])
    assert any(bool(g.any()) for g in drawn)
    assert not any(p.requires_grad for p in nets["organ"].parameters())


def test_needs_the_organ_reader_only_for_its_term() -> None:
    assert methods.load("structure_sampler").needs == ("organ",)
    assert methods.load("structure_sampler:no-background").needs == methods.load("structure_sampler:autoencoder").needs == ()
    assert "latent_critic" not in small("structure_sampler:kl").networks()


def test_samples_follow_their_generator_and_come_with_the_critics_mean_score() -> None:
    method = small("structure_sampler")
    nets = lent(method).eval()
    drawn, scores = method.sample_lines(nets, 3, torch.Generator().manual_seed(5))
    again, _ = method.sample_lines(nets, 3, torch.Generator().manual_seed(5))
    other, _ = method.sample_lines(nets, 3, torch.Generator().manual_seed(6))
    assert drawn.shape == (3, 1, 32, 32) and torch.equal(drawn, again) and not torch.equal(drawn, other)
    assert torch.allclose(scores, nets["line_critic"](drawn)[0].mean((1, 2, 3)).detach())
    latents = torch.randn(3, method.latents, generator=torch.Generator().manual_seed(5))
    assert torch.equal(method.decode(nets, latents), drawn)


def test_the_grid_of_latents_runs_through_quantiles() -> None:
    method = small("structure_sampler", latents=6)
    grid = method.latent_grid(3, torch.Generator().manual_seed(0)).reshape(3, 3, 6)
    steps = torch.tensor(stats.norm.ppf([1 / 6, 3 / 6, 5 / 6]), dtype=torch.float32)
    assert torch.allclose(grid[:, 0, 0], steps, atol=1e-6) and torch.allclose(grid[1, :, 1], steps, atol=1e-6)
    assert bool((grid[..., 2:] == grid[0, 0, 2:]).all()) and bool((grid[0, :, 0] == grid[0, 0, 0]).all())


def test_the_way_between_two_latents_is_a_great_circle() -> None:
    method = small("structure_sampler")
    first, second = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    way = method.between(first, second, 3)[:, 0]
    assert torch.allclose(way, torch.tensor([[2.0, 0.0], [math.sqrt(2), math.sqrt(2)], [0.0, 2.0]]), atol=1e-5)
    assert torch.allclose(method.between(first, first, 3), first.expand(3, 1, 2), atol=1e-3)


def test_cases_of_any_shape_are_resized() -> None:
    method = small("structure_sampler")
    batch = cases(size=48)
    batch["lines"], batch["organ"] = batch["lines"][..., :40], batch["organ"][..., :40]
    assert method.pictures(lent(method).eval(), batch).shape == (2, 3, 32, 96)
    assert len(updates(method, lent(method), batch)) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size_px": 40}, "size_px is a multiple of 16"),
        ({"size_px": 16}, "from 32"),
        ({"size_px": 272}, "use a size such as 256"),
        ({"latents": 0}, "latents 1-16384"),
        ({"weight_squared": 0.0, "weight_absolute": 0.0}, "nothing asks for the lines back"),
    ],
)
def test_impossible_fields_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StructureSampler(**fields)


def test_one_map_for_all_noise_raises_an_alarm() -> None:
    method = small("structure_sampler")
    assert method.alarms({"difference_ratio": 0.5}) == method.alarms({}) == []
    assert "they are all alike" in method.alarms({"difference_ratio": 0.014})[0]
