"""What the path of an image says of its part in a pair: source or target, and of which split.

Folders say it (HE, train/IHC, trainA, test_B, H&E_train, input), or names do (x_HE.png, HE_x.png, x_real_A.png). Case, the
order of the words and what joins them (nothing, `_`, `-`, a blank) do not matter.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Literal

from chromogen.data.names import SPLITS, comparable, is_split_like, split_of_word, splits_spoken_of

Side = Literal["source", "target"]
Family = Literal["stain", "role", "letter"]

_MARKER = r"(?:ihc|her-?2|er|pr|ki-?67|pd-?l1|dab)"
_STAINS = {
    "source": r"h ?& ?e|h[_+-]e|h[ _-]?and[ _-]?e|hne|hes|ha?ematoxylin(?:[ _-]?(?:and|&|\+)?[ _-]?eosin)?|he",
    "target": rf"immuno[ _-]?histo[ _-]?ch[ei]mi(?:stry|e)|{_MARKER}(?:(?<=2)[ _-]?neu)?(?:[ _-]{_MARKER})*",
}
_ROLES = {"source": r"sources?|src|inputs?", "target": r"targets?|tgt|outputs?|gt|ground[ _-]?truths?"}
_LETTERS = {"source": r"(?:real[ _-]?)?a", "target": r"(?:real[ _-]?)?b"}
_FAMILIES: dict[Family, dict[str, str]] = {"stain": _STAINS, "role": _ROLES, "letter": _LETTERS}
_SIDES = {(family, side): words for family, sides in _FAMILIES.items() for side, words in sides.items()}
_NOISE = (
    r"(?:[ _-]?(?:染色|\([ _]?(?:\d{1,2}|he|ihc|her-?2)[ _]?\))"
    r"|[ _-](?:images?|imgs?|patch(?:es)?|tiles?|crops?|pngs?|jpgs?|stain(?:ed|s|ing)?|registered|aligned|normali[sz]ed"
    r"|f(?:ä|ae)rbung))?"
)
_GLUED = r"(?:he|ihc|a|b)"  # what may follow train without a gap: trainA, trainHE; `trainer` is no train of ER
_WORD = "|".join(sorted((re.escape(word) for word in SPLITS if word), key=len, reverse=True))
_FOLDERS = {
    key: re.compile(rf"(?:(?P<split>{_WORD})(?:[ _-]|(?={_GLUED}\Z)))?(?P<side>{words}){_NOISE}(?:[ _-](?P<split2>{_WORD}))?")
    for key, words in _SIDES.items()
}
_MADE = r"(?<!fake[ _-])(?<!rec[ _-])(?<!idt[ _-])"  # what CycleGAN and pix2pix write beside real_A and real_B
_STEMS = {
    ("stain", "source"): re.compile(rf"(?<![a-z])(?:{_STAINS['source']})(?![a-z])"),
    ("stain", "target"): re.compile(rf"(?<![a-z])(?:{_STAINS['target']})(?![a-z])"),
    ("role", "source"): re.compile(r"(?<![a-z])(?:source|src|input)(?![a-z])"),
    ("role", "target"): re.compile(r"(?<![a-z])(?:target|tgt|output)(?![a-z])"),
    ("letter", "source"): re.compile(rf"(?:(?<=[ _.-]){_MADE}a|(?:(?<=[ _.-])|\A)real[ _-]a)\Z"),
    ("letter", "target"): re.compile(rf"(?:(?<=[ _.-]){_MADE}b|(?:(?<=[ _.-])|\A)real[ _-]b)\Z"),
}


@dataclass(frozen=True)
class Role:
    """The part of one image. `word` is what said it (he, ihc, her2, a, ...), `by_folder` where it was said.

    `around` are the folders that say neither side nor split; `keys` are the names by which a partner is sought, the best
    first: two images of a pair share `around` and a key.
    """

    path: Path
    side: Side
    family: Family
    word: str
    by_folder: bool
    split: str
    around: tuple[str, ...]
    keys: tuple[str, ...]


def role_of(path: Path, root: Path) -> Role | None:
    """The role of the image `path` below `root`, None where neither a folder nor the name tells a side.

    ValueError where its folders speak of two splits, or of one by a word that is not known.
    """
    parts = PurePosixPath(path.relative_to(root).as_posix()).parts[:-1]
    said = [_said(part) for part in parts]
    inner = max((place for place, (key, _, _) in enumerate(said) if key), default=None)
    stem = comparable(path.stem)
    if inner is not None:
        key, word, _ = said[inner]
        assert key is not None
        keys = (stem, *(name for name in _stripped(stem, key[1]) if name))
    else:
        found = _said_by(stem)
        if found is None:
            return None
        key, word, keys = found
    splits = [split for _, _, split in said if split]
    around = tuple(
        comparable(part) for place, part in enumerate(parts) if place != inner and not (said[place][2] and not said[place][0])
    )
    split = splits[0] if splits else ""
    _check_split(path, root, splits, around)
    return Role(path, key[1], key[0], word, inner is not None, split, around, keys)  # type: ignore[arg-type]


def is_side(folder: str) -> bool:
    """Whether a folder's name is a word for a side."""
    return _said(folder)[0] is not None


def target_stain(folder: str) -> str:
    """The stain that a folder's name is the word for, such as her2; "" for any other name, H&E too."""
    key, word, _ = _said(folder)
    return word if key == ("stain", "target") else ""


@lru_cache(maxsize=4096)
def _said(folder: str) -> tuple[tuple[str, str] | None, str, str]:
    """Family and side, the word for it, and the split that a folder's name says."""
    name = comparable(folder).casefold()
    if split := split_of_word(name):
        return None, "", split
    for key, pattern in _FOLDERS.items():
        if found := pattern.fullmatch(name):
            return key, _plain(found["side"]), SPLITS[found["split"] or found["split2"] or ""]
    return None, "", ""


def _said_by(stem: str) -> tuple[tuple[str, str], str, tuple[str, ...]] | None:
    """Family and side, the word, and the keys, from a name: the last word of the first family that is there decides."""
    name = stem.casefold()
    for family in _FAMILIES:
        found = [(match, side) for side in ("source", "target") for match in _STEMS[family, side].finditer(name)]
        if found and len(name) == len(stem):
            match, side = max(found, key=lambda one: one[0].start())
            return (family, side), _plain(match[0]), _stripped(stem, side, family)
    return None


def _stripped(stem: str, side: str, only: str = "") -> tuple[str, ...]:
    """`stem` without its last word for `side`, then without each word of a chain of them (x_HER2_IHC: x_HER2, then x)."""
    found = []
    for family in (only,) if only else tuple(_FAMILIES):
        matches = list(_STEMS[family, side].finditer(stem.casefold()))
        if not matches or len(stem.casefold()) != len(stem):
            continue
        start, end = matches[-1].span()
        if family == "letter" and not only and end - start == 1:
            continue  # in a folder called A, x_a is a name as any other
        last = re.search(r"[^ _-]+\Z", stem[start:end]) if family == "stain" and side == "target" else None
        if last and last.start():
            found.append(_joined(stem[: start + last.start()], stem[end:]))
        found.append(_joined(stem[:start], stem[end:]))
    return tuple(dict.fromkeys(found))


def _joined(before: str, behind: str) -> str:
    before, behind = before.rstrip(" _.-"), behind.lstrip(" _.-")
    return f"{before}_{behind}" if before and behind else before or behind


def _plain(word: str) -> str:
    """`H&E`, `h_e` and `he` are one word, and so are `HER-2` and `her2`."""
    plain = re.sub(r"[ &_+-]", "", word)
    plain = "he" if re.match("ha?ematoxylin", plain) else "ihc" if plain.startswith("immuno") else plain
    return {"hande": "he", "hne": "he", "hes": "he", "reala": "a", "realb": "b"}.get(plain, plain)


def _check_split(path: Path, root: Path, splits: list[str], around: tuple[str, ...]) -> None:
    if len(set(splits)) > 1:
        raise ValueError(f"{path} lies in folders called {' and '.join(splits)}; an image has one split: move or rename them")
    for folder in around:
        if is_split_like(folder) and not set(splits) & splits_spoken_of(folder):
            raise ValueError(
                f"{root} has a folder {folder!r}, which may be a split, and only exact words are: train, training, val, valid, "
                "validation, test or testing (also with set: testset); rename the folder so that no test image trains"
            )
