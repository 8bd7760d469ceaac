"""Folders that are no data set, though pictures lie in them: whole slides, and predictions of `chromogen translate`."""

from pathlib import Path

from chromogen.data.images import SUFFIXES, image_facts, is_clutter
from chromogen.data.names import natural_order

SLIDES = (
    ".svs",
    ".ndpi",
    ".mrxs",
    ".scn",
    ".vms",
    ".vmu",
    ".bif",
    ".svslide",
    ".czi",
    ".vsi",
    ".isyntax",
    ".dcx",
    ".zvi",
    ".lif",
)
WHOLE_SLIDE_PIXELS = 2**26  # from which on a TIFF is no image of a training set
DEEPEST = 3
ASKED = 8  # files of a kind that are opened to tell
_RECORD = "translation.json"  # what `translate` leaves beside its stains
_HEAD_BYTES = 2**16


def no_data_set(root: Path) -> str:
    """Why `root`, a folder, is no data set of pairs or cases, and what to do instead; "" where it may be one.

    It holds more whole slides than other images, or predictions among its images.
    """
    files = _files(root)
    slides = [path for path in files if path.suffix.casefold() in SLIDES]
    images = [path for path in files if path.suffix.casefold() in SUFFIXES]
    large = [path for path in [one for one in images if one.suffix.casefold() in (".tif", ".tiff")][:ASKED] if _is_huge(path)]
    if len(slides) > len(images) or 2 * len(large) > min(len(images), ASKED):
        return (
            f"{root} holds whole slides ({_few([*slides, *large])}), which are neither pairs nor classes; cut them into "
            "images of 512 to 1024 px first (QuPath can), and put H&E and IHC of a place under one name into HE and IHC"
        )
    made = [path for path in images if is_prediction(path)]
    if made:
        return (
            f"{root} holds predictions that `chromogen translate` made ({_few(made)}), which are neither pairs nor "
            f"classes to learn from; score them: chromogen evaluate --pred {made[0].parent} --target REAL_IHC --out SCORES"
        )
    return ""


def is_prediction(path: Path) -> bool:
    """Whether an image says that `translate` made it: by its name with a record beside it, or by the text inside a PNG."""
    if ".virtual-" in path.name and (path.parent / _RECORD).is_file():
        return True
    if path.suffix.casefold() != ".png":
        return False
    try:
        with path.open("rb") as handle:
            head = handle.read(_HEAD_BYTES)
    except OSError:
        return False
    return b"iTXtTargetStain\0" in head and b"iTXtModelSHA256\0" in head


def _files(root: Path) -> list[Path]:
    found: list[Path] = []
    folders = [(root, 0)]
    while folders:
        folder, depth = folders.pop()
        entries = sorted((path for path in folder.iterdir() if not is_clutter(path)), key=natural_order)
        found += [path for path in entries if path.is_file()]
        if depth < DEEPEST:
            folders += [(path, depth + 1) for path in reversed(entries) if path.is_dir() and not path.is_symlink()]
    return found


def _is_huge(path: Path) -> bool:
    try:
        facts = image_facts(path, max_pixels=2**40)
    except (ValueError, OSError):
        return False
    return facts.width * facts.height > WHOLE_SLIDE_PIXELS


def _few(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths[:3]) + (", ..." if len(paths) > 3 else "")
