"""Whether weights are those of a method's networks, by names and shapes alone, and the copy of them under our names."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from chromogen.published import Made, Reading, Shapes

Take = str | Made


@dataclass(frozen=True)
class Fit:
    """What becomes of one state dict. `problems` are empty when it is exactly a network of the method."""

    method: Any
    nets: nn.ModuleDict  # on "meta": no memory was given to what a file only claims
    takes: dict[str, Take]
    constants: dict[str, Tensor]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def fitted(reading: Reading, shapes: Shapes) -> Fit:
    """Hold the names and shapes of a state dict against the released networks of the method that it tells of."""
    with torch.device("meta"):
        fresh = reading.method.networks()
    nets = nn.ModuleDict({name: fresh[name] for name in reading.method.released})
    takes: dict[str, Take] = {}
    problems: list[str] = []
    uncounted = 0
    for ours, empty in nets.state_dict().items():
        take = _take(ours, empty, reading, shapes, nets)
        if take is None:
            problems.append(f"{_theirs(ours, reading) or ours} is missing")
            continue
        takes[ours] = take
        uncounted += ours.endswith("num_batches_tracked") and isinstance(take, Made)
        if isinstance(take, str) and shapes[take] != tuple(empty.shape):
            problems.append(f"{take} is {_size(shapes[take])} where {_size(empty.shape)} was expected")
    used = {name for take in takes.values() for name in ((take,) if isinstance(take, str) else take.names)}
    constants = {name: value for name, value in reading.constants.items() if name in shapes}
    spectral = {f"{name.removesuffix('orig')}{last}" for name in used if name.endswith("weight_orig") for last in "uv"}
    spectral |= {name.removesuffix("_orig") for name in used if name.endswith("weight_orig")}  # PyTorch before 1.0 kept it too,
    spectral |= {f"{name}_{last}" for name in used if name.endswith(".weight") for last in ("orig", "u", "v")}  # without a v
    left = [name for name in shapes if name not in used | constants.keys() | reading.idle | spectral]
    problems += [f"{name} {_size(shapes[name])} has no place in it" for name in left]
    notes = reading.notes
    if uncounted:
        notes += ("The counters of its batch norms are missing, and are 0.",)
    if any(isinstance(take, Made) and take.names and take.names[0].endswith("weight_orig") for take in takes.values()):
        notes += ("Spectral norm is worked into its weights.",)
    return Fit(reading.method, nets, takes, constants, tuple(problems), notes)


def converted(fit: Fit, tensor: Callable[[str], Tensor]) -> nn.ModuleDict:
    """The networks with their weights, in evaluation mode; ValueError for values that cannot be. `tensor` reads one by name."""
    for name, expected in fit.constants.items():
        found = tensor(name)
        if found.shape[1:] != expected.shape[1:] or not torch.allclose(found, expected.expand_as(found), atol=1e-6):
            raise ValueError(f"{name} is another filter than the published one, so the picture would be another")
    weights = {}
    for ours, take in fit.takes.items():
        value = tensor(take) if isinstance(take, str) else take.make(*(tensor(name) for name in take.names))
        if not bool(torch.isfinite(value).all()):
            named = take if isinstance(take, str) else ", ".join(take.names) or ours
            raise ValueError(f"{named} holds values that are not finite; its training failed")
        weights[ours] = value.contiguous()
    shapes = {ours: tuple(value.shape) for ours, value in fit.nets.state_dict().items()}
    for ours, value in weights.items():
        if tuple(value.shape) != shapes[ours]:
            raise ValueError(f"{ours} would be {_size(value.shape)} where {_size(shapes[ours])} is expected")
    fit.nets.load_state_dict(weights, assign=True)
    return fit.nets.eval().requires_grad_(False)


def folded(outputs: int, weight: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """A weight under spectral norm as it is used in evaluation; `outputs` is the dimension that counts output channels."""
    matrix = weight.transpose(0, outputs).flatten(1)
    return weight / (left @ (matrix @ right))


def _theirs(ours: str, reading: Reading) -> str | None:
    """Their name of a weight of ours, where both have it."""
    for spectral, first in (("original", "orig"), ("0.u", "u"), ("0.v", "v")):
        ending = f".parametrizations.weight.{spectral}"
        if ours.endswith(ending):
            module = reading.modules.get(ours.removesuffix(ending))
            return None if module is None else f"{module}.weight_{first}"
    module, _, last = ours.rpartition(".")
    theirs = reading.modules.get(module)
    return None if theirs is None else f"{theirs}.{last}"


def _take(ours: str, empty: Tensor, reading: Reading, shapes: Shapes, nets: nn.ModuleDict) -> Take | None:
    """Where a weight of ours comes from; None when it does not."""
    if ours in reading.made:
        made = reading.made[ours]
        return made if all(name in shapes for name in made.names) else None
    theirs = _theirs(ours, reading)
    if theirs is None or theirs in shapes:
        return theirs
    if ours.endswith("num_batches_tracked"):
        return Made((), partial(torch.zeros, (), dtype=torch.int64))
    if ours.endswith(".bias") and reading.zero_biases:
        return Made((), partial(torch.zeros, tuple(empty.shape)))
    stored = [f"{theirs}_{last}" for last in ("orig", "u", "v")]
    if ours.endswith(".weight") and all(name in shapes for name in stored) and shapes[stored[0]] == tuple(empty.shape):
        transposed = isinstance(nets.get_submodule(ours.rpartition(".")[0]), nn.ConvTranspose2d)
        return Made(tuple(stored), partial(folded, 1 if transposed else 0))
    return None


def _size(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "one number"
