"""Speed of the distribution metrics, on one core: `OMP_NUM_THREADS=1 python benchmarks/distribution.py [NAME:FILE ...]`.

Images a second of each extractor on random images of 1024 px (those that need a weight file when it is named), and the time of
FID, KID and the neighbourhoods of 977 real and 977 generated images in 1280 dimensions, beside the formulas written out plainly
(SciPy's matrix root, one kernel matrix a subset, SciPy's distances); and the largest relative difference of their values.
"""

import sys
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import scipy.linalg
from scipy.spatial.distance import cdist

from chromogen.evaluate.distribution.distances import NEIGHBOURS, SEED, SUBSET_SIZE, SUBSETS, fid, kid, prdc
from chromogen.evaluate.distribution.extractors import available, extractor_named

ROUNDS = 3
SIDE_PX, IMAGES = 1024, 3
COUNT, DIMENSION = 977, 1280  # the test set of BCI; EfficientNet-Lite0


def main(named: Sequence[str]) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8) for _ in range(IMAGES)]
    print(f"{'extractor':28} {'dimension':>9} {'images/s':>9}")
    for name in [*(name for name, needs_file in available().items() if not needs_file), *named]:
        extractor = extractor_named(name)
        _, seconds = fastest(lambda extractor=extractor: extractor.features(images))
        print(f"{extractor.name:28} {extractor.dimension:9} {IMAGES / seconds:9.1f}")

    mixing = rng.normal(size=(DIMENSION, DIMENSION)) / np.sqrt(DIMENSION)
    real, fake = (np.maximum(rng.normal(shift, 1, (COUNT, DIMENSION)) @ mixing, 0) for shift in (0.0, 0.1))
    compared: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "fid": (lambda: fid(real, fake).value, lambda: plain_fid(real, fake)),
        "kid": (lambda: kid(real, fake).mean, lambda: plain_kid(real, fake)),
        "coverage": (lambda: prdc(real, fake).coverage, lambda: plain_coverage(real, fake)),
    }
    print(f"\n{f'{COUNT} and {COUNT} images':28} {'ours':>10} {'plain':>10} {'faster':>8} {'difference':>11}")
    for name, (ours, plain) in compared.items():
        (value, own), (reference, other) = fastest(ours), fastest(plain, rounds=1)
        apart = abs(float(value) - float(reference)) / abs(float(reference))  # type: ignore[arg-type]
        print(f"{name:28} {own:8.3f} s {other:8.3f} s {other / own:7.1f}x {apart:11.1e}")


def plain_fid(real: np.ndarray, fake: np.ndarray) -> float:
    s1, s2 = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    shift = real.mean(axis=0) - fake.mean(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # singular products have no exact root
        root = scipy.linalg.sqrtm(s1 @ s2)
    return float(shift @ shift + np.trace(s1) + np.trace(s2) - 2 * np.trace(root).real)


def plain_kid(real: np.ndarray, fake: np.ndarray) -> float:
    rng, values = np.random.default_rng(SEED), []
    for _ in range(SUBSETS):
        x, y = (side[rng.choice(len(side), SUBSET_SIZE, replace=False)] for side in (real, fake))
        xx, yy, xy = ((a @ b.T / DIMENSION + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
        inner = SUBSET_SIZE * (SUBSET_SIZE - 1)
        values.append((xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / inner - 2 * xy.mean())
    return float(np.mean(values))


def plain_coverage(real: np.ndarray, fake: np.ndarray) -> float:
    reach = np.sort(cdist(real, real), axis=1)[:, NEIGHBOURS]
    return float((cdist(real, fake) < reach[:, None]).any(axis=1).mean())


def fastest(run: Callable[[], object], rounds: int = ROUNDS) -> tuple[object, float]:
    seconds, value = [], None
    for _ in range(rounds):
        began = time.perf_counter()
        value = run()
        seconds.append(time.perf_counter() - began)
    return value, min(seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
