"""What a folder of cases holds and what is wrong with it, before a training finds out."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from chromogen.data.cases.layouts import find_studies
from chromogen.data.cases.provenance import Origin
from chromogen.data.cases.reading import Raw, Reader
from chromogen.data.cases.source import CaseSource, splits_of
from chromogen.data.cases.split import SPLITS, parted, synthetic_tests
from chromogen.data.cases.studies import Found, Study
from chromogen.data.findings import Findings

OUTSIDE = 0.05  # share of a label's pixels that may lie beyond the tissue: hand-drawn edges do


@dataclass
class StudyFacts:
    """One study after reading all of its slices that count."""

    study: Study
    split: str
    origin: Origin = "real"
    cases: int = 0
    labelled: int = 0  # cases that bear a lesion
    spacings: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    classes: Counter[int] = field(default_factory=Counter)  # cases in which each class above 0 occurs, or the image's class
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CaseReport(Findings):
    """What `check_cases` found."""

    studies: tuple[StudyFacts, ...]


def check_cases(source: CaseSource) -> CaseReport:
    """Read every file that `source` finds and report; what cannot be read is reported, not raised, and stops nothing else.

    Raises what `find_studies` raises when the folder as a whole makes no sense (not there, no known layout).
    """
    layout, found = find_studies(source.root, source.layout, source.modalities, source.patient_pattern)
    if source.classes and found.label == "mask":
        found.classes = source.classes
    reader, splits = Reader(source, found), splits_of(source, found)
    studies = [_look(study, splits.get(study.patient, study.split), reader, found) for study in found.studies]
    problems = [
        *found.problems,
        *(problem for facts in studies for problem in facts.problems),
        *parted((facts.study.patient, facts.split) for facts in studies),
        *synthetic_tests([(facts.study.name, facts.split, facts.origin) for facts in studies]),
        *_empty(studies, found),
    ]
    return CaseReport(
        tuple(_facts(source, layout, studies, found)),
        tuple(_notes(studies, found)),
        tuple(dict.fromkeys(problems)),
        tuple(studies),
    )


def _look(study: Study, split: str, reader: Reader, found: Found) -> StudyFacts:
    facts = StudyFacts(study, split)
    try:
        facts.origin, numbers = reader.look(study)
        outside = 0
        for number in [None] if numbers is None else numbers:
            raw = reader.read(study, number)
            _count(facts, raw, found)
            outside += _is_outside(raw)
        if outside:
            facts.problems.append(
                f"{study.mask or study.boxes}: in {outside} cases the label lies outside all that is brighter than air; look "
                "whether label and image belong together"
            )
    except (ValueError, OSError) as error:
        facts.problems.append(str(error))
    return facts


def _count(facts: StudyFacts, raw: Raw, found: Found) -> None:
    first = next(iter(raw.images.values()))
    facts.cases += 1
    facts.sizes[f"{first.shape[1]} x {first.shape[0]} px"] += 1
    facts.spacings["not stated" if raw.spacing_mm is None else f"{raw.spacing_mm[0]:.3g} x {raw.spacing_mm[1]:.3g} mm"] += 1
    classes: Iterable[float] = ()
    if raw.mask is not None:
        classes = np.unique(raw.mask[raw.mask > 0])
    elif raw.boxes is not None:
        classes = np.unique(raw.boxes[:, 0])
    elif facts.study.category is not None:
        classes = (found.classes.index(facts.study.category),)
    numbers = [int(number) for number in classes]
    facts.classes.update(numbers)
    facts.labelled += bool(numbers)


def _is_outside(raw: Raw) -> bool:
    """Whether more than `OUTSIDE` of the label's pixels, or a whole box, lie outside the upright box around all tissue."""
    rows, columns = (np.flatnonzero(raw.tissue.any(axis=axis)) for axis in (1, 0))
    inside = np.zeros(raw.tissue.shape, dtype=bool)
    if rows.size:
        inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    if raw.mask is not None:
        label = raw.mask > 0
        return bool((label & ~inside).sum() > OUTSIDE * label.sum())
    boxes = np.zeros((0, 5)) if raw.boxes is None else raw.boxes
    return any(not inside[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))].any() for _, x0, y0, x1, y1 in boxes)


def _empty(studies: list[StudyFacts], found: Found) -> Iterator[str]:
    read = sum(facts.cases for facts in studies)
    if found.label in ("mask", "boxes") and read and not any(facts.labelled for facts in studies):
        yield f"none of the {read} cases bears a label: every file of it is empty; look whether they are the right ones"


def _facts(source: CaseSource, layout: str, studies: list[StudyFacts], found: Found) -> Iterator[str]:
    patients = {facts.study.patient for facts in studies}
    cases, labelled = (sum(getattr(facts, name) for facts in studies) for name in ("cases", "labelled"))
    yield f"{source.root}: {layout} layout, {len(patients)} patients, {len(studies)} studies, {cases} cases"
    yield f"modalities: {', '.join(found.modalities)}"
    for split in SPLITS:
        here = [facts for facts in studies if facts.split == split]
        if here:
            count = sum(facts.cases for facts in here)
            yield f"{split}: {len({facts.study.patient for facts in here})} patients, {count} cases"
    named = sorted(sum((facts.classes for facts in studies), Counter[int]()).items())
    occurs = [(found.classes[number], count) for number, count in named if number < len(found.classes)]
    share = f", {labelled / cases:.0%} of the cases" if cases and found.label in ("mask", "boxes") else ""
    yield f"label: {found.label}{share}; classes: {_counted(occurs)}"
    yield f"sizes: {_counted(sum((facts.sizes for facts in studies), Counter[str]()).most_common(6))}"
    yield f"spacing: {_counted(sum((facts.spacings for facts in studies), Counter[str]()).most_common(6))}"


def _notes(studies: list[StudyFacts], found: Found) -> Iterator[str]:
    yield from found.notes
    made = sum(facts.cases for facts in studies if facts.origin == "synthetic")
    if made:
        yield f"{made} cases are synthetic"
    without = [facts.study.name for facts in studies if not facts.cases and not facts.problems]
    if without:
        yield f"{len(without)} studies have nothing that meets the slice rule, for example {without[0]}"
    if len({spacing for facts in studies for spacing in facts.spacings}) > 1:
        yield "the spacing differs between cases: size_px makes their sizes alike in px, not in mm"


def _counted(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} x{count}" for name, count in counts) or "none"
