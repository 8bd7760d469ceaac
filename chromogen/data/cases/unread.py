"""Why a folder is in no layout of cases: what lies there that is not read, and what to do about it."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from chromogen.data.cases.boxes import is_coco
from chromogen.data.cases.studies import PICTURES, files_below, stem
from chromogen.data.cases.volumes import is_volume

LOOKED_AT = 20_000  # files of a folder
_TABLES = (".csv", ".tsv", ".xlsx", ".xls")
_OTHERS = (".mgz", ".mgh", ".mnc", ".par", ".rec", ".npz", ".mat", ".h5", ".hdf5", ".webp", ".svs", ".ndpi", ".tfrecord")
_PACKED = (".zip", ".tar", ".tgz", ".7z", ".rar", ".gz")


def unread_in(root: Path) -> str:
    """The likeliest reason in one sentence with its cure, "" for none."""
    return next(_reasons(files_below(root, ("",))[:LOOKED_AT]), "")


def _reasons(files: list[Path]) -> Iterator[str]:
    endings = Counter(path.suffix.casefold() for path in files)
    volumes = [path for path in files if is_volume(path)]
    pictures = [path for path in files if path.name.casefold().endswith(PICTURES)]
    by_ending = {path.suffix.casefold(): path for path in reversed(files)}
    if endings[".hdr"] and endings[".img"]:
        yield f"{by_ending['.hdr'].name} with {by_ending['.img'].name} (Analyze, NIfTI in two files) is not read: save .nii.gz"
    if strange := next((path for path in files if path.name.casefold().endswith(_OTHERS)), None):
        yield f"{strange.name} is of a kind that is not read: save volumes as .nii.gz, pictures as PNG"
    names = {stem(path) for path in pictures}
    texts = (path for path in files if path.suffix.casefold() == ".txt" and stem(path) in names and _is_yolo(path))
    if boxes := next(texts, None):
        yield f"boxes of YOLO ({boxes.name}) are not read: convert them to COCO's JSON or to Pascal VOC's XML"
    for path in [path for path in files if path.suffix.casefold() == ".json"][:20]:
        if why := _strange_json(path):
            yield why
    if volumes:
        yield (
            f"which of the volumes are labels is not seen ({volumes[0].name}): put images and labels of the same names into "
            "folders called images and labels"
        )
    packed = [path for path in files if path.name.casefold().endswith(_PACKED) and not is_volume(path)]
    if packed and not pictures:
        yield f"{packed[0].name} is packed: unpack it"
    tables = [path for path in files if path.suffix.casefold() in _TABLES]
    if tables and pictures:
        yield (
            f"labels in a table ({tables[0].name}) are not read: sort the pictures into a folder a class, or write boxes as "
            "COCO's JSON"
        )


def _is_yolo(path: Path) -> bool:
    """Whether every line is a class number and four shares of the image (or a polygon of such)."""
    try:
        with path.open(encoding="utf-8") as handle:
            lines = [line.split() for line in handle.read(2**16).splitlines() if line.strip()]
        return bool(lines) and all(len(line) >= 5 and line[0].isdigit() and all(map(float, line[1:])) for line in lines[:20])
    except (OSError, ValueError):
        return False


def _strange_json(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as handle:
            json.load(handle)
    except (OSError, ValueError, RecursionError) as error:
        return f"{path.name} is damaged or no JSON ({error}); copy it again from its origin"
    if any(word in path.stem.casefold() for word in ("annot", "coco", "instances", "bbox")) and not is_coco(path):
        return f"{path.name} is not in COCO's form (images, annotations, categories): convert it"
    return ""
