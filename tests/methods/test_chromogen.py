from dataclasses import replace

import numpy as np
import pytest
import torch

from chromogen.infer.tiles import blend, plan
from chromogen.methods.chromogen import METHOD, VARIANTS, Chromogen
from chromogen.tensors import signed_from_uint8
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
    nets["grader"].grade.weight.mul_(100)
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
        ({"density_boxes_px": ()}, "at least 1 px"),
        ({"nuclei_window_px": 3}, "nuclei_window_px is at least 4"),
        ({"discriminator_layers": 9}, "discriminator_layers is 1-8"),
    ],
)
def test_impossible_fields_have_their_sentence(change: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(METHOD, **change)
