"""Where the lesions are, pixel by pixel: the segmenters G_l of Qu's multimodal synthesis (Sun Yat-sen University, 2020).

One U-Net for each modality, trained on its images alone (section 4.5, equation 22). Frozen, they tell the renderer whether the
lesion it drew can be read (equation 15); trained anew, they measure of what use made images are.

Deviations from the thesis
- No instance norm in front of the output, which the author's code has: it fixes each image's mean of each class.
- No dropout of the input (the author's code keeps 90 to 100 %).
- "thesis" learns equation 22's squares, weighted by class as in the author's code; the end of section 4.5 has U-Net's native
  loss, weighted cross-entropy.

Ours (not in the variant "thesis")
- Cross-entropy and Dice instead of squares weighted by class; half the width; learning rate 1e-3 for batches of 16.
- PyTorch's own first weights: from N(0, 0.02) a class was still unread after 60 steps on 4 cases in one of three trials.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.evaluate.reading.segmentation import dice_of_classes
from chromogen.losses import segmentation
from chromogen.losses.reading import Form, label_of
from chromogen.method import Optimizer, Player, Practice, Schedule, Source, Update
from chromogen.nets.blocks import started
from chromogen.nets.readers import ReaderPerModality, SegmentationUNet, read_each
from chromogen.tensors import CaseBatch, UnitImages

PALETTE = ((0.0, 0.0, 0.0), (0.9, 0.2, 0.2), (0.2, 0.8, 0.2), (0.2, 0.4, 1.0), (1.0, 0.8, 0.1), (0.8, 0.3, 0.9))
SHOWN = 4  # cases


@dataclass(frozen=True)
class Segmenter:
    sides_px: ClassVar[tuple[int, int]] = (8, 16)  # of images: multiples of the first, from the second
    modalities: int = 1
    channels: int = 1  # of an image
    classes: int = 2  # of a pixel, 0 included
    width: int = 32
    form: Form = "native"  # of the loss: cross-entropy + Dice, or squares
    class_weights: tuple[float, ...] = ()  # of the squares; () counts each class once
    weight_cross_entropy: float = 1.0
    weight_dice: float = 1.0
    weight_squares: float = 5.0
    small_start: bool = False  # first weights from N(0, 0.02), or PyTorch's own
    optimizer: Optimizer = Optimizer(lr=1e-3, betas=(0.9, 0.999))
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        if not (self.modalities >= 1 and self.channels >= 1 and 2 <= self.classes <= 256 and 1 <= self.width <= 512):
            raise ValueError(f"segmenter: at least 1 modality and channel, classes 2-256 (0 included), width 1-512; got {self}")
        if self.class_weights and len(self.class_weights) != self.classes:
            weights = len(self.class_weights)
            raise ValueError(f"segmenter: {self.classes} classes need as many class_weights (or none), got {weights}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("reader",)

    def networks(self) -> nn.ModuleDict:
        readers = [SegmentationUNet(self.channels, self.classes, self.width) for _ in range(self.modalities)]
        reader = ReaderPerModality(readers)
        return nn.ModuleDict({"reader": started(reader, "instance") if self.small_start else reader})

    def players(self) -> dict[str, Player]:
        return {"reader": Player(("reader",), self.optimizer, self.schedule)}

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        mask = self._mask(batch)
        logits = list(read_each(nets["reader"], batch["images"], self.modalities))
        # summed over modalities: each network is trained as if it were alone
        if self.form == "squares":  # equation 22
            each = [segmentation.weighted_squares(one, mask, self.class_weights) for one in logits]
            yield {"reader": {"squares": self.weight_squares * torch.stack(each).sum()}}
            return
        entropy = torch.stack([segmentation.cross_entropy(one, mask) for one in logits]).sum()
        overlap = torch.stack([segmentation.dice(one, mask) for one in logits]).sum()
        yield {"reader": {"cross_entropy": self.weight_cross_entropy * entropy, "dice": self.weight_dice * overlap}}

    @torch.no_grad()
    def read(self, nets: nn.ModuleDict, images: UnitImages, modality: int) -> Float[Tensor, "batch classes height width"]:
        """Probability of each class in each pixel. With squares each class has its own, and they need not add up to 1."""
        logits = nets["reader"](images, modality)
        return logits.sigmoid() if self.form == "squares" else logits.softmax(1)

    @torch.no_grad()
    def measure(self, nets: nn.ModuleDict, batch: CaseBatch) -> dict[str, Tensor]:
        """Mean Dice over the classes from 1, over cases and, as "score", over modalities; 1 where a class is rightly absent:
        "lacking" is the share of cases and classes of which that can be."""
        mask = self._mask(batch).cpu().numpy()
        held = torch.stack([(self._mask(batch) == k).flatten(1).any(1) for k in range(1, self.classes)])
        found = {}
        for modality, logits in enumerate(read_each(nets["reader"], batch["images"], self.modalities)):
            called = logits.argmax(1).cpu().numpy()
            dice = [dice_of_classes(*pair, self.classes)[1:].mean() for pair in zip(called, mask, strict=True)]
            found[f"dice_{modality}"] = torch.tensor(dice, dtype=torch.float32).mean()
        return {"score": torch.stack([*found.values()]).mean(), **found, "lacking": 1 - held.float().mean()}

    @torch.no_grad()
    def pictures(self, nets: nn.ModuleDict, batch: CaseBatch) -> Float[Tensor, "rows 3 height width"]:
        """A row a case; of each modality the image, the mask over it, and what was read over it."""
        images, mask = batch["images"][:SHOWN], self._mask(batch)[:SHOWN]
        columns: list[Tensor] = []
        for modality, logits in enumerate(read_each(nets["reader"], images, self.modalities)):
            image = images[:, modality]
            grey = image if image.shape[1] == 3 else image.mean(1, keepdim=True).expand(-1, 3, -1, -1)
            columns += [grey, _tinted(grey, mask), _tinted(grey, logits.argmax(1))]
        return torch.cat(columns, 3).clamp(0, 1)

    def _mask(self, batch: CaseBatch) -> Tensor:
        mask = label_of(batch, "mask")
        if int(mask.max()) >= self.classes:
            raise ValueError(f"a mask holds class {int(mask.max())}; this segmenter knows 0-{self.classes - 1}: set `classes`")
        return mask


def _tinted(image: Float[Tensor, "batch 3 height width"], mask: Tensor) -> Float[Tensor, "batch 3 height width"]:
    """Pixels of a class from 1 are half its colour; colours come again after five classes."""
    colours = torch.tensor(PALETTE, device=image.device)
    tint = colours[torch.where(mask > 0, (mask - 1) % (len(PALETTE) - 1) + 1, 0)].permute(0, 3, 1, 2)
    return torch.where(mask[:, None] > 0, (image + tint) / 2, image)


SOURCE = Source(
    "Synthesis of Multimodal Medical Images Based on GAN, Qu, thesis, Sun Yat-sen University", 2020, "lesion masks", "reading"
)
PRACTICE = Practice(crop_px=None, batch_size=16, epochs=100)
METHOD = Segmenter()
VARIANTS = {
    "thesis": Segmenter(
        modalities=4,
        classes=5,
        width=64,
        form="squares",
        class_weights=(0.5, 5.0, 25.0, 25.0, 25.0),
        small_start=True,
        optimizer=Optimizer(lr=1e-5),
        schedule=Schedule(),
    )
}
