"""The pictures that a command was given: files, folders and patterns such as "he/*.png", each once and none in silence."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from chromogen.data.images import SUFFIXES, is_clutter, list_images, natural_order

COMPANIONS = (".csv", ".json", ".md", ".txt")  # what lies beside images and needs no mention


@dataclass(frozen=True)
class Given:
    """One picture. name: as it is told; below: the subfolder it lies in, seen from the folder that was given."""

    path: Path
    name: str
    below: Path = Path()


@dataclass(frozen=True)
class Inputs:
    """All pictures in their order. ignored: names of files of other kinds. passed_over: pictures in subfolders that were not
    asked for, by subfolder. origin: the folder (or the file) that the names are seen from."""

    pictures: tuple[Given, ...]
    origin: Path
    ignored: tuple[str, ...] = ()
    passed_over: tuple[tuple[str, int], ...] = ()

    @property
    def remark(self) -> str:
        """What to say of subfolders; empty where none was passed over."""
        count = sum(number for _, number in self.passed_over)
        if not count:
            return ""
        names = ", ".join(name for name, _ in self.passed_over[:3]) + (", ..." if len(self.passed_over) > 3 else "")
        lie = "1 picture in a subfolder was" if count == 1 else f"{count} pictures in subfolders were"
        return f"{lie} passed over ({names}); add --subfolders to take them too, each into a folder of the same name"


def find_inputs(given: Sequence[Path], out: Path, subfolders: bool = False) -> Inputs:
    """Files, folders and patterns in the order given; of a folder its pictures, with `subfolders` those below it too.

    What lies in the folder `out` is no input. Raises ValueError for a path that is not there, for a pattern that nothing
    matches, for a folder that is `out` itself, and where there is nothing to do.
    """
    found: list[Given] = []
    ignored: list[str] = []
    passed_over: list[tuple[str, int]] = []
    roots = _expanded(given)
    for path in roots:
        if not path.is_dir():
            if len(roots) > 1 and path.suffix.lower() in COMPANIONS:
                continue
            found.append(Given(path, _shown(path.name)))
            continue
        if out.resolve() == path.resolve():
            raise ValueError(f"{out} is the source folder; choose another with -o, or real and virtual images get mixed up")
        found += [Given(image, _shown(image.name)) for image in list_images(path)]
        ignored += _other_kinds(path)
        for folder in _subfolders(path, out):
            images, below = list_images(folder), folder.relative_to(path)
            if subfolders:
                found += [Given(image, _shown((below / image.name).as_posix()), below) for image in images]
            elif images:
                passed_over.append((_shown(below.as_posix()), len(images)))
    origin = roots[0]
    once = list({_same(one.path): one for one in reversed(found)}.values())[::-1]
    if len(roots) > 1 and once:
        origin = Path(os.path.commonpath([one.path.absolute().parent for one in once]))
        once = [Given(one.path, _shown(one.path.absolute().relative_to(origin).as_posix()), one.below) for one in once]
    inputs = Inputs(tuple(once), origin, tuple(sorted(ignored)), tuple(passed_over))
    if not once:
        why = f"; {inputs.remark}" if inputs.remark else "" if subfolders else " and no subfolder with pictures"
        raise ValueError(f"{', '.join(map(str, roots))} holds no PNG, JPEG, TIFF or BMP image{why}")
    return inputs


def _expanded(given: Sequence[Path]) -> list[Path]:
    """Patterns become what they match, as a shell would have made of them; a file that bears such a name is itself."""
    found: list[Path] = []
    for path in given:
        if path.exists():
            found.append(path)
        elif glob.has_magic(str(path)):
            matches = sorted(_matching(path), key=natural_order)
            known = [match for match in matches if match.is_dir() or match.suffix.lower() in SUFFIXES]
            if not known:
                raise ValueError(f"no picture or folder matches {path}; check the pattern")
            found += known
        else:
            raise ValueError(f"there is no file or folder {path}; check the path given with -i")
    return found


def _matching(pattern: Path) -> Iterator[Path]:
    """What `pattern` matches, from its first part with a sign in it on."""
    fixed = next(k for k, part in enumerate(pattern.parts) if glob.has_magic(part))
    yield from Path(*pattern.parts[:fixed]).glob(str(Path(*pattern.parts[fixed:])))


def _subfolders(root: Path, out: Path) -> list[Path]:
    """All folders below `root` in natural order, without hidden ones, clutter and `out`; links are not followed."""
    found: list[Path] = []
    for here, names, _ in os.walk(root):
        names[:] = [name for name in names if not is_clutter(Path(name)) and (Path(here) / name).resolve() != out.resolve()]
        names.sort(key=lambda name: natural_order(Path(name)))
        found += [Path(here) / name for name in names if not (Path(here) / name).is_symlink()]
    return found


def _other_kinds(folder: Path) -> list[str]:
    known = (*SUFFIXES, *COMPANIONS)
    entries = [path for path in folder.iterdir() if path.suffix.lower() not in known]
    return [_shown(path.name) for path in entries if not path.is_dir() and not is_clutter(path)]


def _shown(name: str) -> str:
    """With backslashes for what is no Unicode, as some names are not, so that it can be printed and written."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _same(path: Path) -> Path:
    """One file under several names; a link to nothing is itself."""
    return path.resolve() if path.exists() else path.absolute()
