"""A reader's own loss, whatever it reads: it says how well an image shows the lesion its label asks for."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from chromogen.losses import classification, detection, segmentation
from chromogen.losses.adversarial import Scalar
from chromogen.tensors import CaseBatch

Form = Literal["native", "squares"]
Output = Tensor | tuple[Tensor, Tensor, Tensor]


def reading_loss(output: Output, batch: CaseBatch, form: Form = "native", class_weights: Sequence[float] = ()) -> Scalar:
    """Loss of what a reader said of one modality, against the label of the batch; the form of the output says which label.

    Logits (N, classes, H, W) against `mask`: cross-entropy + Dice, or as `squares` the class-weighted squares of sigmoids,
    summed over classes. Scores (N, classes) against `category`: cross-entropy, or mean squares. Offsets, scores and default
    boxes against `boxes`: class + place, in both forms. ValueError when the batch has no such label.
    """
    if not isinstance(output, Tensor):
        offsets, scores, default_boxes = output
        return sum(detection.ssd(offsets, scores, default_boxes, label_of(batch, "boxes")), scores.new_zeros(()))
    if output.ndim == 4:
        mask = label_of(batch, "mask")
        if form == "squares":
            return segmentation.weighted_squares(output, mask, class_weights)
        return segmentation.cross_entropy(output, mask) + segmentation.dice(output, mask)
    category = label_of(batch, "category")
    return classification.squares(output, category) if form == "squares" else classification.cross_entropy(output, category)


def label_of(batch: CaseBatch, name: Literal["mask", "category", "boxes"]) -> Tensor:
    """A label of the batch; ValueError when its cases have none of that kind."""
    if name not in batch:
        raise ValueError(f"these cases have no {name}, which the reader needs; prepare them with labels of that kind")
    return batch[name]
