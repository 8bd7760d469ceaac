"""Layouts of pictures: fundus with vessels, stacks, DICOM with boxes, images with masks, a folder a class."""

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from chromogen.data.cases.boxes import read_boxes
from chromogen.data.cases.dicom import SliceFacts, dicom_facts
from chromogen.data.cases.pictures import stack_length
from chromogen.data.cases.studies import PICTURES, Found, Study, files_below, patient_in, split_of, stem
from chromogen.data.images import SUFFIXES
from chromogen.data.pairs.layouts import SPLITS

# Kermany's chest X-rays: person100_bacteria_475, IM-0115-0001, NORMAL2-IM-0386-0001; finding-lungs: ID_0013_Z_0047
_PATIENTS = (r"^(person\d+_[a-z]+)_", r"^((?:NORMAL2-)?IM-\d+)-", r"^(ID_\d+)_Z_\d+$")
_KERMANY = (
    "person numbers stand with bacteria and with virus, some in train and in test: they are taken as different people; if they "
    "are not, the split of this set leaks (then set split shuffle and patient_pattern '^(person\\d+|(?:NORMAL2-)?IM-\\d+)')"
)
_IMAGE_FOLDERS = ("images", "image", "imgs", "img", "x")
_MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "gt", "y")
_MASK_ENDINGS = ("", "_mask", "_seg", "_label", "_segmentation", "_gt")
_NOT_CLASSES = {*_IMAGE_FOLDERS, *_MASK_FOLDERS}
_UNKNOWN = (
    "these names hold no patient id: every picture counts as a patient, and that none is in two splits cannot be verified; "
    "see patient_pattern"
)


def find_chase(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    pictures = {stem(path): path for path in files_below(root, SUFFIXES)}
    eyes = [name for name in pictures if re.fullmatch(r"Image_\d+[LR]", name)]
    if not eyes or not any(name.endswith("_1stHO") for name in pictures):
        return None
    found = Found("mask", ("none", "vessel"), modalities=_one(modalities, "fundus"), colour=True)
    for name in eyes:
        mask = pictures.get(f"{name}_1stHO")
        patient = patient_in(name, pattern, (r"Image_(\d+)[LR]",))
        if mask is None:
            found.problems.append(f"{pictures[name]} has no {name}_1stHO.png; add the vessels or take the image out")
        else:
            split = split_of(pictures[name], root)
            found.studies.append(Study(name, str(patient), ((found.modalities[0], pictures[name]),), split, mask))
    return found


def find_stacks(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    files = {stem(path): path for path in files_below(root, (".npy",)) if path.parent == root}
    images = {name: path for name, path in files.items() if re.fullmatch(rf"x(?:_(?:{_splits()}))?", name.casefold())}
    if not images:
        return None
    found = Found("mask", ("none", "label"), modalities=_one(modalities, "image"), notes=[_UNKNOWN])
    for name, path in images.items():
        masks = files.get(f"{'y' if name[0] == 'x' else 'Y'}{name[1:]}")
        count = stack_length(path)
        if masks is None or stack_length(masks) != count:
            what = f"{masks} holds {stack_length(masks)}" if masks else f"there is no y{name[1:]}.npy"
            found.problems.append(f"{path} holds {count} pictures, and {what}; give as many labels as images")
            continue
        split = SPLITS[name.casefold().removeprefix("x").removeprefix("_")]
        for index in range(count):
            case = f"{name}_{index:05d}"
            planes = ((found.modalities[0], path),)
            found.studies.append(Study(case, patient_in(case, pattern) or case, planes, split, masks, index=index))
    return found


def find_dicom(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    paths = files_below(root, (".dcm",))
    if not paths:
        return None
    found = Found("boxes", modalities=())
    facts: dict[Path, SliceFacts] = {}
    names: set[str] = set()
    for path in paths:
        boxes = path.with_suffix(".xml")
        try:
            facts[path] = dicom_facts(path)
            names |= set(read_boxes(boxes).names) if boxes.is_file() else set()
        except (ValueError, OSError) as error:
            facts.pop(path, None)
            found.problems.append(str(error))
    found.classes = ("none", *sorted(names)) if names else ()
    found.label = "boxes" if names else "none"
    found.modalities = _one(modalities, next((fact.modality for fact in facts.values() if fact.modality), "image"))
    between = _between(facts)
    for path, fact in facts.items():
        boxes = path.with_suffix(".xml")
        patient = patient_in(stem(path), pattern) if pattern else fact.patient or path.parent.name
        found.studies.append(
            Study(
                path.relative_to(root).with_suffix("").as_posix(),
                str(patient),
                ((found.modalities[0], path),),
                split_of(path, root),
                boxes=boxes if boxes.is_file() else None,
                between=between[path],
            )
        )
    return found


def _between(facts: dict[Path, SliceFacts]) -> dict[Path, tuple[Path, Path]]:
    """For every slice those below and above in its series; the slice itself where none is near.

    Near is within one and a half times the closest distance that the series has.
    """
    series: dict[tuple[Path, str], list[tuple[float, Path]]] = defaultdict(list)
    between = {path: (path, path) for path in facts}
    for path, fact in facts.items():
        if fact.place is not None:
            series[path.parent, fact.series].append((fact.place, path))
    for slices in series.values():
        slices.sort()
        gaps = [above[0] - below[0] for below, above in pairwise(slices)]
        near = 1.5 * min((gap for gap in gaps if gap > 0), default=0.0)
        for (low, below), (high, above) in pairwise(slices):
            if 0 < high - low <= near:
                between[below] = (between[below][0], above)
                between[above] = (below, between[above][1])
    return between


def find_image_masks(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    """images beside masks, or with several `modalities` a folder of each name beside masks."""
    found = Found("mask", ("none", "label"), modalities=tuple(modalities) or ("image",))
    known = True
    for folder in [root, *sorted(path for path in root.iterdir() if path.is_dir())]:
        inside = {path.name.casefold(): path for path in folder.iterdir() if path.is_dir()}
        masks = next((inside[name] for name in _MASK_FOLDERS if name in inside), None)
        sides = [inside.get(name.casefold()) for name in found.modalities]
        if not all(sides) and len(found.modalities) == 1:
            sides = [next((inside[name] for name in _IMAGE_FOLDERS if name in inside), None)]
        if masks is None or not all(sides):
            continue
        known &= _add_masked(found, root, [side for side in sides if side], masks, pattern)
    if not found.studies and not found.problems:
        return None
    found.notes += [] if known else [_UNKNOWN]
    return found


def _add_masked(found: Found, root: Path, sides: Sequence[Path], masks: Path, pattern: str) -> bool:
    """Add the pictures of one folder; whether their names tell patients."""
    labels = _by_name(masks, found.problems)
    pictures = [_by_name(side, found.problems) for side in sides]
    known, used = True, set()
    for name, path in pictures[0].items():
        lacking = [side for side, by_name in zip(sides, pictures, strict=True) if name not in by_name]
        mask = next((labels[name + ending] for ending in _MASK_ENDINGS if name + ending in labels), None)
        if lacking or mask is None:
            where = lacking[0] if lacking else masks
            found.problems.append(f"{path} has no partner in {where}; add it, or take the image out")
            continue
        used.add(mask)
        patient = patient_in(stem(path), pattern, _PATIENTS)
        known &= patient is not None
        planes = tuple((shown, by_name[name]) for shown, by_name in zip(found.modalities, pictures, strict=True))
        case = path.relative_to(root).with_suffix("").as_posix()
        found.studies.append(Study(case, patient or case, planes, split_of(path, root), mask))
    found.problems += [
        f"{path} labels no image of {sides[0]}; add the image or take the label out"
        for path in labels.values()
        if path not in used
    ]
    return known


def find_class_folders(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    """The folder that holds a picture is its class; pictures in `root` or straight in a split belong to none."""
    paths = files_below(root, (*SUFFIXES, ".dcm"))
    classes = sorted({path.parent.name for path in paths if _is_class(path.parent, root)})
    if len(classes) < 2:
        return None
    found = Found("category", tuple(classes), modalities=_one(modalities, "image"))
    known = True
    for path in paths:
        if not _is_class(path.parent, root):
            found.problems.append(f"{path} lies in no class; move it into the folder of its class or take it out")
            continue
        patient = patient_in(stem(path), pattern, _PATIENTS)
        known &= patient is not None
        name = path.relative_to(root).with_suffix("").as_posix()
        planes = ((found.modalities[0], path),)
        found.studies.append(Study(name, patient or name, planes, split_of(path, root), category=path.parent.name))
    found.notes += [] if known else [_UNKNOWN]
    found.notes += [_KERMANY] if any(study.patient.endswith(("_bacteria", "_virus")) for study in found.studies) else []
    return found


def _is_class(folder: Path, root: Path) -> bool:
    name = folder.name.casefold()
    return folder != root and name not in SPLITS and name not in _NOT_CLASSES


def _by_name(folder: Path, problems: list[str]) -> dict[str, Path]:
    """Pictures by their path below `folder` without the ending; two that differ by it alone are a problem."""
    by_name: dict[str, Path] = {}
    for path in files_below(folder, PICTURES):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in by_name:
            problems.append(f"{by_name[name]} and {path} have the same name; keep one of them")
        by_name.setdefault(name, path)
    return by_name


def _splits() -> str:
    return "|".join(word for word in SPLITS if word)


def _one(modalities: Sequence[str], usual: str) -> tuple[str, ...]:
    if len(modalities) > 1:
        raise ValueError(f"this layout has one image a case, and modalities names {', '.join(modalities)}; name one or none")
    return tuple(modalities) or (usual,)
