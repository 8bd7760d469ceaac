"""What a layout finds: studies, each the files of one registered set of images of one patient."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from chromogen.data.cases.volumes import is_volume
from chromogen.data.images import SUFFIXES, is_clutter, natural_order
from chromogen.data.pairs.layouts import SPLITS

Label = Literal["mask", "category", "boxes", "none"]

PICTURES = (*SUFFIXES, ".npy", ".dcm")


@dataclass(frozen=True)
class Study:
    """The files of one registered set: a volume of every modality, or a picture of every modality.

    `split` is train, val, test or "" (not said). `index` is the number within .npy stacks. `between` are the slices below and
    above, the slice itself where there is none. At most one of `mask`, `category` and `boxes` says what is wrong and where.
    """

    name: str
    patient: str
    images: tuple[tuple[str, Path], ...]
    split: str = ""
    mask: Path | None = None
    category: str | None = None
    boxes: Path | None = None
    index: int | None = None
    between: tuple[Path, Path] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        return (*(path for _, path in self.images), *(path for path in (self.mask, self.boxes) if path))

    @property
    def is_volume(self) -> bool:
        return is_volume(self.images[0][1])


@dataclass
class Found:
    """What a layout holds. `classes` are names by number, number 0 first (for masks and boxes: none). `problems` are
    sentences on what does not fit together; a study with one is not among `studies`."""

    label: Label
    classes: tuple[str, ...] = ()
    studies: list[Study] = field(default_factory=list)
    modalities: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    colour: bool | None = None  # whether the pictures have colours; None lets the first one decide


def files_below(root: Path, suffixes: Iterable[str]) -> list[Path]:
    """Files below `root` whose names end so, in natural order folder by folder; hidden files and folders are passed over."""
    wanted = tuple(suffixes)
    found = []
    folders = [root]
    while folders:
        entries = sorted((path for path in folders.pop().iterdir() if not is_clutter(path)), key=natural_order)
        folders += [path for path in reversed(entries) if path.is_dir() and not path.is_symlink()]
        found += [path for path in entries if path.name.casefold().endswith(wanted) and not path.is_dir()]
    return found


def split_of(path: Path, root: Path) -> str:
    """The split that a folder between `root` and `path` is called by, "" for none."""
    for folder in path.relative_to(root).parts[:-1]:
        if folder.casefold() in SPLITS:
            return SPLITS[folder.casefold()]
    return ""


def stem(path: Path) -> str:
    """The name without its suffix, .nii.gz being one."""
    return path.name[:-7] if path.name.casefold().endswith(".nii.gz") else path.stem


def patient_in(name: str, pattern: str, usual: Iterable[str] = ()) -> str | None:
    """The patient that `name` tells: the first group of `pattern` (the whole match without groups), else that of the first of
    the `usual` patterns that fits; None where none does. ValueError when a given `pattern` does not fit."""
    for wanted in [pattern] if pattern else usual:
        match = re.search(wanted, name)
        if match:
            return match[1] if match.re.groups else match[0]
        if pattern:
            raise ValueError(f"patient_pattern {pattern!r} finds no patient in {name!r}; write a pattern that fits every name")
    return None
