"""What a bench holds equal for all systems, and the run that each system becomes under it."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chromogen import methods
from chromogen.config import to_fields
from chromogen.data.pairs.layouts import find_pairs
from chromogen.data.pairs.sets import FolderData, FolderPairs, PairSet
from chromogen.judge.judging import Judging
from chromogen.train.run import Loop, Precision, Run

PROFILE = "bci2022"
EXTRACTORS = ("efficientnet-lite0",)
READER = "level-reader.json"
NEVER = 10**9  # the test images must not choose a checkpoint: nothing is validated, the last weights are taken


@dataclass(frozen=True)
class Budget:
    """How long each system trains: a number of steps, or of minutes (then as many steps as it takes in that time)."""

    amount: float
    unit: str  # "steps" or "minutes"

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"


def budget_from_text(text: str) -> Budget:
    """`400` and `400steps` are steps, `10min` and `10minutes` minutes. ValueError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(steps?|min|minutes?)?\s*", text)
    unit = "minutes" if found and (found[2] or "").startswith("min") else "steps"
    if not found or float(found[1]) <= 0 or (unit == "steps" and not float(found[1]).is_integer()):
        raise ValueError(f"a budget of {text!r} is not possible; write --budget 400 (steps) or --budget 10min")
    return Budget(float(found[1]), unit)


@dataclass(frozen=True)
class Plan:
    """Equal for all systems: pairs, split, budget, crop, batch, seed, widths, device."""

    data: Path
    budget: Budget
    held_out: tuple[str, ...] = ()
    resize_px: int | None = None
    crop_px: int = 256
    batch_size: int = 2
    narrow: int = 1  # every width of every network divided by this
    seed: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    workers: int = 0
    licence: str = ""
    mpp: float | None = None  # um per pixel of the test images: with it, nuclei are looked for

    def __post_init__(self) -> None:
        for name in ("crop_px", "batch_size", "narrow"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def title(self) -> str:
        """The conditions in one line, for the heading of a table."""
        width = "published widths" if self.narrow == 1 else f"widths divided by {self.narrow}"
        size = f" of images resized to {self.resize_px} px" if self.resize_px else ""
        return f"{self.budget} each, batches of {self.batch_size} crops of {self.crop_px} px{size}, {width}, seed {self.seed}"

    def fields(self) -> dict[str, Any]:
        return {field.name: to_fields(getattr(self, field.name)) for field in dataclasses.fields(self)}

    def training_data(self, practice: methods.Practice) -> FolderData:
        """The pairs that train, drawn as a method needs them; what is held out or named test never trains."""
        return FolderData(
            root=self.data, held_out=self.held_out, validation_share=0.0, resize_px=self.resize_px, crop_px=self.crop_px,
            licence=self.licence, unpaired=practice.unpaired, class_balanced=practice.class_balanced,
            sampling=practice.sampling, drop_worst=practice.drop_worst,
        )  # fmt: skip

    def test_pairs(self) -> PairSet:
        """The pairs that are scored: those held out, else the test split. ValueError when there are none."""
        if self.held_out:
            return self.training_data(methods.Practice()).open("val")
        pairs = [pair for pair in find_pairs(self.data).pairs if pair.split == "test" and pair.target is not None]
        if not pairs:
            raise ValueError(
                f"{self.data} has no test split of pairs; name some with --held-out NAME NAME, or put pairs into a folder test"
            )
        return FolderPairs(pairs, [], self.resize_px, cache_gib=0.1)

    def judging(self, out: Path) -> Judging:
        """How every system and every control is scored; the reader of levels was trained on the pairs that train."""
        reader = out / READER
        return Judging(PROFILE, mpp=self.mpp, extractors=EXTRACTORS, training=reader if reader.is_file() else None)

    def judged(self, out: Path) -> dict[str, Any]:
        """What of it changes numbers, as a result records it: one scored otherwise is scored again."""
        judging = self.judging(out)
        fields = to_fields(dataclasses.replace(judging, training=None))
        assert isinstance(fields, dict)
        return fields | {"training": judging.training is not None}

    def run(self, system: str, steps: int) -> Run:
        """The training of one system, `name` or `name:variant`, under this plan."""
        practice = methods.practice_of(system)
        loop = Loop(
            steps=steps, batch_size=self.batch_size, precision=self.precision, ema=practice.ema, seed=self.seed,
            workers=self.workers, log_every=20, save_every=100, validate_every=NEVER, validation_images=1,
            validation_px=4096, select="last",
        )  # fmt: skip
        method = methods.narrowed(methods.load(system), self.narrow, self.crop_px)
        return Run(method, self.training_data(practice), loop, title=f"{system}, {self.title()}")


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Names of the plan's fields that differ, leaving out those that change no training."""
    free = {"workers", "licence", "mpp"}
    return [
        field.name for field in dataclasses.fields(Plan) if field.name not in free and old.get(field.name) != new[field.name]
    ]
