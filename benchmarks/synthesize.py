"""How fast labelled multimodal cases are made: `python benchmarks/synthesize.py [--width 16] [--side 240]`.

A chain of untrained networks at full size draws line maps from noise, reads their organ, and renders four modalities in
register, in bf16, all of it as `chromogen synthesize` calls it, and beside it the same networks one case and one modality at a
time in float32, as the author's code does; rows in turn, several rounds, the fastest counts. A set is one case: four images.

`--memory RUN` makes sets of 25 and 100 cases of a trained chain with `chromogen synthesize`, each in a process, and prints
the highest resident memory of both and the time a case takes with everything: filters, labels, reading, audit, export.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from chromogen.methods.organ_reader import OrganReader
from chromogen.methods.renderer import Renderer
from chromogen.methods.structure_sampler import StructureSampler
from chromogen.nets.line_codec import resized
from chromogen.nets.modality_unet import ModalityUNet

MODALITIES, BATCH, ROUNDS = 4, 8, 5


class Drawer:
    """Untrained networks; what they draw is worth nothing, and takes as long as if it were."""

    def __init__(self, side: int, width: int, latents: int) -> None:
        torch.manual_seed(0)
        self.side = side
        self.sampler = StructureSampler(size_px=256 if side == 240 else side, latents=latents, width=width, critic_width=width)
        self.organ = OrganReader(width=max(8, width // 2))
        self.renderer = Renderer(modalities=MODALITIES, width=width, critic_width=width)
        self.nets = nn.ModuleDict()
        for method in (self.sampler, self.organ, self.renderer):
            for name, net in method.networks().items():
                self.nets[name] = net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def label(self, count: int) -> torch.Tensor:
        planes = torch.zeros(count, 2, self.side, self.side)
        planes[:, 1, self.side // 3 : self.side // 2, self.side // 3 : self.side // 2] = 1
        planes[:, 0] = 1 - planes[:, 1]
        return planes

    @torch.inference_mode()
    def ours(self, generator: torch.Generator) -> torch.Tensor:
        """A batch, in bf16."""
        with torch.autocast("cpu", torch.bfloat16):
            drawn, _ = self.sampler.sample_lines(self.nets, BATCH, generator)
            lines = (resized(drawn, self.side, self.side) > 0.5).float()
            organ = (self.nets["organ"](lines) > 0.5).float()
            return self.renderer.render(self.nets, lines, organ, self.label(BATCH), generator)

    @torch.inference_mode()
    def plain(self, generator: torch.Generator) -> torch.Tensor:
        """One case and one modality at a time, in float32."""
        made = []
        for _ in range(BATCH):
            drawn, _ = self.sampler.sample_lines(self.nets, 1, generator)
            lines = (resized(drawn, self.side, self.side) > 0.5).float()
            organ = (self.nets["organ"](lines) > 0.5).float()
            noise = 0.5 + 0.1 * torch.rand(lines.shape, generator=generator)
            told = torch.cat([lines + noise * organ * (1 - lines), self.label(1)], dim=1)
            made.append(torch.stack([ModalityUNet.forward(self.nets["renderer"], told, i) for i in range(MODALITIES)], dim=1))
        return torch.cat(made)


def fastest(rows: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each row, the fastest of the rounds after one to warm up."""
    best = dict.fromkeys(rows, float("inf"))
    for number in range(ROUNDS + 1):
        for name, row in rows.items():
            began = time.perf_counter()
            row()
            if number:
                best[name] = min(best[name], time.perf_counter() - began)
    return best


def speed(side: int, widths: list[int]) -> None:
    print(f"{side} px, {MODALITIES} modalities, batches of {BATCH}, {torch.get_num_threads()} threads\n")
    print("| width | ours, bf16: sets/s | one by one, float32: sets/s | times as fast |")
    print("|---:|---:|---:|---:|")
    for width in widths:
        drawer = Drawer(side, width, 256)
        generator = torch.Generator().manual_seed(0)
        found = fastest({"ours": lambda: drawer.ours(generator), "plain": lambda: drawer.plain(generator)})  # noqa: B023
        ours, plain = BATCH / found["ours"], BATCH / found["plain"]
        print(f"| {width} | {ours:.1f} | {plain:.1f} | {ours / plain:.1f} |")


def memory(run: Path) -> None:
    print("| cases | s/case | highest resident memory |")
    print("|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as scratch:
        for count in (25, 100):
            began = time.perf_counter()
            out = str(Path(scratch) / str(count))
            command = [sys.executable, "-m", "chromogen", "synthesize", "--model", str(run), "-n", str(count), "--out", out]
            watched = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
            watched += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
            said = subprocess.run([sys.executable, "-c", watched, *command], check=True, capture_output=True, text=True)
            taken = time.perf_counter() - began
            print(f"| {count} | {taken / count:.2f} | {int(said.stdout) / 2**20:.2f} GB |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=240)
    parser.add_argument("--width", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--memory", type=Path)
    given = parser.parse_args()
    if given.memory:
        memory(given.memory)
    else:
        speed(given.side, given.width)


if __name__ == "__main__":
    main()
