"""The heart of training: one step of any method, and the only loop that takes step after step."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import count

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from chromogen.method import Player, Trainable, Update
from chromogen.tensors import AnyBatch
from chromogen.train.grain import grained
from chromogen.train.schedule import factor

Average = Callable[[Iterable[Tensor]], None]


def make_optimizers(players: Mapping[str, Player], nets: nn.ModuleDict) -> dict[str, Optimizer]:
    """One Adam (or AdamW) a player, over all the networks it owns."""
    made: dict[str, Optimizer] = {}
    for name, player in players.items():
        parameters = [p for network in player.networks for p in nets[network].parameters()]
        kind = torch.optim.AdamW if player.optimizer.decoupled else torch.optim.Adam
        o = player.optimizer
        made[name] = kind(parameters, lr=o.lr, betas=o.betas, weight_decay=o.weight_decay)
    return made


def steps_taken(
    method: Trainable,
    nets: nn.ModuleDict,
    optimizers: Mapping[str, Optimizer],
    batches: Iterable[Sequence[AnyBatch]],
    done: int,
    total: int,
    average: Average = lambda gradients: None,
    bf16: bool = False,
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """The only loop: a step for each list of micro-batches, from step `done` of `total` on, at the rates of the schedules.

    Gives the number of steps done and the step's terms, and goes on when asked for the next.
    """
    players = method.players()
    for step, micro_batches in enumerate(batches, start=done):
        for name, optimizer in optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = players[name].optimizer.lr * factor(players[name].schedule, step / total)
        yield step + 1, train_step(method, nets, optimizers, micro_batches, step / total, average, bf16)


def train_step(
    method: Trainable,
    nets: nn.ModuleDict,
    optimizers: Mapping[str, Optimizer],
    batches: Sequence[AnyBatch],
    progress: float,
    average: Average = lambda gradients: None,
    bf16: bool = False,
) -> dict[str, Tensor]:
    """Run one step; after each `yield` of the method, update the players it names. Returns every term, averaged over `batches`.

    Several batches are micro-batches whose gradients are averaged. To keep only one of them in memory at a time, all but the
    last see the networks as they were when the step began; with one batch the order of updates is exactly the method's.
    `average` replaces gradients by their mean over processes. The arithmetic runs in bfloat16 where PyTorch's autocast
    deems it safe if `bf16`; parameters, gradients and optimisers stay float32. Blank images get a grain (`grained`).
    """
    share = 1 / len(batches)
    device = next(tensor.device.type for tensor in batches[0].values() if isinstance(tensor, Tensor))
    terms: dict[str, Tensor] = {}
    held: dict[tuple[int, str], list[Tensor]] = {}
    for number, batch in enumerate(batches, start=1):
        updates = method.step(nets, grained(batch), progress)
        seen: dict[str, Tensor] = {}
        for place in count():
            with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
                update = next(updates, None)
            if update is None:
                break
            seen |= _backward(update, optimizers, share)
            for player in update:
                _add_held(held.get((place, player), []), _parameters(optimizers[player]))
                if number < len(batches):
                    held[place, player] = [_gradient(p).clone() for p in _parameters(optimizers[player])]
                else:
                    average(p.grad for p in _parameters(optimizers[player]) if p.grad is not None)
            if number == len(batches):
                for player in update:
                    optimizers[player].step()
        terms = {term: terms.get(term, 0) + share * value for term, value in seen.items()}
    return terms


def _backward(update: Update, optimizers: Mapping[str, Optimizer], share: float) -> dict[str, Tensor]:
    """Gradients of each named player's own losses with respect to its own parameters, and nobody else's; the terms."""
    last = list(update)[-1]
    for player, losses in update.items():
        optimizers[player].zero_grad()
        total = share * torch.stack([loss.float() for loss in losses.values()]).sum()
        # `inputs=` leaves the other players' gradients untouched: no freezing and thawing
        total.backward(inputs=_parameters(optimizers[player]), retain_graph=player != last)
    return {f"{player}/{term}": loss.detach() for player, losses in update.items() for term, loss in losses.items()}


def _add_held(held: list[Tensor], parameters: list[Tensor]) -> None:
    """Add what earlier micro-batches left at the same yield to the gradients."""
    for parameter, before in zip(parameters, held, strict=False):
        parameter.grad = _gradient(parameter) + before


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]
