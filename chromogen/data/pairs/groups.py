"""Which slide or patient a pair is of, as far as its name tells: what a split must not part."""

import re
from collections.abc import Sequence

from chromogen.levels import name_without_level

# Looked for in this order; the first group of the first that fits names the patient or slide.
KNOWN = (
    r"^(\d{1,4}M\d{6,8})(?=[_-])",  # MIST: 15M2102762_15_26
    r"(?:^|[^A-Za-z0-9])(TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})(?![A-Za-z0-9])",  # TCGA-A2-A0T2-01Z-00-DX1: the patient's part
    r"^((?:patient|pat|pt|subject|subj|sub|case|slide|wsi|donor|specimen)s?[ _-]?[A-Za-z]{0,2}\d+[A-Za-z]?)(?=[ _.-])",
    r"^((?:patient|donor)[ _-]?[A-Za-z])(?=[ _.-])",
)
_KNOWN = tuple(re.compile(pattern, re.IGNORECASE) for pattern in KNOWN)
_BCI = re.compile(r"\d{5}_(train|test)_(0|[123]\+)")  # numbered anew in each split: nothing is known of slides


def slide_in(name: str) -> str | None:
    """The patient or slide that `name` (without folders) carries by a naming that is known; None for any other."""
    for pattern in _KNOWN:
        if found := pattern.search(name):
            return found[1]
    return None


def groups_of(names: Sequence[str], guess: bool) -> dict[str, str]:
    """The patient or slide of each name; the name itself, without its HER2 level, where none is known.

    With `guess`, and where no name is of a known kind, what stands before the first `_` is the slide, if there are at least 10
    such beginnings: fewer are no slides.
    """
    known = {name: slide_in(name) for name in names}
    beginnings = {name: name.split("_")[0] for name in names}
    guessed = guess and not any(known.values()) and not any(map(_BCI.fullmatch, names)) and len({*beginnings.values()}) >= 10
    return {name: known[name] or (beginnings[name] if guessed else name_without_level(name)) for name in names}
