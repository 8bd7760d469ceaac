"""How alike two sets of images are, by what an extractor sees: FID, KID, precision, recall, density, coverage.

Rows of features come from `extractors`. No pair is looked at, so displaced sections do no harm; but a set of
excellent images of the wrong patients scores as well as one of the right ones. All values depend on the extractor, which
therefore stands in every name, and FID on the number of images as well. The value of two halves of the real images (`floor`)
says how low a distance can be expected to go.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import svdvals

from chromogen.evaluate.distribution.extractors import IN_OWN_UNITS

Features = Float[np.ndarray, "images dimension"]

SEED = 0
SUBSETS = 100
SUBSET_SIZE = 100  # as in the scores published for ASP
NEIGHBOURS = 5
BLOCK = 1024  # rows of a kernel or distance matrix that are held at once


@dataclass(frozen=True)
class FrechetDistance:
    """FID over some features: the squared distance of two Gaussians. `note` says why to doubt it, when there is reason."""

    value: float
    real: int
    fake: int
    dimension: int
    note: str = ""


@dataclass(frozen=True)
class KernelDistance:
    """KID over some features: mean and standard deviation over `subsets` draws of `size` images of each set."""

    mean: float
    std: float
    subsets: int
    size: int


@dataclass(frozen=True)
class Neighbourhoods:
    """Shares and counts of images that lie within the reach of the other set's `neighbours`-th neighbour."""

    precision: float
    recall: float
    density: float
    coverage: float
    neighbours: int


def fid(real: Features, fake: Features) -> FrechetDistance:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), Heusel et al., NeurIPS 2017, eq. 6; unbiased covariances.

    With the centred and scaled features A and B, S1 = A'A and S2 = B'B, and the trace of the root is the sum of the singular
    values of A B'. Neither covariance is formed, nothing is squared and no root can turn complex, however few the images.
    ValueError for fewer than two images in a set, for other shapes and for values that are not finite.
    """
    real, fake = _checked(real, fake)
    a, b = _centred(real), _centred(fake)
    shift = real.mean(axis=0) - fake.mean(axis=0)
    spread = float(np.vdot(a, a) + np.vdot(b, b))
    common = float(svdvals(_short(a) @ _short(b).T, check_finite=False).sum())
    value = max(float(shift @ shift) + spread - 2 * common, 0.0)
    least, dimension = min(len(real), len(fake)), real.shape[1]
    note = ""
    if least <= dimension:
        note = (
            f"{least} images in {dimension} dimensions: with fewer images than dimensions FID is far too high; "
            "compare it at equal numbers of images only, and rather read KID"
        )
    return FrechetDistance(value, len(real), len(fake), dimension, note)


def kid(real: Features, fake: Features, subsets: int = SUBSETS, size: int | None = None, seed: int = SEED) -> KernelDistance:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3; Binkowski et al., ICLR 2018 (1801.01401).

    Each subset takes `size` images of each set without repetition (None: 100, or half of the smaller set where that is less).
    The mean hardly depends on `size`; the standard deviation does, and is one of draws, not of the mean. Below 0 is possible
    and means: not told apart. ValueError as for `fid`, and for a size that the sets do not have.
    """
    real, fake = _checked(real, fake)
    smaller = min(len(real), len(fake))
    size = min(SUBSET_SIZE, max(2, smaller // 2)) if size is None else size
    if not 2 <= size <= smaller or subsets < 1:
        raise ValueError(f"KID needs subsets of 2 to {smaller} images and at least one, got {subsets} subsets of {size}")
    rng = np.random.default_rng(seed)
    drawn = [(_drawn(rng, len(real), size), _drawn(rng, len(fake), size)) for _ in range(subsets)]
    x, y = (np.stack(side) for side in zip(*drawn, strict=True))
    within = _kernel_sums(real, real, x, x, diagonal=False) + _kernel_sums(fake, fake, y, y, diagonal=False)
    between = _kernel_sums(real, fake, x, y, diagonal=True)
    values = within / (size * (size - 1)) - 2 * between / size**2
    return KernelDistance(float(values.mean()), float(values.std()), subsets, size)


def prdc(real: Features, fake: Features, k: int = NEIGHBOURS) -> Neighbourhoods:
    """Precision and recall (Kynkaanniemi et al., NeurIPS 2019), density and coverage (Naeem et al., ICML 2020).

    The ball of an image reaches to its k-th nearest neighbour in its own set, itself not counted, and does not contain its
    edge. precision: share of fakes in any real ball. recall: share of reals in any fake ball. density: mean over fakes of the
    number of real balls they lie in, over k. coverage: share of reals whose ball holds a fake. ValueError as for `fid`, and
    unless both sets have more than k images.
    """
    real, fake = _checked(real, fake)
    if not 1 <= k < min(len(real), len(fake)):
        raise ValueError(f"k must be from 1 to {min(len(real), len(fake)) - 1}, one less than the smaller set, got {k}")
    centre = real.mean(axis=0)
    real, fake = real - centre, fake - centre  # smaller numbers, smaller rounding in the products below
    reach_real, reach_fake = _reach(real, k), _reach(fake, k)
    balls_around = np.zeros(len(fake))
    recalled = covered = 0
    for start in range(0, len(real), BLOCK):
        squared = _squared_distances(real[start : start + BLOCK], fake)
        in_real = squared < reach_real[start : start + BLOCK, None]
        balls_around += in_real.sum(axis=0)
        covered += int(in_real.any(axis=1).sum())
        recalled += int((squared < reach_fake).any(axis=1).sum())
    precision, density = float((balls_around > 0).mean()), float(balls_around.mean() / k)
    return Neighbourhoods(precision, recalled / len(real), density, covered / len(real), k)


def floor(real: Features, seed: int = SEED) -> dict[str, float]:
    """The same measures between two random halves of the real images: what a perfect system of that size would score.

    FID grows as images get fewer, so its floor from halves lies above that of the full number. Measures that halves are too
    small for are NaN (KID and FID under 4 images, the others under 12).
    """
    order = np.random.default_rng(seed).permutation(len(real))
    half = len(real) // 2
    return _measured(real[order[:half]], real[order[half : 2 * half]])[0]


def distribution(real: Features, fake: Features, extractor_name: str) -> dict[str, float | str]:
    """Every measure under a name that carries the extractor, `fid[NAME]`, each with its floor, `fid_floor[NAME]`.

    Also `images[NAME]`, the numbers of images and the sizes of KID's subsets in words, and `note[NAME]` when FID is to be
    doubted. Features in units of their own (radiomics) are first divided by their spread over the real images. Measures that
    the sets are too small for are NaN. ValueError as for `fid`.
    """
    real, fake = _checked(real, fake)
    if extractor_name in IN_OWN_UNITS:
        real, fake = in_real_spreads(real, fake)
    values, note, sizes = _measured(real, fake)
    result: dict[str, float | str] = {f"{key}[{extractor_name}]": value for key, value in values.items()}
    result |= {f"{key}_floor[{extractor_name}]": value for key, value in floor(real).items()}
    result[f"images[{extractor_name}]"] = f"{len(real)} real, {len(fake)} generated; {sizes}"
    if note:
        result[f"note[{extractor_name}]"] = note
    return result


def in_real_spreads(real: Features, fake: Features) -> tuple[Features, Features]:
    """Both sets with the mean of the real ones taken off, in units of their standard deviation, feature by feature.

    A feature that all real images share has no spread to measure by and is left out.
    """
    mean, spread = real.mean(axis=0), real.std(axis=0)
    varying = spread > 1e-9 * np.maximum(np.abs(mean), 1e-9)
    scale = np.where(varying, spread, 1.0)
    return ((real - mean) / scale)[:, varying], ((fake - mean) / scale)[:, varying]


def _measured(real: Features, fake: Features) -> tuple[dict[str, float], str, str]:
    """All values; the note on FID; the sizes of KID's subsets, in words."""
    names = ("precision", "recall", "density", "coverage")
    values, smaller = dict.fromkeys(("fid", "kid", "kid_std", *names), math.nan), min(len(real), len(fake))
    if smaller < 2:
        return values, "", "too few for any measure"
    frechet, kernel = fid(real, fake), kid(real, fake)
    values |= {"fid": frechet.value, "kid": kernel.mean, "kid_std": kernel.std}
    if smaller > NEIGHBOURS:
        near = dataclasses.asdict(prdc(real, fake))
        values |= {name: near[name] for name in names}
    sizes = f"KID over {kernel.subsets} subsets of {kernel.size}, neighbourhoods of {NEIGHBOURS}"
    return values, frechet.note, sizes


def _checked(real: Features, fake: Features) -> tuple[Features, Features]:
    sets = []
    for name, given in (("real", real), ("generated", fake)):
        features = np.asarray(given, dtype=np.float64)
        if features.ndim != 2 or len(features) < 2 or features.shape[1] < 1:
            raise ValueError(
                f"the {name} features must be a table of at least two images, (n, dimension), got {features.shape}"
            )
        broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if broken.size:
            raise ValueError(f"the {name} features of image {broken[0]} are not finite; the extractor or its weights are wrong")
        sets.append(features)
    if sets[0].shape[1] != sets[1].shape[1]:
        numbers = f"{sets[0].shape[1]} and {sets[1].shape[1]}"
        raise ValueError(f"real and generated images have {numbers} features; describe both by the same extractor")
    return sets[0], sets[1]


def _centred(features: Features) -> Features:
    """Features without their mean, scaled so that A'A is their covariance."""
    return (features - features.mean(axis=0)) / math.sqrt(len(features) - 1)


def _short(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "least d"]:
    """At most d rows R with R'R = A'A: any number of images costs no more than d of them."""
    return np.asarray(np.linalg.qr(rows, mode="r")) if len(rows) > rows.shape[1] else rows


def _drawn(rng: np.random.Generator, count: int, size: int) -> Float[np.ndarray, " count"]:
    chosen = np.zeros(count)
    chosen[rng.choice(count, size, replace=False)] = 1.0
    return chosen


def _kernel_sums(
    rows: Features, columns: Features, x: Float[np.ndarray, "s n"], y: Float[np.ndarray, "s m"], diagonal: bool
) -> Float[np.ndarray, " s"]:
    """Sum of the kernel over the images that each subset chose. All subsets share one kernel matrix, made block by block."""
    sums = np.zeros(len(x))
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        kernel = (rows[block] @ columns.T / rows.shape[1] + 1) ** 3
        if not diagonal:
            at = np.arange(len(kernel))
            kernel[at, start + at] = 0.0
        sums += ((x[:, block] @ kernel) * y).sum(axis=1)
    return sums


def _squared_distances(rows: Features, columns: Features) -> Float[np.ndarray, "n m"]:
    """By products, which is fast; what rounding alone could have made is 0, so that copies of an image are at no distance."""
    lengths = np.vecdot(rows, rows)[:, None] + np.vecdot(columns, columns)
    squared = lengths - 2 * (rows @ columns.T)
    squared[squared < 1e-13 * lengths] = 0.0
    return squared


def _reach(features: Features, k: int) -> Float[np.ndarray, " n"]:
    """Squared distance of each image to its k-th neighbour; the first of the k + 1 nearest is the image itself."""
    blocks = [features[start : start + BLOCK] for start in range(0, len(features), BLOCK)]
    return np.concatenate([np.partition(_squared_distances(block, features), k, axis=1)[:, k] for block in blocks])
