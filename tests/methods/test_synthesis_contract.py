"""What holds for the generative methods of multimodal synthesis, each and all variants."""

import json

import pytest
import torch

from chromogen import methods
from chromogen.config import from_fields, to_fields
from chromogen.method import Measured, Trainable
from chromogen.train.step import make_optimizers, train_step
from tests.methods.synthesis_cases import GENERATIVE, VARIANTS, cases, lent, small

PRESETS = [*GENERATIVE, *(f"{name}:thesis" for name in GENERATIVE)]


def batch_of(name: str, seed: int = 0) -> dict:
    return cases(seed, modalities=1 if name.endswith("single") else 2)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_network_has_one_owner_gradients_arrive_and_frozen_networks_stay(name: str) -> None:
    method = small(name)
    nets = lent(method)
    assert isinstance(method, Trainable) and isinstance(method, Measured) and set(method.released) <= set(method.networks())
    owned = [network for player in method.players().values() for network in player.networks]
    assert sorted(owned) == sorted(method.networks())
    optimizers = make_optimizers(method.players(), nets)
    before = {key: value.clone() for key, value in nets.state_dict().items()}
    for number, progress in enumerate((0.0, 0.45, 0.7, 0.95)):
        terms = train_step(method, nets, optimizers, [batch_of(name, number)], progress)
        assert terms and all(bool(torch.isfinite(value)) for value in terms.values())
    lent_names = set(getattr(method, "needs", ()))
    learned = {key for key, _ in nets.named_parameters() if key.split(".")[0] not in lent_names}
    still = [key for key in learned if torch.equal(nets.state_dict()[key], before[key])]
    assert not still, f"never updated: {still}"
    moved = [key for key in before if key.split(".")[0] in lent_names and not torch.equal(nets.state_dict()[key], before[key])]
    assert not moved, f"frozen, but changed: {moved}"
    assert all(p.grad is None for key, p in nets.named_parameters() if key.split(".")[0] in lent_names)


@pytest.mark.parametrize("name", PRESETS)
def test_a_step_in_bfloat16_is_close_to_one_in_float32(name: str) -> None:
    for progress in (0.0, 0.9):
        found = []
        for bf16 in (False, True):
            method = small(name)
            nets = lent(method)
            optimizers = make_optimizers(method.players(), nets)
            torch.manual_seed(1)
            terms = train_step(method, nets, optimizers, [batch_of(name)], progress, bf16=bf16)
            assert all(value.dtype == torch.float32 and bool(torch.isfinite(value)) for value in terms.values())
            assert all(p.dtype == torch.float32 and bool(torch.isfinite(p).all()) for p in nets.parameters())
            found.append({key: float(value) for key, value in terms.items() if "registration" not in key})
        assert sum(found[1].values()) == pytest.approx(sum(found[0].values()), rel=0.1)


@pytest.mark.parametrize("name", GENERATIVE)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    ends = []
    for _ in range(2):
        method = small(name)
        nets = lent(method)
        optimizers = make_optimizers(method.players(), nets)
        torch.manual_seed(7)
        for number in range(2):
            train_step(method, nets, optimizers, [batch_of(name, number)], 0.9)
        ends.append(nets.state_dict())
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


@pytest.mark.parametrize("name", [*PRESETS, "renderer:single", "renderer:ablation-a"])
def test_measures_are_finite_and_repeatable_and_pictures_can_be_shown(name: str) -> None:
    method = small(name)
    nets, batch = lent(method).eval(), batch_of(name)
    found, again = method.measure(nets, batch), method.measure(nets, batch)
    assert "score" in found and all(value.ndim == 0 and bool(torch.isfinite(value)) for value in found.values())
    assert {key: float(value) for key, value in found.items()} == {key: float(value) for key, value in again.items()}
    assert not any(value.requires_grad for value in found.values())
    pictures = method.pictures(nets, batch)
    assert pictures.ndim == 4 and pictures.shape[1] == 3 and pictures.shape[2] == 32 and pictures.shape[3] % 32 == 0
    assert float(pictures.min()) >= 0 and float(pictures.max()) <= 1


@pytest.mark.parametrize(("name", "size"), [*((name, 48) for name in GENERATIVE), ("renderer", 64)])
def test_other_sizes_and_cases_of_one(name: str, size: int) -> None:
    method = small(name)
    nets = lent(method)
    optimizers = make_optimizers(method.players(), nets)
    terms = train_step(method, nets, optimizers, [cases(size=size, count=1)], 0.9)
    assert all(bool(torch.isfinite(value)) for value in terms.values())


@pytest.mark.parametrize("name", VARIANTS)
def test_fields_survive_json_and_sources_are_named(name: str) -> None:
    method = methods.load(name)
    assert from_fields(type(method), json.loads(json.dumps(to_fields(method)))) == method
    assert methods.source_of(name).task == "synthesis" and methods.practice_of(name).batch_size >= 1
