"""A manifest: a CSV file that says which images are pairs.

Columns he, ihc (or source, target) and perhaps id, split, her2, patient, slide, mpp, licence; paths are relative to the file.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from chromogen.data.names import split_of_word
from chromogen.data.pairs.groups import slide_in
from chromogen.data.pairs.table import Found, Pair
from chromogen.levels import level_from_name, level_from_text, name_without_level
from chromogen.tables import decimal, read_table

_SIDES = {
    **dict.fromkeys(("source", "src", "input", "h&e"), "he"),
    **dict.fromkeys(("target", "tgt", "output", "ground_truth"), "ihc"),
}
_COLUMNS = {**_SIDES, "name": "id", "level": "her2", "license": "licence"}


def read_manifest(root: Path) -> Found | None:
    path = root / "manifest.csv" if root.is_dir() else root
    if not path.is_file():
        return None
    table = read_table(path)
    columns = [_COLUMNS.get(name, name) for name in map(str.casefold, table.headings)]
    if not {"he", "ihc"} <= set(columns):
        if root.is_dir():
            return None  # a table of another kind, as beside HE and IHC in the development set
        raise ValueError(f"{path} has the columns {', '.join(columns) or '(none)'}; a manifest needs he and ihc")
    found, names = Found(), Counter[str]()
    for number, cells in zip(table.numbers, table.rows, strict=True):
        row = dict(zip(columns, cells, strict=True))
        name = _add_row(found, path.parent, row, table.comma, where=f"{path}, line {number}")
        names[name] += 1
        if names[name] > 1:
            raise ValueError(f"{path}, line {number}: {name!r} occurs twice; give every pair its own id")
    return found


def _add_row(found: Found, folder: Path, row: Mapping[str, str], comma: bool, where: str) -> str:
    """Add one row of a manifest to `found`; the name it goes by."""
    source, target = (_inside(folder, row.get(side, ""), where) for side in ("he", "ihc"))
    split, her2, mpp = (row.get(name, "") for name in ("split", "her2", "mpp"))
    if split and split_of_word(split) is None:
        raise ValueError(f"{where}: no split is called {split!r}; write train, val, test or nothing")
    split = split_of_word(split) or ""
    if source is None:
        if target is None:
            raise ValueError(f"{where}: neither he nor ihc names a file")
        found.lone_targets.append((split, target))
        return row.get("id") or target.stem
    name = row.get("id") or source.stem
    try:
        level = (level_from_text(her2) if her2 else None) if "her2" in row else level_from_name(source.name)
        pair = Pair(
            name,
            source,
            target,
            split,
            level,
            row.get("patient") or row.get("slide") or slide_in(name) or name_without_level(name),
            mpp=_positive(mpp, comma) if mpp else None,
            licence=row.get("licence", ""),
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    (found.complete if target else found.lone_sources).append(pair)
    return name


def _positive(text: str, comma: bool) -> float:
    try:
        mpp = decimal(text, comma)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a resolution ({error}); write micrometres per pixel, such as 0.5") from None
    if not 0 < mpp < float("inf"):
        raise ValueError(f"{text!r} is not a resolution; write micrometres per pixel, such as 0.5")
    return mpp


def _inside(folder: Path, text: str, where: str) -> Path | None:
    """The file a manifest names, or None for a blank. It must lie inside the manifest's folder, links followed."""
    if not text:
        return None
    path = folder / PurePosixPath(text.replace("\\", "/"))
    if "\0" in text or not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{where}: {text!r} leads out of {folder}; use paths relative to the manifest, inside its folder")
    if not path.exists():  # a Mac writes the same name in another Unicode form
        forms = [folder / unicodedata.normalize(form, str(path.relative_to(folder))) for form in ("NFC", "NFD")]
        return next((other for other in forms if other.exists()), path)
    return path
