"""How fast and how big translating is: `python benchmarks/translate.py speed` and `python benchmarks/translate.py memory`.

speed: one image through ResNet-9 the way `chromogen translate` does it, against the plain eager float32 network between the
same uint8 arrays. The ratio is the median of the ratios of alternating runs, because a shared machine drifts.

memory (Linux): the peak of resident memory above the loaded model while an array is stained, input and output included. A
smaller --height measures the same bands of tiles in less time, and the missing rows are added at 6 bytes a pixel.
"""

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from chromogen.checkpoint import Card, Model
from chromogen.infer.precision import Precision, prepare, probe
from chromogen.infer.stainer import Stainer
from chromogen.infer.tiles import plan
from chromogen.methods.pyramid_pix2pix import PyramidPix2pix
from chromogen.tensors import Uint8Image, signed_from_uint8, uint8_from_signed


@dataclass(frozen=True)
class Setting:
    """Which network, in which form."""

    width: int = 64
    blocks: int = 9
    precision: Precision = "auto"
    tile_px: int = 1024

    def stainer(self) -> Stainer:
        torch.manual_seed(0)
        method = PyramidPix2pix(width=self.width, blocks=self.blocks)
        nets = method.networks().eval().requires_grad_(False)
        prepared = prepare(method, nets, "cpu", self.precision)
        print(f"ResNet-{self.blocks}, {self.width} filters, {prepared.precision} ({prepared.why})")
        return Stainer(Model("untrained", method, nets, Card(), ""), prepared, self.tile_px)


@dataclass(frozen=True)
class Speed(Setting):
    """Translation of one image against eager float32."""

    size: int = 1024
    runs: int = 5

    def measure(self) -> None:
        stainer, image = self.stainer(), probe(self.size, self.size)

        def eager(he: Uint8Image) -> Uint8Image:
            with torch.inference_mode():
                return uint8_from_signed(stainer.model.method.translate(stainer.model.nets, signed_from_uint8(he)))[0]

        error = np.abs(eager(image).astype(int) - stainer(image)).mean()  # and both are warm now
        pairs = [(_seconds(eager, image), _seconds(stainer, image)) for _ in range(self.runs)]
        ratio = statistics.median(slow / quick for slow, quick in pairs)
        slow, quick = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(f"{self.size} px, {torch.get_num_threads()} threads: eager fp32 {slow:.2f} s, chromogen {quick:.2f} s")
        print(f"{ratio:.2f} times as fast (median of {self.runs}); mean absolute difference {error:.3f} grey levels")


@dataclass(frozen=True)
class Memory(Setting):
    """Peak memory of staining one large image."""

    size: int = 10_000
    height: int = 10_000

    def measure(self) -> None:
        stainer = self.stainer()
        loaded = _resident_bytes()
        image = np.tile(probe(self.height, 500), (1, -(-self.size // 500), 1))[:, : self.size].copy()
        grid = plan(self.height, self.size, stainer.prepared.method.tiling, self.tile_px)
        seconds = _seconds(stainer, image)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - loaded
        missing = 6 * (self.size - self.height) * self.size
        print(f"{self.height} x {self.size} px, {len(grid.rows)} x {len(grid.columns)} tiles in {seconds:.0f} s")
        print(f"loaded model {loaded / 1e9:.2f} GB; above it {(peak + missing) / 1e9:.2f} GB for {self.size} x {self.size} px")


def _seconds(work: Callable[[Uint8Image], Uint8Image], image: Uint8Image) -> float:
    start = time.perf_counter()
    work(image)
    return time.perf_counter() - start


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    tyro.cli(Annotated[Speed, tyro.conf.subcommand("speed")] | Annotated[Memory, tyro.conf.subcommand("memory")]).measure()
