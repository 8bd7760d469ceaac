"""A batch whose cases have each other's labels, varied and placed: what a renderer is asked to draw."""

from typing import TypeVar, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from chromogen.structure.labels import LabelKind
from chromogen.structure.lesions import BoxLesion, MaskLesion, OrganPixels
from chromogen.structure.placement import Placement, place, random_move
from chromogen.tensors import CaseBatch

SomeLesion = TypeVar("SomeLesion", MaskLesion, BoxLesion)


def relabelled(
    batch: CaseBatch,
    kind: LabelKind,
    organ: Float[Tensor, "batch 1 height width"],
    rng: np.random.Generator,
    placement: Placement | None = None,
    inside: bool = True,
) -> CaseBatch:
    """The same batch, each case with the label of one drawn at random (each label is used once), on the batch's device.

    A mask or the boxes of a case are varied as one (`Placement`) and must lie wholly in `organ`, 0 or 1, of the case they come
    to; if no try succeeds, that case has no lesion. inside=False: varied once, and left wherever it lies. Image classes only
    change hands. A case without a lesion passes that on too.
    """
    placement = placement or Placement()
    order = rng.permutation(len(batch["index"]))
    changed = dict(batch)
    if kind == "category":
        changed["category"] = batch["category"][torch.as_tensor(order, device=batch["category"].device)]
    elif kind == "segmentation":
        where, masks = organ[:, 0].cpu().numpy() > 0.5, batch["mask"].cpu().numpy()
        drawn = np.zeros_like(masks)
        for case, giver in enumerate(order):
            if masks[giver].any() and (lesion := _put(MaskLesion.of(masks[giver]), where[case], rng, placement, inside)):
                drawn[case] = lesion.drawn(*masks.shape[1:])
        changed["mask"] = torch.from_numpy(drawn).to(batch["mask"])
    elif kind == "boxes":
        where, boxes = organ[:, 0].cpu().numpy() > 0.5, batch["boxes"].cpu().numpy()
        moved = np.zeros_like(boxes)
        for case, giver in enumerate(order):
            if (boxes[giver, :, 0] > 0).any():
                found = _put(BoxLesion.of(boxes[giver]), where[case], rng, placement, inside)
                if found is not None:
                    moved[case, : len(found.boxes)] = found.boxes
        changed["boxes"] = torch.from_numpy(moved).to(batch["boxes"])
    return cast(CaseBatch, changed)


def _put(
    lesion: SomeLesion, organ: OrganPixels, rng: np.random.Generator, placement: Placement, inside: bool
) -> SomeLesion | None:
    if inside:
        return place([lesion], organ, rng, placement)
    return lesion.moved(random_move(placement, rng, organ.shape))
