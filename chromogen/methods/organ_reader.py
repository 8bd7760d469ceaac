"""The organ behind a line map: stage B of Qu's multimodal synthesis (Sun Yat-sen University, 2020).

A U-Net sees lines and says where the organ is: mean squared error against the organ of the same case (equation 6). It is
trained alone and then frozen; the stages behind it ask it where a drawn line map has its organ.

Deviations from the thesis
- It names the background mask m = 1 - organ; the error is the same.
- Trained "in step" with the line maps it could shrink the background to please equation (11); here it is trained before.
- No instance norm in front of the sigmoid, which the author's code has.
- Trained at the size of the cases, and asked at it alone: maps drawn at another size are brought to it first.

Ours (not in the variant "thesis")
- Half of each batch's lines are softened, blended with their blur of 3x3: drawn line maps are never quite 0 or 1.
- Learning rate 1e-3 instead of 1e-5, for batches of 16 instead of 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.losses import synthesis
from chromogen.method import Optimizer, Player, Practice, Schedule, Source, Update
from chromogen.nets.modality_unet import ModalityUNet
from chromogen.tensors import CaseBatch


@dataclass(frozen=True)
class OrganReader:
    sides_px: ClassVar[tuple[int, int]] = (8, 16)  # of images: multiples of the first, from the second
    width: int = 32
    soften: float = 0.5  # the share of line maps that are softened
    weight_organ: float = 1.0
    optimizer: Optimizer = Optimizer(lr=1e-3)
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 512 and 0 <= self.soften <= 1):
            raise ValueError(f"organ_reader: width is 1-512 and soften a share in [0, 1], got {self}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("organ",)

    def networks(self) -> nn.ModuleDict:
        return nn.ModuleDict({"organ": ModalityUNet(1, 1, width=self.width)})

    def players(self) -> dict[str, Player]:
        return {"organ": Player(("organ",), self.optimizer, self.schedule)}

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        lines = batch["lines"]
        if self.soften:
            chosen = torch.rand(len(lines), 1, 1, 1).to(lines) < self.soften
            lines = torch.where(chosen, 0.5 * (lines + F.avg_pool2d(lines, 3, stride=1, padding=1)), lines)
        read = nets["organ"](lines)
        yield {"organ": {"organ": self.weight_organ * synthesis.squared(read, batch["organ"])}}  # (6)

    @torch.no_grad()
    def measure(self, nets: nn.ModuleDict, batch: CaseBatch) -> dict[str, Tensor]:
        """score: mean Dice of the organ read off the lines."""
        read = nets["organ"](batch["lines"])
        return {
            "score": synthesis.hard_dice(read, batch["organ"]).mean(),
            "squared_error": synthesis.squared(read, batch["organ"]),
        }

    @torch.no_grad()
    def pictures(self, nets: nn.ModuleDict, batch: CaseBatch) -> Float[Tensor, "rows 3 height width"]:
        """Lines, organ, organ as read, side by side."""
        row = torch.cat([batch["lines"], batch["organ"], nets["organ"](batch["lines"])], dim=-1)
        return row.expand(-1, 3, -1, -1)


SOURCE = Source(
    "Synthesis of Multimodal Medical Images Based on GAN, Qu, thesis, Sun Yat-sen University", 2020, "organs", "synthesis"
)
PRACTICE = Practice(crop_px=None, batch_size=16, epochs=20)
METHOD = OrganReader()
VARIANTS = {"thesis": OrganReader(soften=0.0, optimizer=Optimizer(lr=1e-5), schedule=Schedule())}
