import dataclasses

import pytest
import torch

from chromogen.methods.paired_cut import METHOD, VARIANTS, PairedCUT
from chromogen.train.step import make_optimizers, train_step
from tests.methods.test_contract import batch, small


def terms_of(method: PairedCUT, levels: list[int]) -> dict[str, float]:
    torch.manual_seed(0)
    nets = method.networks().train()
    optimizers = make_optimizers(method.players(), nets)
    data = batch() | {"level": torch.tensor(levels)}
    return {name: float(value) for name, value in train_step(method, nets, optimizers, [data], 0.0).items()}


def test_weights_are_those_of_equation_13() -> None:
    method = METHOD
    found = (method.weight_gan, method.weight_nce, method.weight_paired, method.weight_level, *method.weight_octaves)
    assert found == (1.0, 10.0, 10.0, 2.0, 20.0, 20.0, 20.0) and method.blocks == 9


def test_unknown_levels_count_for_nothing() -> None:
    method = small("paired_cut")
    assert terms_of(method, [-1, -1])["discriminator/level"] == terms_of(method, [-1, -1])["generator/level"] == 0
    known = terms_of(method, [2, -1])["discriminator/level"]
    assert known == pytest.approx(2 * 1.386, abs=0.1)  # of four levels, nothing learnt yet: 2 log 4


def test_without_class_head_no_level_is_read() -> None:
    assert VARIANTS["no-level"] == dataclasses.replace(METHOD, class_head=False)
    method = small("paired_cut:no-level")
    assert terms_of(method, [0, 3]) == terms_of(method, [-1, 1])
    assert not any(name.endswith("level") for name in terms_of(method, [0, 3]))


def test_a_perfect_stain_of_a_perfect_pair_would_owe_nothing_to_the_pair() -> None:
    """With the made image as target, octaves are 0 and every patch finds itself better than in the source."""
    method = small("paired_cut")
    torch.manual_seed(0)
    nets = method.networks().train()
    data = batch()
    data["target"] = nets["generator"](data["source"]).detach()
    optimizers = make_optimizers(method.players(), nets)
    terms = train_step(method, nets, optimizers, [data], 0.0)
    assert float(terms["generator/octave1"]) == pytest.approx(0, abs=1e-6)
    assert float(terms["generator/paired"]) < float(terms["generator/nce"])


def test_wrong_fields_are_named() -> None:
    with pytest.raises(ValueError, match="octaves are at most 8, got 9"):
        PairedCUT(weight_octaves=(1.0,) * 9)
