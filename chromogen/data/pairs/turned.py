"""Whether the two images of a pair lie alike: turned by a quarter or a half, or mirrored, they correlate better turned back.

Both are made small optical densities (40 x 40), seen twice: smoothed, where tissue and glass are, and without what is smooth,
where cells crowd. The middle of the turned target is looked for in the source, up to a tenth of the side away, and the two
correlations are added: `agreement` runs to 2. Sections that lie many pixels apart, or do not belong together at all, agree with
no orientation much; so only a clear agreement with another orientation is told. The limits were read off real pairs of BCI and
MIST, parts of them, wrong pairs of them and phantoms of sections up to 40 um apart (tests/data/pairs/test_turned.py).
"""

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from scipy.ndimage import gaussian_filter

from chromogen.tensors import Uint8Image

SIDE, FARTHEST = 40, 4  # px of the small images
SMOOTH, ROUGH = 1.5, 8.0  # px, sigma
CLEAR, LEAST = 0.3, 0.95  # of one pair: by how much the other orientation agrees better, and how much it agrees
OF_ALL, SURE, LEAST_OF_ALL, FEWEST = 0.1, 4.5, 0.65, 6  # of many: mean difference, in standard errors too; mean; pairs

ORIENTATIONS = (
    "as the source",
    "a quarter to the left",
    "a half (180 degrees)",
    "a quarter to the right",
    "mirrored left to right",
    "mirrored and a quarter to the left",
    "mirrored top to bottom",
    "mirrored and a quarter to the right",
)


def agreements(source: Uint8Image, target: Uint8Image) -> Float[np.ndarray, "8"]:
    """How well the source fits the target in each of `ORIENTATIONS`: the target is turned back so. -inf where not possible.

    Quarters are only possible for square images. Flat images agree with nothing: all 0.
    """
    square = source.shape[0] == source.shape[1]
    one, other = _densities(source), _densities(target)
    total = np.zeros(8)
    for here, there in zip(one, other, strict=True):
        middle = there[FARTHEST:-FARTHEST, FARTHEST:-FARTHEST]
        turned = np.stack([_turned_back(middle, number).ravel() for number in range(8)])
        windows = sliding_window_view(here, middle.shape).reshape(-1, middle.size)
        total += (_normed(windows) @ _normed(turned).T).max(axis=0)
    if not square:
        total[1::2] = -np.inf
    return total


def of_one(agreement: Float[np.ndarray, "8"]) -> int:
    """The orientation of a target, by its number; 0 where none other is clearly better."""
    best = int(np.argmax(agreement))
    return best if agreement[best] > LEAST and agreement[best] - agreement[0] > CLEAR else 0


def of_all(table: Float[np.ndarray, "pairs 8"]) -> int:
    """The orientation of most targets of a set, by its number; 0 where none other is clearly better on the whole."""
    if len(table) < FEWEST:
        return 0
    better = table[:, 1:] - table[:, :1]
    better = np.where(np.isfinite(better), better, 0.0)
    mean, error = better.mean(axis=0), better.std(axis=0, ddof=1) / len(table) ** 0.5
    sure = (mean > OF_ALL) & (mean > SURE * error) & (table[:, 1:].mean(axis=0) > LEAST_OF_ALL)
    return int(np.argmax(np.where(sure, mean, -np.inf))) + 1 if sure.any() else 0


def _turned_back(image: np.ndarray, number: int) -> np.ndarray:
    """`image`, which lies as ORIENTATIONS[number] says, upright again."""
    turns, mirrored = number % 4, number >= 4
    upright = np.rot90(image, -turns)
    return upright[:, ::-1] if mirrored else upright


def _densities(image: Uint8Image) -> tuple[np.ndarray, np.ndarray]:
    small = np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.float64)
    density = -np.log10(np.maximum(small, 1) / 255).mean(axis=2)
    return gaussian_filter(density, SMOOTH), density - gaussian_filter(density, ROUGH)


def _normed(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return rows / np.where(length > 1e-3, length, np.inf)
