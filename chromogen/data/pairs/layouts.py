"""Which file belongs to which: the folder layouts people have, recognised by themselves.

    manifest  a CSV file with the columns he, ihc (or source, target) and perhaps id, split, her2, patient, slide, mpp, licence
    bci       HE with IHC, each in or around train, val, test or alone: HE/train, train/HE, HE_train, ...
    cut       trainA with trainB, valA with valB, ...; also train_A, A/train, train/A (CUT, MIST, CycleGAN); may be unpaired
    folders   other words for the two sides: H&E with HER2 (ER, PR, Ki67), input with target, source with target
    ab        {train,val,test} or one folder of images twice as wide as high, source left and target right (pix2pix)
    names     both in one folder, told apart by a word in the name: x_HE.png with x_IHC.png, x_real_A.png with x_real_B.png

Folders around these (a patient's, or MIST's HER2/TrainValAB) may be there, and a patient's folder is a patient. Names may have
any case and any Unicode form. A folder is a split only where it is called by exactly a word of `chromogen.data.names.SPLITS`.
Hidden files, Thumbs.db and __MACOSX are passed over.
"""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from chromogen.config import nearest
from chromogen.data.images import SUFFIXES, image_facts, is_clutter
from chromogen.data.names import natural_order, split_of_word
from chromogen.data.pairs.groups import groups_of
from chromogen.data.pairs.manifest import read_manifest
from chromogen.data.pairs.sides import read_bci, read_cut, read_folders, read_names
from chromogen.data.pairs.table import Found, Pair, PairTable
from chromogen.data.strangers import no_data_set
from chromogen.levels import level_from_name

DEEPEST = 6  # folders below the root in which images are looked for
PORTRAITS = 50  # readable images, none twice as wide as high, after which the others are not asked
_BCI_SPLIT = re.compile(r"\d{5}_(train|val|test)_(?:0|[123]\+)")


class NotRecognisedError(ValueError):
    """The folder is in none of the layouts, as opposed to being in one with a fault."""


def find_pairs(root: Path | str, layout: str = "auto") -> PairTable:
    """Find the pairs under `root`, a folder or a manifest file.

    Raises ValueError for an unknown layout, for one with a fault (two files of one name in one folder, a faulty manifest, a
    folder that may be a split and is not called by a known word, several stains beside the H&E), and `NotRecognisedError`, a
    ValueError too, for none; FileNotFoundError when `root` is not there.
    """
    root = Path(root).expanduser()
    if layout != "auto" and layout not in _READERS:
        raise ValueError(f"no layout is called {layout!r}; {nearest(layout, ('auto', *_READERS))}")
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist; give the folder that holds the images, or a manifest.csv")
    images = _images(root) if root.is_dir() else []
    readers = _READERS if layout == "auto" else {layout: _READERS[layout]}
    for name, reader in readers.items():
        found = reader(root, images)
        if found is not None:
            return _table(name, root, found)
    raise NotRecognisedError(_not_recognised(root, readers))


def _table(layout: str, root: Path, found: Found) -> PairTable:
    folder = root if root.is_dir() else root.parent
    if found.complete:
        lone = [pair.source for pair in found.lone_sources] + [path for _, path in found.lone_targets]
        pairs, targets, unpaired = found.complete, [], sorted(lone)
    elif found.lone_sources and found.lone_targets and layout in ("cut", "manifest"):
        pairs, targets, unpaired = found.lone_sources, found.lone_targets, []
    elif found.lone_sources or found.lone_targets:
        files = [pair.source for pair in found.lone_sources[:1]] + [path for _, path in found.lone_targets[:1]]
        raise ValueError(
            f"{root}: no source image has a target of the same name (for example {' and '.join(map(str, files))}); "
            "give the two images of a pair the same name"
        )
    else:
        raise ValueError(f"{root} lists no pair; add rows with he and ihc")
    pairs = _split_by_names(pairs, found)
    ignored = _ignored(folder, found)
    return PairTable(layout, folder, tuple(pairs), tuple(unpaired), ignored, tuple(targets), tuple(found.notes))


def _split_by_names(pairs: list[Pair], found: Found) -> list[Pair]:
    """Pairs of BCI that lie in one folder: their names tell training from test, and no test image may train."""
    said = [_BCI_SPLIT.fullmatch(pair.name) for pair in pairs]
    splits = {match[1] for match in said if match}
    if any(pair.split for pair in pairs) or not all(said) or not splits:
        return pairs
    if len(splits) == 1:
        found.notes += [f"all names say {splits.pop()}, and no folder says a split"]
        return pairs
    found.notes.append("no folder says the split: taken from the names (NNNNN_train_1+, NNNNN_test_0)")
    return [replace(pair, split=match[1]) for pair, match in zip(pairs, said, strict=True) if match]


def _images(root: Path) -> list[Path]:
    """Image files below `root`, in natural order folder by folder; a link that leads nowhere is among them."""
    found: list[Path] = []
    folders = [(root, 0)]
    while folders:
        folder, depth = folders.pop()
        with os.scandir(folder) as listing:
            entries = sorted(((folder / entry.name, entry) for entry in listing), key=lambda one: natural_order(one[0]))
        inside = [path for path, entry in entries if entry.is_dir() and not is_clutter(path) and not _leads_back(path, entry)]
        found += [
            path
            for path, entry in entries
            if path.suffix.casefold() in SUFFIXES and not is_clutter(path) and not entry.is_dir()
        ]
        if depth < DEEPEST:
            folders += [(path, depth + 1) for path in reversed(inside)]
    return found


def _leads_back(path: Path, entry: os.DirEntry[str]) -> bool:
    """Whether a folder is a link to one that it lies in."""
    return entry.is_symlink() and path.parent.resolve().is_relative_to(path.resolve())


def _read_ab(root: Path, images: list[Path]) -> Found | None:
    """Side-by-side pairs in `root`, in ab/ or in the folders of a split."""
    found = Found()
    by_split: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in images:
        words = [part for part in path.relative_to(root).parts[:-1] if part.casefold() not in ("ab", "combined", "aligned")]
        splits = [split_of_word(word) for word in words]
        if len(words) > 1 or None in splits:
            continue
        split = splits[0] if splits else ""
        assert split is not None
        other = by_split[split].setdefault(path.stem, path)
        if other != path:
            raise ValueError(f"{other} and {path} have the same name; keep one of them")
        found.folders.add(path.parent)
    if not _twice_as_wide([path for by_stem in by_split.values() for path in by_stem.values()]):
        return None
    for split, by_stem in by_split.items():
        groups = groups_of(list(by_stem), guess=True)
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
        if not count and len(other) == PORTRAITS:
            return False
    if count and other:
        raise ValueError(
            f"{count} images look like side-by-side pairs (width = 2 x height), but {len(other)} do not, "
            f"for example {other[0]}; take those out of the folder"
        )
    return count > 0


def _ignored(root: Path, found: Found) -> tuple[Path, ...]:
    """Entries of the root and of the used folders that are neither images in use, nor on the way to one, nor clutter."""
    if not found.folders:
        return ()
    on_the_way = {folder for path in found.folders for folder in (path, *path.parents)}
    used: set[Path | None] = {path for pair in (*found.complete, *found.lone_sources) for path in (pair.source, pair.target)}
    used |= {path for _, path in found.lone_targets}
    known = on_the_way | used
    entries = {path for folder in {root, *found.folders} for path in folder.iterdir()}
    return tuple(sorted(path for path in entries if path not in known and not is_clutter(path)))


# --- recognising ---------------------------------------------------------------------------------------------------------

_READERS: dict[str, Callable[[Path, list[Path]], Found | None]] = {
    "manifest": lambda root, _: read_manifest(root),
    "bci": read_bci,
    "cut": read_cut,
    "folders": read_folders,
    "ab": _read_ab,
    "names": read_names,
}
_LOOKED_FOR = {
    "manifest": "a manifest.csv with the columns he and ihc",
    "bci": "HE with IHC (each perhaps split into train, val, test)",
    "cut": "trainA with trainB",
    "folders": "H&E with HER2, input with target, source with target",
    "ab": "images twice as wide as high",
    "names": "x_HE.png with x_IHC.png",
}


def _not_recognised(root: Path, tried: Iterable[str]) -> str:
    looked_for = "; ".join(_LOOKED_FOR[name] for name in tried)
    if root.is_dir() and (other := no_data_set(root)):
        return other
    entries = [path for path in root.iterdir() if not is_clutter(path)] if root.is_dir() else [root]
    if not entries:
        return f"{root} is empty; looked for: {looked_for}"
    shown = ", ".join(path.name for path in sorted(entries, key=natural_order)[:6]) + (", ..." if len(entries) > 6 else "")
    table = "; its manifest.csv has no columns he and ihc" if any(path.name == "manifest.csv" for path in entries) else ""
    return f"{root} holds no images in a known layout. It holds {shown}{table}; looked for: {looked_for}"
