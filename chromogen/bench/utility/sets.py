"""The two sets of a study of use: real cases that were prepared, and made ones in whatever form they come.

Made cases may be a prepared folder of origin synthetic, what `chromogen synthesize` wrote (read back by its own records, so
that grey levels stay as they were made), or any layout of `chromogen.data.cases`. They only ever train; the real test split
is fixed, and `Prepared` refuses a patient in two splits and a made case in the test split.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image

from chromogen.data.cases.prepared import Prepared, PreparedCase
from chromogen.data.cases.prepared_writer import PreparedWriter, written_prepared
from chromogen.data.cases.source import CaseSource, open_cases
from chromogen.synthesize.coco import mask_of
from chromogen.synthesize.export import read_records
from chromogen.synthesize.folder import ASKED, LINES
from chromogen.synthesize.numbering import numbers_in_use
from chromogen.train.chain import FILE as CHAIN
from chromogen.train.chain import read_chain


def open_real(folder: Path) -> Prepared:
    """The real cases of a prepared folder, or of a chain's folder. ValueError when they cannot carry a study."""
    real = Prepared(read_chain(folder)["prepared"] if (folder / CHAIN).is_file() else folder)
    made = [case.name for case in real.index.cases if case.origin == "synthetic"]
    if made:
        raise ValueError(f"{folder} is to hold real cases, and {made[0]} is synthetic; name the folder of the real ones first")
    if real.index.label == "none":
        raise ValueError(f"{folder} has no labels, so that nothing can be read in its cases; prepare labelled ones")
    for split in ("train", "test"):
        if not len(real.of_split(split)):
            raise ValueError(f"{folder} has no case in the split {split}; prepare it with shares above 0 for train and test")
    return real


def open_made(folder: Path, real: Prepared, cache: Path) -> Prepared:
    """Made cases that fit the real ones; what is not prepared yet is, into a folder below `cache`.

    ValueError for real cases among them, and for other modalities, sizes, labels or classes than the real ones have.
    """
    if (folder / "index.json").is_file():
        made = Prepared(folder)
        patients = [case.name for case in made.index.cases if case.origin == "real"]
        if patients:
            raise ValueError(f"{folder} is to hold made cases, and {patients[0]} is real; put the folder of real cases first")
    elif (folder / ASKED).is_file():
        made = _of_records(folder, real, cache)
    else:
        made = _of_layout(folder, real, cache)
    _check_fit(folder, made, real)
    return made


def shared_origin(folder: Path, real: Prepared) -> str:
    """A sentence on whether what made the cases may have seen the patients of the real test split."""
    path = folder / ASKED
    prepared = json.loads(path.read_text(encoding="utf-8")).get("prepared") if path.is_file() else None
    if prepared is None:
        return "The made cases do not say what their generator was trained on; if it saw the test patients, gains are too high."
    if prepared != real.index.made_by:
        return "The generator was trained on another preparation of cases; make sure that it saw none of the test patients."
    return "The generator was trained on the training patients of these very splits."


def _of_records(folder: Path, real: Prepared, cache: Path) -> Prepared:
    records = [one for one in read_records(folder / LINES) if not one.get("done") and not one["audit"]["copy"]]
    if not records:
        raise ValueError(f"{folder} holds no case that was kept; make some: chromogen synthesize")
    settings = json.loads((folder / ASKED).read_text(encoding="utf-8"))["settings"]
    classes = real.index.classes
    numbers = np.array(numbers_in_use(classes) if settings.get("consecutive") else range(len(classes)), np.uint8)
    key = hashlib.sha256((folder / LINES).read_bytes() + real.identity.encode()).hexdigest()
    target = cache / f"made-{key[:10]}"
    if not target.is_dir():
        with _writer(target, real, key) as writer:
            for record in records:
                mask = numbers[_mask(folder, record)] if real.index.label == "mask" else None
                boxes = None if record["boxes"] is None else np.asarray(record["boxes"], np.float32).reshape(-1, 5)
                _add(writer, record["name"], _images(folder, record, real), mask, record["category"], boxes)
    return Prepared(target)


def _of_layout(folder: Path, real: Prepared, cache: Path) -> Prepared:
    source = CaseSource(str(folder), size_px=real.size_px, split="shuffle", shares=(1.0, 0.0, 0.0))
    cases = open_cases(source)
    if cases.label != real.index.label or tuple(cases.modalities) != real.index.modalities:
        raise ValueError(
            f"{folder} holds {', '.join(cases.modalities)} with label {cases.label}; the real cases are "
            f"{', '.join(real.index.modalities)} with label {real.index.label}"
        )
    key = hashlib.sha256((cases.identity() + real.identity).encode()).hexdigest()
    target = cache / f"made-{key[:10]}"
    if not target.is_dir():
        with _writer(target, real, key, cases.classes) as writer:
            for case in cases:
                planes = [case.images[name] for name in cases.modalities]
                images = np.stack([one[None] if one.ndim == 2 else one.transpose(2, 0, 1) for one in planes])
                _add(writer, case.name, images, case.mask, case.category, case.boxes)
    return Prepared(target)


def _writer(target: Path, real: Prepared, key: str, classes: tuple[str, ...] | list[str] = ()) -> Any:
    index = real.index
    return written_prepared(target, "made cases", index.modalities, index.label, tuple(classes) or index.classes, "", key)


def _add(
    writer: PreparedWriter,
    name: str,
    images: np.ndarray,
    mask: np.ndarray | None,
    category: int | None,
    boxes: np.ndarray | None,
) -> None:
    """A made case that trains. No lines and an organ everywhere: readers look at neither."""
    plane = np.zeros(images.shape[2:], np.uint8)
    case = PreparedCase(name, f"made {name}", "train", None, "synthetic")
    writer.add(case, images.astype(np.float32), plane, plane + np.uint8(1), mask, category, boxes)


def _images(folder: Path, record: dict[str, Any], real: Prepared) -> np.ndarray:
    """(modalities, channels, H, W) in [0, 1], as they were made (PNG: in 255 steps)."""
    files = {Path(file).name: folder / file for file in record["files"]}
    name, modalities, channels = record["name"], real.index.modalities, record["channels"]
    volumes = [files.get(f"{name}_{number:04d}.nii.gz") for number in range(len(modalities) * channels)]
    if volumes[0] is not None:
        planes = np.stack([_volume(file) for file in volumes if file is not None])
        return np.clip(planes.reshape(-1, channels, *planes.shape[1:]), 0, 1)
    pictures = []
    for modality in modalities:
        file = files.get(f"{name}_{modality}.png") or files.get(f"{name}.png")
        if file is None:
            raise ValueError(f"{folder}: the case {name} has no picture of {modality}; the real cases have one")
        pixels = np.asarray(Image.open(file), np.float32) / 255
        pictures.append(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))
    return np.stack(pictures)


def _mask(folder: Path, record: dict[str, Any]) -> np.ndarray:
    name = record["name"]
    if "coco" in record:
        try:
            return mask_of(record["coco"], tuple(record["size_px"]))
        except ValueError as error:
            raise ValueError(f"{folder}: of the case {name} {error}") from error
    for file in record["files"]:
        path = folder / file
        if path.parent.name == "labelsTr":
            return np.rint(_volume(path)).astype(np.uint8)
        if path.parent.name == "masks":
            return np.asarray(Image.open(path), np.uint8)
    raise ValueError(f"{folder}: the case {name} has no mask, and the real cases have one; make the set with a model of masks")


def _volume(path: Path) -> np.ndarray:
    return np.asarray(nibabel.nifti1.load(path).dataobj, np.float32)[..., 0].T


def _check_fit(folder: Path, made: Prepared, real: Prepared) -> None:
    for what, one, other in (
        ("modalities", made.index.modalities, real.index.modalities),
        ("size in px", made.size_px, real.size_px),
        ("channels", made.channels, real.channels),
        ("label", made.index.label, real.index.label),
        ("number of classes", len(made.index.classes), len(real.index.classes)),
    ):
        if one != other:
            raise ValueError(f"{folder}: the {what} of the made cases is {one}, of the real ones {other}; they must be alike")
