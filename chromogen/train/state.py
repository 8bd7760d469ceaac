"""What a training is at one step, as tensors: saved whole, restored exactly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from chromogen.checkpoint import fit_or_explain, read_tensors, write_tensors
from chromogen.train.processes import Processes


@dataclass
class State:
    """Networks, their moving average, the optimisers, and where the run stands."""

    nets: nn.ModuleDict
    optimizers: dict[str, Optimizer]
    average: nn.ModuleDict | None
    step: int = 0  # steps done
    best: float | None = None  # value of the selection rule at best.safetensors
    random: Tensor | None = None  # this process's random state to continue with, set by `restore`

    def translating(self) -> nn.ModuleDict:
        """The networks that translate: the moving average where there is one."""
        return self.nets if self.average is None else self.average


def save(state: State, path: Path, processes: Processes, fields: dict[str, Any]) -> None:
    """Write the state; every process must call, since each has a random state of its own. `fields` is the run it belongs to."""
    device = processes.device
    generator = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    randoms = processes.gather(generator.to(device))
    if not processes.first:
        return
    tensors: dict[str, Tensor] = {f"nets/{key}": value for key, value in state.nets.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average/{key}": value for key, value in state.average.state_dict().items()}
    for player, optimizer in state.optimizers.items():
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{player}/{index}/{slot}": torch.as_tensor(value) for slot, value in slots.items()}
    tensors |= {f"random/{rank}": value for rank, value in enumerate(randoms)}
    write_tensors(path, tensors, {"kind": "training state", "step": state.step, "best": state.best, "run": fields})


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header ("step", "best", and "run", the fields of the run it belongs to) and tensors of a saved state."""
    header, tensors = read_tensors(path)
    if header.get("kind") != "training state":
        raise ValueError(
            f"{path} holds a {header.get('kind')}, not a training state; --resume needs the run folder it was made in"
        )
    return header, tensors


def restore(state: State, path: Path, header: dict[str, Any], tensors: dict[str, Tensor], processes: Processes) -> None:
    """Fill `state` in place with what `read` gave; `path` is for error messages."""
    _restore(state.nets, _part(tensors, "nets/"), path)
    if state.average is not None:
        _restore(state.average, _part(tensors, "average/"), path)
    for player, optimizer in state.optimizers.items():
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, f"optimizer/{player}/").items():
            index, _, slot = key.partition("/")
            slots.setdefault(int(index), {})[slot] = value
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    randoms = _part(tensors, "random/")
    if len(randoms) != processes.world:
        raise ValueError(
            f"{path} was saved by {len(randoms)} processes and is resumed by {processes.world}; start the same number"
        )
    state.random = randoms[str(processes.rank)]
    state.step, state.best = int(header["step"]), header["best"]


def continue_random(state: State, processes: Processes) -> None:
    """Set the global random state to the saved one. Call last: building networks draws from it."""
    if state.random is None:
        return
    if processes.device.type == "cuda":
        torch.cuda.set_rng_state(state.random.cpu(), processes.device)
    else:
        torch.set_rng_state(state.random.cpu())


def _restore(nets: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    fit_or_explain(nets, weights, path)
    nets.load_state_dict(weights)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
