"""Every method of synthesis and reading is tested by existing: these tests read the registry."""

import json
from pathlib import Path

import pytest
import torch

from chromogen import methods
from chromogen.checkpoint import Card, load_model, save_model
from chromogen.config import from_fields, to_fields
from chromogen.method import Measured, Sampler, Trainable
from chromogen.tensors import CaseBatch
from chromogen.train.step import make_optimizers, train_step
from tests.methods.synthesis_cases import DISTINCT, EVERY, PRESETS, cases, lent, small

FAITHFUL = [name for name in DISTINCT if name.endswith((":thesis", ":paper"))]
ANY_SIZE = [name for name in PRESETS if not isinstance(methods.load(name), Sampler)]


def batch_of(name: str, seed: int = 0) -> CaseBatch:
    """With a second box, half the image: the largest scale of a detector learns from nothing smaller."""
    batch = cases(seed, modalities=1 if name.endswith("single") else 2)
    batch["boxes"][:, 1] = torch.tensor([1.0, 0, 0, 32, 17])
    return batch


@pytest.mark.parametrize("name", DISTINCT)
def test_every_network_has_one_owner_gradients_arrive_and_frozen_networks_stay(name: str) -> None:
    method = small(name)
    nets = lent(method)
    assert isinstance(method, Trainable) and isinstance(method, Measured) and set(method.released) <= set(method.networks())
    owned = [network for player in method.players().values() for network in player.networks]
    assert sorted(owned) == sorted(method.networks())
    optimizers = make_optimizers(method.players(), nets)
    before = {key: value.clone() for key, value in nets.state_dict().items()}
    for number, progress in enumerate((0.0, 0.25, 0.45, 0.9)):
        terms = train_step(method, nets, optimizers, [batch_of(name, number)], progress)
        assert bool(terms) == bool(owned) and all(bool(torch.isfinite(value)) for value in terms.values())
    lent_names = set(getattr(method, "needs", ()))
    learned = {key for key, _ in nets.named_parameters() if key.split(".")[0] not in lent_names}
    still = [key for key in learned if torch.equal(nets.state_dict()[key], before[key])]
    assert not still, f"never updated: {still}"
    moved = [key for key in before if key.split(".")[0] in lent_names and not torch.equal(nets.state_dict()[key], before[key])]
    assert not moved, f"frozen, but changed: {moved}"
    assert all(p.grad is None for key, p in nets.named_parameters() if key.split(".")[0] in lent_names)


@pytest.mark.parametrize(
    ("name", "progress"), [*((name, 0.9) for name in (*PRESETS, *FAITHFUL)), ("pggan", 0.0), ("renderer:pretrain", 0.0)]
)
def test_a_step_in_bfloat16_is_close_to_one_in_float32(name: str, progress: float) -> None:
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


@pytest.mark.parametrize("name", PRESETS)
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


@pytest.mark.parametrize("name", [*PRESETS, *FAITHFUL, "renderer:single", "renderer:ablation-a"])
def test_measures_are_finite_and_repeatable_and_pictures_can_be_shown(name: str) -> None:
    method = small(name)
    nets, batch = lent(method).eval(), batch_of(name)
    found, again = method.measure(nets, batch), method.measure(nets, batch)
    assert "score" in found and all(value.ndim == 0 for value in found.values()) and bool(torch.isfinite(found["score"]))
    assert {key: str(float(value)) for key, value in found.items()} == {key: str(float(value)) for key, value in again.items()}
    assert not any(value.requires_grad for value in found.values())
    pictures = method.pictures(nets, batch)
    assert pictures.ndim == 4 and pictures.shape[1] == 3 and pictures.shape[2] == 32 and pictures.shape[3] % 32 == 0
    assert float(pictures.min()) >= 0 and float(pictures.max()) <= 1


@pytest.mark.parametrize(("name", "size"), [*((name, 48) for name in ANY_SIZE), ("renderer", 64)])
def test_other_sizes_and_cases_of_one(name: str, size: int) -> None:
    method = small(name)
    nets = lent(method)
    optimizers = make_optimizers(method.players(), nets)
    terms = train_step(method, nets, optimizers, [cases(size=size, count=1)], 0.9)
    assert all(bool(torch.isfinite(value)) for value in terms.values())


@pytest.mark.parametrize("name", [*PRESETS, *FAITHFUL])
def test_reloaded_from_a_file_its_weights_are_the_same_bits(name: str, tmp_path: Path) -> None:
    method = small(name)
    nets = lent(method)
    save_model(tmp_path / "m.safetensors", method, nets, Card(title="t"))
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.method == method and sorted(loaded.nets) == sorted(method.released)
    saved = {key: value for key, value in nets.state_dict().items() if key.split(".")[0] in method.released}
    assert loaded.nets.state_dict().keys() == saved.keys()
    assert all(torch.equal(value, saved[key]) for key, value in loaded.nets.state_dict().items())


@pytest.mark.parametrize("name", EVERY)
def test_fields_survive_json_and_sources_are_named(name: str) -> None:
    method = methods.load(name)
    assert from_fields(type(method), json.loads(json.dumps(to_fields(method)))) == method
    source = methods.source_of(name)
    assert len(source.paper) > 8 and 2016 <= source.year <= 2030 and source.supervision
    assert methods.practice_of(name).batch_size >= 1
