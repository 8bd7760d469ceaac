"""Labels for drawn organs: lesions of training cases in new places, or outlines that nobody has; classes by their shares."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8

from chromogen.structure.blobs import Blob, blob
from chromogen.structure.labels import Planes, planes_of_boxes, planes_of_category, planes_of_mask
from chromogen.structure.lesions import BoxLesion, MaskLesion
from chromogen.structure.placement import Placement, place
from chromogen.synthesize.parts import Parts

Plane = UInt8[np.ndarray, "height width"]


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """Where labels come from. The outline of a real lesion is a patient's data: `blobs` reuses none."""

    lesions: Literal["real", "blobs"] = "real"
    placement: Placement = Placement()
    blob: Blob = Blob()
    healthy: float = 0.0  # share of the cases that get no lesion (of masks)


@dataclass(eq=False)
class Label:
    """The label of one made case; of the three, the kind that the cases have."""

    source: str
    mask: UInt8[np.ndarray, "height width"] | None = None
    category: int | None = None
    boxes: np.ndarray | None = None


class Labels:
    """Draws labels. Reads the training cases' labels once; nothing else of them."""

    def __init__(self, parts: Parts, labelling: Labelling) -> None:
        prepared = parts.prepared
        self.labelling, self.drawn = labelling, parts.lines_are_label
        self.kind = parts.label
        self.classes = len(prepared.index.classes)
        numbers = prepared.of_split("train")
        self.bank: list[Any] = []
        self.names: list[str] = []
        if self.kind == "category":
            known = np.asarray(prepared.arrays["category"])[numbers]
            self.shares = np.bincount(known[known >= 0], minlength=self.classes).astype(float)
            if not self.shares.any():
                raise ValueError("no training case has a known class, so that none can be drawn; name the classes in the data")
        if not self.drawn and (self.kind == "boxes" or (self.kind == "mask" and labelling.lesions == "real")):
            for number in numbers[prepared.has_label(numbers)]:
                found = np.asarray(prepared.arrays[self.kind][number])
                self.bank.append(MaskLesion.of(found) if self.kind == "mask" else BoxLesion.of(found))
                self.names.append(prepared.index.cases[number].name)
            if not self.bank:
                raise ValueError("no training case bears a lesion, so that there is none to place; take lesions blobs")

    def draw(self, lines: Plane, organ: Plane, rng: np.random.Generator) -> Label | None:
        """A label for these lines and this organ; None when none of many tries fits."""
        if self.kind == "none":
            return Label("none")
        if self.kind == "category":
            return Label(
                "drawn by the classes' shares", category=int(rng.choice(self.classes, p=self.shares / self.shares.sum()))
            )
        if self.drawn:
            return Label("the drawn lines", mask=lines)
        inside = organ.astype(bool)
        if self.kind == "mask" and rng.random() < self.labelling.healthy:
            return Label("healthy", mask=np.zeros(organ.shape, np.uint8))
        if self.kind == "mask" and self.labelling.lesions == "blobs":
            for _ in range(self.labelling.placement.tries):
                found = blob(self.labelling.blob, inside, rng)
                if found.inside(inside):
                    return Label("blob", mask=found.drawn(*organ.shape))
            return None
        chosen = int(rng.integers(len(self.bank)))
        for _ in range(4):  # of different cases
            placed = place([self.bank[chosen]], inside, rng, self.labelling.placement)
            if isinstance(placed, MaskLesion):
                return Label(f"varied from {self.names[chosen]}", mask=placed.drawn(*organ.shape))
            if isinstance(placed, BoxLesion):
                return Label(f"varied from {self.names[chosen]}", boxes=placed.boxes)
            chosen = int(rng.integers(len(self.bank)))
        return None

    def planes(self, labels: Sequence[Label], height: int, width: int) -> Planes:
        """The planes of many labels, as the renderer reads them."""
        if self.kind == "none":
            return torch.zeros(len(labels), 0, height, width)
        if self.kind == "category":
            return planes_of_category(torch.tensor([label.category for label in labels]), self.classes, height, width)
        if self.kind == "mask":
            return planes_of_mask(
                torch.from_numpy(np.stack([_of(label.mask) for label in labels]).astype(np.int64)), self.classes
            )
        rows = max(len(_of(label.boxes)) for label in labels)
        boxes = np.zeros((len(labels), rows, 5), np.float32)
        for row, label in zip(boxes, labels, strict=True):
            row[: len(_of(label.boxes))] = label.boxes
        return planes_of_boxes(torch.from_numpy(boxes), self.classes, height, width)


def _of(value: np.ndarray | None) -> np.ndarray:
    assert value is not None
    return value
