"""A run: one value that repeats a training. A recipe is a function that returns one."""

from dataclasses import dataclass
from typing import Any, Literal

from chromogen import methods
from chromogen.config import to_fields
from chromogen.data.cases.prepared import PreparedData
from chromogen.data.pairs.sets import FolderData, PhantomData
from chromogen.method import Trainable

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class Loop:
    """How long, how often, how exactly."""

    steps: int = 10_000
    batch_size: int = 2  # images in one micro-batch of one process
    accumulate: int = 1  # micro-batches averaged into one update
    precision: Precision = "auto"  # auto: bf16 where the device computes it fast, else fp32
    recompute: bool = False  # less memory for more time: activations are computed again in the backward pass
    ema: float = 0.0  # decay of the exponential moving average that translates; 0: none
    seed: int = 0
    workers: int = 0  # processes that read and augment images
    log_every: int = 50
    save_every: int = 500
    validate_every: int = 500
    validation_images: int = 16
    validation_px: int = 512  # centre crop of a validation image, at most
    select: str = "balanced"  # the rule that picks best.safetensors; see chromogen.train.validation.RULES

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_size",
            "accumulate",
            "log_every",
            "save_every",
            "validate_every",
            "validation_images",
            "validation_px",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"loop.{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 <= self.ema < 1.0:
            raise ValueError(f"loop.ema is a decay in [0, 1), got {self.ema}")


@dataclass(frozen=True)
class Frozen:
    """A trained model that guides a training and is not changed by it: its networks appear in `nets` under their names."""

    path: str
    sha256: str = ""  # of the file; "": whatever lies there, and the new model's card says what it was


@dataclass(frozen=True)
class Run:
    """Everything that decides the weights a training ends with."""

    method: Trainable
    data: FolderData | PhantomData | PreparedData
    loop: Loop
    title: str = "unnamed model"
    start_from: str | None = None  # a model (name, file or run folder) whose weights the released networks begin with
    frozen: tuple[Frozen, ...] = ()

    def fields(self) -> dict[str, Any]:
        """The run as JSON values, with the method's name, for run.json."""
        return {"method_name": methods.name_of(self.method), **to_fields(self)}  # type: ignore[dict-item]
