"""Every method's training step beside the shortest hand-written one (benchmarks/plain), on the same batches.

    python benchmarks/systems.py [--narrow 4] [--crop-px 128] [--batch-size 2] [--rounds 15] [--methods NAME ...]

Ours and plain take turns in one process; what is printed is the median of the ratios of neighbours, which noise of the machine
hits alike. Both include the optimisers' steps; neither reads data. The plain steps use PyTorch alone for the losses.
"""

import argparse
import importlib.util
import time
from pathlib import Path
from statistics import median

import torch

from chromogen import methods
from chromogen.train.step import make_optimizers, train_step

PLAIN = Path(__file__).parent / "plain"


def plain_step(name: str):
    spec = importlib.util.spec_from_file_location(f"plain_{name}", PLAIN / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.step


def compared(name: str, narrow: int, crop_px: int, batch_size: int, rounds: int, device: str) -> tuple[float, float]:
    """Seconds of our step, and the median ratio of ours to the plain one."""
    method = methods.narrowed(methods.load(name), narrow, crop_px)
    torch.manual_seed(0)
    nets = method.networks().to(device).train()
    optimizers = make_optimizers(method.players(), nets)
    images = [torch.rand(batch_size, 3, crop_px, crop_px, device=device) * 2 - 1 for _ in range(2)]
    numbers = torch.arange(batch_size, device=device)
    batch = {"source": images[0], "target": images[1], "level": numbers % 4, "index": numbers}
    by_hand = plain_step(name)
    found = {"ours": [], "plain": []}
    for number in range(2 + rounds):
        order = ("ours", "plain") if number % 2 else ("plain", "ours")
        for which in order:
            if device != "cpu":
                torch.cuda.synchronize()
            since = time.perf_counter()
            if which == "ours":
                train_step(method, nets, optimizers, [batch], 0.5)
            else:
                by_hand(nets, optimizers, batch, method, 0.5)
                nets.requires_grad_(True)
            if device != "cpu":
                torch.cuda.synchronize()
            if number >= 2:
                found[which].append(time.perf_counter() - since)
    return median(found["ours"]), median(a / b for a, b in zip(found["ours"], found["plain"], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--narrow", type=int, default=4)
    parser.add_argument("--crop-px", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--methods", nargs="*", default=methods.available("staining"))
    chosen = parser.parse_args()
    print(f"fp32, batch {chosen.batch_size} of {chosen.crop_px} px, widths / {chosen.narrow}, {chosen.device}\n")
    print("| method | s/step | ours / plain |\n|---|---:|---:|")
    for name in chosen.methods:
        seconds, ratio = compared(name, chosen.narrow, chosen.crop_px, chosen.batch_size, chosen.rounds, chosen.device)
        print(f"| {name} | {seconds:.3f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
