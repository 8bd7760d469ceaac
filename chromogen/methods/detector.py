"""Where the lesions are, as boxes with classes: the SSD of Qu's multimodal synthesis (Sun Yat-sen University, 2020).

One network for each modality (section 4.5; Liu et al., ECCV 2016). Frozen, it tells the renderer whether the nodules it drew
can be read (equation 15); trained anew, it measures of what use made images are.

Deviations from the thesis
- Encoded offsets with variances 0.1 and 0.2; the author's code regresses the boxes themselves.
- The background boxes that count are the ones the network is worst at, and the default box nearest to a lesion always
  matches it; the author's code draws background at random, and a lesion that nothing fits is lost.

Ours (not in the variant "thesis")
- Sides of the default boxes grow by equal ratios from 0.05 of the image, and there are tall ones for every wide one. In the
  author's code 0.05 is a share of the area: the smallest has a side of 114 px at 512 px, larger than most nodules.
- Group norms: at 2x2 cells an instance norm leaves little to read. Half the width; PyTorch's own first
  weights; learning rate 3e-4 for batches of 8.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from chromogen.evaluate.reading.detection import Found, fit_of_matched_boxes, froc, mean_average_precision, nms
from chromogen.losses import detection
from chromogen.losses.reading import label_of
from chromogen.method import Optimizer, Player, Practice, Schedule, Source, Update
from chromogen.nets.blocks import started
from chromogen.nets.readers import FeatureNorm, ReaderPerModality, read_each
from chromogen.nets.ssd import LEAST_PX, SSD, BoxReading, Shapes, Spacing, maps_of
from chromogen.tensors import CaseBatch, UnitImages

Reading = tuple[Float[Tensor, "boxes 4"], Float[Tensor, " boxes"], Int64[Tensor, " boxes"]]
SHOWN = 4  # cases
CANDIDATES = 400  # the surest boxes of an image, before those go that overlap a surer one
SURE = 0.5
TRUE_COLOUR, FOUND_COLOUR = (0.2, 0.8, 0.2), (0.9, 0.2, 0.2)


@dataclass(frozen=True)
class Detector:
    modalities: int = 1
    channels: int = 1  # of an image
    classes: int = 1  # of a box, without the background
    width: int = 32
    size_px: int = 256  # of the image's shorter side
    norm: FeatureNorm = "group"
    shapes: Shapes = "balanced"
    spacing: Spacing = "ratio"
    smallest: float = 0.05
    largest: float = 0.9
    weight_class: float = 1.0
    weight_place: float = 1.0
    least_score: float = 0.01
    most_overlap: float = 0.45  # of two boxes of one class that are both kept
    most_boxes: int = 100
    small_start: bool = False  # first weights from N(0, 0.02), or PyTorch's own
    optimizer: Optimizer = Optimizer(lr=3e-4, betas=(0.9, 0.999))
    schedule: Schedule = Schedule(warmup=0.02, decay_start=0.5)

    def __post_init__(self) -> None:
        if not (self.modalities >= 1 and self.channels >= 1 and 1 <= self.classes <= 1000 and 1 <= self.width <= 512):
            raise ValueError(f"detector: at least 1 modality and channel, classes 1-1000, width 1-512; got {self}")
        if self.size_px < LEAST_PX:
            raise ValueError(f"detector: size_px is at least {LEAST_PX}, got {self.size_px}")
        if not (0 < self.smallest < self.largest <= 1 and 0 <= self.least_score < 1 and 0 < self.most_overlap <= 1):
            raise ValueError(f"detector: 0 < smallest < largest <= 1, scores and overlaps are shares of 1; got {self}")
        if self.most_boxes < 1:
            raise ValueError(f"detector: most_boxes is at least 1, got {self.most_boxes}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("reader",)

    @property
    def sides_px(self) -> tuple[int, int]:
        """Images may have any sides, from this one: the last map's step, and one pixel more."""
        first, maps = maps_of(self.size_px)
        return 1, 2 ** (first + maps - 1) + 1

    def networks(self) -> nn.ModuleDict:
        kind = (self.norm, self.shapes, self.spacing, self.smallest, self.largest)
        readers = [SSD(self.channels, self.classes, self.width, self.size_px, *kind) for _ in range(self.modalities)]
        reader = ReaderPerModality(readers)
        return nn.ModuleDict({"reader": started(reader, "instance") if self.small_start else reader})

    def players(self) -> dict[str, Player]:
        return {"reader": Player(("reader",), self.optimizer, self.schedule)}

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        truth = label_of(batch, "boxes")
        readings: Iterator[BoxReading] = read_each(nets["reader"], batch["images"], self.modalities)
        each = [detection.ssd(said.offsets, said.scores, said.default_boxes, truth) for said in readings]
        # summed over modalities: each network is trained as if it were alone
        kind, place = (torch.stack(part).sum() for part in zip(*each, strict=True))
        yield {"reader": {"class": self.weight_class * kind, "place": self.weight_place * place}}

    @torch.no_grad()
    def read(self, nets: nn.ModuleDict, images: UnitImages, modality: int) -> list[Reading]:
        """Of each image boxes (x0, y0, x1, y1 in px, inside it), their probabilities and classes (from 1), surest first.

        A box goes that overlaps a surer one of its class by more than `most_overlap`.
        """
        return self._boxes(nets["reader"](images, modality), images.shape[-2], images.shape[-1])

    @torch.no_grad()
    def measure(self, nets: nn.ModuleDict, batch: CaseBatch) -> dict[str, Tensor]:
        """VOC's average precision at an overlap of 0.5, mean over classes and, as "score", over modalities.

        Beside it the sensitivity at one false box an image, and how well the sure boxes fit. All of the whole batch: NaN when
        none of its cases has a box.
        """
        truth = [boxes.cpu().numpy() for boxes in label_of(batch, "boxes")]
        precision, found = [], {}
        for modality, said in enumerate(read_each(nets["reader"], batch["images"], self.modalities)):
            read = [Found(*(part.cpu().numpy() for part in one)) for one in self._boxes(said, *batch["images"].shape[-2:])]
            precision.append(mean_average_precision(read, truth))
            found[f"average_precision_{modality}"] = precision[-1]
            found[f"sensitivity_at_1_{modality}"] = froc(read, truth, false_per_image=(1.0,))[1.0]
            found[f"fit_{modality}"] = fit_of_matched_boxes(read, truth, SURE)
        found = {"score": float(np.mean(precision)), **found}
        return {name: torch.tensor(value, dtype=torch.float32) for name, value in found.items()}

    @torch.no_grad()
    def pictures(self, nets: nn.ModuleDict, batch: CaseBatch) -> Float[Tensor, "rows 3 height width"]:
        """A row a case; the image of each modality with its true boxes in green and the sure ones that were read in red."""
        images, truth = batch["images"][:SHOWN], label_of(batch, "boxes")[:SHOWN]
        columns = []
        for modality in range(self.modalities):
            image = images[:, modality]
            row = (image if image.shape[1] == 3 else image.mean(1, keepdim=True).expand(-1, 3, -1, -1)).clone()
            for number, (boxes, scores, _) in enumerate(self.read(nets, image, modality)):
                _frame(row[number], truth[number][truth[number][:, 0] > 0, 1:], TRUE_COLOUR)
                _frame(row[number], boxes[scores >= SURE], FOUND_COLOUR)
            columns.append(row)
        return torch.cat(columns, 3).clamp(0, 1)

    def _boxes(self, said: BoxReading, height: int, width: int) -> list[Reading]:
        decoded = detection.decode(said.offsets.float(), said.default_boxes)
        edge = torch.tensor([width, height, width, height], device=decoded.device)
        decoded = torch.minimum(decoded.clamp(min=0), edge)
        return [self._kept(*one) for one in zip(decoded, said.scores.float().softmax(2)[..., 1:], strict=True)]

    def _kept(self, boxes: Float[Tensor, "defaults 4"], probability: Float[Tensor, "defaults classes"]) -> Reading:
        """Of one image the boxes that are sure enough and no second ones."""
        real = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1, keepdim=True)
        scores = torch.where(real & (probability >= self.least_score), probability, -1.0).flatten()
        best, place = scores.topk(min(CANDIDATES, len(scores)))
        place, best = place[best >= 0], best[best >= 0]
        rows, classes = place // self.classes, place % self.classes + 1
        arrays = (boxes[rows].cpu().numpy(), best.cpu().numpy(), classes.cpu().numpy())
        kept = torch.from_numpy(nms(*arrays, self.most_overlap)[: self.most_boxes]).to(boxes.device)
        return boxes[rows][kept], best[kept], classes[kept]


def _frame(image: Float[Tensor, "3 height width"], boxes: Float[Tensor, "boxes 4"], colour: tuple[float, float, float]) -> None:
    """Draw the outlines of boxes, one pixel wide, into an image."""
    height, width = image.shape[-2:]
    tint = torch.tensor(colour, device=image.device)[:, None]
    for x0, y0, x1, y1 in boxes.tolist():
        left, right = max(0, min(width - 1, int(x0))), max(0, min(width - 1, int(x1) - 1))
        top, bottom = max(0, min(height - 1, int(y0))), max(0, min(height - 1, int(y1) - 1))
        for y in (top, bottom):
            image[:, y, left : right + 1] = tint
        for x in (left, right):
            image[:, top : bottom + 1, x] = tint


SOURCE = Source(
    "Synthesis of Multimodal Medical Images Based on GAN, Qu, thesis, Sun Yat-sen University", 2020, "lesion boxes", "reading"
)
PRACTICE = Practice(crop_px=None, batch_size=8, epochs=100)
METHOD = Detector()
VARIANTS = {
    "thesis": Detector(
        channels=3,
        classes=4,
        width=64,
        size_px=512,
        norm="instance",
        shapes="wide",
        spacing="area",
        small_start=True,
        optimizer=Optimizer(lr=1e-5),
        schedule=Schedule(),
    )
}
