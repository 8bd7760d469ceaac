"""nnU-Net's layout as it lies on disk: regions, labels to ignore, several channels in one file, test images without labels."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chromogen.data.cases.studies import PATIENTS, Found, Study, files_below, patient_in, stem
from chromogen.data.cases.volumes import SUFFIXES, channels_of, is_volume
from chromogen.data.images import SUFFIXES as PICTURE_SUFFIXES

_COLOURS = (("r", "red"), ("g", "green"), ("b", "blue"))


def find_nnunet(root: Path, modalities: Sequence[str], pattern: str) -> Found | None:
    """imagesTr with labelsTr and dataset.json, in `root` or in the one folder below that has them; imagesTs, where it has
    labelsTs, is the test split. Without dataset.json the set is none of nnU-Net's, and is read as images beside labels."""
    homes = [root, *sorted(path.parent for depth in ("*", "*/*") for path in root.glob(f"{depth}/imagesTr"))]
    homes = [path for path in homes if (path / "imagesTr").is_dir() and (path / "dataset.json").is_file()]
    if not homes:
        return None
    if len(homes) > 1 and homes[0] != root:
        raise ValueError(f"{root} holds {len(homes)} data sets of nnU-Net ({', '.join(path.name for path in homes)}); give one")
    root = homes[0]
    facts = _dataset_json(root / "dataset.json")
    channels = _numbered(facts.get("channel_names") or facts.get("modality") or {}, root)
    found = Found("mask")
    found.classes, found.ignore, note = _classes(facts.get("labels") or {}, root)
    found.notes += [note] if note else []
    ending = str(facts.get("file_ending") or "")
    suffixes = (ending.casefold(),) if ending else (*SUFFIXES, *PICTURE_SUFFIXES)
    whole = _held_in_one(files_below(root / "imagesTr", suffixes), channels)
    found.colour = True if whole == "colours" else None
    found.modalities = ("RGB",) if whole == "colours" else tuple(modalities) or tuple(channels.values())
    for images, labels, split in (("imagesTr", "labelsTr", ""), ("imagesTs", "labelsTs", "test")):
        if (root / images).is_dir():
            _add(found, root, (images, labels, split), channels, suffixes, pattern, whole)
    return found


def dataset_classes(path: Path) -> tuple[str, ...]:
    """The names of the labels in a dataset.json by number. ValueError."""
    return _classes(_dataset_json(path).get("labels") or {}, path.parent)[0]


def _held_in_one(files: Sequence[Path], channels: Mapping[int, str]) -> str:
    """How one file holds all channels: "colours" (pictures in RGB), "axis" (a fourth axis), or "" where each has its file."""
    numbers = {match[1] for path in files if (match := re.search(r"_(\d{4})$", stem(path)))}
    if len(channels) < 2 or not files or len(numbers) > 1:
        return ""
    names = [name.casefold() for name in channels.values()]
    if len(names) == 3 and all(name in words for name, words in zip(names, _COLOURS, strict=True)) and not is_volume(files[0]):
        return "colours"
    for path in files[:5]:
        try:
            return "axis" if is_volume(path) and channels_of(path) == len(channels) else ""
        except (ValueError, OSError):
            continue  # whoever reads it says why
    return ""


def _add(
    found: Found, root: Path, folders: tuple[str, str, str], channels: Mapping[int, str], suffixes: Sequence[str], pattern: str,
    whole: str,
) -> None:  # fmt: skip
    images, labels, split = folders
    by_case: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in files_below(root / images, suffixes):
        match = re.fullmatch(r"(.+)_(\d{4})", stem(path))
        if whole:
            by_case[match[1] if match and match[2] == "0000" else stem(path)]["whole"] = path
        elif match and int(match[2]) in channels:
            by_case[match[1]][channels[int(match[2])]] = path
        elif len(channels) == 1 and not match:
            by_case[stem(path)][next(iter(channels.values()))] = path
        else:
            found.problems.append(
                f"{path} is not called NAME_0000 with a channel of dataset.json; rename it or name the channel"
            )
    masks = {stem(path): path for path in files_below(root / labels, suffixes)} if (root / labels).is_dir() else {}
    if split == "test" and by_case and not set(masks) & set(by_case):
        found.notes.append(f"{len(by_case)} cases of {images} have no labels, as is usual: they are left out")
        by_case = defaultdict(dict)
    for name, files in by_case.items():
        lacking = [] if whole else [channel for channel in found.modalities if channel not in files]
        if lacking:
            found.problems.append(
                f"{root / images / name} lacks {' and '.join(lacking)}; add the file, or leave the channel out"
            )
        elif name not in masks:
            found.problems.append(f"{root / images / name} has no label in {labels}; add it or take the images out")
        else:
            patient = patient_in(name, pattern, PATIENTS) or name
            planes = tuple((channel, files["whole" if whole else channel]) for channel in found.modalities)
            number = {shown: number for number, shown in enumerate(channels.values())}
            inside = tuple(number.get(channel, 0) for channel in found.modalities) if whole == "axis" else ()
            found.studies.append(Study(f"{images}/{name}", patient, planes, split, masks[name], channels=inside))
    found.problems += [
        f"{path} labels no image of {images}; add the image or take the label out"
        for name, path in masks.items()
        if name not in by_case
    ]


def _dataset_json(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); write it again") from error
    if not isinstance(facts, dict):
        raise ValueError(f"{path} is not an object with channel_names and labels; write it again")
    return facts


def _numbered(names: Any, root: Path) -> dict[int, str]:
    """{"0": "T1"} as numbers to names."""
    try:
        channels = {int(number): str(name) for number, name in names.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f'{root / "dataset.json"}: channel_names must look like {{"0": "T1", "1": "FLAIR"}}') from error
    if not channels or len(set(channels.values())) < len(channels):
        raise ValueError(
            f'{root / "dataset.json"} names no channels, or two alike; write channel_names {{"0": "T1", "1": "FLAIR"}}'
        )
    return dict(sorted(channels.items()))


def _classes(labels: Any, root: Path) -> tuple[tuple[str, ...], int | None, str]:
    """Names by number, from {"background": 0, "lesion": 1} or {"0": "background", "1": "lesion"}; the number to ignore; a note.

    Regions ({"whole tumour": [1, 2, 3], "core": [2, 3]}) overlap, and the files hold plain numbers: each is called by the
    smallest region that it lies in.
    """
    where = root / "dataset.json"
    try:
        pairs = [(value, str(key)) if not str(key).isdigit() else (int(key), str(value)) for key, value in labels.items()]
        held = [([int(n) for n in value] if isinstance(value, list) else [int(value)], name) for value, name in pairs]
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: labels must give every class a number, or a region its numbers; write them") from error
    ignore = next((numbers[0] for numbers, name in held if name.casefold() == "ignore" and len(numbers) == 1), None)
    held = [(numbers, name) for numbers, name in held if numbers != [ignore] or ignore is None]
    every = sorted({number for numbers, _ in held for number in numbers})
    if not every or 0 not in every or not all(0 <= number <= 255 for number in [*every, ignore or 0]):
        raise ValueError(f"{where}: labels must hold background 0 and numbers up to 255; write them")
    names: dict[int, str] = {}
    for number in every:
        around = [(len(numbers), name) for numbers, name in held if number in numbers]
        smallest = min(size for size, _ in around)
        names[number] = " and ".join(name for size, name in around if size == smallest)
    regions = [f"{name} is {' + '.join(map(str, numbers))}" for numbers, name in held if len(numbers) > 1]
    note = f"labels are regions ({', '.join(regions)}): each number is called by the smallest one it lies in" if regions else ""
    return tuple(names.get(number, f"unused {number}") for number in range(every[-1] + 1)), ignore, note
