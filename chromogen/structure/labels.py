"""Labels as the renderer reads them: one plane for each class, whatever kind the label is.

Source: sections 4.5 and 4.6 of the thesis "Synthesis of Multimodal Medical Images Based on GAN" (Qu, 2020); the encodings of
masks and image classes are those of its author's code. The thesis, too, draws boxes as pictures.
"""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from chromogen.config import nearest
from chromogen.tensors import CaseBatch

LabelKind = Literal["segmentation", "category", "boxes", "none"]
KINDS: tuple[LabelKind, ...] = get_args(LabelKind)
Planes = Float[Tensor, "batch planes height width"]


def planes(batch: CaseBatch, kind: LabelKind, classes: int) -> Planes:
    """The label of a batch as float32 planes of 0 and 1; `classes` counts class 0 too: nothing, or a category.

    segmentation: plane c is 1 where `mask` is c. category: plane c is 1 everywhere if the image's class is c; an unknown class
    (-1) leaves all planes 0. boxes: plane c is 1 in every box of class c, plane 0 outside all boxes. none: no plane at all.
    A label that is missing, or a class beyond `classes`, is a ValueError.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind of label is called {kind!r}; {nearest(str(kind), KINDS)}")
    if kind == "none":
        return batch["lines"].new_zeros((len(batch["lines"]), 0, *batch["lines"].shape[-2:]), dtype=torch.float32)
    key = {"segmentation": "mask", "category": "category", "boxes": "boxes"}[kind]
    if key not in batch:
        raise ValueError(f"the cases have no {key!r}, which labels of the kind {kind!r} are made of; choose another kind")
    height, width = batch["lines"].shape[-2:]
    if kind == "segmentation":
        return planes_of_mask(batch["mask"], classes)
    if kind == "category":
        return planes_of_category(batch["category"], classes, height, width)
    return planes_of_boxes(batch["boxes"], classes, height, width)


def planes_of_mask(mask: Int64[Tensor, "batch height width"], classes: int) -> Planes:
    """Plane c is 1 where the mask is c."""
    _check_classes(mask, classes, least=0)
    return F.one_hot(mask.long(), classes).permute(0, 3, 1, 2).float().contiguous()


def planes_of_category(category: Int64[Tensor, " batch"], classes: int, height: int, width: int) -> Planes:
    """Plane c is 1 everywhere if the image's class is c; all are 0 for -1, unknown."""
    _check_classes(category, classes, least=-1)
    known = category[:, None] == torch.arange(classes, device=category.device)
    return known.float()[:, :, None, None].expand(-1, -1, height, width).contiguous()


def planes_of_boxes(boxes: Float[Tensor, "batch boxes 5"], classes: int, height: int, width: int) -> Planes:
    """Plane c is 1 in every pixel that a box of class c touches, plane 0 where there is none; rows of class 0 are no boxes.

    x1 and y1 are where a box ends: a box from 2 to 4 px fills columns 2 and 3. Boxes may overlap, and reach over the border.
    """
    _check_classes(boxes[..., 0], classes, least=0)
    kind, x0, y0, x1, y1 = boxes.float().unbind(dim=-1)
    rows, columns = (torch.arange(length, device=boxes.device) for length in (height, width))
    down = (rows + 1 > y0[..., None]) & (rows < y1[..., None])  # (batch, boxes, height)
    across = (columns + 1 > x0[..., None]) & (columns < x1[..., None])
    result = boxes.new_zeros((len(boxes), classes, height, width), dtype=torch.float32)
    for c in range(1, classes):
        here = (kind == c)[..., None] & down
        result[:, c] = torch.einsum("nbh,nbw->nhw", here.float(), across.float()).clamp(max=1)
    result[:, 0] = 1 - result[:, 1:].amax(dim=1) if classes > 1 else 1
    return result


def _check_classes(values: Tensor, classes: int, least: int) -> None:
    if classes < 1:
        raise ValueError(f"a label needs at least 1 class, got {classes}")
    if values.numel() == 0:
        return
    low, high = (float(end) for end in values.aminmax())
    if not (low >= least and high < classes):
        raise ValueError(
            f"the labels hold classes from {low:g} to {high:g}, and {classes} classes are numbered {least} to {classes - 1}; "
            "set the number of classes, class 0 included, to what the labels hold"
        )
