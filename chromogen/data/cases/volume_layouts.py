"""Layouts of a folder a patient, each volume named by its modality: BraTS, open_ms, BRATS 2015."""

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chromogen.data.cases.studies import PATIENTS, Found, Study, files_below, patient_in, split_of, stem
from chromogen.data.cases.volumes import SUFFIXES

_TUMOUR_2015 = ("none", "necrosis", "oedema", "non-enhancing tumour", "enhancing tumour")
_TUMOUR = ("none", "necrotic core", "oedema", "unused 3", "enhancing tumour")  # BraTS 2017 to 2021: no 3
# BraTS since 2023, by the word in BraTS-WORD-00000-000. Adult glioma after treatment (2024) adds the resection cavity.
_SINCE_2023 = ("none", "necrotic core", "oedema", "enhancing tumour")
_BY_WORD = {
    "GLI": (*_SINCE_2023, "resection cavity"),
    "MET": (*_SINCE_2023, "resection cavity"),
    "PED": ("none", "enhancing tumour", "non-enhancing tumour", "cystic component", "oedema"),
}
_PED = "BraTS-PED is read as of 2024: 1 enhancing, 2 non-enhancing, 3 cyst, 4 oedema; for that of 2023 set classes"


@dataclass(frozen=True)
class _Naming:
    """How the files of a patient's folder are called: a pattern for a modality, and what it is called here."""

    modalities: tuple[tuple[str, str], ...]
    mask: str
    classes: tuple[str, ...]
    label: str  # how people write the mask's name
    proof: str  # a file of this name must be there for the layout to be recognised


_BRATS = _Naming(
    (
        (r"(?:.*[_-])(?:t1|t1n)", "T1"),
        (r"(?:.*[_-])(?:t1ce|t1c|t1gd)", "T1c"),
        (r"(?:.*[_-])(?:t2|t2w)", "T2"),
        (r"(?:.*[_-])(?:flair|t2f)", "FLAIR"),
    ),
    r".*[_-](?:seg|gtv)",
    _TUMOUR,
    "NAME_seg",
    r".*[_-](?:t1|t1n|t1ce|t1c|t1gd|t2|t2w|t2f|flair)",
)
_OPEN_MS = _Naming(
    ((r"t1", "T1"), (r"t1post", "T1POST"), (r"t2", "T2"), (r"flair", "FLAIR")),
    r"gold_standard",
    ("none", "lesion"),
    "GOLD_STANDARD",
    r"gold_standard",
)
_BRATS_2015 = _Naming(
    tuple(
        (rf"{name}_subtrmeandivstd", shown) for name, shown in (("t1", "T1"), ("t1c", "T1c"), ("t2", "T2"), ("flair", "FLAIR"))
    ),
    r"otmulticlass",
    _TUMOUR_2015,
    "OTMultiClass",
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
    found = Found("mask", naming.classes)
    passed: list[Path] = []
    roles = {folder: _roles(paths, naming, found.problems, passed) for folder, paths in by_folder.items()}
    seen = [shown for _, shown in naming.modalities if any(shown in files for files in roles.values() if files)]
    found.modalities = tuple(modalities or seen)
    without = []
    for folder, files in roles.items():
        if not files or (set(files) == {"mask"} and len(by_folder[folder]) > 1):
            continue  # a fault that is told, or volumes of another kind
        lacking = [name for name in found.modalities if name not in files]
        name = folder.relative_to(root).as_posix() if folder != root else root.resolve().name
        if lacking:
            held = ", ".join(path.name for path in by_folder[folder])
            found.problems.append(
                f"{folder} lacks {' and '.join(lacking)} (it holds {held}); add the file, or name modalities without it"
            )
        elif "mask" not in files:
            without.append(folder)
        else:
            images = tuple((shown, files[shown]) for shown in found.modalities)
            patient = patient_in(folder.name, pattern, PATIENTS) or folder.name
            found.studies.append(Study(name, patient, images, split_of(files["mask"], root), files["mask"]))
    _tell_unlabelled(found, without, root, naming)
    if passed:
        found.notes.append(
            f"{len(passed)} volumes are no modality or label of this layout and are passed over, such as {passed[0]}"
        )
    if naming is _BRATS:
        _name_tumours(found)
        _name_phantoms(found, root / "phantom.json")
    return found


def _tell_unlabelled(found: Found, folders: Sequence[Path], root: Path, naming: _Naming) -> None:
    """Official validation and test sets come without labels; anywhere else a label is missing."""
    official = [folder for folder in folders if split_of(folder / "x", root) in ("val", "test")]
    if official and found.studies:
        found.notes.append(
            f"{len(official)} patients of {official[0].parent} have no label and are left out, as {official[0].name}"
        )
    for folder in folders:
        if folder not in official or not found.studies:
            found.problems.append(f"{folder} has no label ({naming.label}); add it or take the folder out")


def _name_tumours(found: Found) -> None:
    """What the numbers of BraTS mean, which changed in 2023 and differs between its tasks."""
    words = {match[1] for study in found.studies if (match := re.match(r"BraTS-([A-Za-z]+)-", Path(study.name).name))}
    if found.studies and all(study.mask and stem(study.mask).casefold().endswith("gtv") for study in found.studies):
        found.classes = ("none", "gross tumour volume")
    elif len(words) == 1:
        word = words.pop().upper()
        found.classes = _BY_WORD.get(word, _SINCE_2023)
        found.notes += [_PED] if word == "PED" else []
    elif words:
        found.problems.append(
            f"{', '.join(sorted(words))} of BraTS lie in one folder, and their labels mean different things; part them"
        )


def _name_phantoms(found: Found, path: Path) -> None:
    """What the labels of `chromogen data anatomy brain` mean: lesions, or the four parts of tumours as in BRATS 2015."""
    if not path.is_file():
        return
    try:
        lesions = json.loads(path.read_text(encoding="utf-8"))["phantom"]["lesions"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not what chromogen data anatomy writes ({error}); draw the phantoms again") from error
    found.classes = ("none", "lesion") if lesions == "white matter" else _TUMOUR_2015


def _roles(paths: Sequence[Path], naming: _Naming, problems: list[str], passed: list[Path]) -> dict[str, Path]:
    """The file of every modality, and of "mask"; none where two claim one role and neither is called like the folder."""
    claims: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        fitting = [
            shown
            for wanted, shown in (*naming.modalities, (naming.mask, "mask"))
            if re.fullmatch(wanted, stem(path).casefold())
        ]
        for shown in fitting:
            claims[shown].append(path)
        passed += [] if fitting else [path]
    roles: dict[str, Path] = {}
    for shown, files in claims.items():
        exact = [
            path for path in files if re.fullmatch(rf"{re.escape(path.parent.name)}[_-][a-z0-9]+", stem(path), re.IGNORECASE)
        ]
        chosen = files if len(files) == 1 else exact
        if len(chosen) != 1:
            what = "labels" if shown == "mask" else shown
            problems.append(f"{files[0]} and {files[1]} both are {what} of one patient; keep one of them")
            return {}
        roles[shown] = chosen[0]
        passed += [path for path in files if path != chosen[0]]
    return roles
