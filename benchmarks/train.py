"""A training step through the loop, beside the shortest hand-written loop with the same networks, losses and batches.

    python benchmarks/train.py            # PyramidPix2pix, 32 filters, 6 blocks, 128 px, batch 2
    python benchmarks/train.py --bf16     # bf16 against fp32 instead

Both sides train on the same batches in turn, a few steps of one, a few of the other, so that a noisy machine is noisy for both;
the ratio of the two medians is what to read. The loop's side includes the schedule, the moving average and the log.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console

from chromogen.data.pairs.batches import train_batches
from chromogen.data.pairs.sets import PhantomData
from chromogen.losses.reconstruction import octave_absolutes
from chromogen.methods import pyramid_pix2pix
from chromogen.phantom.tissue.phantom import Phantom
from chromogen.train.loop import Training, logbook
from chromogen.train.processes import Processes
from chromogen.train.run import Loop, Run
from chromogen.train.step import make_optimizers, train_step

METHOD = pyramid_pix2pix.VARIANTS["narrow"]
DATA = PhantomData(phantom=Phantom(size_px=128), train_pairs=16, validation_pairs=0)
RUN = Run(
    METHOD, DATA, Loop(steps=100_000, batch_size=2, log_every=20, save_every=10**9, validate_every=10**9, precision="fp32")
)


def hand_written(nets: torch.nn.ModuleDict) -> Callable[[dict], None]:
    """PyramidPix2pix's step with nothing around it."""
    g, d = nets["generator"], nets["discriminator"]
    adam_g, adam_d = (torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (g, d))

    def step(batch: dict) -> None:
        source, target = batch["source"], batch["target"]
        fake = g(source)
        adam_d.zero_grad()
        on_real = d(torch.cat([source, target], 1))
        on_fake = d(torch.cat([source, fake.detach()], 1))
        loss_d = F.binary_cross_entropy_with_logits(on_real, torch.ones_like(on_real))
        loss_d = loss_d + F.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))
        (0.5 * loss_d).backward()
        adam_d.step()
        d.requires_grad_(False)
        adam_g.zero_grad()
        on_fake = d(torch.cat([source, fake], 1))
        loss_g = F.binary_cross_entropy_with_logits(on_fake, torch.ones_like(on_fake)) + 25 * F.l1_loss(fake, target)
        loss_g = loss_g + 25 * sum(octave_absolutes(fake, target, 3))
        loss_g.backward()
        adam_g.step()
        d.requires_grad_(True)
        loss_g.item()

    return step


def alternate(sides: dict[str, Callable[[], None]], rounds: int, each: int) -> dict[str, float]:
    """Median seconds of `each` calls, sides taken in turn."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, call in sides.items():
            began = time.perf_counter()
            for _ in range(each):
                call()
            if number:  # the first round warms up
                times[name].append((time.perf_counter() - began) / each)
    return {name: statistics.median(values) for name, values in times.items()}


def loop_against_hand_written(rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        training = Training(RUN, Path(folder), Processes(0, 1, torch.device("cpu")), Console(quiet=True))
        batches = [micro[0] for micro in islice(training._batches(), 16)]  # decoded once, for both sides
        training._batches = lambda: ([batch] for batch in cycle(batches))
        plain = hand_written(METHOD.networks().train().to(memory_format=torch.channels_last))
        feed = cycle(batches)
        with logbook(training) as log:
            stepping = training.steps(log)

            def with_log() -> None:
                if next(stepping) % RUN.loop.log_every == 0:
                    training.write_log(log)

            return alternate({"hand-written": lambda: plain(next(feed)), "chromogen": with_log}, rounds, each=4)


def bf16_against_fp32(rounds: int) -> dict[str, float]:
    sides = {}
    batch = next(train_batches(DATA, RUN.loop.batch_size, seed=0, first_step=0, steps=1))
    for name, bf16 in (("fp32", False), ("bf16", True)):
        nets = METHOD.networks().train().to(memory_format=torch.channels_last)
        optimizers = make_optimizers(METHOD.players(), nets)
        sides[name] = partial(train_step, METHOD, nets, optimizers, [batch], 0.0, bf16=bf16)
    return alternate(sides, rounds, each=4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--rounds", type=int, default=8)
    choice = parser.parse_args()
    torch.manual_seed(0)
    found = bf16_against_fp32(choice.rounds) if choice.bf16 else loop_against_hand_written(choice.rounds)
    first, second = found
    print(f"{first}: {found[first]:.4f} s a step; {second}: {found[second]:.4f} s; ratio {found[second] / found[first]:.3f}")


if __name__ == "__main__":
    main()
