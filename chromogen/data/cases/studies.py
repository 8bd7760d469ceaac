"""What a layout finds: studies, each the files of one registered set of images of one patient."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from chromogen.data.cases.dicom import is_dicom
from chromogen.data.cases.volumes import is_volume, without_suffix
from chromogen.data.images import SUFFIXES, is_clutter, natural_order

Label = Literal["mask", "category", "boxes", "none"]

PICTURES = (*SUFFIXES, ".gif", ".ppm", ".pgm", ".npy", ".dcm")
SPLIT_WORDS = {
    "train": ("train", "training", "tr"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "ts"),
}
_WORDS = "|".join(word for words in SPLIT_WORDS.values() for word in words)
_LONG = "|".join(word for words in SPLIT_WORDS.values() for word in words if len(word) > 2)
_SPLIT = re.compile(
    rf"(?:.*[ _-])?({_LONG})[ _-]?(?:data|set|dataset)"
    rf"|({_WORDS})(?:[ _-]?(?:images?|cases|split|\d{{4}}))?"
)
# How sets name one person's several files; the first that fits counts. Kermany: person100_bacteria_475, IM-0115-0001,
# NORMAL2-IM-0386-0001; finding-lungs: ID_0013_Z_0047; one person scanned again: brats_2013_pat0001_1, BraTS-GLI-00005-101;
# CBIS-DDSM: Mass-Training_P_00001_LEFT_CC; ACDC: patient001_frame12; BIDS: sub-01_ses-2; TCGA_CS_4941_19960909_12;
# our phantoms: lung-0003-001
PATIENTS = (
    r"^(person\d+_[a-z]+)_",
    r"^((?:NORMAL2-)?IM-\d+)-",
    r"^(ID_\d+)_Z_\d+$",
    r"^(brats_\d+_\w*pat\d+)_\d+$",
    r"^(BraTS-[A-Za-z]+-\d+)-\d+$",
    r"^(sub-[A-Za-z0-9]+)(?=_|$)",
    r"^(TCGA[-_]\w{2}[-_]\w{4})(?=[-_]|$)",
    r"^(LIDC-IDRI-\d+)",
    r"^(?:Mass|Calc)-(?:Training|Test)_(P_\d+)(?=_|$)",
    r"^((?:lung|brain|fundus|chest)-\d{4})(?:-\d{3})?$",
    r"(?i)^((?:patient|pat|subject|subj|case|volunteer)[-_ ]?\d+)[-_ ].*$",
    r"(?i)^(.+?)[-_ ](?:slice|frame|axial|coronal|sagittal|time|timepoint|visit|session|ses|layer)[-_ ]?\d+(?:[-_ ].*)?$",
)


@dataclass(frozen=True)
class Study:
    """The files of one registered set: a volume of every modality, or a picture of every modality.

    `split` is train, val, test or "" (not said). `index` is the number within .npy stacks. `between` are the slices below and
    above, the slice itself where there is none. At most one of `mask`, `category` and `boxes` says what is wrong and where.
    `channels` says which channel of its file each image is, where one file holds several. `layers` are masks that each stand
    for one class; later ones are drawn over earlier ones, and `mask` is the first. `entry` is the image's name in a COCO file.
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
    channels: tuple[int, ...] = ()
    layers: tuple[tuple[Path, int], ...] = ()
    entry: str = ""

    @property
    def files(self) -> tuple[Path, ...]:
        labels = (self.mask, self.boxes, *(path for path, _ in self.layers))
        return tuple(dict.fromkeys((*(path for _, path in self.images), *(path for path in labels if path))))

    def channel(self, modality: str) -> int | None:
        """Which channel of its file the image of a modality is; None where the file holds one."""
        if not self.channels:
            return None
        return self.channels[[name for name, _ in self.images].index(modality)]

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
    ignore: int | None = None  # the number of a label that says "nobody looked here": such slices and pictures are no cases
    made: bool = False  # a set of made cases: all of it is for training


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
        if split := split_named(folder):
            return split
    return ""


def split_named(folder: str) -> str:
    """train, val or test for a folder of such a name (Training, test_set, BraTS2020_ValidationData, val2017), else ""."""
    match = _SPLIT.fullmatch(folder.casefold())
    word = (match[1] or match[2]) if match else ""
    return next((split for split, words in SPLIT_WORDS.items() if word in words), "")


def split_within(folder: str) -> str:
    """train, val or test where one of them is a word of a folder's name (ISIC2018_Task1_Training_GroundTruth), else ""."""
    found = {word for word in re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", folder).casefold()) if word}
    splits = [split for split, words in SPLIT_WORDS.items() if found & set(words)]
    return splits[0] if len(splits) == 1 else ""


def stem(path: Path) -> str:
    """The name without its suffix, .nii.gz being one; names of DICOM files that have none stay whole."""
    if is_volume(path):
        return without_suffix(path)
    known = (*PICTURES, ".xml", ".json", ".txt")
    return path.stem if path.suffix.casefold() in known or not is_dicom(path) else path.name


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
