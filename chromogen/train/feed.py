"""What a run's data gives the loop: batches to learn from, held-out material to be judged by, and what a card says of it.

Stains are learned from pairs and judged by their pictures; synthesis and reading learn from prepared cases and judge themselves
(`Measured.measure`). The loop knows neither.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from chromogen.data.cases.prepared import Prepared, PreparedData
from chromogen.data.pairs.batches import train_batches
from chromogen.data.pairs.sets import FolderData, FolderPairs, PhantomData
from chromogen.method import Measured, Method, Watched
from chromogen.tensors import Batch, CaseBatch, SignedImages, Uint8Image, on_device
from chromogen.train.run import Run
from chromogen.train.validation import RULES, rule, validate

Scores = dict[str, float]
Rows = list[list[Uint8Image]]
CASES_RULES = ("score", "last")


class Feed(Protocol):
    """One run's data, open."""

    held_out: int  # pairs or cases that validation looks at

    def batches(self, first: int, count: int, rank: int, world: int) -> Iterator[Batch] | Iterator[CaseBatch]:
        """Micro-batches first ... first + count - 1 of process `rank`, decided by the run's seed and their number alone."""

    def names(self, numbers: Sequence[int]) -> list[str]:
        """Of the pairs or cases of these numbers, as a batch's `index` counts them."""

    def contents(self) -> dict[str, Any]:
        """What is there, wherever it lies: "count" of pairs or cases, "sha256" of their names and the sizes of their files."""

    def judge(self, nets: nn.ModuleDict, device: torch.device) -> tuple[Scores, Rows]: ...

    def alarms(self, scores: Scores) -> list[str]:
        """What in the scores of `judge` should stop a person."""

    def card(self) -> dict[str, Any]:
        """Fields of the card that the data decides."""


def feed_of(run: Run) -> Feed:
    """The feed of a run; ValueError when its data, its method and its rule of selection do not go together."""
    rule(run.loop.select)
    pairs = isinstance(run.data, FolderData | PhantomData)
    if pairs and isinstance(run.method, Method):
        return PairFeed(run, run.method)
    if not pairs and isinstance(run.method, Measured):
        return CaseFeed(run, run.method)
    kinds = "pairs of H&E and IHC" if pairs else "prepared cases"
    raise ValueError(
        f"{type(run.method).__name__} does not learn from {kinds}; see `chromogen methods` for what learns from what"
    )


class PairFeed:
    """Pairs of H&E and IHC."""

    def __init__(self, run: Run, method: Method) -> None:
        _check_sizes(run, method)
        assert isinstance(run.data, FolderData | PhantomData)
        self.run, self.method, self.data = run, method, run.data
        self.validation = self.data.open("val")
        self.held_out = min(run.loop.validation_images, len(self.validation))

    def batches(self, first: int, count: int, rank: int, world: int) -> Iterator[Batch]:
        loop = self.run.loop
        multiple = self.method.tiling.multiple_px
        for batch in train_batches(self.data, loop.batch_size, loop.seed, first, count, loop.workers, rank, world):
            yield {**batch, "source": _filled_up(batch["source"], multiple), "target": _filled_up(batch["target"], multiple)}

    def contents(self) -> dict[str, Any]:
        facts: list[object] = []
        train = self.data.open("train")
        for pairs in (train, self.validation):
            facts += pairs.names
            if isinstance(pairs, FolderPairs):
                files = [path for pair in pairs.pairs for path in (pair.source, pair.target) if path]
                facts += [path.stat().st_size for path in (*files, *pairs.lone_targets)]
        return _contents(len(train) + len(self.validation), facts)

    def names(self, numbers: Sequence[int]) -> list[str]:
        names = self.data.open("train").names
        return [names[number] for number in numbers]

    def judge(self, nets: nn.ModuleDict, device: torch.device) -> tuple[Scores, Rows]:
        loop = self.run.loop
        return validate(self.method, nets, self.validation, loop.validation_images, loop.validation_px, device)

    def alarms(self, scores: Scores) -> list[str]:
        return []

    def card(self) -> dict[str, Any]:
        on = f"{self.held_out} validation pairs, centre crops of at most {self.run.loop.validation_px} px, while training"
        return {"mpp": self.data.stated_mpp(), "on": on}


class CaseFeed:
    """Prepared cases."""

    def __init__(self, run: Run, method: Measured) -> None:
        if run.loop.select not in CASES_RULES:
            raise ValueError(
                f"loop.select {run.loop.select!r} judges stains; for {type(method).__name__} take {' or '.join(CASES_RULES)}"
            )
        assert isinstance(run.data, PreparedData)
        self.run, self.method, self.data = run, method, run.data
        self.prepared = self.data.open()
        check_shapes(method, self.prepared)
        there = self.data.members(self.prepared, self.data.validation_split)
        self.held_out = min(run.loop.validation_images, len(there))
        # over the whole of the split: neighbours are slices of one volume, and alike
        self.numbers = there[np.linspace(0, len(there) - 1, self.held_out).round().astype(int)] if self.held_out else there

    def batches(self, first: int, count: int, rank: int, world: int) -> Iterator[CaseBatch]:
        loop = self.run.loop
        return self.data.batches(self.data.train_split, loop.batch_size, loop.seed, first, count, rank, world)

    def contents(self) -> dict[str, Any]:
        return _contents(len(self.prepared), [(case.name, case.patient, case.split) for case in self.prepared.index.cases])

    def names(self, numbers: Sequence[int]) -> list[str]:
        return [self.prepared.index.cases[number].name for number in numbers]

    def judge(self, nets: nn.ModuleDict, device: torch.device) -> tuple[Scores, Rows]:
        """Means of the method's own measures over held-out cases; a batch that shows nothing (NaN) does not count."""
        training = {name: net.training for name, net in nets.items()}
        nets.eval()
        found: list[tuple[int, dict[str, Tensor]]] = []
        rows: Rows = []
        with torch.inference_mode():
            for first in range(0, self.held_out, self.run.loop.batch_size):
                numbers = self.numbers[first : first + self.run.loop.batch_size]
                moved = on_device(self.prepared.batch(list(numbers)), device)
                found.append((len(numbers), self.method.measure(nets, moved)))
                if not rows:
                    rows = [[row] for row in _uint8(self.method.pictures(nets, moved))]
        for name, mode in training.items():
            nets[name].train(mode)
        if not found:
            return {}, rows
        return {key: _mean([(count, float(scores[key])) for count, scores in found]) for key in found[0][1]}, rows

    def alarms(self, scores: Scores) -> list[str]:
        return self.method.alarms(scores) if isinstance(self.method, Watched) else []

    def card(self) -> dict[str, Any]:
        return {
            "source_stain": "",
            "target_stain": "",
            "modalities": self.prepared.index.modalities,
            "classes": self.prepared.index.classes,
            "on": f"{self.held_out} held-out cases, while training",
        }


def _contents(count: int, facts: Sequence[object]) -> dict[str, Any]:
    return {"count": count, "sha256": hashlib.sha256(json.dumps(facts).encode()).hexdigest()}


def _filled_up(images: SignedImages, multiple: int) -> SignedImages:
    """Mirrored at the right and at the bottom up to the next multiple: what `infer` does with whole images, too."""
    gaps = [-side % multiple for side in images.shape[2:]]
    if not any(gaps):
        return images
    return torch.from_numpy(np.pad(images.numpy(), [(0, 0), (0, 0), *((0, gap) for gap in gaps)], mode="reflect"))


def _mean(values: list[tuple[int, float]]) -> float:
    """The mean of the values that exist, weighted; the worst there is when none does, so that no rule prefers it."""
    known = [(count, value) for count, value in values if not math.isnan(value)]
    return float(np.average([value for _, value in known], weights=[count for count, _ in known])) if known else -1e9


def _uint8(rows: Tensor) -> list[Uint8Image]:
    scaled = rows.detach().float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return list(scaled.permute(0, 2, 3, 1).cpu().numpy())


def check_shapes(method: Measured, prepared: Prepared) -> None:
    """ValueError when a method was set up for other modalities, channels or classes than the cases have."""
    index = prepared.index
    boxes = 1 if hasattr(method, "most_overlap") else 0  # a detector does not count the background
    there = {"modalities": len(index.modalities), "channels": prepared.channels, "classes": len(index.classes) - boxes}
    if index.label == "none" or getattr(method, "label", "") == "none":
        del there["classes"]
    for name, count in there.items():
        if getattr(method, name, count) != count:
            named = {"modalities": index.modalities, "classes": index.classes}.get(name, ())
            listed = f" ({', '.join(named)})" if named else ""
            raise ValueError(
                f"{type(method).__name__} is set up for {getattr(method, name)} {name}, and the cases have {count}"
                f"{listed}; set method.{name}, or choose them with cases.{name}"
            )


def _check_sizes(run: Run, method: Method) -> None:
    """ValueError when the method cannot take the crops of training or validation, before the first step."""
    multiple = method.tiling.multiple_px
    assert isinstance(run.data, FolderData | PhantomData)
    if run.data.crop_px is not None and run.data.crop_px % multiple:
        raise ValueError(f"data.crop_px is {run.data.crop_px}; this method takes multiples of {multiple} px")
    if run.loop.validation_px < multiple:
        raise ValueError(f"loop.validation_px is {run.loop.validation_px}; this method takes {multiple} px at least")


assert set(CASES_RULES) <= set(RULES)
