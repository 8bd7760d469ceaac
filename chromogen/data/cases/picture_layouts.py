"""Layouts of pictures: fundus with vessels, stacks, a folder a class, cases made by `chromogen synthesize`."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chromogen.data.cases.mask_layouts import UNKNOWN
from chromogen.data.cases.nnunet import dataset_classes
from chromogen.data.cases.partners import image_of, role, words
from chromogen.data.cases.pictures import stack_length
from chromogen.data.cases.studies import (
    PATIENTS,
    SPLIT_WORDS,
    Found,
    Study,
    files_below,
    patient_in,
    split_named,
    split_of,
    stem,
)
from chromogen.data.images import SUFFIXES
from chromogen.data.strangers import no_data_set

_KERMANY = (
    "person numbers stand with bacteria and with virus, some in train and in test: they are taken as different people; if they "
    "are not, the split of this set leaks (then set split shuffle and patient_pattern '^(person\\d+|(?:NORMAL2-)?IM-\\d+)')"
)
_SPLIT_OF = {word: split for split, known in SPLIT_WORDS.items() for word in known}
_NO_CLASSES = {"he", "ihc", "target", "source", "fake", "real", "predictions", "prediction", "quarantine", "boxes", "overlays"}


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
    images = {name: path for name, path in files.items() if re.fullmatch(rf"x(?:_(?:{'|'.join(_SPLIT_OF)}))?", name.casefold())}
    if not images:
        return None
    found = Found("mask", ("none", "label"), modalities=_one(modalities, "image"), notes=[UNKNOWN])
    for name, path in images.items():
        masks = files.get(f"{'y' if name[0] == 'x' else 'Y'}{name[1:]}")
        count = stack_length(path)
        if masks is None or stack_length(masks) != count:
            what = f"{masks} holds {stack_length(masks)}" if masks else f"there is no y{name[1:]}.npy"
            found.problems.append(f"{path} holds {count} pictures, and {what}; give as many labels as images")
            continue
        split = _SPLIT_OF.get(name.casefold().removeprefix("x").removeprefix("_"), "")
        for index in range(count):
            case = f"{name}_{index:05d}"
            planes = ((found.modalities[0], path),)
            found.studies.append(Study(case, patient_in(case, pattern) or case, planes, split, masks, index=index))
    return found


def find_class_folders(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    """The folder that holds a picture is its class; pictures in `root` or straight in a split belong to none."""
    every = files_below(root, (*SUFFIXES, ".dcm"))
    stems: dict[Path, set[str]] = {}
    for path in every:
        stems.setdefault(path.parent, set()).add(path.stem)
    paths = [path for path in every if image_of(path.stem, stems[path.parent]) is None]  # no masks beside their images
    classes = sorted({path.parent.name for path in paths if _is_class(path.parent, root)})
    if len(classes) < 2:
        return None
    if other := no_data_set(root):
        raise ValueError(other)
    found = Found("category", tuple(classes), modalities=_one(modalities, "image"))
    known = True
    for path in paths:
        if not _is_class(path.parent, root):
            found.problems.append(f"{path} lies in no class; move it into the folder of its class or take it out")
            continue
        patient = patient_in(stem(path), pattern, PATIENTS)
        known &= patient is not None
        name = path.relative_to(root).with_suffix("").as_posix()
        planes = ((found.modalities[0], path),)
        found.studies.append(Study(name, patient or name, planes, split_of(path, root), category=path.parent.name))
    found.notes += [] if known else [UNKNOWN]
    if len(every) > len(paths):
        found.notes.append(f"{len(every) - len(paths)} masks beside pictures are passed over")
    found.notes += [_KERMANY] if any(study.patient.endswith(("_bacteria", "_virus")) for study in found.studies) else []
    return found


def _is_class(folder: Path, root: Path) -> bool:
    name = folder.name
    return folder != root and not split_named(name) and not role(name) and not set(words(name)) & _NO_CLASSES


def find_made(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    """What `chromogen synthesize` made, in any of its formats: the files of every case stand in cases.jsonl. All of it is for
    training; what was quarantined is left out."""
    listed = root / "cases.jsonl"
    if not listed.is_file() or not (root / "synthesis.json").is_file():
        return None
    found, quarantined = Found("none", made=True), 0
    facts = root / "dataset.json"
    if facts.is_file():
        found.classes = dataset_classes(facts)
    for number, line in enumerate(listed.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError:
            found.problems.append(f"{listed}: line {number} is cut short; run the same chromogen synthesize again")
            continue
        if record.get("done"):
            continue
        if all(str(name).startswith("quarantine") for name in record.get("files") or ("quarantine",)):
            quarantined += 1
            continue
        _add_made(found, root, record, modalities)
    if quarantined:
        found.notes.append(f"{quarantined} cases in quarantine are left out")
    return found if found.studies or found.problems else None


def _add_made(found: Found, root: Path, record: dict[str, Any], modalities: Sequence[str]) -> None:
    name, files = str(record.get("name")), [root / str(file) for file in record["files"]]
    label = [path for path in files if path.parent.name in ("masks", "labelsTr")]
    images = {stem(path).removeprefix(name).strip("_") or "image": path for path in files if path not in label}
    names = _channel_names(root)
    shown = {names.get(key, key): path for key, path in images.items()}
    found.modalities = found.modalities or tuple(modalities) or tuple(shown)
    lacking = [modality for modality in found.modalities if modality not in shown]
    gone = [path for path in files if not path.is_file()]
    if lacking or gone:
        what = f"lacks {', '.join(lacking)}" if lacking else f"lacks the file {gone[0]}"
        found.problems.append(f"{name} of {root} {what}; run the same chromogen synthesize again")
        return
    planes = tuple((modality, shown[modality]) for modality in found.modalities)
    category = planes[0][1].parent.name if record.get("category") is not None and planes[0][1].parent.parent == root else None
    boxes = root / "annotations.json" if (root / "annotations.json").is_file() else None
    if label:
        found.label = "mask"
    elif category is not None:
        found.label = "category"
        found.classes = tuple(sorted({*found.classes, category}))
    elif boxes is not None:
        found.label = "boxes"
        if not found.classes:
            listed = json.loads(boxes.read_text(encoding="utf-8")).get("categories", [])
            found.classes = ("none", *(str(one["name"]) for one in sorted(listed, key=lambda one: one["id"])))
    entry = planes[0][1].relative_to(root).as_posix() if found.label == "boxes" else ""
    found.studies.append(
        Study(
            name, name, planes, "train", label[0] if label else None, category if found.label == "category" else None,
            boxes if found.label == "boxes" else None, entry=entry,
        )
    )  # fmt: skip


def _channel_names(root: Path) -> dict[str, str]:
    """What nnU-Net's numbers stand for, {"0000": "T1"}; {} in other formats."""
    path = root / "dataset.json"
    if not path.is_file():
        return {}
    channels = json.loads(path.read_text(encoding="utf-8")).get("channel_names", {})
    return {f"{int(number):04d}": str(name) for number, name in channels.items()}


def _one(modalities: Sequence[str], usual: str) -> tuple[str, ...]:
    if len(modalities) > 1:
        raise ValueError(f"this layout has one image a case, and modalities names {', '.join(modalities)}; name one or none")
    return tuple(modalities) or (usual,)
