"""Pairs as they were found: which file belongs to which."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """One source image and its target. `split` is train, val, test or "" (not said); `group` is what must never be parted.

    `side_by_side`: both halves are in `source`, the source left. `level` is the slide's HER2 level 0-3, None when not known.
    """

    name: str
    source: Path
    target: Path | None
    split: str = ""
    level: int | None = None
    group: str = ""
    side_by_side: bool = False
    mpp: float | None = None
    licence: str = ""


@dataclass(frozen=True)
class PairTable:
    """What a folder holds. Either every pair has a target, or none has (an unpaired set, with `unpaired_targets`).

    `unpaired`: files of a paired set whose partner is missing. `ignored`: entries that play no part in the layout. `notes`: how
    the layout was read where that is not plain.
    """

    layout: str
    root: Path
    pairs: tuple[Pair, ...]
    unpaired: tuple[Path, ...] = ()
    ignored: tuple[Path, ...] = ()
    unpaired_targets: tuple[tuple[str, Path], ...] = ()  # (split, file)
    notes: tuple[str, ...] = ()

    @property
    def paired(self) -> bool:
        return not self.unpaired_targets


@dataclass
class Found:
    """What a layout's reader collects before it becomes a table."""

    complete: list[Pair] = field(default_factory=list)
    lone_sources: list[Pair] = field(default_factory=list)
    lone_targets: list[tuple[str, Path]] = field(default_factory=list)
    folders: set[Path] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
