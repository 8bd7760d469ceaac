"""Names of files and folders: their order, their form, and the words that say training, validation or test."""

import re
import unicodedata
from pathlib import Path

_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
# The words that name a split, in small letters: exactly these, alone or before "set" (trainset, testing_set, Test-Set).
SPLITS = {
    f"{word}{gap}{end}": split
    for split, words in _WORDS.items()
    for word in words
    for gap, end in (("", ""), ("", "set"), ("_", "set"), ("-", "set"), (" ", "set"))
} | {"": ""}

_NUMBER = re.compile(r"([0-9]+)")
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_NOUN = re.compile(r"(?:data(?:set)?|im(?:age|g)|file|patche?|tile|sample|case|split|folder|part|fold)?s?\Z")
_SPOKEN = {word: split for split, words in _WORDS.items() for word in words} | dict.fromkeys(
    ("holdout", "heldout", "eval", "evaluation"), "test"
)


def natural_order(path: Path) -> tuple[tuple[int | str, ...], str]:
    """Sort key by which `2.png` stands before `10.png`, whatever the case: a total order of all names.

    Text and numbers take turns, so that two keys never compare a number with a text; only ASCII digits are numbers.
    """
    parts = _NUMBER.split(path.name.casefold())
    return tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), path.name


def comparable(name: str) -> str:
    """`name` as names are compared: one Unicode form (NFC), so that what a Mac wrote fits what Linux wrote."""
    return unicodedata.normalize("NFC", name)


def split_of_word(word: str) -> str | None:
    """train, val or test where `word` is exactly one of the known words, whatever its case; None for any other."""
    return SPLITS.get(word.casefold()) or None


def splits_spoken_of(word: str) -> set[str]:
    """The splits that a folder's name speaks of, known word or not: `test_images` of test, `TrainValAB` of train and val."""
    parts = [part.casefold() for part in _PARTS.findall(word)]
    return {
        split for part in parts for said, split in _SPOKEN.items() if part.startswith(said) and _NOUN.match(part[len(said) :])
    }


def is_split_like(word: str) -> bool:
    """Whether a folder's name is no known word and yet speaks of training or testing, as `test_images` and `TestData` do."""
    return split_of_word(word) is None and bool(splits_spoken_of(word))
