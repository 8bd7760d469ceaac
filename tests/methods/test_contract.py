"""Every method is tested by existing: these tests read the registry."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from chromogen import methods
from chromogen.checkpoint import Card, load_model, save_model
from chromogen.config import from_fields, to_fields
from chromogen.method import Method
from chromogen.tensors import Batch
from chromogen.train.step import make_optimizers, train_step
from tests.methods import golden

SMALL = {"blocks": 1, "depth": 5, "patches": 16, "features": 16, "reduction": 2}  # beside widths of 4
EVERY = [
    f"{name}{variant}"
    for name in methods.available("staining")
    for variant in ["", *(f":{v}" for v in vars(__import__(f"chromogen.methods.{name}", fromlist=["_"]))["VARIANTS"])]
]


def small(name: str) -> Method:
    method = methods.narrowed(methods.load(name), 1000, crop_px=64)
    fields = {field.name for field in dataclasses.fields(method)}
    return dataclasses.replace(method, **{key: value for key, value in SMALL.items() if key in fields})


def batch(seed: int = 0, size: int = 64) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    source, target = (torch.rand(2, 3, size, size, generator=generator) * 2 - 1 for _ in range(2))
    return {"source": source, "target": target, "level": torch.tensor([0, 3]), "index": torch.tensor([5, 9])}


def twenty_losses(name: str) -> list[float]:
    torch.manual_seed(0)
    method = small(name)
    nets = method.networks().train()
    optimizers = make_optimizers(method.players(), nets)
    found = []
    for step in range(20):
        terms = train_step(method, nets, optimizers, [batch(step)], step / 20)
        found.append(float(sum(terms.values())))
    return found


@pytest.mark.parametrize("name", EVERY)
def test_every_network_has_one_owner_and_gradients_arrive(name: str) -> None:
    torch.manual_seed(0)
    method = small(name)
    nets = method.networks().train()
    owned = [network for player in method.players().values() for network in player.networks]
    assert sorted(owned) == sorted(nets)
    optimizers = make_optimizers(method.players(), nets)
    before = {key: value.clone() for key, value in nets.named_parameters()}
    for number in range(3):  # what stands behind a gate that begins at zero learns from the second step on
        terms = train_step(method, nets, optimizers, [batch(number)], number / 3)
        assert len(terms) >= 1 and all(bool(torch.isfinite(value)) for value in terms.values())
    still = [key for key, value in nets.named_parameters() if torch.equal(value, before[key])]
    assert not still, f"never updated: {still}"


@torch.no_grad()
@pytest.mark.parametrize("name", EVERY)
def test_translate_keeps_size_and_range_and_sees_only_the_source(name: str) -> None:
    method = small(name)
    nets = method.networks().eval()
    source = batch()["source"]
    made = method.translate(nets, source)
    assert made.shape == source.shape and float(made.abs().max()) <= 1
    assert torch.equal(made, method.translate(nets, source))
    assert torch.allclose(made[:1], method.translate(nets, source[:1]), atol=1e-5), "an image must not depend on its batch"


@pytest.mark.parametrize("name", EVERY)
def test_a_step_in_bfloat16_is_finite_and_close_to_one_in_float32(name: str) -> None:
    """Stages of a run in which different terms are at work; weights that stay float32 and finite."""
    for progress in (0.0, 0.9):
        found = []
        for bf16 in (False, True):
            torch.manual_seed(0)
            method = small(name)
            nets = method.networks().train()
            optimizers = make_optimizers(method.players(), nets)
            terms = train_step(method, nets, optimizers, [batch()], progress, bf16=bf16)
            assert all(bool(torch.isfinite(value)) for value in terms.values())
            assert all(p.dtype == torch.float32 and bool(torch.isfinite(p).all()) for p in nets.parameters())
            found.append(sum(float(value.abs()) for value in terms.values()))
        assert found[1] == pytest.approx(found[0], rel=0.1)


@pytest.mark.parametrize("name", EVERY)
def test_reloaded_from_a_file_it_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    method = small(name)
    nets = method.networks().eval()
    save_model(tmp_path / "m.safetensors", method, nets, Card(title="t"))
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.method == method
    assert torch.equal(loaded.method.translate(loaded.nets, batch()["source"]), method.translate(nets, batch()["source"]))


@pytest.mark.parametrize("name", EVERY)
def test_fields_survive_json(name: str) -> None:
    method = methods.load(name)
    assert from_fields(type(method), json.loads(json.dumps(to_fields(method)))) == method


@pytest.mark.parametrize("name", EVERY)
def test_losses_of_twenty_steps_are_the_golden_ones(name: str) -> None:
    assert golden.disagreement(name, twenty_losses(name)) == ""


def test_a_label_cannot_change_a_translation() -> None:
    """`translate` takes networks and a source; there is no argument through which a level could come."""
    for name in EVERY:
        parameters = methods.load(name).translate.__func__.__code__.co_varnames[:3]  # type: ignore[attr-defined]
        assert parameters == ("self", "nets", "source")


@pytest.mark.parametrize("name", methods.available("staining"))
def test_every_method_names_its_paper_and_its_supervision(name: str) -> None:
    source = methods.source_of(name)
    assert len(source.paper) > 8 and 2016 <= source.year <= 2030 and source.supervision


def test_narrowed_divides_widths_and_limits_the_depth() -> None:
    narrow = methods.narrowed(methods.load("pix2pix"), 4, crop_px=128)
    assert (narrow.width, narrow.discriminator_width, narrow.depth) == (16, 16, 7)  # type: ignore[attr-defined]


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'pyramid_pix2pix'"):
        methods.load("pyramid_pix2pixx")
    with pytest.raises(ValueError, match="no variant 'lsgn'; did you mean 'lsgan'"):
        methods.load("pix2pix:lsgn")


def plain_pix2pix_step(nets: torch.nn.ModuleDict, optimizers: dict, data: Batch, method: Method) -> list[Tensor]:
    """The published order with freezing and thawing, written out by hand."""
    gan = torch.nn.BCEWithLogitsLoss()
    fake = nets["generator"](data["source"])
    optimizers["discriminator"].zero_grad()
    on_fake = nets["discriminator"](torch.cat([data["source"], fake.detach()], 1))
    on_real = nets["discriminator"](torch.cat([data["source"], data["target"]], 1))
    loss_d = (gan(on_fake, torch.zeros_like(on_fake)) + gan(on_real, torch.ones_like(on_real))) * 0.5
    loss_d.backward()
    optimizers["discriminator"].step()
    nets["discriminator"].requires_grad_(False)
    optimizers["generator"].zero_grad()
    on_fake = nets["discriminator"](torch.cat([data["source"], fake], 1))
    loss_g = gan(on_fake, torch.ones_like(on_fake)) + 100 * (fake - data["target"]).abs().mean()
    loss_g.backward()
    optimizers["generator"].step()
    nets["discriminator"].requires_grad_(True)
    return [loss_d, loss_g]


def test_pix2pix_equals_a_hand_written_loop() -> None:
    method = dataclasses.replace(small("pix2pix"), dropout=0.0, norm="instance")
    runs = []
    for plain in (False, True):
        torch.manual_seed(3)
        nets = method.networks().train()
        optimizers = make_optimizers(method.players(), nets)
        totals = []
        for step in range(4):
            if plain:
                totals.append([x.item() for x in plain_pix2pix_step(nets, optimizers, batch(step), method)])
            else:
                terms = train_step(method, nets, optimizers, [batch(step)], 0.0)
                totals.append(
                    [float(sum(v for k, v in terms.items() if k.startswith(p))) for p in ("discriminator", "generator")]
                )
        runs.append(totals)
    assert torch.allclose(torch.tensor(runs[0]), torch.tensor(runs[1]), rtol=1e-5)
