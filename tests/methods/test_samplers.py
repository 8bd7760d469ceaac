"""The methods that make whole cases out of noise; what holds for every method of synthesis is in test_synthesis_contract."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import nn

from chromogen import methods
from chromogen.method import Optimizer, Sampler
from chromogen.methods.acgan import ACGAN
from chromogen.methods.dcgan import DCGAN
from chromogen.methods.pggan import PGGAN
from chromogen.methods.skrgan import SkrGAN
from chromogen.methods.wgan_gp import WGANGP
from chromogen.tensors import CaseBatch
from chromogen.train.step import make_optimizers, train_step

NAMES = [name for name in methods.available("synthesis") if isinstance(methods.load(name), Sampler)]
EVERY = [f"{name}{variant}" for name in NAMES for variant in ["", *(f":{v}" for v in methods.variants(name))]]


def small(name: str, size: int = 16, **changes: Any) -> Any:
    method = methods.narrowed(methods.load(name), 1000, crop_px=size)
    return dataclasses.replace(method, **{"size_px": size, "modalities": 2, "latents": 6} | changes)


def cases(count: int = 4, size: int = 16, channels: int = 1, modalities: int = 2, seed: int = 0) -> CaseBatch:
    generator = torch.Generator().manual_seed(seed)
    return {
        "images": torch.rand(count, modalities, channels, size, size, generator=generator),
        "lines": (torch.rand(count, 1, size, size, generator=generator) > 0.8).float(),
        "organ": torch.ones(count, 1, size, size),
        "category": torch.arange(count) % 3,
        "index": torch.arange(count) + 10 * seed,
    }


def trained(method: Any, steps: int = 1) -> nn.ModuleDict:
    torch.manual_seed(0)
    nets = method.networks().train()
    optimizers = make_optimizers(method.players(), nets)
    for number in range(steps):
        train_step(method, nets, optimizers, [cases(seed=number)], number / steps)
    return nets


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("channels", [1, 3])
def test_samples_have_their_shape_and_range_and_depend_on_the_generator_alone(name: str, channels: int) -> None:
    torch.manual_seed(1)
    method = small(name, channels=channels)
    nets = method.networks().eval()
    draws = []
    for turn, seed in enumerate((3, 3, 4)):
        torch.manual_seed(turn)  # the global state must not matter
        draws.append(method.sample(nets, 3, torch.Generator().manual_seed(seed)))
    assert draws[0].shape == (3, 2, channels, 16, 16) and draws[0].dtype == torch.float32 and not draws[0].requires_grad
    assert 0 <= float(draws[0].min()) < float(draws[0].max()) <= 1
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0][0], draws[0][1])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [32, 128, 256])
def test_every_size_can_be_built_stepped_and_sampled(name: str, size: int) -> None:
    torch.manual_seed(0)
    method = small(name, size)
    nets = method.networks().train()
    optimizers = make_optimizers(method.players(), nets)
    terms = train_step(method, nets, optimizers, [cases(2, size)], 0.95)
    assert all(bool(torch.isfinite(value)) for value in terms.values())
    assert method.sample(nets.eval(), 1, torch.Generator().manual_seed(0)).shape == (1, 2, 1, size, size)


@pytest.mark.parametrize("name", NAMES)
def test_held_out_cases_are_measured_and_shown_the_same_way_every_time(name: str) -> None:
    method, batch = small(name), cases()
    nets = trained(method).eval()
    found, again = method.measure(nets, batch), method.measure(nets, batch)
    assert found.keys() >= {"score", "energy_distance", "spread"} and found == again
    assert float(found["score"]) == -float(found["energy_distance"])
    picture = method.pictures(nets, batch)
    assert picture.shape[:3] == (4, 3, 16) and picture.shape[3] % 16 == 0
    assert float(picture.min()) >= 0 and float(picture.max()) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_loaded_weights_make_the_same_cases(name: str) -> None:
    nets, other = trained(small(name)), small(name).networks()
    other.load_state_dict(nets.state_dict())
    draws = [small(name).sample(each.eval(), 2, torch.Generator().manual_seed(0)) for each in (nets, other)]
    assert torch.equal(*draws)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "acgan"])
def test_who_knows_no_categories_says_so(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} does not know categories and cannot make category 1; acgan does"):
        small(name).sample(small(name).networks(), 1, torch.Generator(), category=1)


@pytest.mark.parametrize("kind", [DCGAN, ACGAN, WGANGP, PGGAN, SkrGAN])
@pytest.mark.parametrize("wrong", [{"size_px": 100}, {"width": 0}, {"channels": 2}, {"modalities": 0}])
def test_wrong_fields_are_named(kind: Any, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="got"):
        kind(**wrong)


def test_other_wrong_fields_are_named() -> None:
    with pytest.raises(ValueError, match="batch norm mixes images"):
        WGANGP(critic_norm="batch")
    with pytest.raises(ValueError, match="critic_updates is at least 1"):
        WGANGP(critic_updates=0)
    with pytest.raises(ValueError, match="growth is a share"):
        PGGAN(growth=0.0)
    with pytest.raises(ValueError, match="sketch_of is a modality from 0 to 3"):
        SkrGAN(sketch_of=4)
    with pytest.raises(ValueError, match="dropout is a probability"):
        ACGAN(dropout=1.0)


def test_dcgan_terms_by_hand() -> None:
    """Its losses are -ln D(real), -ln(1 - D(fake)) and, for the generator, -ln D(fake)."""
    method = small("dcgan")
    torch.manual_seed(0)
    nets = method.networks().train()
    batch = cases()
    torch.manual_seed(5)
    updates = method.step(nets, batch, 0.0)
    critic, generator = next(updates)["critic"], next(updates)["generator"]
    torch.manual_seed(5)
    fake = nets["generator"](2 * torch.rand(4, 6) - 1)
    real = torch.sigmoid(nets["critic"](batch["images"].flatten(1, 2))[0])
    made = torch.sigmoid(nets["critic"](fake)[0])
    assert critic["real"].item() == pytest.approx(-real.log().mean().item(), rel=1e-4)
    assert critic["fake"].item() == pytest.approx(-(1 - made).log().mean().item(), rel=1e-4)
    assert generator["gan"].item() == pytest.approx(-made.log().mean().item(), rel=1e-4)


def test_wgan_gp_updates_its_critic_five_times_and_its_penalty_is_each_image_s_own() -> None:
    method, batch = small("wgan_gp"), cases()
    torch.manual_seed(0)
    nets = method.networks().train()
    updates = [list(update) for update in method.step(nets, batch, 0.0)]
    assert updates == [["critic"]] * 5 + [["generator"]]

    torch.manual_seed(5)
    found = next(method.step(nets, batch, 0.0))["critic"]
    torch.manual_seed(5)
    with torch.no_grad():
        fake = nets["generator"](torch.randn(4, 6))
    shares, real, norms = torch.rand(4, 1, 1, 1), batch["images"].flatten(1, 2), []
    for r, f, share in zip(real, fake, shares, strict=True):
        between = (r + share * (f - r))[None].requires_grad_(True)
        nets["critic"](between)[0].sum().backward()
        assert between.grad is not None
        norms.append(float(between.grad.square().sum().sqrt()))
    assert found["penalty"].item() == pytest.approx(10 * sum((norm - 1) ** 2 for norm in norms) / 4, rel=1e-4)
    distance = nets["critic"](fake)[0].mean() - nets["critic"](real)[0].mean()
    assert found["distance"].item() == pytest.approx(distance.item(), abs=1e-5)


def blocky(image: torch.Tensor, cell: int) -> torch.Tensor:
    """Every square of `cell` px in the grey level of its first pixel."""
    return image[::cell, ::cell].repeat_interleave(cell, 0).repeat_interleave(cell, 1)


def test_pggan_grows_with_the_run_and_samples_at_the_level_it_was_trained_at() -> None:
    method, batch = small("pggan", 32), cases(size=32)
    torch.manual_seed(0)
    nets = method.networks().train()
    optimizers = make_optimizers(method.players(), nets)
    finest = []
    for progress in (0.0, 0.2, 0.4, 0.9):
        train_step(method, nets, optimizers, [batch], progress)
        image = method.sample(nets, 1, torch.Generator().manual_seed(0))[0, 0, 0]
        assert image.shape == (32, 32)
        finest.append(next(cell for cell in (8, 4, 2, 1) if torch.equal(blocky(image, cell), image)))
    assert finest == [8, 4, 2, 1]
    terms = next(method.step(nets, batch, 0.9))["critic"]
    score = nets["critic"](batch["images"].flatten(1, 2), 3.0)
    assert terms["drift"].item() == pytest.approx(0.001 * score.square().mean().item(), rel=1e-3)


def test_acgan_learns_what_a_category_looks_like() -> None:
    method = small("acgan", width=8, critic_width=8, categories=2, modalities=1, optimizer=Optimizer(lr=2e-3))
    torch.manual_seed(0)
    nets = method.networks().train()
    optimizers = make_optimizers(method.players(), nets)
    category = torch.arange(16) % 2
    for _ in range(60):
        images = (0.2 + 0.6 * category.float()).view(-1, 1, 1, 1, 1) + 0.05 * torch.randn(16, 1, 1, 16, 16)
        batch = cases(16, modalities=1) | {"images": images.clamp(0, 1), "category": category}
        train_step(method, nets, optimizers, [batch], 0.0)
    dark, bright = (method.sample(nets.eval(), 8, torch.Generator().manual_seed(0), category=c).mean() for c in (0, 1))
    assert float(bright - dark) > 0.2
    mixed = method.sample(nets, 40, torch.Generator().manual_seed(0)).mean(dim=(1, 2, 3, 4))
    assert float(dark) < float(mixed.mean()) < float(bright)


def test_acgan_leaves_unknown_categories_out_and_asks_for_known_ones() -> None:
    method, batch = small("acgan"), cases()
    nets = method.networks().train()
    unknown = batch | {"category": torch.full((4,), -1)}
    assert next(method.step(nets, unknown, 0.0))["critic"]["class"].item() == 0
    assert "class_of_made" not in next(method.step(nets, batch, 0.0))["critic"]
    paper = dataclasses.replace(method, class_of_made=True)
    assert "class_of_made" in next(paper.step(nets, batch, 0.0))["critic"]
    with pytest.raises(ValueError, match="these cases have none"):
        next(method.step(nets, {key: value for key, value in batch.items() if key != "category"}, 0.0))
    with pytest.raises(ValueError, match="of category 7; set `categories`"):
        next(method.step(nets, batch | {"category": torch.full((4,), 7)}, 0.0))
    with pytest.raises(ValueError, match="categories are 0-2, got 3"):
        method.sample(nets, 1, torch.Generator(), category=3)
