"""Default boxes against true ones (SSD, Liu et al., ECCV 2016). Boxes are x0, y0, x1, y1 in px; class 0 is background."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from chromogen.losses.adversarial import Scalar

Boxes = Float[Tensor, "boxes 4"]
VARIANCES = (0.1, 0.2)  # of the centre and of the logarithm of the size: brings offsets to a spread near 1
SAME, OTHER = 0.6, 0.4  # overlaps from which a default box shows a truth, and below which it shows background
NEGATIVES = 3  # background boxes for each matched one
IGNORED = -1


def overlaps(first: Boxes, second: Float[Tensor, "others 4"]) -> Float[Tensor, "boxes others"]:
    """Intersection over union of every box of one set with every box of the other, in [0, 1]."""
    corner = torch.maximum(first[:, None, :2], second[None, :, :2])
    opposite = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    both = (opposite - corner).clamp(min=0).prod(2)
    return both / (_areas(first)[:, None] + _areas(second)[None] - both).clamp(min=torch.finfo(both.dtype).tiny)


def encode(boxes: Float[Tensor, "... 4"], default_boxes: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """How to move default boxes onto boxes: ((centre - centre0) / size0 / 0.1, log(size / size0) / 0.2), x before y."""
    size, size0 = boxes[..., 2:] - boxes[..., :2], default_boxes[..., 2:] - default_boxes[..., :2]
    shift = (boxes[..., :2] + boxes[..., 2:] - default_boxes[..., :2] - default_boxes[..., 2:]) / 2
    return torch.cat([shift / size0 / VARIANCES[0], (size / size0).log() / VARIANCES[1]], -1)


def decode(offsets: Float[Tensor, "... 4"], default_boxes: Float[Tensor, "... 4"]) -> Float[Tensor, "... 4"]:
    """The boxes that `encode` was given."""
    size0 = default_boxes[..., 2:] - default_boxes[..., :2]
    centre = (default_boxes[..., :2] + default_boxes[..., 2:]) / 2 + offsets[..., :2] * VARIANCES[0] * size0
    half = size0 * (offsets[..., 2:] * VARIANCES[1]).exp() / 2
    return torch.cat([centre - half, centre + half], -1)


def matched(truth: Float[Tensor, "truths 5"], default_boxes: Boxes) -> tuple[Int64[Tensor, " boxes"], Float[Tensor, "boxes 4"]]:
    """The class of each default box (0: background, -1: ignored) and the true box it is held against.

    A default box shows the truth it overlaps most, if by 0.6 or more; below 0.4 it is background, between them it is ignored.
    Then the pairs that overlap most of all, each truth and each default box once, are matched whatever their overlap, unless
    it is 0. `truth`: class, x0, y0, x1, y1; rows of class 0 fill up.
    """
    real = truth[:, 0] > 0
    if bool((truth[real, 3:] <= truth[real, 1:3]).any()):
        raise ValueError("a box has no width or no height; a box is class, x0, y0, x1, y1 with x0 < x1 and y0 < y1, in px")
    found = overlaps(default_boxes, truth[:, 1:]) * real
    if not len(truth):
        return torch.zeros(len(default_boxes), dtype=torch.int64, device=truth.device), default_boxes
    most, which = found.max(1)
    left = found.clone()
    for _ in range(len(truth)):
        best = left.argmax()
        row, column = best // len(truth), best % len(truth)
        pays = left[row, column] > 0
        which[row] = torch.where(pays, column, which[row])
        most[row] = torch.where(pays, torch.ones_like(most[row]), most[row])
        left[row], left[:, column] = 0, 0
    category = torch.where(most >= SAME, truth[which, 0].long(), torch.where(most < OTHER, 0, IGNORED))
    return category, truth[which, 1:]


def ssd(
    offsets: Float[Tensor, "batch boxes 4"],
    scores: Float[Tensor, "batch boxes classes"],
    default_boxes: Boxes,
    truth: Float[Tensor, "batch truths 5"],
) -> tuple[Scalar, Scalar]:
    """Equation 1 of SSD in its two parts, class and place, each divided by the number of matched default boxes.

    Class: cross-entropy over the matched boxes and, in each image, the background boxes it is worst at, three for each matched
    one; an image without a lesion counts as one matched box. Place: smooth L1 of the encoded offsets of the matched boxes.
    """
    if int(truth[..., 0].max() if truth.numel() else 0) >= scores.shape[2]:
        raise ValueError(f"a box is of class {int(truth[..., 0].max())}; this reader knows the classes 1-{scores.shape[2] - 1}")
    pairs = [matched(one, default_boxes) for one in truth]
    category, boxes = (torch.stack(part) for part in zip(*pairs, strict=True))
    positive = category > 0
    each = F.cross_entropy(scores.float().transpose(1, 2), category, ignore_index=IGNORED, reduction="none")
    wanted = NEGATIVES * positive.sum(1, keepdim=True).clamp(min=1)
    hardness = torch.where(category == 0, each.detach(), -1.0)
    place = hardness.argsort(1, descending=True).argsort(1)
    chosen = positive | ((place < wanted) & (category == 0))
    count = positive.sum().clamp(min=1)
    wrong = F.smooth_l1_loss(offsets.float(), encode(boxes, default_boxes), reduction="none").sum(2)
    return (each * chosen).sum() / count, torch.where(positive, wrong, 0.0).sum() / count


def _areas(boxes: Boxes) -> Float[Tensor, " boxes"]:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
