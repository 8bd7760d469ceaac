"""Layouts with boxes: DICOM slices with Pascal VOC files, pictures with Pascal VOC or COCO."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from chromogen.data.cases.boxes import NamedBoxes, is_coco, read_boxes, read_coco
from chromogen.data.cases.dicom import NoImageError, SliceFacts, dicom_facts, is_dicom
from chromogen.data.cases.mask_layouts import UNKNOWN
from chromogen.data.cases.studies import PATIENTS, PICTURES, Found, Study, files_below, patient_in, split_named, split_of, stem
from chromogen.data.cases.volumes import SUFFIXES as VOLUMES
from chromogen.data.images import SUFFIXES

_OTHERS = (
    *SUFFIXES,
    *VOLUMES,
    ".gif",
    ".ppm",
    ".pgm",
    ".npy",
    ".xml",
    ".json",
    ".csv",
    ".txt",
    ".md",
    ".pdf",
    ".raw",
    ".zip",
    ".xlsx",
)
_NOBODY = re.compile(r"(?i)(?:anon\w*|unknown|none|no ?name|patient|subject|deidentified|de-identified|removed|x+|0*)")
_LABELS = (".csv", ".tsv", ".xlsx", ".json", ".txt", *SUFFIXES, *VOLUMES)  # what labels are kept in
SAME_DIRECTION = 0.95  # cosine between the normals of slices that belong together


def find_dicom(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    """DICOM slices by ending or content; boxes in XML files called like the slice's file or its SOPInstanceUID."""
    paths = [path for path in files_below(root, ("",)) if not path.name.casefold().endswith(_OTHERS) and is_dicom(path)]
    if not paths:
        return None
    found = Found("boxes", modalities=())
    facts: dict[Path, SliceFacts] = {}
    no_images: list[Path] = []
    for path in paths:
        try:
            facts[path] = dicom_facts(path)
        except NoImageError:
            no_images.append(path)
        except (ValueError, OSError) as error:
            found.problems.append(str(error))
    if no_images:
        found.notes.append(
            f"{len(no_images)} DICOM files are no images (contours, reports, plans) and are passed over, such as {no_images[0]}"
        )
    unreadable = {path for path in paths if path not in facts}
    facts = _without_scouts(_without_doubles(_without_masks(facts, found), found), found)
    boxes, broken = _boxes_of(root, facts, unreadable, found)
    names = {name for one, _ in boxes.values() for name in (*one.names, *one.difficult)}
    found.classes = ("none", *sorted(names)) if names else ()
    found.label = "boxes" if names else "none"
    found.modalities = _one(modalities, next((fact.modality for fact in facts.values() if fact.modality), "image"))
    _tell_unread(root, facts, found)
    patients = _patients(root, facts, pattern, found)
    between = _between(facts)
    for path in facts:
        if path in broken:
            continue
        found.studies.append(
            Study(
                (path.relative_to(root).parent / stem(path)).as_posix(),
                patients[path],
                ((found.modalities[0], path),),
                split_of(path, root),
                boxes=boxes[path][1] if path in boxes else None,
                between=between[path],
            )
        )
    return found


def _tell_unread(root: Path, facts: Mapping[Path, SliceFacts], found: Found) -> None:
    """What lies there and is not read, and CT that is none in numbers."""
    others = [] if found.label == "boxes" else files_below(root, _LABELS)
    if others:
        found.notes.append(
            f"{len(others)} other files are not read, such as {others[0]}: boxes of DICOM slices are read from XML "
            "(Pascal VOC), masks from a folder images beside a folder masks"
        )
    bare = [path for path, fact in facts.items() if fact.modality == "CT" and not fact.hounsfield]
    if bare:
        found.notes.append(
            f"{len(bare)} slices of CT have no RescaleIntercept, such as {bare[0]}: their values are no HU, and none is "
            "windowed"
        )


def _without_masks(facts: dict[Path, SliceFacts], found: Found) -> dict[Path, SliceFacts]:
    """Leave out what the header calls a mask (CBIS-DDSM's "ROI mask images")."""
    drawn = [path for path, fact in facts.items() if fact.drawn]
    if drawn:
        found.notes.append(
            f"{len(drawn)} slices are called masks by their headers and are left out, such as {drawn[0]}; to read them, put "
            "images and masks of the same names into the folders images and masks"
        )
    return {path: fact for path, fact in facts.items() if not fact.drawn}


def _without_scouts(facts: dict[Path, SliceFacts], found: Found) -> dict[Path, SliceFacts]:
    """Leave out what the header calls a localiser, and slices that lie across all others of their patient."""
    scouts = [path for path, fact in facts.items() if fact.scout]
    for group in _grouped(facts, lambda path, fact: (path.parent, fact.patient)).values():
        directions = [(path, facts[path].normal) for path in group if facts[path].normal is not None and path not in scouts]
        alike = {
            path: sum(abs(float(np.dot(normal, other))) > SAME_DIRECTION for _, other in directions if other is not None)
            for path, normal in directions
            if normal is not None
        }
        scouts += [path for path, count in alike.items() if 2 * count < len(directions)]
    if scouts:
        found.notes.append(
            f"{len(scouts)} slices are localisers or lie across the others and are left out, such as {scouts[0]}"
        )
    return {path: fact for path, fact in facts.items() if path not in set(scouts)}


def _without_doubles(facts: dict[Path, SliceFacts], found: Found) -> dict[Path, SliceFacts]:
    """One slice a place of a series: copies (one SOPInstanceUID) are noted, other slices of one place are a problem."""
    left: set[Path] = set()
    for group in _grouped(facts, lambda path, fact: (path.parent, fact.patient, fact.series, fact.normal, fact.place)).values():
        if facts[group[0]].place is None or len(group) < 2:
            continue
        ids = {facts[path].instance for path in group}
        if len(ids) == 1 and ids != {""}:
            found.notes.append(f"{group[0]} and {group[1]} are copies of one slice (one SOPInstanceUID): the first counts")
        else:
            place = facts[group[0]].place
            found.problems.append(
                f"{group[0]} and {len(group) - 1} more ({group[1].name}) of one series lie at one place ({place:g} mm): "
                "phases or doubled slices, of which the first counts; keep one of each"
            )
        left |= set(group[1:])
    return {path: fact for path, fact in facts.items() if path not in left}


def _grouped(facts: Mapping[Path, SliceFacts], key: object) -> dict[object, list[Path]]:
    groups: dict[object, list[Path]] = defaultdict(list)
    for path, fact in facts.items():
        groups[key(path, fact)].append(path)  # type: ignore[operator]
    return groups


def _boxes_of(
    root: Path, facts: Mapping[Path, SliceFacts], unreadable: set[Path], found: Found
) -> tuple[dict[Path, tuple[NamedBoxes, Path]], set[Path]]:
    """The boxes of every slice and the file they are in; and the slices whose boxes cannot be read."""
    instances = {fact.instance: path for path, fact in facts.items() if fact.instance}
    beside = {path.with_name(stem(path)): path for path in facts}
    boxes: dict[Path, tuple[NamedBoxes, Path]] = {}
    broken: set[Path] = set()
    gone = {path.with_name(stem(path)) for path in unreadable}
    lost = []
    for xml in files_below(root, (".xml",)):
        own = beside.get(xml.with_suffix("")) or instances.get(xml.stem)
        try:
            read = read_boxes(xml)
        except (ValueError, OSError) as error:
            found.problems.append(str(error))
            broken |= {own} if own else set()
            continue
        if own is None and xml.with_suffix("") not in gone:
            own = instances.get(Path(read.image).stem) or instances.get(read.image)
            lost += [] if own else [xml]
        if own is not None and own in boxes:
            found.problems.append(f"{boxes[own][1]} and {xml} both hold boxes of {own}; keep one of them")
        elif own is not None:
            boxes[own] = (read, xml)
    if lost:
        found.problems.append(
            f"{len(lost)} XML files have no slice, such as {lost[0]}: none has its name or its SOPInstanceUID; add the "
            "slices, or take the files out"
        )
    return boxes, broken


def _patients(root: Path, facts: Mapping[Path, SliceFacts], pattern: str, found: Found) -> dict[Path, str]:
    """Who each slice shows: what `pattern` finds, else the header; the folder where the header calls everybody the same."""
    if pattern:
        return {path: str(patient_in(stem(path), pattern)) for path in facts}
    named = {path: patient_in(fact.patient, "", PATIENTS) or fact.patient for path, fact in facts.items()}
    folders = {path: path.relative_to(root).parts[0] if path.parent != root else "" for path in facts}
    studies: dict[str, set[str]] = defaultdict(set)
    for path, fact in facts.items():
        studies[folders[path]].add(fact.study or f"in {folders[path]}")
    shared = Counter(study for held in studies.values() for study in held)
    apart = len(studies) > 1 and max(shared.values(), default=0) == 1
    ids = set(named.values())
    everybody = len(ids) == 1 and apart and len(set(studies) - {""}) > 1
    if everybody and ids != {""}:
        found.notes.append(
            f"all {len(studies)} folders have the one PatientID {next(iter(ids))!r}: each folder is taken as a patient; if "
            "they are one person, set patient_pattern so that it finds one name for all"
        )
    elif len(ids) == 1 and ids != {""} and _NOBODY.fullmatch(next(iter(ids))):
        found.notes.append(
            f"all slices have the PatientID {next(iter(ids))!r}: who is in two splits cannot be verified; see patient_pattern"
        )
    own = {}
    for path, name in named.items():
        unnamed = everybody or not name or (_NOBODY.fullmatch(name) and len(ids) == 1 and folders[path])
        parents = path.relative_to(root).parts[:-1]
        own[path] = (
            (folders[path] or (parents[-1] if parents else root.name))
            if unnamed and (everybody or parents)
            else name or root.name
        )
    return own


def _between(facts: Mapping[Path, SliceFacts]) -> dict[Path, tuple[Path, Path]]:
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


def find_image_boxes(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    """Pictures with boxes: COCO (a JSON file with images, annotations and categories) or Pascal VOC (an XML file a picture)."""
    coco = [path for path in files_below(root, (".json",)) if is_coco(path)]
    xmls = [] if coco else files_below(root, (".xml",))
    pictures = files_below(root, tuple(ending for ending in PICTURES if ending != ".dcm")) if coco or xmls else []
    if not pictures:
        return None
    found = Found("boxes", modalities=_one(modalities, "image"))
    known = _add_coco(found, root, coco, pictures, pattern) if coco else _add_voc(found, root, xmls, pictures, pattern)
    if not found.studies and not found.problems:
        return None
    found.notes += [] if known else [UNKNOWN]
    return found


def _add_coco(found: Found, root: Path, files: Iterable[Path], pictures: Sequence[Path], pattern: str) -> bool:
    """Add the pictures that COCO files list; whether their names tell patients."""
    named: dict[str, list[Path]] = defaultdict(list)
    for path in pictures:
        named[path.name].append(path)
    names: set[str] = set()
    used: set[Path] = set()
    known = True
    for file in files:
        try:
            listed = read_coco(file)
        except (ValueError, OSError) as error:
            found.problems.append(str(error))
            continue
        named_so = [split_named(word) for word in re.split(r"[-_.]", file.stem)]
        split = split_of(file, root) or next(filter(None, named_so), "")
        missing = []
        for entry, boxes in listed.items():
            tried = [file.parent / entry, root / entry, file.parent / "images" / entry, root / "images" / entry]
            there = [one for one in tried if one.is_file()] or named[Path(entry).name]
            if not there or (len(there) > 1 and there[0] not in tried):
                missing.append(entry)
                continue
            path = there[0]
            names |= {*boxes.names, *boxes.difficult}
            used.add(path)
            patient = patient_in(stem(path), pattern, PATIENTS)
            known &= patient is not None
            case = path.relative_to(root).with_suffix("").as_posix()
            planes = ((found.modalities[0], path),)
            found.studies.append(Study(case, patient or case, planes, split_of(path, root) or split, boxes=file, entry=entry))
        if missing:
            found.problems.append(f"{file} lists {len(missing)} images that are not there, such as {missing[0]}; add them")
    found.classes = ("none", *sorted(names))
    beside = [path for path in pictures if path not in used]
    if beside:
        found.notes.append(f"{len(beside)} pictures are in no COCO file and are left out, such as {beside[0]}")
    return known


def _add_voc(found: Found, root: Path, xmls: Sequence[Path], pictures: Sequence[Path], pattern: str) -> bool:
    """Add pictures with the XML file of their name, beside them or in a folder of their own; whether names tell patients."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in pictures:
        by_stem[stem(path)].append(path)
    names: set[str] = set()
    boxes: dict[Path, Path] = {}
    lost, broken = [], set()
    for xml in xmls:
        beside = [path for path in by_stem[xml.stem] if path.parent == xml.parent]
        split = [path for path in by_stem[xml.stem] if split_of(path, root) == split_of(xml, root)]
        own = beside or (by_stem[xml.stem] if len(by_stem[xml.stem]) == 1 else split)
        try:
            read = read_boxes(xml)
        except (ValueError, OSError) as error:
            found.problems.append(str(error))
            broken |= set(own)
            continue
        if len(own) != 1:
            lost.append(xml)
            continue
        names |= {*read.names, *read.difficult}
        boxes[own[0]] = xml
    if not boxes and not broken:
        return True
    if lost:
        found.problems.append(
            f"{len(lost)} XML files have no picture of their name, such as {lost[0]}; add it or take the file out"
        )
    found.classes = ("none", *sorted(names))
    known, without = True, 0
    for path in pictures:
        if path in broken:
            continue
        without += path not in boxes
        patient = patient_in(stem(path), pattern, PATIENTS)
        known &= patient is not None
        case = path.relative_to(root).with_suffix("").as_posix()
        planes = ((found.modalities[0], path),)
        found.studies.append(Study(case, patient or case, planes, split_of(path, root), boxes=boxes.get(path)))
    if without:
        found.notes.append(f"{without} pictures have no XML file and are read as showing nothing")
    return known


def _one(modalities: Sequence[str], usual: str) -> tuple[str, ...]:
    if len(modalities) > 1:
        raise ValueError(f"this layout has one image a case, and modalities names {', '.join(modalities)}; name one or none")
    return tuple(modalities) or (usual,)
