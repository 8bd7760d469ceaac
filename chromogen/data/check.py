"""What a folder holds, stained pairs or radiology cases, and what is wrong with it."""

from pathlib import Path

from chromogen.data.cases.check import CaseReport, check_cases
from chromogen.data.cases.layouts import LAYOUTS, UnknownLayoutError
from chromogen.data.cases.source import CaseSource
from chromogen.data.findings import Findings
from chromogen.data.images import read_image
from chromogen.data.pairs.check import check
from chromogen.data.pairs.layouts import NotRecognisedError
from chromogen.kind import WORDS, kind_of

ASKED = 12  # pictures of a set of classes whose stain is looked at


def check_folder(folder: Path, layout: str = "auto") -> Findings:
    """Check `folder` as the layout says; with auto as stained pairs, else as radiology cases.

    Where it is neither, the ValueError says why not the one and why not the other, or what is wrong with what it is. What
    speaks against pairs is never hidden behind a set of classes, which any two folders of pictures look like: classes of
    stained pictures are a problem, and a fault of a recognised layout of pairs is raised. OSError when the folder is not there.
    """
    if layout in LAYOUTS:
        return check_cases(CaseSource(str(folder), layout))
    try:
        return check(folder, layout)
    except ValueError as error:
        if layout != "auto":
            raise
        no_pairs = error
    try:
        found = check_cases(CaseSource(str(folder)))
    except ValueError as no_cases:
        if isinstance(no_pairs, NotRecognisedError) and not isinstance(no_cases, UnknownLayoutError):
            raise ValueError(f"{no_cases}; as stained pairs: {no_pairs}") from no_cases
        raise ValueError(f"{no_pairs}; and as radiology cases: {no_cases}") from no_cases
    weak = all(facts.study.category is not None for facts in found.studies)
    if not isinstance(no_pairs, NotRecognisedError):
        if weak:
            raise no_pairs
        return Findings(found.facts, (*found.notes, f"as stained pairs: {no_pairs}"), found.problems)
    stained = _stained(found) if weak else ""
    return Findings(found.facts, found.notes, (*found.problems, f"{stained}; {no_pairs}")) if stained else found


def _stained(found: CaseReport) -> str:
    """That the pictures of a set of classes look like H&E or IHC; "" where they do not."""
    paths = [facts.study.images[0][1] for facts in found.studies]
    seen: dict[str, int] = {}
    asked = [paths[round(k * (len(paths) - 1) / max(1, ASKED - 1))] for k in range(ASKED)] if paths else []
    for path in dict.fromkeys(asked):
        try:
            kind = kind_of(read_image(path)).name
        except (ValueError, OSError):
            continue
        if kind in ("he", "ihc"):
            seen[WORDS[kind]] = seen.get(WORDS[kind], 0) + 1
    if sum(seen.values()) * 2 <= len(dict.fromkeys(asked)):
        return ""
    kinds = " and ".join(seen)
    return f"these folders were taken for classes, and their pictures look like {kinds}: if they are stained pairs"
