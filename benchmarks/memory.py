"""Training memory of every method at full width, counted, not measured: no GPU is needed.

    python benchmarks/memory.py [--size-px 1024] [--methods NAME ...]

One training step (batch 1) runs on fake tensors, which have sizes but no values. Every storage that is alive counts: weights,
gradients, Adam's moments, activations and what an operation makes on the way. A GPU adds its own workspaces (cuDNN, a few
hundred MiB) and fragmentation. Recompute: as with --loop.recompute.
"""

import argparse
import weakref

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from chromogen import methods
from chromogen.train.recompute import recompute
from chromogen.train.step import make_optimizers, train_step


class Counted(TorchDispatchMode):
    """Bytes of all storages that operations made and that are still alive, now and at the most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor):
                self.count(leaf)
        return made

    def count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.known:
            return
        size = storage.nbytes()
        self.known.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self.freed, key, size)

    def freed(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def step_gib(name: str, size_px: int, bf16: bool, again: bool) -> float:
    """GiB alive at the worst moment of the second training step."""
    method = methods.load(name)
    with FakeTensorMode(allow_non_fake_inputs=True):
        nets = method.networks().train()
        if again:
            recompute(nets)
        optimizers = make_optimizers(method.players(), nets)
        batch = {
            "source": torch.rand(1, 3, size_px, size_px),
            "target": torch.rand(1, 3, size_px, size_px),
            "level": torch.zeros(1, dtype=torch.int64),
            "index": torch.zeros(1, dtype=torch.int64),
        }
        with Counted() as counted:
            for tensor in [*nets.parameters(), *nets.buffers()]:
                counted.count(tensor)
            for progress in (0.0, 0.9):
                train_step(method, nets, optimizers, [batch], progress, bf16=bf16)
    return counted.most / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-px", type=int, default=1024)
    parser.add_argument("--methods", nargs="*", default=methods.available("staining"))
    chosen = parser.parse_args()
    print(f"GiB of one training step, batch 1 of {chosen.size_px} px, full width, counted\n")
    print("| method | fp32 | bf16 | fp32, recompute | bf16, recompute |\n|---|---:|---:|---:|---:|")
    for name in chosen.methods:
        cells = []
        for again in (False, True):
            for bf16 in (False, True):
                cells.append(f"{step_gib(name, chosen.size_px, bf16, again):.1f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
