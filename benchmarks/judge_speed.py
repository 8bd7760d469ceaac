"""How long the judge takes beside a loop over scikit-image, and how much memory: `python benchmarks/judge_speed.py`.

Phantom pairs of 1024 px as PNG files: eight different ones, the rest copies of their files, so that every file is decoded. A
prediction is its target some pixels aside, a little blurred. Each row is a program of two processes that runs on a quarter of
the pairs and on all of them, rows in turn, several rounds; the fastest counts. Seconds a pair are processor time of all its
processes (other work on the machine hardly counts), the difference of the two runs over that of the pairs, so that starting is
in none of them. How long 977 pairs (the BCI test set) take on two free cores is a projection: 977 times half of that. Memory is
the highest resident memory of each process, summed (pages that they share count in each): what all need when they are at their
highest at once, which the more images there are the sooner happens. A quarter of the pairs / all.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from chromogen.data.images import read_image
from chromogen.evaluate.pixels.protocols import measure
from chromogen.judge.folder import ALONE
from chromogen.levels import LEVELS
from chromogen.phantom.tissue.phantom import Phantom, draw

SIDE_PX = 1024
DIFFERENT = 8
BCI_PAIRS = 977
PROCESSES = 2
PLAIN = "scikit-image: read, PSNR, SSIM"

Scored = Callable[[Path, Path], object]


def by_scikit_image(prediction: Path, target: Path) -> list[float]:
    """What anyone would write."""
    made, real = (np.asarray(Image.open(path)) for path in (prediction, target))
    return compared(made, real)


def by_scikit_image_with_controls(prediction: Path, target: Path) -> list[float]:
    """The same, and for the two controls that are made from the target."""
    made, real = (np.asarray(Image.open(path)) for path in (prediction, target))
    constant = np.broadcast_to(np.rint(real.mean(axis=(0, 1))).astype(np.uint8), real.shape)
    blurred = np.rint(ndimage.gaussian_filter(real.astype(np.float32), (4, 4, 0))).astype(np.uint8)
    return [value for image in (made, constant, blurred) for value in compared(image, real)]


def compared(made: np.ndarray, real: np.ndarray) -> list[float]:
    return [
        peak_signal_noise_ratio(real, made, data_range=255),
        structural_similarity(real, made, channel_axis=2, data_range=255),
    ]


def by_profile(prediction: Path, target: Path) -> dict[str, float]:
    return measure(read_image(prediction), read_image(target), "bci2022")


LOOPS: dict[str, Scored] = {
    "plain": by_scikit_image,
    "with-controls": by_scikit_image_with_controls,
    "profile": by_profile,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--loop", choices=LOOPS, help="for the program itself: score a folder by this loop")
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if not chosen.loop and chosen.pairs // 4 <= ALONE:
        parser.error(f"a quarter of the pairs must be more than {ALONE}, which are scored without a second process")
    os.environ["OMP_NUM_THREADS"] = "1"
    if chosen.loop:
        looped(LOOPS[chosen.loop], chosen.folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        sizes = (chosen.pairs // 4, chosen.pairs)
        folders = [Path(scratch) / f"{pairs}" for pairs in sizes]
        for folder, pairs in zip(folders, sizes, strict=True):
            write_pairs(folder, pairs)
        found: dict[tuple[str, Path], list[tuple[float, float]]] = {}
        for _ in range(chosen.rounds):
            for folder in folders:
                for name, commands in rows(folder).items():
                    found.setdefault((name, folder), []).append(timed(commands))
        print_table([*rows(folders[0])], sizes, lambda name, at: found[name, folders[at]])


def looped(scored: Scored, folder: Path) -> None:
    targets = sorted((folder / "IHC").iterdir())
    predictions = [folder / "made" / path.name for path in targets]
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        values = list(pool.map(scored, predictions, targets, chunksize=4))
    assert len(values) == len(targets)


def rows(folder: Path) -> dict[str, list[list[str]]]:
    """The commands of each row."""

    def loop(name: str) -> list[list[str]]:
        return [[sys.executable, __file__, "--loop", name, "--folder", str(folder)]]

    def evaluate(out: str, *more: str) -> list[str]:
        words = ["evaluate", "--pred", str(folder / "made"), "--target", str(folder / "IHC"), "--out", str(folder / out)]
        return [sys.executable, "-m", "chromogen", *words, "--workers", str(PROCESSES), *more]

    def report(out: str) -> list[str]:
        return [sys.executable, "-m", "chromogen", "report", str(folder / out), "-o", str(folder / out / "report.html")]

    source = ("--source", str(folder / "HE"), "--mpp", "0.5")
    return {
        PLAIN: loop("plain"),
        "scikit-image, the two controls too": loop("with-controls"),
        "ours: read, `bci2022`": loop("profile"),
        "`evaluate --pixels-only`: `bci2022`, sharpness, the two controls too": [evaluate("pixels", "--pixels-only")],
        "`evaluate` and `report`": [evaluate("full"), report("full")],
        "`evaluate --source --mpp` (a third control, nuclei) and `report`": [evaluate("nuclei", *source), report("nuclei")],
    }


def print_table(names: list[str], sizes: tuple[int, int], runs: Callable[[str, int], list[tuple[float, float]]]) -> None:
    def pair_s(name: str) -> float:
        less, more = (min(seconds for seconds, _ in runs(name, at)) for at in (0, 1))
        return (more - less) / (sizes[1] - sizes[0])

    headings = ("s/pair", "beside scikit-image", f"{BCI_PAIRS} pairs", f"memory, {sizes[0]} / {sizes[1]} pairs")
    print(f"| {SIDE_PX} px, {PROCESSES} processes | {' | '.join(headings)} |\n|---|---:|---:|---:|---:|")
    for name in names:
        seconds = pair_s(name)
        memory = " / ".join(f"{max(peak for _, peak in runs(name, at)) / 1e9:.2f}" for at in (0, 1))
        minutes = BCI_PAIRS * seconds / PROCESSES / 60
        print(f"| {name} | {seconds:.3f} | {pair_s(PLAIN) / seconds:.2f} times as fast | {minutes:.1f} min | {memory} GB |")


def timed(commands: list[list[str]]) -> tuple[float, float]:
    """Processor time in seconds and peak memory in bytes, of a process and all that it starts."""
    spent, peak = 0.0, 0.0
    for command in commands:
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ended, highest = 0, dict[int, float]()
        while not ended:
            highest |= {pid: max(highest.get(pid, 0.0), highest_resident(pid)) for pid in family(running.pid)}
            time.sleep(0.05)
            ended, status, usage = os.wait4(running.pid, os.WNOHANG)
        if status:
            raise SystemExit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
        spent += usage.ru_utime + usage.ru_stime
        peak = max(peak, sum(highest.values()))
    return spent, peak


def family(pid: int) -> list[int]:
    """A process and all that it started, as Linux knows them."""
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        try:
            queue += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except OSError:  # it has ended
            continue
    return found


def highest_resident(pid: int) -> float:
    """The highest resident memory a process had so far, in bytes; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0.0)


def write_pairs(folder: Path, pairs: int) -> None:
    """HE/, IHC/ and made/ with files of the same names."""
    tissue = Phantom(size_px=SIDE_PX, mpp=0.5, her2_signal=2.0)
    for index in range(pairs):
        level = index % len(LEVELS)
        name = f"{index:05d}_test_{LEVELS[level]}.png"
        for stain in ("HE", "IHC", "made"):
            (folder / stain).mkdir(parents=True, exist_ok=True)
        if index >= DIFFERENT:
            first = f"{index % DIFFERENT:05d}_test_{LEVELS[index % DIFFERENT % len(LEVELS)]}.png"
            for stain in ("HE", "IHC", "made"):
                shutil.copy(folder / stain / first, folder / stain / name)
            continue
        drawn = draw(tissue, level, index)
        made = ndimage.gaussian_filter(np.roll(drawn.ihc, (3, 5), axis=(0, 1)).astype(np.float32), (0.7, 0.7, 0))
        images = {"HE": drawn.he, "IHC": drawn.ihc, "made": np.rint(made).astype(np.uint8)}
        for stain, image in images.items():
            Image.fromarray(image).save(folder / stain / name)


if __name__ == "__main__":
    main()
