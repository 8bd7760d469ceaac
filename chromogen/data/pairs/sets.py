"""Sets of pairs, and the two data values of a recipe that open them: a folder of images, or phantom tissue."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from chromogen.config import nearest
from chromogen.data.images import PairImages, image_facts, read_image, resize_image
from chromogen.data.names import comparable
from chromogen.data.pairs.augment import Draws
from chromogen.data.pairs.layouts import find_pairs
from chromogen.data.pairs.table import Pair, PairTable
from chromogen.levels import LEVELS, name_without_level, stem_of
from chromogen.phantom.tissue.phantom import Phantom, draw
from chromogen.tensors import Uint8Image

Split = Literal["train", "val"]
Seen = TypeVar("Seen")


class PairSet(Protocol):
    """Pairs by number, whole and unaugmented. `groups` (patient, slide or file) are what a split must not part."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def levels(self) -> tuple[int | None, ...]: ...
    @property
    def groups(self) -> tuple[str, ...]: ...
    @property
    def target_count(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> PairImages: ...
    def target(self, index: int) -> Uint8Image:
        """One of the `target_count` targets by itself, for unpaired draws."""

    def fresh(self, index: int) -> PairImages:
        """A pair past the memory of latest images: nothing is kept, and several threads may ask at once."""

    def identity(self) -> str:
        """What decides every pixel of the set, in one word: two sets of the same identity hold the same images."""


@dataclass(frozen=True)
class FolderData(Draws):
    """Images in a folder, in any layout of `chromogen.data.pairs.layouts`."""

    root: Path
    layout: str = "auto"
    validation_share: float = 0.1  # of the groups, when the layout has no val split; 0 for no validation
    held_out: tuple[str, ...] = ()  # names that validate; they and what shares their patient or slide never train
    resize_px: int | None = None  # bring the shorter side to this before cutting; `mpp` stays that of the files
    licence: str = ""  # "" takes what a manifest says
    mpp: float | None = None  # um per pixel of the files; None takes what a manifest says

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resize_px is not None and self.resize_px < 1:
            raise ValueError(f"data.resize_px is {self.resize_px}; it must be at least 1, or None to keep the files' size")
        if self.mpp is not None and not 0 < self.mpp < float("inf"):
            raise ValueError(f"data.mpp is {self.mpp}; write micrometres per pixel, such as 0.5, or None if it is not known")

    def open(self, split: Split, readers: int = 1) -> "FolderPairs":
        """The pairs that train or validate; `readers` processes share `cache_gib`.

        Reads every header first, so that a missing file, a pair of unequal sizes or an image smaller than the crop is a
        ValueError (OSError for a missing file) before the first step, not in the middle of the night.
        """
        table = find_pairs(self.root, self.layout)
        if not table.paired and not self.unpaired:
            raise ValueError(
                f"{self.root}: no file of the source has a partner of the same name, so this is an unpaired set; "
                "set data.unpaired for a method that learns without pairs, or name the files alike"
            )
        pairs = self._divided(table)[0 if split == "train" else 1]
        if split == "train" and not pairs:
            raise ValueError(f"{self.root} leaves no pair to train on (a test split never trains); name a split train")
        targets = [path for name, path in table.unpaired_targets if name in (("train", "") if split == "train" else ("val",))]
        if split == "train" and not table.paired and not targets:
            raise ValueError(f"{self.root} leaves no target to train on (a test split never trains); name a split train")
        sizes = [(pair.source, _checked_size(pair)) for pair in pairs] + [(path, _size(path)) for path in targets]
        if split == "train":
            for path, size in sizes:
                self._check_crop(path, *size)
        return FolderPairs(pairs, targets, self.resize_px, self.cache_gib / readers)

    def describe(self) -> str:
        table = find_pairs(self.root, self.layout)
        train, val = self._divided(table)
        kind = "pairs" if table.paired else f"unpaired source images ({len(table.unpaired_targets)} targets)"
        counts = f"{len(train)} training and {len(val)} validation {kind}{self.left_out()}"
        return f"{table.root.resolve().name} ({table.layout} layout): {counts}"

    def _divided(self, table: PairTable) -> tuple[list[Pair], list[Pair]]:
        """Training and validation pairs: by the layout's own split, or by name, else a share of the groups."""
        pool = [pair for pair in table.pairs if pair.split in ("train", "")]
        given = [pair for pair in table.pairs if pair.split == "val"]
        if self.held_out:
            if given:
                raise ValueError(
                    f"{self.root} has a val split of {len(given)} pairs, and held_out names others; "
                    "leave data.held-out empty, or move the val split into train"
                )
            names = [pair.name for pair in pool]
            asked = {name: {comparable(name), comparable(stem_of(name))} for name in self.held_out}
            for name, forms in asked.items():
                if not any(comparable(known) in forms for known in names):
                    raise ValueError(f"held_out {name!r} is not in {self.root} outside its test split; {_few(name, names)}")
            held = [pair for pair in pool if any(comparable(pair.name) in forms for forms in asked.values())]
            groups = {pair.group for pair in held}
            return [pair for pair in pool if pair.group not in groups], held
        if given or self.validation_share == 0 or not pool:
            return pool, given
        groups = self._validation_groups({pair.group for pair in pool})
        return [pair for pair in pool if pair.group not in groups], [pair for pair in pool if pair.group in groups]

    def _validation_groups(self, groups: set[str]) -> set[str]:
        """A fixed pseudo-random choice, in the order of hashes, so that a new file moves few others between the splits."""
        count = max(1, round(self.validation_share * len(groups)))
        if not 0 < self.validation_share < 1 or count >= len(groups):
            raise ValueError(
                f"validation_share {self.validation_share} of {len(groups)} groups (patients, slides or files) in {self.root} "
                "leaves nothing to train or to validate on; set data.validation-share 0 to train without validation"
            )
        return set(sorted(groups, key=lambda group: hashlib.sha256(group.encode()).digest())[:count])

    def _check_crop(self, path: Path, width: int, height: int) -> None:
        shorter = self.resize_px or min(width, height)
        if self.crop_px is not None and shorter < self.crop_px:
            raise ValueError(
                f"{path} is {width} x {height} px, smaller than crop_px {self.crop_px}; "
                "lower data.crop-px, set data.resize-px, or take the image out"
            )

    def stated_mpp(self) -> float | None:
        """um per pixel of the images that train: `mpp`, else what their rows in the manifest agree on; scaled by `resize_px`.

        None where they differ or do not say. Looks at the folder, and with `resize_px` at every header: ask once.
        """
        stated = set[float | None]()
        for pair in self._divided(find_pairs(self.root, self.layout))[0]:
            mpp = self.mpp or pair.mpp
            if mpp and self.resize_px:
                mpp = round(mpp * min(_checked_size(pair)) / self.resize_px, 6)
            stated.add(mpp)
        return stated.pop() if len(stated) == 1 else None

    def stated_licence(self) -> str:
        """The licence of the images that train: `licence`, else all that their rows in the manifest name; "" for none."""
        if self.licence:
            return self.licence
        pairs = self._divided(find_pairs(self.root, self.layout))[0]
        if not any(pair.licence for pair in pairs):
            return ""
        return "; ".join(sorted({pair.licence or "not stated for some images" for pair in pairs}))


@dataclass(frozen=True)
class PhantomData(Draws):
    """Phantom tissue, drawn as it is needed: levels in turn, the same pairs for the same seed."""

    phantom: Phantom = Phantom()
    train_pairs: int = 1000
    validation_pairs: int = 32
    seed: int = 0
    crop_px: int | None = field(default=None, kw_only=True)  # whole phantoms

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train_pairs < 1 or self.validation_pairs < 0 or self.seed < 0:
            raise ValueError(
                f"data.train_pairs is {self.train_pairs}, data.validation_pairs {self.validation_pairs} and data.seed "
                f"{self.seed}; at least 1 pair must train, and the others start at 0"
            )

    @property
    def mpp(self) -> float:
        return self.phantom.mpp

    @property
    def licence(self) -> str:
        return "none needed: drawn by Chromogen, no patient's image"

    def stated_mpp(self) -> float:
        return self.mpp

    def stated_licence(self) -> str:
        return self.licence

    def open(self, split: Split, readers: int = 1) -> "PhantomPairs":
        """The pairs that train or validate, disjoint by seed; `readers` processes share `cache_gib`."""
        size = self.phantom.size_px
        if self.crop_px is not None and self.crop_px > size:
            raise ValueError(f"data.crop-px {self.crop_px} is larger than the phantom's {size} px; lower it or draw larger")
        count = self.train_pairs if split == "train" else self.validation_pairs
        return PhantomPairs(self.phantom, split, count, self.seed, self.cache_gib / readers)

    def describe(self) -> str:
        p = self.phantom
        return (
            f"phantom tissue of {p.size_px} px at {p.mpp} um/px, sections {p.displacement_um} um apart: "
            f"{self.train_pairs} training and {self.validation_pairs} validation pairs{self.left_out()}"
        )


Data = FolderData | PhantomData


class FolderPairs:
    """Pairs decoded from files, the latest kept in memory."""

    def __init__(self, pairs: Sequence[Pair], targets: Sequence[Path], resize_px: int | None, cache_gib: float) -> None:
        self.pairs, self.lone_targets, self.resize_px = tuple(pairs), tuple(targets), resize_px
        self.names = tuple(pair.name for pair in pairs)
        self.levels = tuple(pair.level for pair in pairs)
        self.groups = tuple(pair.group for pair in pairs)
        self.target_count = len(self.lone_targets) or len(self.pairs)
        self._memory = _Memory(cache_gib)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> PairImages:
        pair = self.pairs[index]
        return _pair_images(pair, self._memory.get(index % len(self), lambda: self._read(pair)))

    def fresh(self, index: int) -> PairImages:
        return _pair_images(self.pairs[index], self._read(self.pairs[index]))

    def identity(self) -> str:
        files = [(str(path), *_version(path)) for pair in self.pairs for path in (pair.source, pair.target) if path]
        return _digest(("files", self.resize_px, self.names, files))

    def target(self, index: int) -> Uint8Image:
        if not self.lone_targets:
            target = self[index].target
            assert target is not None  # a set without lone targets is paired
            return target
        return self._memory.get(-1 - index, lambda: [self._sized(read_image(self.lone_targets[index]))])[0]

    def _read(self, pair: Pair) -> list[Uint8Image]:
        images = [read_image(path) for path in (pair.source, pair.target) if path and not pair.side_by_side]
        if pair.side_by_side:
            both = read_image(pair.source)
            half = _half_width(both.shape[1], pair.source)
            images = [both[:, :half], both[:, half:]]
        if len(images) == 2:
            _check_equal(pair, images[0].shape[1::-1], images[1].shape[1::-1])
        return [self._sized(image) for image in images]

    def _sized(self, image: Uint8Image) -> Uint8Image:
        return np.ascontiguousarray(image if self.resize_px is None else resize_image(image, self.resize_px))


class PhantomPairs:
    """Phantom pairs by number, the latest kept in memory."""

    def __init__(self, phantom: Phantom, split: Split, count: int, seed: int, cache_gib: float) -> None:
        self.phantom, self._entropy = phantom, (seed, 0 if split == "train" else 1)
        self.levels: tuple[int | None, ...] = tuple(index % len(LEVELS) for index in range(count))
        self.names = tuple(f"{index:05d}_{split}_{LEVELS[index % len(LEVELS)]}" for index in range(count))
        self.groups = tuple(map(name_without_level, self.names))
        self.target_count = count
        self._memory = _Memory(cache_gib)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> PairImages:
        index = range(len(self))[index]
        source, target = self._memory.get(index, lambda: self._draw(index))
        return PairImages(self.names[index], source, target, self.levels[index])

    def fresh(self, index: int) -> PairImages:
        source, target = self._draw(index)
        return PairImages(self.names[index], source, target, self.levels[index])

    def identity(self) -> str:
        return _digest(("phantoms", self.phantom, self._entropy, len(self)))

    def target(self, index: int) -> Uint8Image:
        target = self[index].target
        assert target is not None
        return target

    def _draw(self, index: int) -> list[Uint8Image]:
        seed = int(np.random.SeedSequence([*self._entropy, index]).generate_state(1, np.uint64)[0])
        pair = draw(self.phantom, index % len(LEVELS), seed)
        return [pair.he, pair.ihc]


class _Memory:
    """The latest images, up to a number of bytes; the longest unused leave first."""

    def __init__(self, gib: float) -> None:
        self.room = int(gib * 2**30)
        self.held: OrderedDict[int, list[Uint8Image]] = OrderedDict()

    def get(self, key: int, make: Callable[[], list[Uint8Image]]) -> list[Uint8Image]:
        if key in self.held:
            self.held.move_to_end(key)
            return self.held[key]
        images = make()
        self.room -= _bytes(images)
        self.held[key] = images
        while self.room < 0 and self.held:
            self.room += _bytes(self.held.popitem(last=False)[1])
        return images


_SURVEYS: OrderedDict[tuple[str, object], tuple[Any, ...]] = OrderedDict()  # the latest ones of this process


def survey(pairs: PairSet, look: Callable[[PairImages], Seen]) -> tuple[Seen, ...]:
    """What `look` sees in every pair, in order: one pass over all images, as long as that of `chromogen data check`.

    Remembered for this process, so that the next training on the same images reads nothing. No image is kept. `look` is a
    function of a module. Raises what reading an image raises.
    """
    key = (pairs.identity(), look)
    if key not in _SURVEYS:
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            _SURVEYS[key] = tuple(pool.map(lambda index: look(pairs.fresh(index)), range(len(pairs))))
        while len(_SURVEYS) > 4:
            _SURVEYS.popitem(last=False)
    return _SURVEYS[key]


def _pair_images(pair: Pair, images: list[Uint8Image]) -> PairImages:
    source, *target = images
    return PairImages(pair.name, source, target[0] if target else None, pair.level)


def _version(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_mtime_ns, facts.st_size


def _digest(facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _bytes(images: list[Uint8Image]) -> int:
    return sum(image.nbytes for image in images)


def _checked_size(pair: Pair) -> tuple[int, int]:
    """Width and height of both images of a pair, from the headers; ValueError where they differ."""
    width, height = _size(pair.source)
    if pair.side_by_side:
        return _half_width(width, pair.source), height
    if pair.target is not None:
        _check_equal(pair, (width, height), _size(pair.target))
    return width, height


def _size(path: Path) -> tuple[int, int]:
    facts = image_facts(path)
    return facts.width, facts.height


def _half_width(width: int, path: Path) -> int:
    if width % 2:
        raise ValueError(f"{path} is {width} px wide, which does not halve; a side-by-side pair has an even width")
    return width // 2


def _check_equal(pair: Pair, source: tuple[int, ...], target: tuple[int, ...]) -> None:
    if source != target:
        raise ValueError(
            f"{pair.source} is {source[0]} x {source[1]} px, {pair.target} is {target[0]} x {target[1]} px; "
            "a pair has one size: register the images or cut them alike"
        )


def _few(name: str, names: Sequence[str]) -> str:
    """`nearest` for sets of thousands."""
    return nearest(name, names) if len(names) <= 20 else f"it has {len(names)} names such as {names[0]!r}"
