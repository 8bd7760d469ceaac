"""Which class an image is of: the classifier of Qu's multimodal synthesis (Sun Yat-sen University, 2020, section 4.5).

One network for each modality. Frozen, it tells the renderer whether the disease it was asked for can be read (equation 15);
trained anew, it measures of what use made images are.

Deviations from the thesis
- The patch network of "thesis" has no norm in front of its output.
- "thesis" is that patch network of the author's code with equation 22's squares; section 4.5: VGG11 with its native loss.

Ours (not in the variant "thesis")
- VGG11's convolutions with group norms, a mean over all places and one linear layer; cross-entropy.
- PyTorch's own first weights, with which it learned faster than from N(0, 0.02).
- Learning rate 3e-4 for batches of 16, instead of 1e-5 for one image.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.evaluate.agreement import confusion
from chromogen.losses import classification
from chromogen.losses.reading import Form, label_of
from chromogen.method import Optimizer, Player, Practice, Schedule, Source, Update
from chromogen.nets.blocks import started
from chromogen.nets.readers import PatchClassifier, ReaderPerModality, VGG11Classifier, read_each
from chromogen.tensors import CaseBatch, UnitImages

NETWORKS = {"vgg11": VGG11Classifier, "patches": PatchClassifier}
SHOWN = 8  # cases
RIGHT, WRONG, UNKNOWN = (0.2, 0.8, 0.2), (0.9, 0.2, 0.2), (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Classifier:
    sides_px: ClassVar[tuple[int, int]] = (1, 16)  # of images: multiples of the first, from the second
    modalities: int = 1
    channels: int = 1  # of an image
    classes: int = 3
    width: int = 32
    network: Literal["vgg11", "patches"] = "vgg11"
    form: Form = "native"  # of the loss: cross-entropy, or squares
    weight_cross_entropy: float = 1.0
    weight_squares: float = 0.5
    small_start: bool = False  # first weights from N(0, 0.02), or PyTorch's own
    optimizer: Optimizer = Optimizer(lr=3e-4, betas=(0.9, 0.999))
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        if not (self.modalities >= 1 and self.channels >= 1 and 2 <= self.classes <= 1000 and 1 <= self.width <= 512):
            raise ValueError(f"classifier: at least 1 modality and channel, classes 2-1000, width 1-512; got {self}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("reader",)

    def networks(self) -> nn.ModuleDict:
        made = NETWORKS[self.network]
        readers = [made(self.channels, self.classes, self.width) for _ in range(self.modalities)]
        reader = ReaderPerModality(readers)
        return nn.ModuleDict({"reader": started(reader, "instance") if self.small_start else reader})

    def players(self) -> dict[str, Player]:
        return {"reader": Player(("reader",), self.optimizer, self.schedule)}

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        category = self._category(batch)
        scores = list(read_each(nets["reader"], batch["images"], self.modalities))
        # summed over modalities: each network is trained as if it were alone
        if self.form == "squares":  # equation 22
            each = [classification.squares(one, category) for one in scores]
            yield {"reader": {"squares": self.weight_squares * torch.stack(each).sum()}}
        else:
            each = [classification.cross_entropy(one, category) for one in scores]
            yield {"reader": {"cross_entropy": self.weight_cross_entropy * torch.stack(each).sum()}}

    @torch.no_grad()
    def read(self, nets: nn.ModuleDict, images: UnitImages, modality: int) -> Float[Tensor, "batch classes"]:
        """Probability of each class. Trained by squares, scores near 0 and 1 are cut at 0 and divided by their sum."""
        scores = nets["reader"](images, modality)
        if self.form == "native":
            return scores.softmax(1)
        above = scores.clamp(min=1e-6)
        return above / above.sum(1, keepdim=True)

    @torch.no_grad()
    def measure(self, nets: nn.ModuleDict, batch: CaseBatch) -> dict[str, Tensor]:
        """Balanced accuracy, the mean recall of the classes that occur; as "score" the mean over modalities.

        NaN when no case's class is known.
        """
        category = self._category(batch)
        known = category >= 0
        found = {}
        for modality, scores in enumerate(read_each(nets["reader"], batch["images"], self.modalities)):
            called = scores.argmax(1)[known].tolist()
            counts = confusion(category[known].tolist(), called, range(self.classes))
            found[f"balanced_accuracy_{modality}"] = torch.tensor(counts.balanced_accuracy)
            found[f"accuracy_{modality}"] = torch.tensor(counts.accuracy)
        balanced = [value for name, value in found.items() if name.startswith("balanced")]
        return {"score": torch.stack(balanced).mean(), **found}

    @torch.no_grad()
    def pictures(self, nets: nn.ModuleDict, batch: CaseBatch) -> Float[Tensor, "rows 3 height width"]:
        """A row a case; the image of each modality over a bar: green if its class was read, red if not, grey if unknown.

        The bar is as long as the class that was read is probable.
        """
        images, category = batch["images"][:SHOWN], self._category(batch)[:SHOWN]
        height, width = images.shape[-2:]
        columns = []
        for modality in range(self.modalities):
            image = images[:, modality]
            row = (image if image.shape[1] == 3 else image.mean(1, keepdim=True).expand(-1, 3, -1, -1)).clone()
            most, called = self.read(nets, image, modality).max(1)
            for number, truth in enumerate(category.tolist()):
                colour = UNKNOWN if truth < 0 else RIGHT if truth == int(called[number]) else WRONG
                length = max(1, round(width * float(most[number])))
                row[number, :, -max(1, height // 16) :, :length] = torch.tensor(colour, device=row.device)[:, None, None]
            columns.append(row)
        return torch.cat(columns, 3).clamp(0, 1)

    def _category(self, batch: CaseBatch) -> Tensor:
        category = label_of(batch, "category")
        if int(category.max()) >= self.classes:
            most = int(category.max())
            raise ValueError(f"a case is of class {most}; this classifier knows 0-{self.classes - 1}: set `classes`")
        return category


SOURCE = Source(
    "Synthesis of Multimodal Medical Images Based on GAN, Qu, thesis, Sun Yat-sen University", 2020, "image classes", "reading"
)
PRACTICE = Practice(crop_px=None, batch_size=16, epochs=100)
METHOD = Classifier()
VARIANTS = {
    "thesis": Classifier(
        width=64, network="patches", form="squares", small_start=True, optimizer=Optimizer(lr=1e-5), schedule=Schedule()
    )
}
