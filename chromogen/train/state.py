"""What a training is at one step, as tensors: saved whole, restored exactly."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from chromogen.checkpoint import fit_or_explain, read_tensors, write_tensors
from chromogen.train.processes import Processes

KIND = "training state"


@dataclass
class State:
    """Networks, their moving average, the optimisers, and where the run stands."""

    nets: nn.ModuleDict
    optimizers: dict[str, Optimizer]
    average: nn.ModuleDict | None
    step: int = 0  # steps done
    best: float | None = None  # value of the selection rule at best.safetensors
    random: dict[str, Tensor] = field(default_factory=dict)  # this process's random states to continue with, by device

    def translating(self) -> nn.ModuleDict:
        """The networks that translate: the moving average where there is one."""
        return self.nets if self.average is None else self.average


def save(state: State, path: Path, processes: Processes, belongs_to: dict[str, Any]) -> None:
    """Write the state; every process must call, since each has a random state of its own. `belongs_to` joins the header."""
    device = processes.device
    randoms = {"cpu": processes.gather(torch.get_rng_state().to(device))}
    if device.type == "cuda":
        randoms["cuda"] = processes.gather(torch.cuda.get_rng_state(device).to(device))
    if not processes.first:
        return
    tensors: dict[str, Tensor] = {f"nets/{key}": value for key, value in state.nets.state_dict().items()}
    if state.average is not None:
        tensors |= {f"average/{key}": value for key, value in state.average.state_dict().items()}
    for player, optimizer in state.optimizers.items():
        for index, slots in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{player}/{index}/{slot}": torch.as_tensor(value) for slot, value in slots.items()}
    tensors |= {f"random/{kind}/{rank}": value for kind, found in randoms.items() for rank, value in enumerate(found)}
    where = {"device": device.type, "processes": processes.world}
    write_tensors(path, tensors, {"kind": KIND, "step": state.step, "best": state.best, **where, **belongs_to})


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header ("step", "best", and "run", the fields of the run it belongs to) and tensors of a saved state."""
    header, tensors = read_tensors(path)
    if header.get("kind") != KIND or not {"step", "best", "device", "processes", "run", "ancestor"} <= header.keys():
        raise ValueError(
            f"{path} holds a {header.get('kind')}, not a training state; --resume needs the run folder it was made in"
        )
    return header, tensors


def restore(state: State, path: Path, header: dict[str, Any], tensors: dict[str, Tensor], processes: Processes) -> None:
    """Fill `state` in place with what `read` gave; `path` is for error messages."""
    for what, saved, now in (
        ("on", header["device"], processes.device.type),
        ("by processes:", header["processes"], processes.world),
    ):
        if saved != now:
            raise ValueError(
                f"{path} was saved {what} {saved} and cannot be resumed {what} {now} to the same end; start it as before"
            )
    _restore(state.nets, _part(tensors, "nets/"), path)
    if state.average is not None:
        _restore(state.average, _part(tensors, "average/"), path)
    for player, optimizer in state.optimizers.items():
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, f"optimizer/{player}/").items():
            index, _, slot = key.partition("/")
            slots.setdefault(int(index), {})[slot] = value
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
        for parameter, loaded in optimizer.state.items():  # beside weights in another memory order, Adam is slow
            loaded |= {slot: torch.empty_like(parameter).copy_(v) for slot, v in loaded.items() if v.shape == parameter.shape}
    state.random = {kind: tensors[f"random/{kind}/{processes.rank}"].cpu() for kind in {"cpu", processes.device.type}}
    state.step, state.best = int(header["step"]), header["best"]


def continue_random(state: State, processes: Processes) -> None:
    """Set the global random state to the saved one. Call last: building networks draws from it."""
    if "cpu" in state.random:
        torch.set_rng_state(state.random["cpu"])
    if "cuda" in state.random:
        torch.cuda.set_rng_state(state.random["cuda"], processes.device)


def _restore(nets: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    fit_or_explain(nets, weights, path)
    nets.load_state_dict(weights)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
