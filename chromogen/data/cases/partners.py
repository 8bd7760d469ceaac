"""Which mask belongs to which image: by the folders they lie in and by their names."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from chromogen.data.cases.studies import files_below, stem

_IMAGES = {"image", "images", "img", "imgs", "imagestr", "input", "inputs", "original", "originals", "orig", "x", "jpegimages"}
_DRAWN = {"manual", "manual1", "1st", "observer1", "av", "vessel", "vessels", "1stho"}  # what a person drew: always the label
_LABELS = {
    "label", "labels", "labelstr", "labelcol", "gt", "gts", "groundtruth", "truth", "ground", "annotation", "annotations",
    "annot", "seg", "segs", "segmentation", "segmentations", "segmentationclass", "dseg", "lesion", "lesions", "target", "y",
}  # fmt: skip
_MASKS = {"mask", "masks", "msk", "maskfile"}
_FIELDS = {"fov", "field", "fields", "roi", "rois", "lungs", "brainmask"}  # where there is anything to see
_SECOND = {"2nd", "second", "manual2", "observer2", "vk", "2ndho"}
_ENDINGS = _MASKS | _LABELS | {"manual", "manual1", "roi", "1stho"}
_DROPPED = _ENDINGS | _IMAGES | {"training", "train", "test", "ah", "vk", "val"}


def words(name: str) -> list[str]:
    """A folder's name in words: ManualMask is manual, mask; 1st_manual is 1st, manual."""
    parts = re.split(r"[^A-Za-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "_", name))
    return [part.casefold() for part in parts if part]


def role(folder: str) -> str:
    """images, drawn (by a person), labels, masks, field (of view) or "" by the words of a folder's name."""
    found = set(words(folder))
    if found & _SECOND:
        return "field"
    if found & _FIELDS:
        return "field"
    for name, known in (("drawn", _DRAWN), ("labels", _LABELS), ("masks", _MASKS), ("images", _IMAGES)):
        if found & known:
            return name
    return ""


def image_of(name: str, held: Collection[str]) -> str | None:
    """Of the names in a folder that of the image whose mask `name` is (NAME_mask, NAME_mask_1, NAME-seg), else None."""
    for end in range(len(name) - 1, 0, -1):
        if name[end] in "-_. " and name[:end] in held and (words(name[end:]) or [""])[0] in _ENDINGS:
            return name[:end]
    return None


def by_name(folder: Path, suffixes: Sequence[str], problems: list[str]) -> dict[str, Path]:
    """Files by their path below `folder` without the ending; two that differ by it alone are a problem."""
    found: dict[str, Path] = {}
    for path in files_below(folder, suffixes):
        name = (path.relative_to(folder).parent / stem(path)).as_posix()
        if name in found:
            problems.append(f"{found[name]} and {path} have the same name; keep one of them")
        found.setdefault(name, path)
    return found


def paired(images: Sequence[str], masks: Mapping[str, Path]) -> tuple[dict[str, list[Path]], list[Path]]:
    """The masks of every image, and those that belong to none.

    A mask is called like its image, or that and more (NAME_mask, NAME_mask_1, NAME_OD), or alike but for words such as mask,
    manual1 and training (21_training with 21_manual1, image_7 with mask_7).
    """
    found: dict[str, list[Path]] = defaultdict(list)
    keys: dict[str, list[str]] = defaultdict(list)
    for name in images:
        keys[_key(name)].append(name)
    left = []
    names = set(images)
    for name, path in masks.items():
        parts = [name[:end] for end in range(len(name), 0, -1) if end == len(name) or not name[end].isalnum()]
        image = next((part for part in parts if part in names), None)
        if image is None:
            alike = keys.get(_key(name), [])
            image = alike[0] if len(alike) == 1 else None
        if image is None:
            left.append(path)
        else:
            found[image].append(path)
    return found, left


def _key(name: str) -> str:
    """A name without the words that say what is in the file, and without the number of nnU-Net's first channel."""
    parts = re.split(r"[-_. ]+", re.sub(r"_0000$", "", name.casefold()))
    return "_".join(part for part in parts if part not in _DROPPED and part not in ("ma", "he", "ex", "od"))
