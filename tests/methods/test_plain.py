"""Every preset against one step written by hand, without the contract, the loop or our losses (benchmarks/plain)."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from chromogen import methods
from chromogen.train.step import make_optimizers, train_step
from tests.methods.test_contract import batch, small

PLAIN = Path(__file__).parents[2] / "benchmarks" / "plain"
STAGES = (0.0, 0.1, 0.45, 0.9)  # of a run: what changes with progress must change alike


def plain(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"plain_{name}", PLAIN / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", methods.available("staining"))
def test_equals_a_step_written_by_hand(name: str) -> None:
    """From the same weights and random state, both end with the same weights after four steps."""
    written = plain(name)
    method = small(name)
    ends = []
    for by_hand in (False, True):
        torch.manual_seed(4)  # with some seeds a value within rounding of a kink falls on either side of it, and the ends part
        nets = method.networks().train()
        optimizers = make_optimizers(method.players(), nets)
        for number, progress in enumerate(STAGES):
            torch.manual_seed(number)
            if by_hand:
                written.step(nets, optimizers, batch(number), method, progress)
            else:
                train_step(method, nets, optimizers, [batch(number)], progress)
        ends.append({key: value.clone() for key, value in nets.state_dict().items()})
    moved = 0
    for key, value in ends[0].items():
        # Adam divides by the size of the gradient: where that is all but nil, rounding decides a step of one learning rate
        close = torch.isclose(value.float(), ends[1][key].float(), rtol=1e-3, atol=2e-5)
        assert float(close.float().mean()) > 0.99, f"{key}: {float((value - ends[1][key]).abs().max())}"
        moved += value.numel()
    assert moved > 100
