"""Layouts of volumes that are named by the set: BIDS, volumes beside labels in folders or in one folder (ACDC)."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from chromogen.data.cases.mask_layouts import UNKNOWN, find_image_masks, masks_beside
from chromogen.data.cases.studies import Found, Study, files_below, patient_in, split_of, stem
from chromogen.data.cases.volumes import SUFFIXES

_BIDS = re.compile(r"(sub-[A-Za-z0-9]+)(?:_(ses-[A-Za-z0-9]+))?(?:_.*)?_([A-Za-z0-9]+)$")
_BIDS_IMAGES = (
    "T1w",
    "T2w",
    "FLAIR",
    "PDw",
    "T2starw",
    "T1rho",
    "SWI",
    "angio",
    "dwi",
    "bold",
    "CT",
    "ct",
    "MP2RAGE",
    "UNIT1",
    "ADC",
)
_BIDS_LABELS = ("mask", "msk", "dseg", "lesion", "roi", "seg", "label")
_ACDC = ("none", "right ventricle", "myocardium", "left ventricle")
_NO_LABEL = re.compile(r"brain|skull|desc-(?:brain|head)", re.IGNORECASE)


def find_bids(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    """sub-NAME/(ses-NAME/)anat/sub-NAME_T1w.nii.gz, with the label anywhere below `root` under the same subject and session
    (derivatives/): _mask, _dseg, _roi or _lesion; masks of the brain are none."""
    images: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    labels: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in files_below(root, SUFFIXES):
        match = _BIDS.match(stem(path))
        if not match:
            continue
        key, kind = (match[1], match[2] or ""), match[3]
        if "label-" in stem(path) or "lesion" in stem(path).casefold() or kind.casefold() in _BIDS_LABELS:
            labels[key] += [] if _NO_LABEL.search(stem(path)) else [path]
        elif kind in _BIDS_IMAGES and "derivatives" not in path.relative_to(root).parts:
            contrast = re.search(r"_ce-([A-Za-z0-9]+)", stem(path))
            images[key].setdefault(kind + (f" {contrast[1]}" if contrast else ""), path)
    if not images:
        return None
    held = sorted((name for files in images.values() for name in files), key=lambda name: _BIDS_IMAGES.index(name.split()[0]))
    common = [name for name in dict.fromkeys(held) if held.count(name) == len(images)] or list(dict.fromkeys(held))[:1]
    found = Found("mask", modalities=tuple(modalities) or tuple(common))
    passed = sorted(set(held) - set(found.modalities))
    if passed:
        found.notes.append(f"{', '.join(passed)} are not there for every subject and are passed over; see modalities")
    for (subject, session), files in images.items():
        name = f"{subject}/{session}" if session else subject
        first, drawn = next(iter(files.values())), labels[subject, session]
        lacking = [modality for modality in found.modalities if modality not in files]
        if lacking:
            found.problems.append(f"{first.parent} lacks {' and '.join(lacking)}; add the file, or name modalities without it")
        elif len(drawn) != 1:
            what = f"{len(drawn)} labels ({drawn[0].name}, {drawn[1].name})" if drawn else "no label (_mask, _dseg, _roi)"
            found.problems.append(f"{name} of {root} has {what}; keep one, or take the subject out")
        else:
            patient = patient_in(subject, pattern, (r"^(sub-.+)$",)) or subject
            planes = tuple((modality, files[modality]) for modality in found.modalities)
            found.studies.append(Study(name, patient, planes, split_of(first, root), drawn[0]))
    if not any(labels.values()):
        found.problems = [f"{root} (BIDS) holds no label of any subject: _mask, _dseg, _roi or _lesion; add derivatives/"]
    return found


def find_volume_masks(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    """images/NAME.nii.gz with labels/NAME.nii.gz (imagesTr with labelsTr and no dataset.json, too); several modalities: a
    folder of each name."""
    found = find_image_masks(root, modalities, pattern, SUFFIXES)
    if found is not None:
        for place, study in enumerate(found.studies):  # NAME_0000 is nnU-Net's first channel
            if re.search(r"_0000$", Path(study.name).name):
                found.studies[place] = _without_channel(study)
        _one_label_each(found)
    return found


def _without_channel(study: Study) -> Study:
    name = study.name[:-5]
    patient = name if study.patient == study.name else re.sub(r"_0000$", "", study.patient)
    return Study(name, patient, study.images, study.split, study.mask, layers=study.layers)


def find_volumes_beside(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    """NAME.nii.gz with NAME_gt.nii.gz (or _seg, _mask, _label) in one folder; ACDC's frames, without its 4-D films."""
    found = masks_beside(root, modalities, pattern, SUFFIXES, "image")
    if found is None:
        return None
    films = [problem for problem in found.problems if re.search(r"_4d\.nii(\.gz)? has no mask", problem)]
    found.problems = [problem for problem in found.problems if problem not in films]
    if films:
        found.notes.append(f"{len(films)} films over time (_4d) have no label and are passed over")
    if found.studies and all(re.search(r"frame\d+$", study.name) for study in found.studies):
        found.classes, found.modalities = _ACDC, tuple(modalities) or ("cine MR",)
        found.studies = [
            Study(one.name, one.patient, ((found.modalities[0], one.images[0][1]),), one.split, one.mask)
            for one in found.studies
        ]
        found.notes.append("frames with _gt are read as ACDC: 1 right ventricle, 2 myocardium, 3 left ventricle")
    found.notes = [note for note in found.notes if note != UNKNOWN]
    _one_label_each(found)
    return found


def _one_label_each(found: Found) -> None:
    """Several label volumes of one image cannot be told apart by class."""
    for study in [study for study in found.studies if len(study.layers) > 1]:
        names = ", ".join(path.name for path, _ in study.layers)
        found.problems.append(f"{study.images[0][1]} has several labels ({names}); merge them into one volume of class numbers")
        found.studies.remove(study)
