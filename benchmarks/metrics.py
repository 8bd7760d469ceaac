"""Time of our measures beside scikit-image's and torchmetrics', on one core: `OMP_NUM_THREADS=1 python benchmarks/metrics.py`.

Images of 1024 px: random ones where a library has the same measure, a pair of bent sections for what is timed alone.
Processor time, the best of several rounds, in milliseconds; how long 977 images take (the BCI test set); peak memory of NumPy
(torch's is not seen); the difference between the two results.
"""

import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from skimage.filters import laplace
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from chromogen.evaluate.pixels.likeness import LUMA, global_ssim, psnr, sharpness_ratio, ssim
from chromogen.evaluate.pixels.protocols import measure
from chromogen.evaluate.pixels.validity import sharpness_octaves
from chromogen.tensors import Uint8Image

ROUNDS = 3
SIDE_PX = 1024
TEST_IMAGES = 977
GAUSS = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
Run = Callable[[], float]


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    target = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    prediction = np.clip(target + rng.integers(-30, 31, target.shape), 0, 255).astype(np.uint8)
    print(f"{'':19} {'ours':>19} {'977 images':>11}   {'library':>19} {'faster':>8} {'difference':>11}")
    for name, (ours, theirs) in compared(prediction, target).items():
        (value, own), (reference, other) = best_ms(ours), best_ms(theirs)
        print(
            f"{row(name, own, ours)}   {other:8.1f} ms {peak_mb(theirs):4.0f} MB "
            f"{other / own:7.1f}x {abs(value - reference):11.1e}"
        )
    for name, ours in alone(*bent_tissue(rng)).items():
        print(row(name, best_ms(ours)[1], ours))


def compared(prediction: Uint8Image, target: Uint8Image) -> dict[str, tuple[Run, Run]]:
    """Ours and a library's, by name."""

    def skimage_psnr() -> float:
        return peak_signal_noise_ratio(target, prediction, data_range=255)

    def skimage_ssim() -> float:
        return structural_similarity(target, prediction, channel_axis=2, data_range=255)

    def skimage_sharpness() -> float:
        energies = [np.mean(laplace(image @ LUMA)[1:-1, 1:-1] ** 2) for image in (prediction, target)]
        return float(energies[0] / energies[1])

    def torchmetrics_ms_ssim() -> float:
        tensors = [torch.from_numpy(image).permute(2, 0, 1)[None].double() for image in (prediction, target)]
        return float(multiscale_structural_similarity_index_measure(*tensors, data_range=255.0))

    def together(*parts: Run) -> Run:
        return lambda: sum(part() for part in parts)

    our_psnr, our_ssim = (lambda: psnr(prediction, target)), (lambda: ssim(prediction, target, "uniform7"))
    our_sharpness = lambda: sharpness_ratio(prediction, target)  # noqa: E731
    return {
        "psnr": (our_psnr, skimage_psnr),
        "ssim uniform7": (our_ssim, skimage_ssim),
        "sharpness": (our_sharpness, skimage_sharpness),
        "bci2022, sharpness": (
            together(our_psnr, our_ssim, our_sharpness),
            together(skimage_psnr, skimage_ssim, skimage_sharpness),
        ),
        "ssim gauss11": (
            lambda: ssim(prediction, target, "gauss11"),
            lambda: structural_similarity(target, prediction, channel_axis=2, data_range=255, **GAUSS),
        ),
        "ms-ssim": (lambda: measure(prediction, target, "ms-ssim")["ssim"], torchmetrics_ms_ssim),
    }


def alone(prediction: Uint8Image, target: Uint8Image) -> dict[str, Run]:
    return {
        "ssim gauss9": lambda: ssim(prediction, target, "gauss9"),
        "ssim global": lambda: global_ssim(prediction, target),
        "shift-tolerant": lambda: measure(prediction, target, "shift-tolerant")["ssim"],
        "flow-tolerant": lambda: measure(prediction, target, "flow-tolerant")["ssim"],
        "sharpness, octaves": lambda: sharpness_octaves(prediction, target).fine,
    }


def bent_tissue(rng: np.random.Generator) -> tuple[Uint8Image, Uint8Image]:
    """Smooth blobs of all sizes, and the same through a slow wave of 6 px with noise on it."""
    shape = (SIDE_PX, SIDE_PX, 3)
    blobs = 150 + sum(40 * s * ndimage.gaussian_filter(rng.normal(0, 1, shape), (s, s, 0)) for s in (1.0, 4.0, 12.0))
    rows, columns = np.indices(shape[:2])
    away = np.rint(6 * np.sin(2 * np.pi * rows / SIDE_PX)).astype(int)
    bent = blobs[rows, np.clip(columns + away, 0, SIDE_PX - 1)] + rng.normal(0, 5, shape)
    return tuple(np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in (bent, blobs))  # type: ignore[return-value]


def row(name: str, ms: float, run: Run) -> str:
    return f"{name:19} {ms:8.1f} ms {peak_mb(run):4.0f} MB {ms * TEST_IMAGES / 60000:7.1f} min"


def best_ms(run: Run) -> tuple[float, float]:
    seconds, value = [], 0.0
    for _ in range(ROUNDS):
        began = time.process_time()
        value = run()
        seconds.append(time.process_time() - began)
    return float(value), 1000 * min(seconds)


def peak_mb(run: Run) -> float:
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


if __name__ == "__main__":
    main()
