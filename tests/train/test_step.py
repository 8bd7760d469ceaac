import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from chromogen import methods
from chromogen.method import Player, Schedule, Tiling, Update
from chromogen.methods.pix2pix import Pix2pix
from chromogen.tensors import Batch
from chromogen.train.schedule import factor
from chromogen.train.step import make_optimizers, train_step


@dataclass(frozen=True)
class Together:
    """Two players in one update, each with its own loss on a shared graph; no batch statistics."""

    released = ("a",)
    tiling = Tiling()

    def networks(self) -> nn.ModuleDict:
        return nn.ModuleDict({"a": nn.Conv2d(3, 3, 1), "b": nn.Conv2d(3, 1, 1)})

    def players(self) -> dict[str, Player]:
        return {"one": Player(("a",)), "two": Player(("b",))}

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        fake = nets["a"](batch["source"])
        yield {
            "one": {"match": (fake - batch["target"]).square().mean()},
            "two": {"score": nets["b"](fake).square().mean(), "free": nets["b"](batch["target"]).mean()},
        }

    def translate(self, nets: nn.ModuleDict, source: torch.Tensor) -> torch.Tensor:
        return nets["a"](source)


def batch(images: int, seed: int = 0, size: int = 64) -> Batch:
    g = torch.Generator().manual_seed(seed)
    return {
        "source": torch.randn(images, 3, size, size, generator=g),
        "target": torch.randn(images, 3, size, size, generator=g),
    }


def halves(whole: Batch) -> list[Batch]:
    return [{"source": whole["source"][i::2], "target": whole["target"][i::2]} for i in range(2)]


def trained(method: object, batches: list[list[Batch]]) -> tuple[nn.ModuleDict, list[dict[str, float]]]:
    torch.manual_seed(0)
    nets = method.networks().train()
    optimizers = make_optimizers(method.players(), nets)
    logs = [{k: float(v) for k, v in train_step(method, nets, optimizers, micro, 0.0).items()} for micro in batches]
    return nets, logs


def test_a_player_never_receives_anothers_gradient() -> None:
    torch.manual_seed(0)
    method = Together()
    nets = method.networks()
    optimizers = make_optimizers(method.players(), nets)
    train_step(method, nets, optimizers, [batch(2)], 0.0)
    fake = nets["a"].weight.grad.clone()

    torch.manual_seed(0)
    alone = method.networks()
    (alone["a"](batch(2)["source"]) - batch(2)["target"]).square().mean().backward()
    assert torch.allclose(fake, alone["a"].weight.grad, atol=1e-7)


def test_micro_batches_equal_the_large_batch_when_players_move_together() -> None:
    whole = [batch(4, seed) for seed in range(3)]
    large, log_large = trained(Together(), [[b] for b in whole])
    small, log_small = trained(Together(), [halves(b) for b in whole])
    for a, b in zip(large.parameters(), small.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    assert log_small[0] == pytest.approx(log_large[0], abs=1e-5)


def test_micro_batches_of_a_gan_update_the_discriminator_like_the_large_batch() -> None:
    """The generator may lag by one discriminator update (see train_step); the discriminator may not."""
    method = Pix2pix(width=4, depth=3, discriminator_width=4, norm="instance", dropout=0.0)
    large, _ = trained(method, [[batch(4)]])
    small, _ = trained(method, [halves(batch(4))])
    for a, b in zip(large["discriminator"].parameters(), small["discriminator"].parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-6)  # Adam would blow up the rounding of gradients that are zero


def test_bf16_stays_close_to_fp32_and_leaves_parameters_in_fp32() -> None:
    method = dataclasses.replace(methods.load("pyramid_pix2pix"), width=8, blocks=1, discriminator_width=8, dropout=0.0)
    totals = []
    for bf16 in (False, True):
        torch.manual_seed(0)
        nets = method.networks().train()
        optimizers = make_optimizers(method.players(), nets)
        terms = [train_step(method, nets, optimizers, [batch(2, seed)], 0.0, bf16=bf16) for seed in range(3)]
        totals.append(float(sum(terms[-1].values())))
        assert all(p.dtype == torch.float32 for p in nets.parameters())
    assert totals[0] == pytest.approx(totals[1], rel=0.02) and totals[0] != totals[1]


@pytest.mark.parametrize(
    ("schedule", "progress", "expected"),
    [
        (Schedule(), 0.99, 1.0),
        (Schedule(decay_start=0.5), 0.5, 1.0),
        (Schedule(decay_start=0.5), 0.75, 0.5),
        (Schedule(decay_start=0.5), 1.0, 0.0),
        (Schedule(decay_start=0.5, floor=0.2), 1.0, 0.2),
        (Schedule(warmup=0.2), 0.1, 0.5),
        (Schedule(decay_start=0.0, shape="cosine"), 0.5, 0.5),
        (Schedule(decay_start=0.0, shape="cosine"), 0.25, 0.5 * (1 + 2**-0.5)),
    ],
)
def test_learning_rate_factor_by_hand(schedule: Schedule, progress: float, expected: float) -> None:
    assert factor(schedule, progress) == pytest.approx(expected)
