"""One picture in two places: the same bytes under two names, which a split or a class must not part."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chromogen.data.cases.pictures import array_at, read_picture
from chromogen.data.cases.studies import Study
from chromogen.data.cases.volumes import is_volume, open_volume
from chromogen.data.images import SUFFIXES
from chromogen.data.looks import look_at, same_pictures


@dataclass(frozen=True)
class Twin:
    """Images that are the same to the byte, each with the study that it belongs to."""

    members: tuple[tuple[Study, Path], ...]


def twins_in(studies: Sequence[Study], decoded: bool = False) -> list[Twin]:
    """Groups of images with the same content. Only files of one size are read. Images of one grey level do not count.

    With `decoded`, pictures are read whole, and those of the same pixels count under another format or compression too.
    """
    places = [(study, path) for study in studies for path in dict.fromkeys(path for _, path in study.images)]
    groups: list[list[tuple[Study, Path]]] = []
    if decoded:
        groups += _of_same_pixels([place for place in places if _is_picture(*place)])
        places = [place for place in places if not _is_picture(*place)]
    groups += _of_same_bytes(places)
    return [Twin(tuple(group)) for group in groups if len(group) > 1 and not _is_blank(*group[0])]


def _is_picture(study: Study, path: Path) -> bool:
    return study.index is None and path.suffix.casefold() in SUFFIXES


def _of_same_pixels(places: Sequence[tuple[Study, Path]]) -> list[list[tuple[Study, Path]]]:
    by_path: dict[Path, list[tuple[Study, Path]]] = defaultdict(list)
    for study, path in places:
        by_path[path].append((study, path))
    alike = [paths for _, paths in same_pictures(look_at(list(by_path)))]
    shared = {path for paths in alike for path in paths}
    again = [[path] for path, members in by_path.items() if len(members) > 1 and path not in shared]
    return [[member for path in paths for member in by_path[path]] for paths in [*alike, *again]]


def _of_same_bytes(places: Sequence[tuple[Study, Path]]) -> list[list[tuple[Study, Path]]]:
    sizes: dict[object, list[tuple[Study, Path]]] = defaultdict(list)
    for study, path in places:
        try:
            sizes[path.stat().st_size if study.index is None else "stack"].append((study, path))
        except OSError:
            continue  # whoever reads it says why
    groups: dict[bytes, list[tuple[Study, Path]]] = defaultdict(list)
    for alike in sizes.values():
        if len(alike) < 2:
            continue
        starts = Counter(_start(study, path) for study, path in alike)
        for study, path in alike:
            if starts[_start(study, path)] > 1:
                groups[_content(study, path)].append((study, path))
    return [group for key, group in groups.items() if key]


def merged(patients: Sequence[str], twins: Sequence[Twin]) -> dict[str, str]:
    """One name for all patients that share an image, so that a split keeps them together."""
    names = {patient: patient for patient in patients}

    def first(patient: str) -> str:
        while names[patient] != patient:
            patient = names[patient]
        return patient

    for twin in twins:
        together = sorted({first(study.patient) for study, _ in twin.members})
        for patient in together[1:]:
            names[patient] = together[0]
    return {patient: first(patient) for patient in names}


def told(twins: Sequence[Twin], splits: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Problems and notes: one picture in two splits, in two classes, as two modalities; and under two names.

    `splits` are those of the studies by name.
    """
    problems, double = [], []
    for twin in twins:
        first, second = twin.members[0][1], twin.members[1][1]
        where = {splits.get(study.name, study.split): path for study, path in twin.members}
        kinds = {study.category: path for study, path in twin.members}
        if len(where) > 1:
            (a, b), (x, y) = list(where)[:2], list(where.values())[:2]
            problems.append(
                f"{x} ({a}) and {y} ({b}) are the same image: what is learned would be tested on what was "
                "learned; take one out, or set split shuffle, which keeps them together"
            )
        if len(kinds) > 1:
            (one, other), (x, y) = list(kinds)[:2], list(kinds.values())[:2]
            problems.append(
                f"{x} and {y} are the same image, once {one} and once {other}; find out which is right and take the other out"
            )
        elif len({study.name for study, _ in twin.members}) == 1:
            problems.append(f"{first} and {second} are the same image under two modalities; put the right file there")
        elif len(where) == 1:
            double.append((first, second))
    notes = []
    if double:
        first, second = double[0]
        notes.append(f"{len(double)} images are there twice or more, such as {first} and {second}: they stay in one split")
    return problems, notes


def _start(study: Study, path: Path) -> bytes:
    if study.index is not None:
        return _content(study, path)
    try:
        with path.open("rb") as handle:
            start = handle.read(1024)
            handle.seek(max(0, path.stat().st_size - 1024))
            return start + handle.read(1024)
    except OSError:
        return b""


def _content(study: Study, path: Path) -> bytes:
    """A hash of the file, or of one picture of a stack; b"" for what cannot be read."""
    try:
        if study.index is not None:
            return hashlib.blake2b(array_at(path, study.index).tobytes()).digest()
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "blake2b").digest()
    except (ValueError, OSError):
        return b""


def _is_blank(study: Study, path: Path) -> bool:
    try:
        pixels: np.ndarray = open_volume(path).pixels if is_volume(path) else read_picture(path, study.index).pixels
    except (ValueError, OSError):
        return True  # whoever reads it says why
    return bool(pixels.min() == pixels.max())
