from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from chromogen import methods
from chromogen.methods.organ_reader import OrganReader
from tests.methods.synthesis_cases import Say, cases, numbers, updates


def test_equation_6_in_numpy() -> None:
    batch = cases(size=16)
    nets = nn.ModuleDict({"organ": Say(lambda lines: 0.3 + 0.5 * lines)})
    (update,) = updates(OrganReader(soften=0.0, weight_organ=2.0), nets, batch)
    lines, organ = batch["lines"].numpy(), batch["organ"].numpy()
    by_hand = 2.0 * np.mean(((1 - organ) - (1 - (0.3 + 0.5 * lines))) ** 2)  # of backgrounds, as the thesis writes it
    assert numbers(update["organ"])["organ"] == pytest.approx(by_hand, rel=1e-5)


def test_lines_are_softened_by_half_their_blur() -> None:
    batch, seen = cases(size=16), []
    nets = nn.ModuleDict({"organ": Say(lambda lines: seen.append(lines) or lines)})
    updates(OrganReader(soften=1.0), nets, batch)
    lines = batch["lines"].numpy()
    blurred = ndimage.uniform_filter(lines, (1, 1, 3, 3), mode="constant")
    np.testing.assert_allclose(seen[0].numpy(), (lines + blurred) / 2, atol=1e-6)
    updates(OrganReader(soften=0.0), nets, batch)
    assert torch.equal(seen[1], batch["lines"])


def test_the_score_is_the_dice_of_the_organ() -> None:
    batch = cases(size=16)
    half = batch["organ"].clone()
    half[..., 8:] = 0  # 8 x 4 of its 8 x 8 px
    nets = nn.ModuleDict({"organ": Say(lambda lines: half)})
    found = OrganReader().measure(nets, batch)
    assert float(found["score"]) == pytest.approx(2 * 32 / (32 + 64))
    assert float(found["squared_error"]) == pytest.approx(32 / 256)


def test_it_learns_a_square_from_its_outline() -> None:
    from chromogen.train.step import make_optimizers, train_step

    torch.manual_seed(0)
    batch = cases(count=8)
    for number in range(8):
        batch["organ"][number] = 0
        batch["organ"][number, :, number : 20 + number, 2:28] = 1
    batch["lines"] = batch["organ"] - nn.functional.avg_pool2d(batch["organ"], 3, 1, 1).ge(1).float()
    method = replace(methods.load("organ_reader"), width=4)
    nets = method.networks().train()
    before = float(method.measure(nets, batch)["score"])
    optimizers = make_optimizers(method.players(), nets)
    for _ in range(60):
        train_step(method, nets, optimizers, [batch], 0.0)
    assert float(method.measure(nets, batch)["score"]) > max(0.9, before)


@pytest.mark.parametrize("fields", [{"width": 0}, {"soften": 1.5}])
def test_impossible_fields_are_refused(fields: dict) -> None:
    with pytest.raises(ValueError, match="organ_reader: "):
        OrganReader(**fields)
