import copy
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from chromogen import methods
from chromogen.methods.performer_unet import PerformerUNet
from chromogen.tensors import Batch
from chromogen.train.recompute import recompute
from chromogen.train.step import make_optimizers, train_step
from tests.methods.test_contract import batch, small
from tests.methods.test_plain import plain

SMALL = small("performer_unet")
assert isinstance(SMALL, PerformerUNet)


def updates(method: PerformerUNet, data: Batch | None = None) -> list[dict[str, list[str]]]:
    torch.manual_seed(0)
    nets = method.networks().train()
    return [{player: list(terms) for player, terms in u.items()} for u in method.step(nets, data or batch(), 0.0)]


def test_a_step_is_so_many_critic_updates_and_one_of_the_generator() -> None:
    critics = {"critics": ["critic1", "penalty1", "critic2", "penalty2", "critic4", "penalty4"]}
    generator = {"generator": ["frobenius", "similarity", "gan1", "gan2", "gan4"]}
    assert updates(SMALL) == [critics, generator]
    assert updates(replace(SMALL, n_critic=3)) == [critics] * 3 + [generator]
    few = replace(SMALL, grids=(3,), weight_grids=(1.0,), critic_layers=2)
    assert updates(replace(few, gan="cross-entropy", conditional=False), batch(size=96)) == [
        {"critics": ["critic3"]},
        {"generator": ["frobenius", "similarity", "gan3"]},
    ]


def test_gradients_are_those_of_the_step_written_by_hand() -> None:
    """The registry's own comparison is of weights after steps of 5e-6, hardly more than its tolerance."""
    found = []
    for by_hand in (False, True):
        torch.manual_seed(3)
        nets = SMALL.networks().train()
        optimizers = make_optimizers(SMALL.players(), nets)
        if by_hand:
            plain("performer_unet").step(nets, optimizers, batch(), SMALL, 0.0)
        else:
            train_step(SMALL, nets, optimizers, [batch()], 0.0)
        found.append({key: value.grad for key, value in nets.named_parameters()})
    for key, gradient in found[0].items():
        assert gradient is not None and found[1][key] is not None
        assert float((gradient - found[1][key]).norm()) < 1e-3 * float(gradient.norm()) + 1e-8, key


def test_finer_grids_have_shallower_critics_and_64_px_suffice() -> None:
    nets = methods.narrowed(methods.load("performer_unet"), 16, crop_px=64).networks()
    assert [nets[f"critic{grid}"].least_px * grid for grid in (1, 2, 4)] == [64, 64, 64]


def test_directions_are_drawn_anew_between_steps() -> None:
    method = replace(SMALL, redraw=2)
    nets = method.networks().train()
    optimizers = make_optimizers(method.players(), nets)
    attention = nets["generator"].bridges[0].body
    seen = [attention.directions.clone()]
    for number in range(3):
        train_step(method, nets, optimizers, [batch(number)], number / 3)
        seen.append(attention.directions.clone())
    assert [torch.equal(a, b) for a, b in pairwise(seen)] == [True, False, True]
    assert int(attention.steps) == 3


@pytest.mark.parametrize("name", ["performer_unet", "performer_unet:deployed"])
def test_bfloat16_changes_the_losses_little(name: str) -> None:
    method = small(name)
    torch.manual_seed(0)
    exact = method.networks().train()
    rough = copy.deepcopy(exact)
    found = []
    for nets, bf16 in ((exact, False), (rough, True)):
        torch.manual_seed(1)
        found.append(train_step(method, nets, make_optimizers(method.players(), nets), [batch()], 0.0, bf16=bf16))
    for term, value in found[0].items():
        assert float(found[1][term]) == pytest.approx(float(value), rel=0.02, abs=0.02), term


@pytest.mark.parametrize("name", ["performer_unet", "performer_unet:deployed"])
def test_recomputed_activations_end_with_the_same_weights(name: str) -> None:
    method = replace(small(name), redraw=1)  # type: ignore[type-var]
    ends = []
    for again in (False, True):
        torch.manual_seed(0)
        nets = method.networks().train()
        if again:
            recompute(nets)
        optimizers = make_optimizers(method.players(), nets)
        for number in range(2):
            train_step(method, nets, optimizers, [batch(number)], number / 2)
        ends.append(nets.state_dict())
    for key, value in ends[0].items():
        assert torch.allclose(value, ends[1][key], atol=1e-5), key


@pytest.mark.parametrize("name", ["performer_unet", "performer_unet:deployed"])
def test_a_step_needs_no_numbers(name: str) -> None:
    """On torch's meta device, where tensors have shapes only."""
    method = small(name)
    nets = method.networks().to("meta").train()
    data: Batch = {key: value.to("meta") for key, value in batch().items()}  # type: ignore[assignment, attr-defined]
    for update in method.step(nets, data, 0.0):
        for player, terms in update.items():
            loss = sum(terms.values())
            assert loss.is_meta, player  # type: ignore[union-attr]
            loss.backward()  # type: ignore[union-attr]
    for player, owner in method.players().items():
        reached = [p.grad is not None and p.grad.is_meta for name in owner.networks for p in nets[name].parameters()]
        assert any(reached), player


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 0}, "widths"),
        ({"network": "deployed", "depth": 2}, "depth is 3-8"),
        ({"features": 0}, "features"),
        ({"redraw": -1}, "redraw"),
        ({"n_critic": 0}, "n_critic"),
        ({"grids": (1, 1, 2)}, "different"),
        ({"grids": (1, 2)}, "one weight for each of 2"),
    ],
)
def test_impossible_fields_say_so(changes: dict, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        PerformerUNet(**changes)
