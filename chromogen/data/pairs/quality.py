"""How good a training pair is, in the spirit of HistoQC, so that the worst may stay out of training.

Team arpitdec5 of the BCI challenge left out about a tenth of the training pairs, those with "artifacts, cracked tissue, or
blurriness", by HistoQC (Janowczyk et al., JCO Clin. Cancer Inform. 3:1, 2019; Zhu et al., 2023, arXiv:2305.03546, section
"arpitdec5"). HistoQC works on whole slides with settings of a laboratory; the measures here are ours, for one field of view:

    blur    of either image: how little of its detail is fine detail
    blank   of either image: share without tissue: glass, cracks, air; padding and ink left out
    black   of the two the larger share of padding, of whatever colour: what a registration or a canvas leaves
    fold    of the source: share that is much denser than its tissue is elsewhere
    ink     of the two the larger share under the ink of a pen
    pale    of the source: how little colour its tissue has

What is normal depends on the scanner, so a pair is judged against its set: by how many robust deviations each measure lies
beyond the median on the bad side, at most 10, summed up. Only the source is judged by density and colour: a strong brown is
what HER2 3+ is meant to look like, not a fault.
"""

from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_dilation, gaussian_filter

from chromogen.color import optical_density
from chromogen.data.images import PairImages
from chromogen.data.pairs.sampling import thumbnail
from chromogen.data.pairs.sets import PairSet, survey
from chromogen.tensors import Uint8Image
from chromogen.tissue import TISSUE, Mask, extremes, glass, inked, padding, unseen

EDGE_PX = 12  # as far as the widest of the Gaussians reaches
DETAIL_PX, SMALL_PX = 512, 128  # shorter side of what blur, and of what everything else is measured on, at least


@dataclass(frozen=True)
class Faults:
    """Measures of one pair, each larger where it is worse. Shares are in [0, 1]; `blur` is a logarithm (nepers)."""

    blur_source: float
    blur_target: float
    blank_source: float
    blank_target: float
    black: float
    fold: float
    ink: float
    pale: float


# A deviation counts as at least this much, so that a measure that is 0 for nearly all pairs does not shout at a speck of dust,
# and that fat, which is half glass, stays in.
LEAST_DEVIATION = Faults(0.1, 0.1, 0.2, 0.2, black=0.01, fold=0.05, ink=0.01, pale=0.05)
MOST = 10.0  # deviations that one measure may add


def worst(pairs: PairSet, share: float) -> Int[np.ndarray, " left_out"]:
    """Numbers of the worst pairs: `share` of them all, rounded down, the worst first. Looks at every image of the set."""
    count = int(share * len(pairs) + 1e-9)
    if not count:
        return np.empty(0, dtype=np.int64)
    return np.argsort(-badness(survey(pairs, faults)), kind="stable")[:count]


def badness(found: tuple[Faults, ...]) -> Float[np.ndarray, " pairs"]:
    """From 0 up: by how many robust deviations each pair's measures together lie beyond the medians of these pairs."""
    table = np.array([astuple(pair) for pair in found])
    beyond = table - np.median(table, axis=0)
    deviation = np.maximum(1.4826 * np.median(np.abs(beyond), axis=0), astuple(LEAST_DEVIATION))
    return np.clip(beyond / deviation, 0, MOST).sum(axis=1)


def faults(images: PairImages) -> Faults:
    """The measures of one pair; an image without tissue is blank, not blurred. A pair without a target is a ValueError."""
    if images.target is None:
        raise ValueError(f"{images.name} has no target, and data.drop_worst judges pairs; set data.drop_worst 0")
    small = [thumbnail(image, SMALL_PX) for image in (images.source, images.target)]
    hidden = [unseen(image) for image in small]
    source, target = (_Tissue.of(image, mask) for image, mask in zip(small, hidden, strict=True))
    return Faults(
        blur_source=blur(thumbnail(images.source, DETAIL_PX)),
        blur_target=blur(thumbnail(images.target, DETAIL_PX)),
        blank_source=source.blank(),
        blank_target=target.blank(),
        black=max(_black(image) for image in small),
        fold=source.folded(),
        ink=max(_ink(image) for image in small),
        pale=1 - source.colour(),
    )


def blur(image: Uint8Image) -> float:
    """Logarithm of coarse over fine detail: differences of Gaussians of 2 and 4 px over those of 0.5 and 1 px.

    Independent of contrast, and of how much of the image is tissue, since glass has neither. A flat image gives 0. Padding and
    ink, and what lies within reach of their edges, do not count.
    """
    hidden = unseen(image)
    away = None if hidden is None else ~binary_dilation(hidden, iterations=EDGE_PX)
    grey = image.astype(np.float32).mean(axis=2) / 255
    levels = [gaussian_filter(grey, sigma, truncate=3) for sigma in (0.5, 1.0, 2.0, 4.0)]
    details = [levels[k] - levels[k + 1] for k in (0, 2)]
    fine, coarse = (float((detail if away is None or not away.any() else detail[away]).std()) for detail in details)
    return float(np.log((coarse + 1e-4) / (fine + 1e-4)))


@dataclass(frozen=True, eq=False)
class _Tissue:
    """The density of an image under its own light (mean of R, G, B), where there is tissue, and its colours."""

    density: Float[np.ndarray, "height width"]  # 0 on padding and ink
    present: Bool[np.ndarray, "height width"]
    image: Uint8Image
    shown: float  # share of the image that is neither padding nor ink

    @classmethod
    def of(cls, image: Uint8Image, hidden: Mask | None) -> "_Tissue":
        density = optical_density(image / 255.0, glass(image, hidden)).mean(axis=2)
        if hidden is not None:
            density[hidden] = 0
        return cls(density, density > TISSUE, image, 1 - _share(hidden))

    def blank(self) -> float:
        return 1 - float(self.present.mean()) / self.shown

    def folded(self) -> float:
        """Share of the image where the tissue, blurred until nuclei are gone, is 1.8 times as dense as at the median."""
        if not self.present.any():
            return 0.0
        smooth = gaussian_filter(self.density, min(self.density.shape) / 24)
        return float((smooth > 1.8 * np.median(smooth[self.present])).mean()) / self.shown

    def colour(self) -> float:
        """Mean saturation of the tissue, (max - min) / max of R, G, B, in [0, 1]; 0 without tissue."""
        if not self.present.any():
            return 0.0
        pixels = self.image[self.present].astype(np.float64)
        brightest = pixels.max(axis=1)
        return float(((brightest - pixels.min(axis=1)) / np.maximum(brightest, 1)).mean())


def _black(image: Uint8Image) -> float:
    """Share of black pixels, or of padding of another colour; a picture that is black as a whole has no padding."""
    return float((extremes(image)[1] < 26).mean()) or _share(padding(image))


def _ink(image: Uint8Image) -> float:
    """Share of ink outside the padding, which may be as black."""
    frame = padding(image)
    return float((inked(image) if frame is None else inked(image) & ~frame).mean())


def _share(mask: Mask | None) -> float:
    return 0.0 if mask is None else float(mask.mean())
