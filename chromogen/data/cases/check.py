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
from chromogen.data.cases.twins import told, twins_in
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
    shares: Counter[int] = field(default_factory=Counter)  # sums over the cases of the share of pixels that each class covers
    boxes: Counter[int] = field(default_factory=Counter)  # boxes of each class
    full: int = 0  # cases whose border the label covers nearly everywhere
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
    reader = Reader(source, found, source.classes)
    studies = [_look(study, reader, found) for study in found.studies]
    twins = twins_in(found.studies, decoded=True)
    splits = splits_of(source, found, twins, {facts.study.name for facts in studies if facts.origin == "synthetic"})
    for facts in studies:
        facts.split = splits[facts.study.name]
    double, shared = told(twins, splits)
    problems = [
        *found.problems,
        *double,
        *(problem for facts in studies for problem in facts.problems),
        *parted((facts.study.patient, facts.split) for facts in studies),
        *synthetic_tests([(facts.study.name, facts.split, facts.origin) for facts in studies]),
        *_empty(studies, found, reader),
        *_strange(studies, found, layout),
    ]
    return CaseReport(
        tuple(_facts(source, layout, studies, found, reader)),
        tuple([*_notes(studies, found), *shared, *reader.notes()]),
        tuple(dict.fromkeys(problems)),
        tuple(studies),
    )


def _look(study: Study, reader: Reader, found: Found) -> StudyFacts:
    facts = StudyFacts(study, study.split)
    try:
        facts.origin, numbers = reader.look(study)
        outside = 0
        for number in [None] if numbers is None else numbers:
            raw = reader.read(study, number)
            _count(facts, raw, found)
            if number is None:
                facts.problems += [
                    f"{path} shows one grey level everywhere: it is empty; put the right file there or take the case out"
                    for name, path in study.images
                    if not raw.images[name].any() and not raw.tissue.any()
                ]
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
    if raw.mask is not None:
        counts = np.bincount(raw.mask.ravel(), minlength=1)
        numbers = [int(number) for number in np.flatnonzero(counts) if number]
        facts.shares.update({number: counts[number] / raw.mask.size for number in numbers})
        border = np.concatenate([raw.mask[0], raw.mask[-1], raw.mask[:, 0], raw.mask[:, -1]])
        facts.full += bool((border > 0).mean() > 0.9)
    elif raw.boxes is not None:
        numbers = [int(number) for number in np.unique(raw.boxes[:, 0])]
        for number, x0, y0, x1, y1 in raw.boxes.tolist():
            facts.boxes[int(number)] += 1
            facts.shares[int(number)] += (x1 - x0) * (y1 - y0) / raw.tissue.size
    else:
        numbers = [] if facts.study.category is None else [found.classes.index(facts.study.category)]
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


def _empty(studies: list[StudyFacts], found: Found, reader: Reader) -> Iterator[str]:
    read = sum(facts.cases for facts in studies)
    if found.label in ("mask", "boxes") and read and not any(facts.labelled for facts in studies):
        yield f"none of the {read} cases bears a label: every file of it is empty; look whether they are the right ones"
    if not read and reader.ignored:
        yield f"no case is left: all {reader.ignored} hold something nobody judged (ignore, difficult); judge it"


def _strange(studies: list[StudyFacts], found: Found, layout: str) -> Iterator[str]:
    """Labels that look like something else: numbers without a name, a field of view, black and white swapped."""
    seen = sum((facts.classes for facts in studies), Counter[int]())
    for number, count in sorted(seen.items()):
        if found.label == "mask" and number < len(found.classes) and found.classes[number] == f"unused {number}":
            yield f"label {number} is in {count} cases, and the {layout} layout has no name for it; name all in classes"
    cases = sum(facts.cases for facts in studies)
    if found.label != "mask" or cases < 2 or layout not in ("image_masks", "masks_beside"):
        return
    share = sum((facts.shares for facts in studies), Counter[int]()).total() / cases
    spread = [facts.shares.total() / max(1, facts.cases) for facts in studies if facts.cases]
    if sum(facts.full for facts in studies) > 0.9 * cases and share > 0.5:
        yield (
            f"the label covers the border of the image and {share:.0%} of it in nearly all cases: black and white may be "
            "swapped, or it is no lesion; look at a mask"
        )
    elif share > 0.4 and np.ptp(spread) < 0.02 and all(facts.labelled == facts.cases for facts in studies):
        yield (
            f"the label covers {share:.0%} of the image, the same in every case: a camera's field of view is no label; give "
            "the folder of what was drawn"
        )


def _facts(source: CaseSource, layout: str, studies: list[StudyFacts], found: Found, reader: Reader) -> Iterator[str]:
    patients = {facts.study.patient for facts in studies}
    cases, labelled = (sum(getattr(facts, name) for facts in studies) for name in ("cases", "labelled"))
    yield f"{source.root}: {layout} layout, {len(patients)} patients, {len(studies)} studies, {cases} cases"
    yield f"modalities: {', '.join(found.modalities)}"
    for split in SPLITS:
        here = [facts for facts in studies if facts.split == split]
        if here:
            count = sum(facts.cases for facts in here)
            yield f"{split}: {len({facts.study.patient for facts in here})} patients, {count} cases"
    share = f", {labelled / cases:.0%} of the cases" if cases and found.label in ("mask", "boxes") else ""
    yield f"label: {found.label}{share}"
    if cases:
        yield from _labels(studies, found, reader, cases)
        yield f"grey levels: {reader.rules()}"
    yield f"sizes: {_counted(sum((facts.sizes for facts in studies), Counter[str]()).most_common(6))}"
    yield f"spacing: {_counted(sum((facts.spacings for facts in studies), Counter[str]()).most_common(6))}"


def _labels(studies: list[StudyFacts], found: Found, reader: Reader, cases: int) -> Iterator[str]:
    """A line a label: in how many cases it is, how many pixels it covers, and by which level or number the files mean it."""
    seen, shares, boxes = (
        sum((getattr(facts, name) for facts in studies), Counter[int]()) for name in ("classes", "shares", "boxes")
    )
    for number, name in enumerate(found.classes):
        if found.label == "category":
            yield f"  {name}: {seen[number]} of {cases} cases"
        elif number and found.label == "boxes":
            covered = f", {shares[number] / cases:.2%} of all pixels" if boxes[number] else ""
            yield f"  {name}: {boxes[number]} boxes in {seen[number]} of {cases} cases{covered}"
        elif number and (seen[number] or name != f"unused {number}"):
            covered = f", {shares[number] / cases:.2%} of all pixels" if seen[number] else ""
            yield f"  {name}: in {seen[number]} of {cases} cases{covered}; {_meant(number, reader, found)}"


def _meant(number: int, reader: Reader, found: Found) -> str:
    coding = reader.coding
    if any(study.layers for study in found.studies):
        return "a mask of its own"
    if coding is None or coding.kind == "numbers":
        return f"number {number} in the files"
    if coding.kind == "black and white":
        return f"level {coding.codes[0]} and above in the files"
    return f"{coding.seen(number)} in the files"


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
