"""Layouts of NIfTI volumes: BraTS, open_ms, BRATS 2015, nnU-Net."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chromogen.data.cases.studies import Found, Study, files_below, patient_in, split_of, stem
from chromogen.data.cases.volumes import SUFFIXES
from chromogen.data.images import SUFFIXES as PICTURE_SUFFIXES

_TUMOUR_2015 = ("none", "necrosis", "oedema", "non-enhancing tumour", "enhancing tumour")
_TUMOUR = ("none", "necrotic core", "oedema", "unused", "enhancing tumour")  # BraTS 2017-2020 skips 3; 2023 calls it enhancing
# one person scanned again has another last number: brats_2013_pat0001_1, BraTS-GLI-00005-101
_PATIENTS = (r"^(brats_\d+_\w*pat\d+)_\d+$", r"^(BraTS-[A-Za-z]+-\d+)-\d+$")


@dataclass(frozen=True)
class _Naming:
    """How the files of a patient's folder are called: a pattern for a modality, and what it is called here."""

    modalities: tuple[tuple[str, str], ...]
    mask: str
    classes: tuple[str, ...]
    proof: str  # a file of this name must be there for the layout to be recognised


_BRATS = _Naming(
    (
        (r"(?:.*[_-])(?:t1|t1n)", "T1"),
        (r"(?:.*[_-])(?:t1ce|t1c|t1gd)", "T1c"),
        (r"(?:.*[_-])(?:t2|t2w)", "T2"),
        (r"(?:.*[_-])(?:flair|t2f)", "FLAIR"),
    ),
    r".*[_-]seg",
    _TUMOUR,
    r".*[_-](?:t1|t1n|t1ce|t1c|t1gd|t2|t2w|t2f|flair)",
)
_OPEN_MS = _Naming(
    ((r"t1", "T1"), (r"t1post", "T1POST"), (r"t2", "T2"), (r"flair", "FLAIR")),
    r"gold_standard",
    ("none", "lesion"),
    r"gold_standard",
)
_BRATS_2015 = _Naming(
    tuple(
        (rf"{name}_subtrmeandivstd", shown) for name, shown in (("t1", "T1"), ("t1c", "T1c"), ("t2", "T2"), ("flair", "FLAIR"))
    ),
    r"otmulticlass",
    _TUMOUR_2015,
    r"(?:otmulticlass|\w+_subtrmeandivstd)",
)


def find_brats(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    return _patient_folders(root, _BRATS, modalities, pattern)


def find_open_ms(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    return _patient_folders(root, _OPEN_MS, modalities, pattern)


def find_brats2015(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    return _patient_folders(root, _BRATS_2015, modalities, pattern)


def _patient_folders(root: Path, naming: _Naming, modalities: Sequence[str], pattern: str) -> Found | None:
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in files_below(root, SUFFIXES):
        by_folder[path.parent].append(path)
    if not any(re.fullmatch(naming.proof, stem(path).casefold()) for paths in by_folder.values() for path in paths):
        return None
    roles = {folder: _roles(paths, naming) for folder, paths in by_folder.items()}
    seen = [shown for _, shown in naming.modalities if any(shown in found for found in roles.values())]
    found = Found("mask", naming.classes, modalities=tuple(modalities or seen))
    for folder, files in roles.items():
        lacking = [name for name in found.modalities if name not in files]
        name = folder.relative_to(root).as_posix() if folder != root else root.resolve().name
        if not files or (set(files) == {"mask"} and len(by_folder[folder]) > 1):
            continue  # volumes of another kind
        if lacking:
            held = ", ".join(path.name for path in by_folder[folder])
            found.problems.append(
                f"{folder} lacks {' and '.join(lacking)} (it holds {held}); add the file, or name modalities without it"
            )
        elif "mask" not in files:
            found.problems.append(f"{folder} has no label ({naming.mask} in its name); add it or take the folder out")
        else:
            images = tuple((shown, files[shown]) for shown in found.modalities)
            patient = patient_in(folder.name, pattern, _PATIENTS) or folder.name
            found.studies.append(Study(name, patient, images, split_of(files["mask"], root), files["mask"]))
    return found


def _roles(paths: Sequence[Path], naming: _Naming) -> dict[str, Path]:
    """The file of every modality, and of "mask"."""
    roles: dict[str, Path] = {}
    for path in paths:
        for wanted, shown in (*naming.modalities, (naming.mask, "mask")):
            if re.fullmatch(wanted, stem(path).casefold()):
                if shown in roles:
                    raise ValueError(f"{roles[shown]} and {path} both are {shown} of one patient; keep one of them")
                roles[shown] = path
    return roles


def find_nnunet(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    if not (root / "imagesTr").is_dir():
        return None
    facts = _dataset_json(root / "dataset.json")
    channels = _numbered(facts.get("channel_names") or facts.get("modality") or {}, root)
    ending = str(facts.get("file_ending") or "")
    found = Found("mask", _classes(facts.get("labels") or {}, root), modalities=tuple(modalities) or tuple(channels.values()))
    for images, labels, split in (("imagesTr", "labelsTr", ""), ("imagesTs", "labelsTs", "test")):
        if (root / images).is_dir():
            _add_nnunet(found, root, (images, labels, split), channels, ending, pattern)
    return found


def _add_nnunet(
    found: Found, root: Path, folders: tuple[str, str, str], channels: Mapping[int, str], ending: str, pattern: str
) -> None:
    images, labels, split = folders
    suffixes = (ending.casefold(),) if ending else (*SUFFIXES, *PICTURE_SUFFIXES)
    by_case: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in files_below(root / images, suffixes):
        match = re.fullmatch(r"(.+)_(\d{4})", stem(path))
        if match and int(match[2]) in channels:
            by_case[match[1]][channels[int(match[2])]] = path
        else:
            found.problems.append(
                f"{path} is not called NAME_0000 with a channel of dataset.json; rename it or name the channel"
            )
    masks = {stem(path): path for path in files_below(root / labels, suffixes)} if (root / labels).is_dir() else {}
    for name, files in by_case.items():
        lacking = [channel for channel in found.modalities if channel not in files]
        if lacking:
            found.problems.append(
                f"{root / images / name} lacks {' and '.join(lacking)}; add the file, or leave the channel out"
            )
        elif name not in masks:
            found.problems.append(f"{root / images / name} has no label in {labels}; add it or take the images out")
        else:
            planes = tuple((channel, files[channel]) for channel in found.modalities)
            patient = patient_in(name, pattern, _PATIENTS) or name
            found.studies.append(Study(f"{images}/{name}", patient, planes, split, masks[name]))
    found.problems += [
        f"{path} labels no image of {images}; add the image or take the label out"
        for name, path in masks.items()
        if name not in by_case
    ]


def _dataset_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path} is missing; nnU-Net names the channels and classes of a set in it")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); write it again") from error
    if not isinstance(facts, dict):
        raise ValueError(f"{path} is not an object with channel_names and labels; write it again")
    return facts


def _numbered(names: Any, root: Path) -> dict[int, str]:
    """{"0": "T1"} as numbers to names."""
    try:
        channels = {int(number): str(name) for number, name in names.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f'{root / "dataset.json"}: channel_names must look like {{"0": "T1", "1": "FLAIR"}}') from error
    if not channels or len(set(channels.values())) < len(channels):
        raise ValueError(
            f'{root / "dataset.json"} names no channels, or two alike; write channel_names {{"0": "T1", "1": "FLAIR"}}'
        )
    return dict(sorted(channels.items()))


def _classes(labels: Any, root: Path) -> tuple[str, ...]:
    """Names by number, from {"background": 0, "lesion": 1} or {"0": "background", "1": "lesion"}."""
    where = root / "dataset.json"
    try:
        pairs = [(int(key), str(value)) if str(key).isdigit() else (int(value), str(key)) for key, value in labels.items()]
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: labels must give every class one number, and regions are not read; write one") from error
    numbers = dict(pairs)
    if not pairs or 0 not in numbers or not all(0 <= number <= 255 for number in numbers):
        raise ValueError(f"{where}: labels must hold background 0 and numbers up to 255; write them")
    return tuple(numbers.get(number, "unused") for number in range(max(numbers) + 1))
