"""Layouts of pictures with masks: in folders side by side, or beside each other in one folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chromogen.data.cases.partners import by_name, image_of, paired, role, words
from chromogen.data.cases.studies import (
    PATIENTS,
    PICTURES,
    Found,
    Study,
    files_below,
    patient_in,
    split_named,
    split_of,
    split_within,
    stem,
)
from chromogen.data.images import is_clutter

UNKNOWN = (
    "these names hold no patient id: every picture counts as a patient, and that none is in two splits cannot be verified; "
    "see patient_pattern"
)
_BEST = ("drawn", "labels", "masks")  # of several folders that may hold the label, the first of these
_DEEPEST = 4


@dataclass(frozen=True)
class _Place:
    """Images of every modality and their masks; `kind` says what the folder of masks is called like, `split` what both are."""

    sides: tuple[Path, ...]
    masks: Path
    kind: str
    split: str = ""


def find_image_masks(root: Path, modalities: Sequence[str], pattern: str, suffixes: Sequence[str] = PICTURES) -> Found | None:
    """images beside masks, or with several `modalities` a folder of each name beside masks."""
    found = Found("mask", modalities=tuple(modalities) or ("image",))
    places = [place for folder in _folders(root) for place in _places(folder, found, suffixes)]
    if not places:
        return None
    kinds = {place.kind for place in places}
    best = next(kind for kind in _BEST if kind in kinds)
    known = True
    for place in places:
        if best == "drawn" and place.kind == "masks":  # DRIVE's test images come with the field of view alone
            count = len(files_below(place.sides[0], suffixes))
            found.notes.append(f"{count} images in {place.sides[0]} have no label beside the field of view: they are left out")
            continue
        known &= _add(found, root, place, pattern, suffixes)
    if not found.studies and not found.problems:
        return None
    found.notes += [] if known else [UNKNOWN]
    return found


def _folders(root: Path) -> list[Path]:
    """`root` and the folders in it, down to a depth."""
    found, level = [root], [root]
    for _ in range(_DEEPEST):
        level = [path for folder in level for path in sorted(folder.iterdir()) if path.is_dir() and not is_clutter(path)]
        found += level[:500]
    return found


def _places(folder: Path, found: Found, suffixes: Sequence[str]) -> list[_Place]:
    """The images and masks in `folder`; those of every split where they lie side by side (Training_Input, Test_Input)."""
    inside = {path.name: path for path in sorted(folder.iterdir()) if path.is_dir() and not is_clutter(path)}
    if not any(role(name) in _BEST for name in inside):
        return []
    holding = {name: path for name, path in inside.items() if files_below(path, suffixes)}
    by_split: dict[str, dict[str, Path]] = {}
    for name, path in holding.items():
        by_split.setdefault(split_within(name), {})[name] = path
    apart = [split for split, held in by_split.items() if split and {role(name) for name in held} & set(_BEST)]
    if not apart or (len(apart) < 2 and "" in by_split):
        place = _place(folder, holding, found)
        return [place] if place else []
    places = [(split, _place(folder, by_split[split], found, split)) for split in apart]
    bare = [path.name for split, held in by_split.items() if split and split not in apart for path in held.values()]
    if bare and any(place for _, place in places):
        found.notes.append(f"{folder}: {', '.join(bare)} {'has' if len(bare) == 1 else 'have'} no masks beside: left out")
    return [replace(place, split=split) for split, place in places if place]


def _place(folder: Path, holding: dict[str, Path], found: Found, split: str = "") -> _Place | None:
    roles = {name: role(name) for name in holding}
    wanted = {name.casefold() for name in found.modalities} if found.modalities != ("image",) else set()
    for name in holding:
        if name.casefold() in wanted:
            roles[name] = "images"
    kinds = [kind for kind in _BEST if kind in roles.values()]
    if not kinds:
        return None
    masks = [name for name in holding if roles[name] == kinds[0]]
    by_casefold = {name.casefold(): path for name, path in holding.items() if name not in masks}
    sides = [by_casefold.get(name.casefold()) for name in found.modalities]
    if not all(sides):
        if len(found.modalities) > 1:
            return None
        named = [name for name in holding if roles[name] == "images"]
        other = [name for name in holding if not roles[name] and (split or not split_named(name))]
        chosen = named[:1] or (other if len(other) == 1 else [])
        sides = [holding[name] for name in chosen]
    passed = [name for name in holding if name != masks[0] and holding[name] not in sides and roles[name]]
    if not sides or not all(sides):
        return None
    if passed:
        found.notes.append(
            f"{folder}: {masks[0]} holds the label; {', '.join(passed)} {'is' if len(passed) == 1 else 'are'} passed over"
        )
    return _Place(tuple(side for side in sides if side), holding[masks[0]], kinds[0])


def _add(found: Found, root: Path, place: _Place, pattern: str, suffixes: Sequence[str]) -> bool:
    """Add the pictures of one place; whether their names tell patients."""
    labels = by_name(place.masks, suffixes, found.problems)
    pictures = [by_name(side, suffixes, found.problems) for side in place.sides]
    masks, left = paired(list(pictures[0]), labels)
    if not masks:  # one side lies in a folder more (ChinaSet_AllFiles/CXR_png)
        labels, pictures = _bare(labels), [_bare(held) for held in pictures]
        masks, left = paired(list(pictures[0]), labels)
    classes: tuple[str, ...] = ()
    layers: dict[str, list[tuple[Path, int]]] = {}
    if len(left) > len(labels) / 2 and (by_class := _by_class(place.masks, list(pictures[0]), labels)):
        classes, layers = by_class
        masks, left = {name: [path for path, _ in drawn] for name, drawn in layers.items()}, []
        found.classes = classes
        found.notes.append(f"{place.masks} holds a folder a class: {', '.join(classes[1:])}")
    known = True
    for name, path in pictures[0].items():
        lacking = [side for side, held in zip(place.sides, pictures, strict=True) if name not in held]
        if lacking or name not in masks:
            where = lacking[0] if lacking else place.masks
            found.problems.append(f"{path} has no partner in {where}; add it, or take the image out")
            continue
        patient = patient_in(stem(path), pattern, PATIENTS)
        known &= patient is not None
        planes = tuple((shown, held[name]) for shown, held in zip(found.modalities, pictures, strict=True))
        case = (path.relative_to(root).parent / stem(path)).as_posix()
        drawn = layers.get(name) or _united(masks[name])
        found.studies.append(
            Study(case, patient or case, planes, split_of(path, root) or place.split, masks[name][0], layers=tuple(drawn))
        )  # fmt: skip
    found.problems += [f"{path} labels no image of {place.sides[0]}; add the image or take the label out" for path in left]
    return known


def _bare(held: dict[str, Path]) -> dict[str, Path]:
    """Files by their names without folders, where those differ."""
    bare = {Path(name).name: path for name, path in held.items()}
    return bare if len(bare) == len(held) else held


def _united(masks: Sequence[Path]) -> list[tuple[Path, int]]:
    """Several masks of one image are one label; one is read as it is coded."""
    return [(path, 1) for path in masks] if len(masks) > 1 else []


def _by_class(
    folder: Path, images: Sequence[str], labels: Mapping[str, Path]
) -> tuple[tuple[str, ...], dict[str, list[tuple[Path, int]]]] | None:
    """Classes and the masks of every image where `folder` holds a folder a class (leftMask, rightMask), else None."""
    groups: dict[str, dict[str, Path]] = {}
    for name, path in labels.items():
        first, _, rest = name.partition("/")
        if not rest:
            return None
        groups.setdefault(first, {})[rest] = path
    layers: dict[str, list[tuple[Path, int]]] = {}
    for number, held in enumerate(groups.values(), start=1):
        matched, left = paired(images, held)
        if left and len(left) > len(held) / 2:
            return None
        for name, paths in matched.items():
            layers.setdefault(name, []).extend((path, number) for path in paths)
    return ("none", *groups), layers


def find_masks_beside(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    """NAME.png with NAME_mask.png (and NAME_mask_1.png, ...) in one folder; folders without numbers in their names are classes
    of what the masks show (BUSI's benign, malignant and normal)."""
    return masks_beside(root, modalities, pattern, PICTURES, "image")


def masks_beside(root: Path, modalities: Sequence[str], pattern: str, suffixes: Sequence[str], usual: str) -> Found | None:
    """The layout of `find_masks_beside` for files that end in `suffixes`."""
    groups: dict[Path, dict[str, Path]] = {}
    for path in files_below(root, suffixes):
        groups.setdefault(path.parent, {}).setdefault(stem(path), path)
    masks: dict[Path, list[Path]] = {}
    for held in groups.values():
        for name in held:
            image = image_of(name, held)
            if image is not None and image_of(image, held) is None:
                masks.setdefault(held[image], []).append(held[name])
    if not masks:
        return None
    if len(modalities) > 1:
        raise ValueError(
            f"masks lie beside images here, one image a case, and modalities names {', '.join(modalities)}; name one"
        )
    found = Found("mask", modalities=tuple(modalities) or (usual,))
    taken = {mask for drawn in masks.values() for mask in drawn}
    folders = {path.parent.name: path.parent for path in masks if path.parent != root}
    classes = sorted(
        name for name in folders if not any(letter.isdigit() for letter in name) and not split_named(name) and not role(name)
    )
    by_folder = 2 <= len(classes) == len(folders) and suffixes is PICTURES
    empty = {name for name in classes if set(words(name)) & {"normal", "healthy", "none", "no"}}
    lesions = [name for name in classes if name not in empty]
    if by_folder:
        found.classes = ("none", *lesions)
        found.notes.append(f"masks in {', '.join(lesions)} mean that; set classes or layout class_folders to read it otherwise")
    known = True
    for held in groups.values():
        for name, path in held.items():
            if path in taken:
                continue
            if path not in masks:
                found.problems.append(f"{path} has no mask beside it ({name}_mask); add it or take the image out")
                continue
            patient = patient_in(name, pattern, PATIENTS)
            known &= patient is not None
            case = (path.relative_to(root).parent / name).as_posix()
            number = found.classes.index(path.parent.name) if by_folder and path.parent.name in lesions else 1
            drawn = [(mask, number) for mask in masks[path]] if by_folder or len(masks[path]) > 1 else []
            own = path.parent.name if any(letter.isdigit() for letter in path.parent.name) and path.parent != root else case
            planes = ((found.modalities[0], path),)
            found.studies.append(
                Study(case, patient or own, planes, split_of(path, root), masks[path][0], layers=tuple(drawn))
            )  # fmt: skip
    found.notes += [] if known or all(study.patient != study.name for study in found.studies) else [UNKNOWN]
    return found
