"""Which pairs training draws more often: those that match well and look rare, by the sampling rule of WeCREST.

Team stan9 of the BCI challenge drew its training pairs by equation 14 of Zhu et al., "Breast Cancer Immunohistochemical Image
Generation: a Benchmark Dataset and Challenge Review", 2023, arXiv:2305.03546 (after Dai, Wong & Wong, WeCREST, 2022):

    Q_i = (1 + correlation of source i and target i) / sqrt(sum over all j of H_i . H_j),    H_i a normalised histogram.

Ours, where the source is silent: the correlation is Pearson's over the grey values (mean of R, G, B) of thumbnails whose
shorter side is 128 to 255 px, so that cells that moved between neighbouring sections do not decide it; H_i is of the target,
whose style is to be learnt: 32 bins for each of R, G and B of the thumbnail, 96 numbers with the sum 1, so that brown and blue
tell apart; the sum over j includes i itself; a pair is drawn in proportion to its Q_i; an image of one colour counts as
uncorrelated.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from chromogen.data.images import PairImages
from chromogen.data.pairs.sets import PairSet, survey
from chromogen.tensors import Uint8Image

THUMBNAIL_PX = 128
BINS = 32  # for each colour


@dataclass(frozen=True, eq=False)
class Likeness:
    """What the rule needs to know of a pair: the correlation of its images in [-1, 1], and the target's histogram."""

    correlation: float
    histogram: Float[np.ndarray, " bins"]


def weights(pairs: PairSet, members: Int[np.ndarray, " members"]) -> Float[np.ndarray, " members"]:
    """Q_i of those pairs, among each other. Looks at every image of the set; pairs without a target are a ValueError."""
    seen = survey(pairs, likeness)
    found = [seen[index] for index in members]
    return rule(np.array([pair.correlation for pair in found]), np.stack([pair.histogram for pair in found]))


def rule(correlations: Float[np.ndarray, " pairs"], histograms: Float[np.ndarray, "pairs bins"]) -> Float[np.ndarray, " pairs"]:
    """Q_i for every pair (equation 14). The sum over j of H_i . H_j is H_i . (sum of all H_j): no table of pairs by pairs."""
    return (1 + correlations) / np.sqrt(histograms @ histograms.sum(axis=0))


def likeness(images: PairImages) -> Likeness:
    """The correlation and the target's histogram of one pair, from thumbnails."""
    if images.target is None:
        raise ValueError(f"{images.name} has no target, and weighted sampling compares both; set data.sampling even")
    source, target = thumbnail(images.source, THUMBNAIL_PX), thumbnail(images.target, THUMBNAIL_PX)
    counts = [np.bincount(target[..., colour].ravel() // (256 // BINS), minlength=BINS) for colour in range(3)]
    correlation = _correlation(source.mean(axis=2).ravel(), target.mean(axis=2).ravel())
    return Likeness(correlation, np.concatenate(counts) / target.size)


def thumbnail(image: Uint8Image, shorter_px: int) -> Uint8Image:
    """The image made smaller by means over squares, as often as leaves its shorter side at least `shorter_px`."""
    return np.asarray(Image.fromarray(image).reduce(max(1, min(image.shape[:2]) // shorter_px)))


def _correlation(one: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"]) -> float:
    one, other = one - one.mean(), other - other.mean()
    spread = np.sqrt((one @ one) * (other @ other))
    return float(np.clip(one @ other / spread, -1, 1)) if spread > 1e-4 else 0.0  # rounding leaves a flat image 1e-8
