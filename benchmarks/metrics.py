"""Time of our PSNR and SSIM beside scikit-image's, on one core: `OMP_NUM_THREADS=1 python benchmarks/metrics.py`.

Random images of 1024 px; the best of several rounds, in milliseconds, and the largest difference between the two results.
"""

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from chromogen.evaluate.pixel import psnr, ssim

ROUNDS = 5
SIDE_PX = 1024


def main() -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    prediction = np.clip(target + rng.integers(-30, 31, target.shape), 0, 255).astype(np.uint8)
    gauss = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    compared: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        "psnr": (
            lambda: psnr(prediction, target),
            lambda: peak_signal_noise_ratio(target, prediction, data_range=255),
        ),
        "ssim uniform7": (
            lambda: ssim(prediction, target, "uniform7"),
            lambda: structural_similarity(target, prediction, channel_axis=2, data_range=255),
        ),
        "ssim gauss11": (
            lambda: ssim(prediction, target, "gauss11"),
            lambda: structural_similarity(target, prediction, channel_axis=2, data_range=255, **gauss),
        ),
    }
    print(f"{'':14} {'ours':>19}   {'scikit-image':>19} {'faster':>8} {'difference':>11}")
    for name, (ours, theirs) in compared.items():
        (value, own), (reference, other) = best_ms(ours), best_ms(theirs)
        figures = [f"{ms:8.1f} ms {peak_mb(run):4.0f} MB" for ms, run in ((own, ours), (other, theirs))]
        print(f"{name:14} {'   '.join(figures)} {other / own:7.1f}x {abs(value - reference):11.1e}")


def best_ms(run: Callable[[], float]) -> tuple[float, float]:
    seconds, value = [], 0.0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        value = run()
        seconds.append(time.perf_counter() - began)
    return float(value), 1000 * min(seconds)


def peak_mb(run: Callable[[], float]) -> float:
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


if __name__ == "__main__":
    main()
