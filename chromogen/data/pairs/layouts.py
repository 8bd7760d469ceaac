"""Which file belongs to which: the folder layouts people have, recognised by themselves.

    manifest  a CSV file with the columns he, ihc (or source, target) and perhaps id, split, her2, patient, slide, mpp, licence
    bci       HE/{train,val,test} with IHC/{train,val,test}; {train,val,test}/{HE,IHC}; or HE with IHC alone
    cut       trainA with trainB, valA with valB, ...; also train_A, A/train, train/A (CUT, MIST, CycleGAN); may be unpaired
    ab        {train,val,test} or one folder of images twice as wide as high, source left and target right (pix2pix)

Folder names may have any case. Hidden files, Thumbs.db and __MACOSX are passed over.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from chromogen.config import nearest
from chromogen.data.images import image_facts, is_clutter, list_images, natural_order
from chromogen.levels import level_from_name, level_from_text, name_without_level

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "": ""}

_WORD = "|".join(word for word in SPLITS if word)
_COLUMNS = {"source": "he", "h&e": "he", "target": "ihc", "name": "id", "level": "her2", "license": "licence"}


@dataclass(frozen=True)
class Pair:
    """One source image and its target. `split` is train, val, test or "" (not said); `group` is what must never be parted.

    `side_by_side`: both halves are in `source`, the source left. `level` is the slide's HER2 level 0-3, None when not known.
    """

    name: str
    source: Path
    target: Path | None
    split: str = ""
    level: int | None = None
    group: str = ""
    side_by_side: bool = False
    mpp: float | None = None
    licence: str = ""


@dataclass(frozen=True)
class PairTable:
    """What a folder holds. Either every pair has a target, or none has (an unpaired set, with `unpaired_targets`).

    `unpaired`: files of a paired set whose partner is missing. `ignored`: entries that play no part in the layout.
    """

    layout: str
    root: Path
    pairs: tuple[Pair, ...]
    unpaired: tuple[Path, ...] = ()
    ignored: tuple[Path, ...] = ()
    unpaired_targets: tuple[tuple[str, Path], ...] = ()  # (split, file)

    @property
    def paired(self) -> bool:
        return not self.unpaired_targets


@dataclass
class _Found:
    """What a layout's reader collects before it becomes a table."""

    complete: list[Pair] = field(default_factory=list)
    lone_sources: list[Pair] = field(default_factory=list)
    lone_targets: list[tuple[str, Path]] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)


def find_pairs(root: Path | str, layout: str = "auto") -> PairTable:
    """Find the pairs under `root`, a folder or a manifest file.

    Raises ValueError for an unknown or unrecognised layout, two files of one name in one folder, and a faulty manifest;
    FileNotFoundError when `root` is not there.
    """
    root = Path(root).expanduser()
    if layout != "auto" and layout not in _READERS:
        raise ValueError(f"no layout is called {layout!r}; {nearest(layout, ('auto', *_READERS))}")
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist; give the folder that holds the images, or a manifest.csv")
    readers = _READERS if layout == "auto" else {layout: _READERS[layout]}
    for name, reader in readers.items():
        found = reader(root)
        if found is not None:
            return _table(name, root, found)
    raise ValueError(_not_recognised(root, readers))


def _table(layout: str, root: Path, found: _Found) -> PairTable:
    folder = root if root.is_dir() else root.parent
    if found.complete:
        lone = [pair.source for pair in found.lone_sources] + [path for _, path in found.lone_targets]
        pairs, targets, unpaired = found.complete, [], sorted(lone)
    elif found.lone_sources and found.lone_targets and layout != "bci":
        pairs, targets, unpaired = found.lone_sources, found.lone_targets, []
    elif found.lone_sources or found.lone_targets:
        files = [pair.source for pair in found.lone_sources[:1]] + [path for _, path in found.lone_targets[:1]]
        raise ValueError(
            f"{root}: no source image has a target of the same name (for example {' and '.join(map(str, files))}); "
            "give the two images of a pair the same name"
        )
    else:
        raise ValueError(f"{root} lists no pair; add rows with he and ihc")
    return PairTable(layout, folder, tuple(pairs), tuple(unpaired), _ignored(folder, found.folders), tuple(targets))


# --- folders -------------------------------------------------------------------------------------------------------------


def _read_bci(root: Path) -> _Found | None:
    return _from_two_sides(root, ("he", "ihc"), _file_groups)


def _read_cut(root: Path) -> _Found | None:
    return _from_two_sides(root, ("a", "b"), _slide_groups)


def _from_two_sides(root: Path, sides: tuple[str, str], groups_of: Callable[[list[str]], dict[str, str]]) -> _Found | None:
    """Pair the files of the folders called by `sides` by their stems, split by split."""
    side = "|".join(sides)
    role = re.compile(rf"(?:(?P<split>{_WORD})[/_-]?)?(?P<side>{side})|(?P<side2>{side})[/_-](?P<split2>{_WORD})")
    found = _Found()
    files: dict[str, dict[str, dict[str, Path]]] = defaultdict(lambda: {name: {} for name in sides})
    for folder in _folders(root, depth=2):
        match = role.fullmatch(folder.relative_to(root).as_posix().casefold())
        if match:
            split = SPLITS[match["split"] or match["split2"] or ""]
            _add_by_stem(files[split][match["side"] or match["side2"]], list_images(folder))
            found.folders.append(folder)
    if not all(any(by_side[name] for by_side in files.values()) for name in sides):
        return None
    for split, by_side in files.items():
        sources, targets = (by_side[name] for name in sides)
        groups = groups_of(list(sources))
        for stem, path in sources.items():
            pair = Pair(stem, path, targets.get(stem), split, level_from_name(stem), groups[stem])
            (found.complete if pair.target else found.lone_sources).append(pair)
        found.lone_targets += [(split, path) for stem, path in targets.items() if stem not in sources]
    return found


def _read_ab(root: Path) -> _Found | None:
    found = _Found()
    files: dict[str, dict[str, Path]] = defaultdict(dict)
    for folder in [root, *_folders(root, depth=2)] if root.is_dir() else []:
        match = re.fullmatch(rf"(?:ab/)?({_WORD})|ab|\.", folder.relative_to(root).as_posix().casefold())
        images = list_images(folder) if match else []
        if match and images:
            _add_by_stem(files[SPLITS[match[1] or ""]], images)
            found.folders.append(folder)
    if not _twice_as_wide([path for by_stem in files.values() for path in by_stem.values()]):
        return None
    for split, by_stem in files.items():
        groups = _slide_groups(list(by_stem))
        found.complete += [
            Pair(stem, path, path, split, level_from_name(stem), groups[stem], side_by_side=True)
            for stem, path in by_stem.items()
        ]
    return found


def _twice_as_wide(paths: list[Path]) -> bool:
    """Whether the images are side-by-side pairs; ValueError when only some of them are. Unreadable files have no say."""
    other: list[Path] = []
    count = 0
    for path in paths:
        try:
            facts = image_facts(path)
        except (ValueError, OSError):
            continue
        if facts.width == 2 * facts.height:
            count += 1
        else:
            other.append(path)
    if count and other:
        raise ValueError(
            f"{count} images look like side-by-side pairs (width = 2 x height), but {len(other)} do not, "
            f"for example {other[0]}; take those out of the folder"
        )
    return count > 0


def _folders(root: Path, depth: int) -> list[Path]:
    if depth == 0 or not root.is_dir():
        return []
    inside = sorted((path for path in root.iterdir() if path.is_dir() and not is_clutter(path)), key=natural_order)
    return [found for path in inside for found in (path, *_folders(path, depth - 1))]


def _add_by_stem(by_stem: dict[str, Path], paths: Iterable[Path]) -> None:
    for path in paths:
        if path.stem in by_stem:
            raise ValueError(f"{by_stem[path.stem]} and {path} have the same name; keep one of them")
        by_stem[path.stem] = path


def _file_groups(names: list[str]) -> dict[str, str]:
    return {name: name_without_level(name) for name in names}


def _slide_groups(names: list[str]) -> dict[str, str]:
    """What stands before the first `_`, because MIST's names carry the slide there; fewer than 10 beginnings are no slides."""
    slides = {name: name.split("_")[0] for name in names}
    return slides if len(set(slides.values())) >= 10 else _file_groups(names)


def _ignored(root: Path, used: list[Path]) -> tuple[Path, ...]:
    """Entries of the root and of the used folders that are neither images in use, nor on the way to one, nor clutter."""
    if not used:
        return ()
    on_the_way = {folder for path in used for folder in (path, *path.parents)}
    images = {path for folder in used for path in list_images(folder)}
    entries = {path for folder in {root, *used} for path in folder.iterdir()}
    return tuple(sorted(path for path in entries if path not in on_the_way | images and not is_clutter(path)))


# --- manifest ------------------------------------------------------------------------------------------------------------


def _read_manifest(root: Path) -> _Found | None:
    path = root / "manifest.csv" if root.is_dir() else root
    if not path.is_file():
        return None
    lines = _csv_lines(path)
    columns = [_COLUMNS.get(name, name) for name in (cell.strip().casefold() for cell in next(lines, (0, []))[1])]
    if not {"he", "ihc"} <= set(columns):
        if root.is_dir():
            return None  # a table of another kind, as beside HE and IHC in the development set
        raise ValueError(f"{path} has the columns {', '.join(columns) or '(none)'}; a manifest needs he and ihc")
    found, names = _Found(), Counter[str]()
    for number, cells in lines:
        row = {name: cell.strip() for name, cell in zip(columns, cells, strict=False)}
        if any(row.values()):
            name = _add_row(found, path.parent, row, where=f"{path}, line {number}")
            names[name] += 1
            if names[name] > 1:
                raise ValueError(f"{path}, line {number}: {name!r} occurs twice; give every pair its own id")
    return found


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of a CSV file line by line, each with its line number; the first line decides the separator."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8; give a folder, or a CSV manifest") from error
    header = text.partition("\n")[0]
    reader = csv.reader(text.splitlines(), delimiter=max(",;\t", key=header.count))
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: {error}; look for a quotation mark that is not closed") from error


def _add_row(found: _Found, folder: Path, row: Mapping[str, str], where: str) -> str:
    """Add one row of a manifest to `found`; the name it goes by."""
    source, target = (_inside(folder, row.get(side, ""), where) for side in ("he", "ihc"))
    split, her2, mpp = (row.get(name, "") for name in ("split", "her2", "mpp"))
    if split.casefold() not in SPLITS:
        raise ValueError(f"{where}: no split is called {split!r}; write train, val, test or nothing")
    split = SPLITS[split.casefold()]
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
            row.get("patient") or row.get("slide") or name_without_level(name),
            mpp=_positive(mpp) if mpp else None,
            licence=row.get("licence", ""),
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    (found.complete if target else found.lone_sources).append(pair)
    return name


def _positive(text: str) -> float:
    try:
        mpp = float(text)
    except ValueError:
        mpp = 0.0
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
    return path


# --- recognising ---------------------------------------------------------------------------------------------------------

_READERS: dict[str, Callable[[Path], _Found | None]] = {
    "manifest": _read_manifest,
    "bci": _read_bci,
    "cut": _read_cut,
    "ab": _read_ab,
}
_LOOKED_FOR = {
    "manifest": "a manifest.csv with the columns he and ihc",
    "bci": "HE with IHC (each perhaps split into train, val, test)",
    "cut": "trainA with trainB",
    "ab": "images twice as wide as high",
}


def _not_recognised(root: Path, tried: Iterable[str]) -> str:
    looked_for = "; ".join(_LOOKED_FOR[name] for name in tried)
    entries = [path for path in root.iterdir() if not is_clutter(path)] if root.is_dir() else [root]
    if not entries:
        return f"{root} is empty; looked for: {looked_for}"
    shown = ", ".join(path.name for path in sorted(entries, key=natural_order)[:6]) + (", ..." if len(entries) > 6 else "")
    return f"{root} holds no images in a known layout. It holds {shown}; looked for: {looked_for}"
