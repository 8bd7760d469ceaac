"""Phantom pairs per second on one core: `OMP_NUM_THREADS=1 python benchmarks/phantom.py`.

CPU seconds, not wall seconds, so that a busy machine does not change the answer; nothing in `draw` starts a thread.
"""

import os
import platform
import time

import numpy as np

from chromogen.phantom.tissue.phantom import Phantom, draw

PAIRS = 40
CASES = (
    ("256 px, 0.5 um/px, one section", Phantom()),
    ("256 px, 0.5 um/px, one section, JPEG 85", Phantom(jpeg_quality=85)),
    ("256 px, 0.5 um/px, displaced 5 um", Phantom(displacement_um=5.0)),
    ("256 px, 0.5 um/px, displaced 5 um, JPEG 85", Phantom(displacement_um=5.0, jpeg_quality=85)),
    ("256 px, 0.25 um/px, one section", Phantom(mpp=0.25)),
    ("512 px, 0.5 um/px, one section", Phantom(size_px=512)),
)


def seconds(phantom: Phantom, pairs: int) -> np.ndarray:
    """CPU seconds of each pair, over levels and seeds."""
    taken = []
    for seed in range(pairs):
        start = time.process_time()
        draw(phantom, seed % 4, seed)
        taken.append(time.process_time() - start)
    return np.array(taken)


if __name__ == "__main__":
    print(f"{platform.processor() or platform.machine()}, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}")
    print(f"{'':44s} {'pairs/s':>8s} {'slowest ms':>11s}")
    draw(Phantom(), 0, 0)
    for name, phantom in CASES:
        taken = seconds(phantom, PAIRS if phantom.size_px <= 256 else PAIRS // 4)
        print(f"{name:44s} {1 / taken.mean():8.1f} {1000 * taken.max():11.0f}")
