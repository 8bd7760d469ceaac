"""What a method is: a frozen dataclass whose fields are its knobs and whose functions are its paper.

`step` is a generator: the order of the text is the order of the updates, as in a paper's algorithm box. Each
`yield {player: {term: loss}}` is one optimiser update of the players it names, together, each by the sum of its own terms.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor, nn

from chromogen.tensors import Batch, SignedImages

Losses = dict[str, Tensor]  # {"gan": ..., "l1": ...}: named scalars, already weighted
Update = dict[str, Losses]  # {"generator": losses}


@dataclass(frozen=True)
class Source:
    """Where a method comes from and what it learns from; each method's file holds one as SOURCE.

    supervision: "pairs", "pairs + HER2 level", "unpaired", ...: what training needs beside H&E images.
    """

    paper: str  # title or system, authors, venue
    year: int
    supervision: str


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
class Method(Protocol):
    @property
    def translators(self) -> tuple[str, ...]:
        """The networks `translate` uses: they are averaged, and they alone travel in a released file."""

    @property
    def tiling(self) -> Tiling: ...

    def networks(self) -> nn.ModuleDict:
        """Fresh networks, drawn from torch's global random state."""

    def players(self) -> dict[str, Player]: ...

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        """One iteration; `progress` is the share of the run that is done, in [0, 1)."""

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        """Source to target, both (N, 3, H, W) in [-1, 1]. Never sees a label or a name."""
