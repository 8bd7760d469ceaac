"""Less memory for more time: what a network computed is thrown away and computed again in the backward pass."""

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Buffers = list[tuple[nn.Module, str, Tensor]]


def recompute(nets: nn.ModuleDict) -> None:
    """Make every call of every network keep its input only; a flat sequence is cut into pieces that are kept one at a time.

    The second computation meets the random state and the buffers (running statistics, spectral norms, random features) of the
    first, and leaves no trace in them, so that training ends with the weights it would have ended with anyway.
    """
    for network in nets.values():
        blocks = [child for child in network if any(child.children())] if isinstance(network, nn.Sequential) else []
        for module in [*blocks, network]:
            _wrap(module)


def _wrap(module: nn.Module) -> None:
    forward = module.forward

    def twice(*inputs: Any, **named: Any) -> Any:
        if not module.training:
            return forward(*inputs, **named)
        return checkpoint(forward, *inputs, use_reentrant=False, context_fn=partial(_contexts, module), **named)

    module.forward = twice


def _contexts(module: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the first computation: remember the buffers; around the second: use those, then put today's back."""
    before = [(owner, name, tensor.clone()) for owner, name, tensor in _buffers(module)]
    return _Swapped([]), _Swapped(before)


class _Swapped(AbstractContextManager[None]):
    """Entered once or, where gradients are differentiated again, more often: these buffers inside, today's outside."""

    def __init__(self, buffers: Buffers) -> None:
        self.buffers = buffers
        self.today = list[list[Any]]()

    def __enter__(self) -> None:
        self.today.append([(owner, name, owner._buffers[name]) for owner, name, _ in self.buffers])
        _set(self.buffers)

    def __exit__(self, *error: object) -> None:
        _set(self.today.pop())


def _set(buffers: Any) -> None:
    for owner, name, tensor in buffers:
        owner._buffers[name] = tensor  # not copied in place: a graph may have kept the other one


def _buffers(module: nn.Module) -> Buffers:
    return [
        (owner, name, tensor) for owner in module.modules() for name, tensor in owner._buffers.items() if tensor is not None
    ]
