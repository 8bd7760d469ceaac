"""Every method, on what real folders hold beside tissue: blank images, and sides that no network divides."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chromogen import methods
from chromogen.data.pairs.sets import FolderData
from chromogen.tensors import Batch
from chromogen.train.feed import feed_of
from chromogen.train.run import Loop, Run
from chromogen.train.step import make_optimizers, train_step
from tests.methods.test_contract import batch, small

WHITE, BLACK, PINK = (1.0, 1.0, 1.0), (-1.0, -1.0, -1.0), (0.8, -0.1, 0.3)


def gradient_after(name: str, data: Batch, steps: int = 1) -> float:
    """The largest norm of a player's gradient in a step late in training; the losses and weights must be finite."""
    torch.manual_seed(0)
    method = small(name)
    nets = method.networks().train()
    optimizers = make_optimizers(method.players(), nets)
    largest = 0.0
    for _ in range(steps):
        terms = train_step(method, nets, optimizers, [data], 0.9)
        assert all(bool(torch.isfinite(value)) for value in terms.values()), terms
        for optimizer in optimizers.values():
            gradients = [p.grad.norm() for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
            largest = max(largest, float(torch.stack(gradients).norm())) if gradients else largest
    assert all(bool(torch.isfinite(weight).all()) for weight in nets.parameters())
    return largest


@cache
def usual(name: str) -> float:
    return gradient_after(name, batch())


@pytest.mark.parametrize(
    ("colour", "where"), [(WHITE, "both"), (BLACK, "target"), (PINK, "source"), (BLACK, "first pair")], ids=str
)
@pytest.mark.parametrize("name", methods.available("staining"))
def test_blank_images_give_finite_losses_and_gradients_like_others(
    name: str, colour: tuple[float, float, float], where: str
) -> None:
    data, blank = batch(), torch.tensor(colour).view(1, 3, 1, 1)
    for side in ("source", "target"):
        if where in (side, "both"):
            data[side] = blank.expand(2, 3, 64, 64).clone()  # type: ignore[literal-required]
        if where == "first pair":
            data[side][0] = blank[0]  # type: ignore[literal-required]
    assert gradient_after(name, data) < 20 * max(1.0, usual(name))


@pytest.fixture(scope="module")
def odd_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of 70 x 45 px."""
    root = tmp_path_factory.mktemp("odd")
    for side, seed in (("HE", 0), ("IHC", 1)):
        (root / side).mkdir()
        for number in range(2):
            pixels = np.random.default_rng([seed, number]).integers(0, 256, (45, 70, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / side / f"{number:05d}_train_2+.png")
    return root


@pytest.mark.parametrize("name", methods.available("staining"))
def test_whole_images_train_whatever_their_sides(name: str, odd_pairs: Path) -> None:
    """Mirrored up to what the method divides, not cut: what was there stays where it was."""
    practice = methods.practice_of(name)
    data = FolderData(odd_pairs, crop_px=None, validation_share=0, unpaired=practice.unpaired)
    method = small(name)
    (drawn,) = feed_of(Run(method, data, Loop(batch_size=2))).batches(0, 1, rank=0, world=1)
    multiple = method.tiling.multiple_px
    height, width = -(-45 // multiple) * multiple, -(-70 // multiple) * multiple
    assert drawn["source"].shape == drawn["target"].shape == (2, 3, height, width)
    nets = method.networks().train()
    terms = train_step(method, nets, make_optimizers(method.players(), nets), [drawn], 0.5)
    assert all(bool(torch.isfinite(value)) for value in terms.values())
