"""The HER2 level of a slide, read from a name or a table: for training and scoring only, never for translating."""

import re
from pathlib import PurePath

LEVELS = ("0", "1+", "2+", "3+")

# A bare 0 counts only behind the word of a split, so that `patch_0.png` is not taken for a level.
_NAMED = re.compile(r"(?:_([1-3])\+|_(?:train|val|test)_(0))$", re.IGNORECASE)
_WRITTEN = re.compile(r"(?:(?:her-?2|ihc|score|level)[\s:=_-]*)*(0|[1-3]\+?)", re.IGNORECASE)


def level_from_name(name: str) -> int | None:
    """Level 0-3 from a BCI name such as `00007_test_1+.png`: the text after the last `_` of the stem; None without one.

    It is the level of the slide the patch was cut from, not of the patch.
    """
    found = _NAMED.search(stem_of(name))
    return int(found[1] or found[2]) if found else None


def name_without_level(name: str) -> str:
    """The stem of `name` without its level, so that what is chosen by name does not depend on the level."""
    stem = stem_of(name)
    return stem if level_from_name(name) is None else stem.rpartition("_")[0]


def level_from_text(text: str) -> int:
    """Level 0-3 from what people write in a table: `0`, `1+`, `IHC 1+`, `HER2 2+`, `3`. Raises ValueError otherwise."""
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not a HER2 level; write one of {', '.join(LEVELS)}")
    return int(found[1][0])


def stem_of(name: str) -> str:
    """`name` without folders and without an image extension; dots inside a name stay."""
    path = PurePath(name)
    return path.stem if re.fullmatch(r"\.(png|jpe?g|tiff?|bmp)", path.suffix, re.IGNORECASE) else path.name
