import pytest
import torch
from torch import nn

from chromogen import methods
from chromogen.train.recompute import recompute
from chromogen.train.step import make_optimizers, train_step
from tests.methods.test_contract import batch, small


def end_of_two_steps(name: str, again: bool) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    method = small(name)
    nets = method.networks().train()
    if again:
        recompute(nets)
    optimizers = make_optimizers(method.players(), nets)
    for number in range(2):
        train_step(method, nets, optimizers, [batch(number)], number / 2)
    return {key: value.clone() for key, value in nets.state_dict().items()}


@pytest.mark.parametrize("name", methods.available("staining"))
def test_recomputing_changes_no_weight_and_no_statistic(name: str) -> None:
    """Dropout, running statistics, spectral norms and random features must meet the same state the second time."""
    plain, again = end_of_two_steps(name, False), end_of_two_steps(name, True)
    assert plain.keys() == again.keys()
    worst = {key: float((plain[key].double() - again[key].double()).abs().max()) for key in plain if plain[key].numel()}
    assert max(worst.values()) < 1e-6, max(worst, key=worst.__getitem__)


def test_it_keeps_less() -> None:
    """Bytes that autograd holds between the two passes."""
    kept = []
    for again in (False, True):
        torch.manual_seed(0)
        nets = nn.ModuleDict(
            {"net": nn.Sequential(*[nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()) for _ in range(8)])}
        )
        if again:
            recompute(nets)
        sizes = list[int]()

        def pack(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            nets["net"](torch.rand(1, 8, 32, 32, requires_grad=True))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 3
