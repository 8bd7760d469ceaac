"""What a reader finds in made images, against the label they were made with: one number a modality."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from chromogen.evaluate.reading.detection import overlaps
from chromogen.evaluate.reading.segmentation import dice_of_classes
from chromogen.synthesize.labelling import Label
from chromogen.synthesize.parts import Parts


@torch.inference_mode()
def agreement(parts: Parts, images: Tensor, labels: Sequence[Label]) -> list[dict[str, float]]:
    """Of each case and modality: Dice of the lesion; probability of the wanted class; or the best overlap of its boxes."""
    found: list[dict[str, float]] = [{} for _ in labels]
    if parts.reader is None:
        return found
    method, nets = parts.reader.method, parts.reader.nets
    for number, modality in enumerate(parts.prepared.index.modalities):
        read = method.read(nets, images[:, number].contiguous(), number)  # type: ignore[attr-defined]
        for row, label in enumerate(labels):
            found[row][modality] = round(_agrees(read[row], label), 4)
    return found


def _agrees(read: "Tensor | object", label: Label) -> float:
    if label.mask is not None:
        assert isinstance(read, Tensor)
        called = read.argmax(0).cpu().numpy().astype(np.uint8)
        return float(np.mean(dice_of_classes((called > 0).astype(np.uint8), (label.mask > 0).astype(np.uint8), 2)[1:]))
    if label.category is not None:
        assert isinstance(read, Tensor)
        return float(read[label.category])
    if label.boxes is not None:
        boxes = np.asarray(read[0].cpu().numpy())  # type: ignore[index]
        if not len(boxes):
            return 0.0
        return float(overlaps(boxes, label.boxes[:, 1:]).max(axis=0).mean())
    return 1.0
