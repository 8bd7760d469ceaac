"""Labels of volumes: class numbers, or levels that stand for classes (0 and 255), decided for a whole set."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from chromogen.data.cases.masks import IGNORE, MAX_CLASS, MAX_LEVELS, Coding, Levels, Seen, classes_of, coding_from
from chromogen.data.cases.volumes import open_volume

MAX_LABEL = 2**16  # higher ones are no labels


def voxel_coding(files: Sequence[Path]) -> Coding:
    """How the labels of volumes are coded; those that cannot be read have no say. ValueError when they are no classes."""
    seen = Seen()
    for path in files:
        try:
            labels = np.asarray(open_volume(path).pixels)
        except (ValueError, OSError):
            continue  # whoever reads it says why
        if labels.size == 0 or labels.min() < 0 or labels.max() >= MAX_LABEL:
            continue
        counts = np.bincount(_whole(labels).ravel())
        levels = np.flatnonzero(counts).tolist()
        seen.counts.update({level: int(counts[level]) for level in levels})
        seen.solid |= set(levels)
        seen.beside |= IGNORE in levels and any(0 < level <= MAX_CLASS for level in levels)
    seen.border = seen.counts
    top = max(seen.counts, default=1)
    if len(seen.counts) > MAX_LEVELS and top <= 255:  # an atlas
        found = Coding("numbers")
    else:
        found = coding_from(seen, files)
        if found.kind != "numbers":
            return found
        top = max((level for level in seen.counts if level <= MAX_CLASS), default=1)
    return replace(found, classes=("none", *(f"label {number}" for number in range(1, max(1, top) + 1))))


def _whole(labels: np.ndarray) -> np.ndarray:
    return (labels if labels.dtype.kind in "biu" else np.rint(labels)).astype(np.int64)


def voxel_classes(labels: np.ndarray, path: Path | None, coding: Coding | None) -> UInt8[np.ndarray, "height width"]:
    """Class of every voxel of a slice, whatever type the labels are stored in. ValueError for labels that are none."""
    whole = _whole(labels)
    if labels.size and (np.abs(labels - whole).max() > 0.01 or whole.min() < 0 or whole.max() >= MAX_LABEL):
        raise ValueError(f"{path} holds labels from {labels.min():g} to {labels.max():g}; classes are whole numbers, 0 to 255")
    if coding is not None and coding.kind != "numbers" and path is not None:
        return classes_of(Levels(whole), coding, path)
    if labels.size and whole.max() > 255:
        raise ValueError(f"{path} holds the label {whole.max():g}; classes are whole numbers, 0 to 255")
    return whole.astype(np.uint8)
