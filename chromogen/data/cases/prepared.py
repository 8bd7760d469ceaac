"""Prepared cases: what trainings of synthesis read. A folder of arrays that are opened without being loaded, and an index.

    images.npy    (N, modalities, channels, H, W) float16 in [0, 1]
    lines.npy     (N, H, W) uint8, 0 or 1
    organ.npy     (N, H, W) uint8, 1 inside
    mask.npy      (N, H, W) uint8, class of every pixel; or category.npy (N) int64; or boxes.npy (N, M, 5) float32; or none
    index.json    what the arrays are: modalities, classes, licence, what made them; every case's patient, split, origin

Draw n of a training is decided by its seed and n alone, as in `data.pairs.batches`: neither where a run was resumed nor
how many processes share it changes a byte.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Int

from chromogen.config import nearest, to_fields
from chromogen.data.cases.provenance import Origin
from chromogen.data.cases.split import SPLITS, parted, synthetic_tests
from chromogen.data.cases.studies import Label
from chromogen.data.order import Order
from chromogen.tensors import CaseBatch

FORMAT = "chromogen prepared cases 1"

_ORDER, _MIRROR = range(2)  # first word after the seed: what a random stream is for
_SHAPES = {"images": (5, np.float16), "lines": (3, np.uint8), "organ": (3, np.uint8)}
_LABELS = {"mask": (3, np.uint8), "category": (1, np.int64), "boxes": (3, np.float32)}


@dataclass(frozen=True)
class PreparedCase:
    """What the index says of a case."""

    name: str
    patient: str
    split: str
    spacing_mm: tuple[float, float] | None
    origin: Origin


@dataclass(frozen=True)
class PreparedIndex:
    """What the index says of all: `classes` by number (0 of masks and boxes is none); `made_by` is a hash of what made it."""

    title: str
    modalities: tuple[str, ...]
    label: Label
    classes: tuple[str, ...]
    licence: str
    made_by: str
    cases: tuple[PreparedCase, ...]


class Prepared:
    """A folder of prepared cases. Raises ValueError for one that is not whole, FileNotFoundError where there is none."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).expanduser()
        self.index = read_index(self.root)
        wanted = _SHAPES | ({} if self.index.label == "none" else {self.index.label: _LABELS[self.index.label]})
        self.arrays = {name: self._opened(name, *kind) for name, kind in wanted.items()}
        size = self.arrays["images"].shape[-2:]
        for name in ("lines", "organ", "mask"):
            if name in self.arrays and self.arrays[name].shape[1:] != size:
                raise ValueError(f"{self.root}: {name}.npy and images.npy differ in height or width; prepare the cases again")
        if self.arrays["images"].shape[1] != len(self.index.modalities):
            raise ValueError(f"{self.root}: images.npy and index.json differ in modalities; prepare the cases again")

    def __len__(self) -> int:
        return len(self.index.cases)

    @property
    def size_px(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.arrays["images"].shape[-2:]
        return rows, columns

    @property
    def channels(self) -> int:
        return int(self.arrays["images"].shape[2])

    @cached_property
    def identity(self) -> str:
        """A word that changes when the set does: the hash of the index, which holds the hash of what made the arrays."""
        return hashlib.sha256((self.root / "index.json").read_bytes()).hexdigest()

    def of_split(self, split: str) -> Int[np.ndarray, " members"]:
        """The numbers of the cases of a split."""
        if split not in SPLITS:
            raise ValueError(f"no split is called {split!r}; {nearest(split, SPLITS)}")
        return np.array([k for k, case in enumerate(self.index.cases) if case.split == split], dtype=np.int64)

    def has_label(self, members: Int[np.ndarray, " members"]) -> Bool[np.ndarray, " members"]:
        """Which of the cases bear a lesion: any pixel or box of a class above 0."""
        return np.array([bool((self.arrays[self.index.label][k] > 0).any()) for k in members], dtype=bool)

    def batch(self, numbers: Sequence[int], mirrored: Sequence[bool] | None = None) -> CaseBatch:
        """The cases of these numbers, those that `mirrored` says turned left-right: images, lines, organ and label alike."""
        turned = np.zeros(len(numbers), dtype=bool) if mirrored is None else np.asarray(mirrored, dtype=bool)
        batch: CaseBatch = {
            "images": torch.from_numpy(self._stacked("images", numbers, turned).astype(np.float32)),
            "lines": torch.from_numpy(self._stacked("lines", numbers, turned)[:, None].astype(np.float32)),
            "organ": torch.from_numpy(self._stacked("organ", numbers, turned)[:, None].astype(np.float32)),
            "index": torch.tensor([int(number) for number in numbers]),
        }
        if "mask" in self.arrays:
            batch["mask"] = torch.from_numpy(self._stacked("mask", numbers, turned).astype(np.int64))
        if "category" in self.arrays:
            batch["category"] = torch.tensor([int(self.arrays["category"][number]) for number in numbers])
        if "boxes" in self.arrays:
            boxes = np.stack([self.arrays["boxes"][number] for number in numbers])
            real = (boxes[..., 0] > 0) & turned[:, None]
            left, right = boxes[..., 1].copy(), boxes[..., 3].copy()
            boxes[..., 1] = np.where(real, self.size_px[1] - right, left)
            boxes[..., 3] = np.where(real, self.size_px[1] - left, right)
            batch["boxes"] = torch.from_numpy(boxes)
        return batch

    def _stacked(self, name: str, numbers: Sequence[int], turned: Bool[np.ndarray, " batch"]) -> np.ndarray:
        planes = (self.arrays[name][number] for number in numbers)
        return np.stack([plane[..., ::-1] if turn else plane for plane, turn in zip(planes, turned, strict=True)])

    def _opened(self, name: str, axes: int, kind: type) -> np.ndarray:
        path = self.root / f"{name}.npy"
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"{path} cannot be opened ({error}); prepare the cases again") from error
        if not isinstance(array, np.ndarray) or array.ndim != axes or array.dtype != kind or len(array) != len(self):
            raise ValueError(
                f"{path} is not an array of {len(self)} cases with {axes} axes, {np.dtype(kind)}; prepare the cases again"
            )
        return array


def read_index(root: Path | str) -> PreparedIndex:
    """The index of a folder of prepared cases. ValueError: of another format, broken, a patient in two splits, a synthetic case
    in the test split."""
    path = Path(root) / "index.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give a folder that was prepared")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts.get("format") != FORMAT:
            raise ValueError(f"its format is {facts.get('format')!r}, not {FORMAT!r}")
        index = _index(facts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not the index of prepared cases ({error}); prepare the cases again") from error
    check_index(index)
    return index


def check_index(index: PreparedIndex) -> None:
    """ValueError for the first case that is in a wrong place."""
    for case in index.cases:
        if case.split not in SPLITS:
            raise ValueError(f"{case.name}: no split is called {case.split!r}; {nearest(case.split, SPLITS)}")
    faults = [
        *parted((case.patient, case.split) for case in index.cases),
        *synthetic_tests([(case.name, case.split, case.origin) for case in index.cases]),
    ]
    if faults:
        raise ValueError(faults[0])


def index_fields(index: PreparedIndex) -> dict[str, Any]:
    """The index as JSON values."""
    return {"format": FORMAT} | {field.name: to_fields(getattr(index, field.name)) for field in fields(index)}


def _index(facts: dict[str, Any]) -> PreparedIndex:
    texts = [str(facts[name]) for name in ("title", "label", "licence", "made_by")]
    if texts[1] not in get_args(Label):
        raise ValueError(f"no label is called {texts[1]!r}")
    cases = []
    for case in facts["cases"]:
        spacing = case["spacing_mm"]
        between = None if spacing is None else (float(spacing[0]), float(spacing[1]))
        if case["origin"] not in get_args(Origin):
            raise ValueError(f"no origin is called {case['origin']!r}")
        cases.append(PreparedCase(str(case["name"]), str(case["patient"]), str(case["split"]), between, case["origin"]))
    names = [tuple(str(name) for name in facts[key]) for key in ("modalities", "classes")]
    return PreparedIndex(texts[0], names[0], texts[1], names[1], texts[2], texts[3], tuple(cases))  # type: ignore[arg-type]


@dataclass(frozen=True)
class PreparedData:
    """Prepared cases in a recipe."""

    root: str
    train_split: Literal["train", "val", "test"] = "train"
    validation_split: Literal["train", "val", "test"] = "val"
    mirror: bool = False  # left-right half of the time, labels alike; not for organs that have sides, unless that is wanted
    balanced: bool = False  # draw the classes in turn; of masks and boxes: cases with and without a lesion in turn
    only: tuple[str, ...] = ()  # image classes that are drawn from, in any case; () draws from all

    def open(self) -> Prepared:
        """The cases, their index checked. ValueError, FileNotFoundError."""
        return Prepared(self.root)

    def describe(self) -> str:
        index = read_index(Path(self.root).expanduser())
        counts = Counter(case.split for case in index.cases)
        patients = {split: len({case.patient for case in index.cases if case.split == split}) for split in counts}
        made = sum(case.origin == "synthetic" for case in index.cases)
        parts = ", ".join(f"{counts[split]} {split} ({patients[split]} patients)" for split in SPLITS if split in counts)
        synthetic = f", {made} of them synthetic" if made else ""
        only = f"; drawn from {', '.join(self.only)} alone" if self.only else ""
        return f"{index.title}: {parts} cases with {', '.join(index.modalities)}, label {index.label}{synthetic}{only}"

    def stated_licence(self) -> str:
        return read_index(Path(self.root).expanduser()).licence

    def stated_mpp(self) -> None:
        """None: a case has mm, one by one."""
        return None

    def batches(
        self, split: str, batch_size: int, seed: int, first_step: int, steps: int, rank: int = 0, world: int = 1
    ) -> Iterator[CaseBatch]:
        """The batches of steps first_step ... first_step + steps - 1 for process `rank` of `world`, endlessly reshuffled.

        A batch holds `batch_size` cases for this process, of every batch_size * world that all take every world-th. Raises
        ValueError at once for a split without cases and for `balanced` without labels.
        """
        if batch_size < 1 or seed < 0 or first_step < 0 or not 0 <= rank < world:
            raise ValueError(
                f"batch_size {batch_size}, seed {seed}, step {first_step} or rank {rank} of {world} is not possible"
            )
        prepared = self.open()
        orders = self._orders(prepared, split, seed)

        def drawn() -> Iterator[CaseBatch]:
            for step in range(first_step, first_step + steps):
                first = step * batch_size * world + rank
                draws = [first + k * world for k in range(batch_size)]
                members = [orders[n % len(orders)].member(n // len(orders)) for n in draws]
                turned = [self.mirror and np.random.default_rng([seed, _MIRROR, n]).random() < 0.5 for n in draws]
                yield prepared.batch(members, turned)

        return drawn()

    def _orders(self, prepared: Prepared, split: str, seed: int) -> list[Order]:
        """The orders that take turns: one, or with `balanced` one a class."""
        members = self.members(prepared, split)
        if not len(members):
            raise ValueError(
                f"{self.root} has no case in the split {split}; prepare it with other shares, or name another split"
            )
        groups = [members]
        if self.balanced:
            if prepared.index.label == "none":
                raise ValueError(f"data.balanced needs labels, and {self.root} has none; leave it out")
            of = prepared.arrays["category"][members] if prepared.index.label == "category" else prepared.has_label(members)
            groups = [members[of == value] for value in np.unique(of)]
        return [Order(group, (seed, _ORDER, k)) for k, group in enumerate(groups)]

    def members(self, prepared: Prepared, split: str) -> Int[np.ndarray, " members"]:
        """The numbers of the cases of a split, of the classes `only`. ValueError for a class that the images do not have."""
        members = prepared.of_split(split)
        if not self.only:
            return members
        classes = [name.casefold() for name in prepared.index.classes] if prepared.index.label == "category" else []
        for name in self.only:
            if name.casefold() not in classes:
                there = nearest(name, prepared.index.classes) if classes else f"the label is {prepared.index.label!r}"
                raise ValueError(f"no image class is called {name!r}, and nothing else is to be drawn from; {there}")
        numbers = [classes.index(name.casefold()) for name in self.only]
        return members[np.isin(prepared.arrays["category"][members], numbers)]
