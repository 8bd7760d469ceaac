from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chromogen.infer.tiles import blend, plan
from chromogen.methods.chromogen import METHOD, VARIANTS, Chromogen, folds
from chromogen.tensors import Batch, signed_from_uint8
from chromogen.train.step import make_optimizers, train_step
from tests.methods.test_contract import batch

TINY = Chromogen(width=4, blocks=1, grader_width=4, level_window=1, discriminator_width=4, discriminator_layers=1)


def terms_of(method: Chromogen, level: list[int]) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    nets = method.networks()
    data = batch()
    data["level"] = torch.tensor(level)
    return train_step(method, nets, make_optimizers(method.players(), nets), [data], 0.0)


def test_the_true_level_moves_one_term_and_no_other() -> None:
    known, other, unknown = (terms_of(TINY, level) for level in ([0, 3], [1, 1], [-1, -1]))
    for name, value in known.items():
        same = bool(torch.equal(value, other[name]))
        assert same != (name == "grader/level"), name
    assert float(unknown["grader/level"]) == 0


def test_without_a_gan_there_is_no_discriminator_and_the_other_terms_stay() -> None:
    method = replace(TINY, weight_gan=0.0)
    assert {*method.networks()} == {*method.players()} == {"grader", "generator"}
    with_gan, without = terms_of(TINY, [0, 3]), terms_of(method, [0, 3])
    assert without.keys() == with_gan.keys() - {"discriminator/real", "discriminator/fake", "generator/gan"}
    assert all(torch.equal(without[name], with_gan[name]) for name in without)


def test_the_level_map_is_of_probabilities_at_every_sixteenth_pixel() -> None:
    found = TINY.level_map(TINY.networks().requires_grad_(False), batch()["source"])
    assert found.shape == (2, 4, 4, 4) and torch.allclose(found.sum(1), torch.ones(2, 4, 4))


def test_the_painter_does_not_move_the_grader_nor_the_grader_the_painter() -> None:
    torch.manual_seed(0)
    nets = TINY.networks()
    for update in TINY.step(nets, batch(), 0.0):
        for player, terms in update.items():
            nets.zero_grad()
            sum(terms.values()).backward(retain_graph=True)  # type: ignore[union-attr]
            foreign = {"grader": "generator", "generator": "grader", "discriminator": "grader"}[player]
            assert any(p.grad is not None and bool(p.grad.any()) for p in nets[player].parameters()), player
            assert all(p.grad is None for p in nets[foreign].parameters()), player


def folded_batch(levels: list[int]) -> Batch:
    """Eight images of eight groups, of which fold 0 has four and fold 1 as many."""
    generator = torch.Generator().manual_seed(1)
    source, target = (torch.rand(8, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))
    numbers = torch.arange(40)
    group = torch.cat([numbers[folds(numbers, 2) == k][:4] for k in (0, 1)])
    return {"source": source, "target": target, "level": torch.tensor(levels), "index": torch.arange(8), "group": group}


def test_the_level_of_a_training_image_never_reaches_the_grade_it_is_stained_by() -> None:
    """However long the graders learn: other levels for the images of one fold change no grade of that fold."""
    grades = []
    for first_fold in ([0, 1, 2, 3], [3, 3, 0, 1]):
        data = folded_batch([*first_fold, 0, 1, 2, 3])
        assert folds(data["group"], 2).tolist() == [0] * 4 + [1] * 4
        torch.manual_seed(0)
        nets = TINY.networks()
        optimizers = make_optimizers(TINY.players(), nets)
        for _ in range(20):
            train_step(TINY, nets, optimizers, [data], 0.0)
        grades.append(TINY.training_level_map(nets, data["source"], data["group"])[0])
    assert torch.equal(grades[0][:4], grades[1][:4])
    assert not torch.allclose(grades[0][4:], grades[1][4:], atol=1e-4)  # these graders learned from what was changed


def test_one_grader_that_learns_from_all_hands_the_level_on() -> None:
    """What the test above would see: the variant `in-sample`."""
    method = replace(TINY, grader_folds=VARIANTS["in-sample"].grader_folds)
    grades = []
    for level in ([0, 1, 2, 3] * 2, [3, 3, 0, 1] * 2):
        torch.manual_seed(0)
        nets, data = method.networks(), folded_batch(level)
        optimizers = make_optimizers(method.players(), nets)
        for _ in range(20):
            train_step(method, nets, optimizers, [data], 0.0)
        grades.append(method.training_level_map(nets, data["source"], data["group"])[0])
    assert not torch.allclose(grades[0][:4], grades[1][:4], atol=1e-4)


def test_a_new_image_gets_the_mean_of_all_graders() -> None:
    nets, source = TINY.networks().requires_grad_(False), batch()["source"]
    mean = (nets["grader"][0](source).softmax(1) + nets["grader"][1](source).softmax(1)) / 2
    assert torch.allclose(TINY.level_map(nets, source), mean, atol=1e-6)


@given(st.integers(2, 8), st.integers(1, 8), st.integers(0, 7))
def test_every_fold_has_a_fair_share_of_every_class_of_a_set_in_order(count: int, stride: int, start: int) -> None:
    """Names often tell the level in turn, as phantoms do: a fold by `number % count` would then lack levels."""
    shares = torch.bincount(folds(start + stride * torch.arange(200), count), minlength=count) / 200
    assert float(shares.min()) > 0.5 / count and float(shares.max()) < 1.6 / count


def test_without_a_grader_every_level_is_as_likely() -> None:
    method = replace(TINY, graded=False)
    assert method.released == ("generator",) and "grader" not in method.networks()
    assert bool((method.level_map(method.networks(), batch()["source"]) == 0.25).all())
    assert terms_of(method, [0, 3]).keys() == terms_of(TINY, [0, 3]).keys() - {"grader/level"}


@torch.inference_mode()
def test_tiles_equal_the_whole_image_and_need_the_context_they_ask_for() -> None:
    torch.manual_seed(0)
    nets = TINY.networks().eval()
    for modulation in nets["generator"].modulations:  # as far from its start as training may bring it
        modulation.weight.mul_(100)
    for grader in nets["grader"]:
        grader.grade.weight.mul_(100)
    image = np.random.default_rng(0).integers(0, 256, (64, 512, 3), dtype=np.uint8)
    image[:, 100:300] = 0  # unlike on either side of the seams

    def made(tile_px: int, context_px: int) -> np.ndarray:
        grid = plan(64, 512, replace(TINY.tiling, context_px=context_px), tile_px)
        assert len(grid.columns) == (1 if tile_px == 512 else 3)
        return blend(image, grid, lambda tiles: TINY.translate(nets, signed_from_uint8(tiles))).astype(int)

    whole = made(512, 0)
    assert np.abs(made(336, TINY.tiling.context_px) - whole).max() <= 1
    assert np.abs(made(208, 8) - whole).max() > 2


def test_the_two_ends_of_the_knob_are_one_network() -> None:
    ends = [VARIANTS[name] for name in ("fidelity", "adversarial")]
    shapes = [{key: value.shape for key, value in method.networks()["generator"].state_dict().items()} for method in ends]
    assert shapes[0] == shapes[1] and ends[0].weight_gan < METHOD.weight_gan < ends[1].weight_gan


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 0}, "widths are 1-512"),
        ({"level_window": 4}, "odd number"),
        ({"grader_folds": 0}, "grader_folds is 1-8"),
        ({"density_boxes_px": ()}, "at least 1 px"),
        ({"nuclei_window_px": 3}, "nuclei_window_px is at least 4"),
        ({"discriminator_layers": 9}, "discriminator_layers is 1-8"),
    ],
)
def test_impossible_fields_have_their_sentence(change: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(METHOD, **change)
