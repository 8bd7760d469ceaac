"""How far a set of made images is from a set of real ones, cheaply, while a training runs."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from chromogen.losses.adversarial import Scalar

THUMBNAIL_PX = 16
Stack = Float[Tensor, "images planes height width"]


def energy_distance(made: Stack, real: Stack) -> Scalar:
    """2 E|x - y| - E|x - x'| - E|y - y'| over thumbnails of made images x and real ones y; 0 for equal distributions.

    The energy distance of Szekely and Rizzo (J. Stat. Plan. Inference 143:1249, 2013), each expectation over different images,
    so that it is unbiased and may be a little below 0; a set of one image has no spread. |.| is the root of the mean squared
    difference over planes and pixels of 16x16 area means, in units of the images. Sets may differ in number, not in size.
    """
    x, y = _thumbnails(made), _thumbnails(real)
    return 2 * torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").mean() - _spread(x) - _spread(y)


def relative_spread(made: Stack, real: Stack) -> Scalar:
    """Mean distance between two made images over that between two real ones: 1 is as diverse, 0 one image again and again."""
    return _spread(_thumbnails(made)) / _spread(_thumbnails(real)).clamp(min=1e-6)


def compared(made: Stack, real: Stack) -> dict[str, Tensor]:
    """Both under their names, and "score": minus the distance, so that more is better."""
    distance = energy_distance(made, real)
    return {"score": -distance, "energy_distance": distance, "spread": relative_spread(made, real)}


def _thumbnails(images: Stack) -> Float[Tensor, "images numbers"]:
    """Rows whose Euclidean distance is the root of the mean squared difference."""
    sides = min(THUMBNAIL_PX, images.shape[-2]), min(THUMBNAIL_PX, images.shape[-1])
    rows = F.adaptive_avg_pool2d(images.float(), sides).flatten(1)
    return rows / rows.shape[1] ** 0.5


def _spread(rows: Float[Tensor, "images numbers"]) -> Scalar:
    pairs = max(1, len(rows) * (len(rows) - 1))
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").sum() / pairs
