"""Layouts in which folders or names say which image is the source and which the target."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

from chromogen.data.names import split_of_word
from chromogen.data.pairs.groups import groups_of
from chromogen.data.pairs.roles import Role, is_side, role_of, target_stain
from chromogen.data.pairs.table import Found, Pair
from chromogen.levels import level_from_name, level_from_text

_PLAIN_FOLDERS = ("images", "image", "imgs", "img", "tiles", "patches", "crops", "png", "jpg")


def read_bci(root: Path, images: list[Path]) -> Found | None:
    """Folders called HE and IHC."""
    words = {("source", "he"), ("target", "ihc")}
    return _read(root, images, lambda role: role.by_folder and (role.side, role.word) in words)


def read_cut(root: Path, images: list[Path]) -> Found | None:
    """Folders called A and B."""
    return _read(root, images, lambda role: role.by_folder and role.family == "letter", guess=True)


def read_folders(root: Path, images: list[Path]) -> Found | None:
    """Folders called by any other words for the sides."""
    return _read(root, images, lambda role: role.by_folder and role.family != "letter")


def read_names(root: Path, images: list[Path]) -> Found | None:
    """Names that end in, begin with or hold a word for a side; bare letters only where every image has a partner."""
    found = _read(root, images, lambda role: not role.by_folder and role.family != "letter")
    if found is not None and found.complete:
        return found
    found = _read(root, images, lambda role: not role.by_folder and role.family == "letter")
    if found is None or not found.complete:
        return None
    by_pix2pix = all("real" in pair.source.stem.casefold() for pair in found.complete)
    return found if by_pix2pix or 2 * len(found.complete) == len(images) else None


def _read(root: Path, images: Iterable[Path], wanted: Callable[[Role], bool], guess: bool = False) -> Found | None:
    """Pair the images whose role is `wanted`; None where a side is missing. `guess`: what `groups_of` may do."""
    roles = [role for path in images if (role := role_of(path, root)) and wanted(role)]
    if {role.side for role in roles} != {"source", "target"}:
        return None
    _check_names(roles)
    _check_one_stain(root, roles)
    found = Found(folders={role.path.parent for role in roles})
    partners = _partners(roles)
    shared = _shared([role.around for role in roles])
    names = _names([role for role in roles if role.side == "source"], shared, partners)
    groups = groups_of([name.rpartition("/")[2] for name in names.values()], guess)
    for role, name in names.items():
        own = name.rpartition("/")[2]
        folder, level = _patient(role.around[shared:])
        level = level_from_name(own) if level is None else level
        target = partners.get(role)
        pair = Pair(name, role.path, target.path if target else None, role.split, level, folder or groups[own])
        (found.complete if target else found.lone_sources).append(pair)
    matched = set(partners.values())
    found.lone_targets = [(role.split, role.path) for role in roles if role.side == "target" and role not in matched]
    found.notes += _words_for_splits(roles, root)
    return found


def _names(sources: list[Role], shared: int, partners: dict[Role, Role]) -> dict[Role, str]:
    """What each pair is called: what its two names have in common, behind the folders around it that say no side."""
    named = {}
    for role in sources:
        partner = partners.get(role)
        key = next((key for key in role.keys if partner and key in partner.keys), role.keys[0])
        folders = [folder for folder in role.around[shared:] if not is_side(folder)]
        named[role] = "/".join((*folders, key) if key else folders) or role.path.stem
    return named


def _partners(roles: list[Role]) -> dict[Role, Role]:
    """The target of each source: of the same split and folders and of an equal key, the first keys first, small letters last.

    Folders that say a side (source/HE beside target/IHC) need not agree when nothing else fits.
    """
    free = {side: [role for role in roles if role.side == side] for side in ("source", "target")}
    most = max(len(role.keys) for role in roles)
    found: dict[Role, Role] = {}
    for folded, loose in product((False, True), (False, True)):
        for at, other in sorted(product(range(most), repeat=2), key=sum):
            if not (free["source"] and free["target"]):
                return found
            sources = _by_key(free["source"], at, folded, loose)
            targets = _by_key(free["target"], other, folded, loose)
            new = {sources[key][0]: targets[key][0] for key in sources.keys() & targets if _lone(sources[key], targets[key])}
            found |= new
            taken = set(new.values())
            free["source"] = [role for role in free["source"] if role not in new]
            free["target"] = [role for role in free["target"] if role not in taken]
    return found


def _by_key(roles: list[Role], at: int, folded: bool, loose: bool) -> dict[tuple[str, ...], list[Role]]:
    by_key: dict[tuple[str, ...], list[Role]] = defaultdict(list)
    for role in roles:
        if at < len(role.keys):
            around = [folder for folder in role.around if not (loose and is_side(folder))]
            key = (role.split, *around, role.keys[at])
            by_key[tuple(map(str.casefold, key)) if folded else key].append(role)
    return by_key


def _lone(sources: list[Role], targets: list[Role]) -> bool:
    return len(sources) == len(targets) == 1


def _check_names(roles: list[Role]) -> None:
    """Two images of one side, folder and name (a.png and a.tif) are a ValueError: none is quietly preferred."""
    seen: dict[tuple[object, ...], Role] = {}
    for role in roles:
        other = seen.setdefault((role.side, role.word, role.split, role.around, role.keys[0]), role)
        if other is not role:
            raise ValueError(f"{other.path} and {role.path} have the same name; keep one of them")


def _check_one_stain(root: Path, roles: list[Role]) -> None:
    words = sorted({role.word for role in roles if role.side == "target" and role.family == "stain"})
    if len(words) > 1:
        raise ValueError(
            f"{root} holds several stains beside the source ({', '.join(words)}), and a pair has one target; keep one "
            "of them in the folder, or list the pairs in a manifest.csv with the columns he and ihc"
        )
    around = sorted({folder for role in roles for folder in role.around if target_stain(folder)})
    if len(around) > 1:
        raise ValueError(f"{root} holds a set of each of several stains ({', '.join(around)}); name the folder of one of them")


def _shared(around: list[tuple[str, ...]]) -> int:
    """How many folders all of `around` begin with."""
    first = around[0]
    return next((n for n in range(len(first)) if any(one[: n + 1] != first[: n + 1] for one in around)), len(first))


def _patient(around: tuple[str, ...]) -> tuple[str, int | None]:
    """The patient and the HER2 level that the folders around a pair say."""
    patient, level = "", None
    for folder in around:
        try:
            level = level_from_text(folder)
        except ValueError:
            if not patient and folder.casefold() not in _PLAIN_FOLDERS and not is_side(folder):
                patient = folder
    return patient, level


def _words_for_splits(roles: list[Role], root: Path) -> list[str]:
    """Which folders were taken for which split, where they are not called just that."""
    folders = {folder for role in roles for folder in role.path.parent.relative_to(root).parts}
    words = sorted(word for word in folders if (split := split_of_word(word)) and word != split)
    return [f"the folder {word} is the split {split_of_word(word)}" for word in words]
