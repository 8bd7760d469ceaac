"""How long `chromogen data check` takes beside what it was, and how much memory: `python benchmarks/data_check.py`.

Pairs of 256 px, cut at chance out of phantoms of 640 px and turned; of thousands a few
coincide, and the check says which. `plain` is the check as it was
(`benchmarks/plain/data_check.py`): all bytes hashed, all pixels decoded, nothing asked of what the pictures show. Each is a
program of its own, on a quarter of the pairs and on all of them, in turn, several rounds; the fastest counts. Seconds are
processor time of all its threads, since other work on the machine hardly counts in it, and those of the clock beside them.
Memory is the highest resident memory of the program. With `--before FOLDER`, a checkout of 21c4218, that code itself is
timed too, on all pairs.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

SIDE_PX, PHANTOM_PX, PHANTOMS = 256, 640, 4
LEVELS = ("0", "1+", "2+", "3+")


def write(root: Path, pairs: int, suffix: str) -> None:
    from chromogen.phantom.tissue.phantom import Phantom, draw

    drawn = [draw(Phantom(size_px=PHANTOM_PX), number % len(LEVELS), number) for number in range(PHANTOMS)]
    rng = np.random.default_rng(0)
    for number in range(pairs):
        phantom, split = drawn[number % PHANTOMS], "test" if number % 5 == 0 else "train"
        row, column = rng.integers(0, PHANTOM_PX - SIDE_PX, 2)
        turns = int(rng.integers(4))
        for side, image in (("HE", phantom.he), ("IHC", phantom.ihc)):
            cut = np.rot90(image[row : row + SIDE_PX, column : column + SIDE_PX], turns)
            path = root / side / split / f"{number:05d}_{split}_{LEVELS[number % 4]}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.ascontiguousarray(cut)).save(path, quality=90, compress_level=3)


def run(which: str, root: Path, pairs: int) -> None:
    """Check the first `pairs` pairs of `root` in this process and print what it took."""
    if which == "before":
        check_before = import_module("chromogen.data.check").check
    else:
        from plain.data_check import check as plain

        from chromogen.data.pairs import check as ours
        from chromogen.data.pairs import layouts
    paths = sorted(root.glob("*/*/*"), key=lambda path: (path.name, path))[: 2 * pairs]
    before, clock = time.process_time(), time.monotonic()
    if which == "before":
        check_before(root)
    elif which == "plain":
        plain(paths)
    else:
        whole = layouts.find_pairs

        def first(*words: object) -> layouts.PairTable:
            table = whole(*words)  # type: ignore[arg-type]
            return layouts.PairTable(table.layout, table.root, table.pairs[:pairs])

        ours.find_pairs = first  # type: ignore[assignment]
        for problem in ours.check(root).problems:
            print(problem, file=sys.stderr)
    print(
        json.dumps(
            {
                "cpu": time.process_time() - before,
                "clock": time.monotonic() - clock,
                "mb": peak_mb(),
            }
        )
    )


def peak_mb() -> float:
    """Highest resident memory of this program alone; what `resource` says holds the parent's, too."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5000)
    parser.add_argument("--suffixes", nargs="+", default=["png", "jpg"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--before", type=Path, help="a checkout of 21c4218")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.run:
        run(told.run[0], Path(told.run[1]), int(told.run[2]))
        return

    def path_to(which: str) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(told.before.resolve())} if which == "before" else {**os.environ}

    for suffix in told.suffixes:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), told.pairs, suffix)
            best: dict[tuple[str, int], dict[str, float]] = {}
            for _ in range(told.rounds):
                for count in (told.pairs // 4, told.pairs):
                    for which in ("plain", "ours", *(["before"] if told.before and count == told.pairs else [])):
                        words = [sys.executable, __file__, "--run", which, folder, str(count)]
                        took = json.loads(
                            subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=path_to(which)).stdout
                        )
                        held = best.setdefault((which, count), took)
                        best[which, count] = {key: min(held[key], took[key]) for key in took}
        for which in ("plain", "ours"):
            few, all_ = best[which, told.pairs // 4], best[which, told.pairs]
            print(
                f"{told.pairs} pairs, {suffix}, {which}: {all_['cpu']:.1f} s of processor, {all_['clock']:.1f} s by the clock, "
                f"{few['mb']:.0f} MB at a quarter of the pairs, {all_['mb']:.0f} MB at all"
            )
        for which in ("plain", "before") if told.before else ("plain",):
            then, now = best[which, told.pairs], best["ours", told.pairs]
            times, clock = then["cpu"] / now["cpu"], then["clock"] / now["clock"]
            print(f"{suffix}, {which}: {times:.2f} times as fast, {clock:.2f} by the clock")


if __name__ == "__main__":
    main()
