from dataclasses import replace

import numpy as np
import pytest
import torch

from chromogen.method import Losses
from chromogen.methods.bcistainer import FOCAL, METHOD, VARIANTS, BCIStainer
from chromogen.tensors import Batch, SignedImages
from chromogen.train.step import make_optimizers, train_step

SMALL = replace(METHOD, width=4, blocks=1, depth=6, discriminator_width=4, comparator_width=4)


def batch(level: tuple[int, ...] = (0, 3), seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    source, target = (torch.rand(len(level), 3, 64, 64, generator=generator) * 2 - 1 for _ in range(2))
    return {"source": source, "target": target, "level": torch.tensor(level), "index": torch.arange(len(level))}


def terms_of(progress: float, data: Batch, method: BCIStainer = SMALL) -> Losses:
    torch.manual_seed(0)
    nets = method.networks().train()
    return train_step(method, nets, make_optimizers(method.players(), nets), [data], progress)


def test_the_comparator_learns_in_the_first_third_and_then_stands_still_and_compares() -> None:
    torch.manual_seed(0)
    nets = SMALL.networks().train()
    optimizers = make_optimizers(SMALL.players(), nets)
    states, terms = [], []
    for number, progress in enumerate((0.0, 0.33, 1 / 3, 0.9)):
        terms.append(train_step(SMALL, nets, optimizers, [batch(seed=number)], progress))
        states.append({key: value.clone() for key, value in nets["comparator"].state_dict().items()})
    assert ["comparator/level" in t for t in terms] == [True, True, False, False]
    assert ["generator/cosine" in t for t in terms] == [False, False, True, True]
    assert not torch.equal(states[0]["grade.1.weight"], states[1]["grade.1.weight"])
    assert all(torch.equal(states[1][key], states[3][key]) for key in states[1])  # batch statistics too


def test_frozen_the_comparator_still_steers_the_generator() -> None:
    ends = []
    for weight in (1.0, 100.0):
        method = replace(SMALL, weight_cosine=weight)
        torch.manual_seed(0)
        nets = method.networks().train()
        train_step(method, nets, make_optimizers(method.players(), nets), [batch()], 0.5)
        ends.append(nets["generator"].encoder[0].weight.detach().clone())
    assert not torch.equal(*ends)


class Echo(torch.nn.Module):
    """A discriminator whose logits are zeros, so that the loss is the mean square of what it is told to aim at."""

    def forward(self, images: SignedImages) -> torch.Tensor:
        return torch.zeros(images.shape[0], 1, 400, 400)


def test_discriminators_aim_at_labels_smoothed_by_up_to_a_tenth() -> None:
    """The mean of u^2 for u uniform in [0, 0.1] is 0.01 / 3, and in [0.9, 1] it is (1 - 0.9^3) / 0.3."""
    nets = torch.nn.ModuleDict({"full_size": Echo(), "half_size": Echo()})
    images = torch.zeros(1, 3, 64, 64)
    torch.manual_seed(0)
    assert float(METHOD._judged(nets, images, real=False)) == pytest.approx(0.01 / 3, rel=0.01)
    assert float(METHOD._judged(nets, images, real=True)) == pytest.approx((1 - 0.9**3) / 0.3, rel=0.01)
    assert float(replace(METHOD, label_smoothing=0.0)._judged(nets, images, real=True)) == 1.0


class Stripes(torch.nn.Module):
    """A translation that knows left from right and up from down."""

    def forward(self, source: SignedImages) -> tuple[SignedImages, None, None]:
        ramp = torch.linspace(0, 1, source.shape[3]) + 2 * torch.linspace(0, 1, source.shape[2])[:, None]
        return source * ramp / 3, None, None


@pytest.mark.parametrize("count", [1, 4, 7, 8])
def test_averaging_is_the_mean_of_views_turned_back(count: int) -> None:
    source = batch()["source"][:, :, :40]  # not square
    net = Stripes()
    there = [lambda x, k=k: np.rot90(x, k) for k in range(4)] + [np.fliplr, np.flipud, np.transpose]
    back = [lambda x, k=k: np.rot90(x, -k) for k in range(4)] + [np.fliplr, np.flipud, np.transpose]
    there.append(lambda x: np.rot90(x, 2).T)
    back.append(lambda x: np.rot90(x, 2).T)
    expected = np.zeros(source.shape)
    for n, c in np.ndindex(2, 3):
        for turn, turn_back in zip(there[:count], back[:count], strict=True):
            view = torch.from_numpy(np.ascontiguousarray(turn(source[n, c].numpy())))[None, None]
            expected[n, c] += turn_back(net(view)[0][0, 0].numpy()) / count
    made = replace(SMALL, averaged_views=count).translate(torch.nn.ModuleDict({"generator": net}), source)
    assert np.allclose(made.numpy(), expected, atol=1e-6)


@torch.no_grad()
def test_averaged_translations_of_a_real_generator_keep_size_and_range() -> None:
    torch.manual_seed(0)
    nets = SMALL.networks().train()
    source = batch()["source"][:, :, :40]
    for module in nets.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of this batch: fresh ones would leave an all but grey image
    nets["generator"](source)
    nets.eval()
    averaged = replace(SMALL, averaged_views=7).translate(nets, source)
    assert averaged.shape == source.shape and float(averaged.abs().max()) <= 1
    assert not torch.allclose(averaged, SMALL.translate(nets, source), atol=1e-3)


@pytest.mark.parametrize("progress", [0.0, 0.5])
def test_unknown_levels_add_nothing_and_a_batch_of_one_works(progress: float) -> None:
    terms = terms_of(progress, batch((-1,)))
    assert float(terms["generator/level"]) == 0 and float(terms.get("comparator/level", 0)) == 0
    assert all(bool(torch.isfinite(value)) for value in terms.values()) and float(terms["generator/mae"]) > 0


def test_the_true_level_changes_only_the_losses_that_read_it() -> None:
    one, other = terms_of(0.0, batch((0, 3))), terms_of(0.0, batch((1, 2)))
    changed = {key for key in one if float(one[key]) != float(other[key])}
    assert changed == {"comparator/level", "generator/level"}


@pytest.mark.parametrize("progress", [0.0, 0.5])
def test_a_step_runs_without_numbers_and_in_bfloat16(progress: float) -> None:
    """On torch's meta device nothing may depend on a value."""
    nets = SMALL.networks().train()
    optimizers = make_optimizers(SMALL.players(), nets)
    terms = train_step(SMALL, nets, optimizers, [batch()], progress, bf16=True)
    assert all(bool(torch.isfinite(value)) for value in terms.values())
    nets.to("meta")
    data = {key: value.to("meta") for key, value in batch().items()}  # type: ignore[attr-defined]
    updates = list(SMALL.step(nets, data, progress))  # type: ignore[arg-type]
    assert all(loss.shape == () for update in updates for losses in update.values() for loss in losses.values())


def test_wrong_fields_are_named() -> None:
    with pytest.raises(ValueError, match="averaged_views are 1-8"):
        BCIStainer(averaged_views=9)
    with pytest.raises(ValueError, match="one weight for each of 4 levels"):
        BCIStainer(alpha=(1.0,))
    with pytest.raises(ValueError, match="label_smoothing below 0.5"):
        BCIStainer(label_smoothing=0.5)
    with pytest.raises(ValueError, match="depth 4-14"):
        BCIStainer(depth=3)


def test_variants_are_the_four_published_configurations_and_two_readings() -> None:
    kinds = {(v.modulation, v.attention) for v in (METHOD, *VARIANTS.values())}
    assert kinds == {("weights", True), ("weights", False), ("adain", True), ("adain", False)}
    assert VARIANTS["averaged"].averaged_views == 7 and VARIANTS["every-class"].focal == "every-class"


def test_the_level_loss_is_as_strong_as_the_published_code_s() -> None:
    """For even probabilities: 5 alpha (1 - 1/4)^2 ln 4 of the true class alone; the equations' mean is 3.7 times less."""
    logits, level = torch.zeros(4, 4), torch.arange(4)
    loss = {kind: float(METHOD.weight_level * FOCAL[kind](logits, level, METHOD.alpha, METHOD.gamma)) for kind in FOCAL}
    by_hand = 5 * np.mean([0.5, 0.2, 0.2, 0.1]) * 0.75**2 * np.log(4)
    assert loss[METHOD.focal] == pytest.approx(by_hand, rel=1e-5)
    assert loss["true-class"] / loss["every-class"] == pytest.approx(3.7, abs=0.05)
