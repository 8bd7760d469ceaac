"""Whether a system makes different images of different tissue, or one image again and again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, UInt8

from chromogen.evaluate.pixels.multiscale import ms_ssim, scales_that_fit
from chromogen.tensors import Uint8Image

THUMBNAIL_PX = 32
PAIRS = 500  # drawn for one mean; of 500 pairs its standard error is a twentieth of the spread between pairs

ImageSet = UInt8[np.ndarray, "images height width"] | UInt8[np.ndarray, "images height width 3"]
PairTable = Int64[np.ndarray, "pairs 2"]


@dataclass(frozen=True)
class SetSimilarity:
    """Mean MS-SSIM of random pairs; `name` carries the number of scales, as in "ms-ssim-3".

    fake_fake near real_real: as diverse as real images. Above it: less so (Odena et al., ICML 2017). real_fake shows little
    by itself, since the two images of a pair show different patients; it is read beside real_real too. pairs: how many were
    averaged, in the order real_fake, fake_fake, real_real.
    """

    name: str
    real_fake: float
    fake_fake: float
    real_real: float
    pairs: tuple[int, int, int]

    @property
    def named(self) -> dict[str, float]:
        """The three means, each under a name of its own."""
        parts = {"real-fake": self.real_fake, "fake-fake": self.fake_fake, "real-real": self.real_real}
        return {f"{self.name}[{part}]": value for part, value in parts.items()}


def diversity(images: Iterable[Uint8Image]) -> float:
    """Mean over places and channels of the standard deviation over images, in grey levels; 0 when all are alike.

    Each image is first brought to 32x32 px by area means: what differs between images is then tissue, not grain. ValueError
    for an image smaller than that.
    """
    thumbnails = np.stack([_thumbnail(image) for image in images])
    return float(thumbnails.std(axis=0).mean())


def similarity_of_sets(real: ImageSet, fake: ImageSet, pairs: int = PAIRS, seed: int = 0) -> SetSimilarity:
    """MS-SSIM between real and made images, within the made and within the real ones, over the same number of random pairs.

    Sets are uint8, (N, H, W) or (N, H, W, 3), at least two images each and all of one size. The number of scales follows from
    that size. A set with fewer pairs than `pairs` takes part with all of them. Every pair is drawn at most once.
    """
    for kind, images in (("real", real), ("made", fake)):
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or len(images) < 2 or images.shape[3:] not in ((), (3,)):
            raise ValueError(
                f"the {kind} images must be at least two, uint8, (N, H, W) or (N, H, W, 3), got {images.dtype} {images.shape}"
            )
    if real.shape[1:3] != fake.shape[1:3]:
        sizes = [f"{images.shape[2]}x{images.shape[1]} px" for images in (real, fake)]
        raise ValueError(f"real images are {sizes[0]}, made ones {sizes[1]}; bring them to one size first")
    if pairs < 1:
        raise ValueError(f"at least one pair must be drawn, got {pairs}")
    scales = scales_that_fit(*real.shape[1:3])
    rng = np.random.default_rng(seed)
    across = pairs_across(len(real), len(fake), pairs, rng)
    in_fake, in_real = (pairs_within(len(images), pairs, rng) for images in (fake, real))
    return SetSimilarity(
        f"ms-ssim-{scales}",
        _mean_similarity(real, fake, across, scales),
        _mean_similarity(fake, fake, in_fake, scales),
        _mean_similarity(real, real, in_real, scales),
        (len(across), len(in_fake), len(in_real)),
    )


def pairs_across(first: int, second: int, pairs: int, rng: np.random.Generator) -> PairTable:
    """Random different pairs of one of `first` images and one of `second`; all of them when there are no more than `pairs`."""
    chosen = _drawn(first * second, pairs, rng)
    return np.stack([chosen // second, chosen % second], axis=1)


def pairs_within(images: int, pairs: int, rng: np.random.Generator) -> PairTable:
    """Random different pairs of different images, whose order does not count; all of them when there are no more."""
    chosen = _drawn(images * (images - 1) // 2, pairs, rng)
    # pair number k (k - 1) / 2 + j, with j < k, is the pair (j, k)
    later = (1 + np.sqrt(1 + 8 * chosen.astype(np.float64))).astype(np.int64) // 2
    later -= later * (later - 1) // 2 > chosen  # the root may be rounded up ...
    later += (later + 1) * later // 2 <= chosen  # ... or down
    return np.stack([chosen - later * (later - 1) // 2, later], axis=1)


def _drawn(population: int, count: int, rng: np.random.Generator) -> Int64[np.ndarray, " count"]:
    if population <= count:
        return np.arange(population)
    return rng.choice(population, count, replace=False)


def _mean_similarity(first: ImageSet, second: ImageSet, pairs: PairTable, scales: int) -> float:
    values: Sequence[float] = [ms_ssim(_in_colour(first[i]), _in_colour(second[j]), scales) for i, j in pairs]
    return float(np.mean(values))


def _in_colour(image: np.ndarray) -> Uint8Image:
    """A grey image three times over: its similarity is the mean of three equal ones."""
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def _thumbnail(image: Uint8Image) -> Float[np.ndarray, "32 32 3"]:
    """Area means over a grid of 32x32 nearly equal cells."""
    if min(image.shape[:2]) < THUMBNAIL_PX:
        raise ValueError(f"an image of {image.shape[1]}x{image.shape[0]} px is smaller than the {THUMBNAIL_PX} px compared")
    means = image.astype(np.float64)
    for axis in (0, 1):
        edges = np.linspace(0, image.shape[axis], THUMBNAIL_PX + 1).round().astype(int)
        widths = np.diff(edges).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        means = np.add.reduceat(means, edges[:-1], axis=axis) / widths
    return means
