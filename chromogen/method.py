"""What a method is: a frozen dataclass whose fields are its knobs and whose functions are its paper.

`step` is a generator: the order of the text is the order of the updates, as in a paper's algorithm box. Each
`yield {player: {term: loss}}` is one optimiser update of the players it names, together, each by the sum of its own terms.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.tensors import CaseBatch, SignedImages

Task = Literal["staining", "synthesis", "reading"]
Losses = dict[str, Tensor]  # {"gan": ..., "l1": ...}: named scalars, already weighted
Update = dict[str, Losses]  # {"generator": losses}


@dataclass(frozen=True)
class Source:
    """Where a method comes from and what it learns from; each method's file holds one as SOURCE.

    supervision: "pairs", "pairs + HER2 level", "unpaired", ...: what training needs beside the images it starts from.
    task: staining turns H&E into IHC; synthesis makes labelled radiology images; reading finds in them what a label says.
    """

    paper: str  # title or system, authors, venue
    year: int
    supervision: str
    task: Task = "staining"


@dataclass(frozen=True)
class Practice:
    """How a method is trained on BCI, by its authors where they say; each method's file holds one as PRACTICE.

    A recipe takes all of it. A bench takes only what the method needs of the draws (from `unpaired` on): crop, batch and length
    are its own, the same for all. An epoch is once through the training pairs.
    """

    crop_px: int | None = 256
    resize_px: int | None = None  # of the shorter side, before cutting
    batch_size: int = 1
    epochs: float = 200
    flip_only: bool = True  # mirror left-right and nothing else; False: the 8 turns and mirrors of a square
    unpaired: bool = False
    class_balanced: bool = False
    sampling: Literal["even", "weighted"] = "even"
    drop_worst: float = 0.0
    ema: float = 0.0


@dataclass(frozen=True)
class Schedule:
    """Learning-rate factor over a run: linear warm-up, constant, then linear or cosine decay to `floor`.

    `warmup` and `decay_start` are fractions of the run in [0, 1]; decay_start=1 never decays.
    """

    warmup: float = 0.0
    decay_start: float = 1.0
    shape: Literal["linear", "cosine"] = "linear"
    floor: float = 0.0


@dataclass(frozen=True)
class Optimizer:
    """Adam or AdamW over everything one player owns."""

    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 0.0
    decoupled: bool = False  # True: AdamW


@dataclass(frozen=True)
class Player:
    """Who owns which networks, and how they are updated."""

    networks: tuple[str, ...]
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()


@dataclass(frozen=True)
class Tiling:
    """What cutting a large image into tiles must respect.

    multiple_px: the network accepts sizes that are multiples of this. context_px: how far from a pixel the network looks;
    nearer to a tile's edge than this, a tile and the whole image may disagree. whole_image: statistics of the whole image
    enter every pixel, so that a tile alone would come out differently; such an image is never cut.
    """

    multiple_px: int = 1
    context_px: int = 64
    whole_image: bool = False


@runtime_checkable
class Trainable(Protocol):
    """What the loop trains: networks, who owns them, and what one iteration does. Every method of every task is one."""

    @property
    def released(self) -> tuple[str, ...]:
        """The networks a use of the method needs: they are averaged, and they alone travel in a released file."""

    def networks(self) -> nn.ModuleDict:
        """Fresh networks, drawn from torch's global random state."""

    def players(self) -> dict[str, Player]: ...

    def step(self, nets: nn.ModuleDict, batch: Any, progress: float) -> Iterator[Update]:
        """One iteration; `progress` is the share of the run that is done, in [0, 1).

        `batch` is a `tensors.Batch` of pairs for staining, a `tensors.CaseBatch` else. `nets` holds the method's own networks
        and, under their names, the frozen ones that the run lends it (`Run.frozen`).
        """


@runtime_checkable
class Method(Trainable, Protocol):
    """Staining: one image from another."""

    @property
    def tiling(self) -> Tiling: ...

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        """Source to target, both (N, 3, H, W) in [-1, 1]. Never sees a label or a name."""


@runtime_checkable
class Measured(Trainable, Protocol):
    """Synthesis and reading: a method that says itself how well it does on held-out cases."""

    def measure(self, nets: nn.ModuleDict, batch: CaseBatch) -> dict[str, Tensor]:
        """Named scalars; "score" is the one a model is chosen by, more is better."""

    def pictures(self, nets: nn.ModuleDict, batch: CaseBatch) -> Float[Tensor, "rows 3 height width"]:
        """Rows to look at, RGB in [0, 1]."""


@runtime_checkable
class Watched(Protocol):
    """A method that knows by its own measures when a training goes wrong in a way that its losses do not show."""

    def alarms(self, scores: Mapping[str, float]) -> list[str]:
        """Sentences: what is wrong, and what to do. Of the means of `measure`, or of a part of them."""


@runtime_checkable
class Sampler(Measured, Protocol):
    """From noise to whole images, all modalities at once."""

    def sample(
        self, nets: nn.ModuleDict, count: int, generator: torch.Generator, category: int | None = None
    ) -> Float[Tensor, "count modality channel height width"]: ...


@runtime_checkable
class StructureSampler(Measured, Protocol):
    """From latent vectors to line maps. Its released networks are "decoder" and "line_critic"."""

    def latents_from(self, count: int, generator: torch.Generator) -> Float[Tensor, "count latents"]: ...

    def decode(self, nets: nn.ModuleDict, latents: Float[Tensor, "count latents"]) -> Float[Tensor, "count 1 height width"]:
        """Line maps as probabilities in [0, 1]."""

    def latent_grid(self, side: int, generator: torch.Generator) -> Float[Tensor, "count latents"]:
        """side * side vectors that differ in two numbers, row by row."""

    def between(
        self, first: Float[Tensor, "batch latents"], second: Float[Tensor, "batch latents"], steps: int
    ) -> Float[Tensor, "steps batch latents"]:
        """Vectors on the way from one to the other, both included."""


@runtime_checkable
class Renderer(Protocol):
    """From line map and label to images, all modalities in register."""

    def render(
        self,
        nets: nn.ModuleDict,
        lines: Float[Tensor, "batch 1 height width"],
        organ: Float[Tensor, "batch 1 height width"],
        label: Float[Tensor, "batch planes height width"],
        generator: torch.Generator,
    ) -> Float[Tensor, "batch modality channel height width"]: ...
