"""Phantom anatomy as files, in the layouts that people have, for people and programs that read folders.

Brain   PATIENT/PATIENT_t1.nii.gz, _t1ce, _t2, _flair and _seg: a volume each, as BraTS
Fundus  images/NAME.png, masks/NAME.png (vessels), field/NAME.png (what the camera sees), as DRIVE
Chest   train/normal, train/opacity, test/normal, test/opacity: a folder a class
LungCT  images/NAME.png, masks/NAME.png (nodules), lungs/NAME.png, boxes/NAME.xml (Pascal VOC)
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nibabel
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from chromogen.config import to_fields
from chromogen.files import write_json
from chromogen.phantom.anatomy.brain import TUMOUR_CLASSES, Brain, draw_brain
from chromogen.phantom.anatomy.case import AnatomyCase, streams
from chromogen.phantom.anatomy.chest import CATEGORIES, Chest, draw_chest
from chromogen.phantom.anatomy.fundus import Fundus, draw_fundus
from chromogen.phantom.anatomy.lung_ct import LungCT, draw_lung_ct

Anatomy = Brain | Fundus | Chest | LungCT

TEST_SHARE = 0.2  # of the chest X-rays of each class
VOLUME_RANGE = 1000  # what 1 is in a volume's whole numbers

_README = """These images are PHANTOMS. A program (chromogen.phantom.anatomy) drew them; they show no patient and are no
training material for anything that meets patients. They are for trying out programs and for testing them.

{contents}

The knobs and the seed stand in phantom.json; the same ones draw the same pictures again.
"""


def draw(kind: Anatomy, seed: int, number: int) -> AnatomyCase:
    """Case `number` of a seed; the same arguments give the same bytes. ValueError for a negative seed or number."""
    if isinstance(kind, Brain):
        return draw_brain(kind, seed, number)
    if isinstance(kind, Fundus):
        return draw_fundus(kind, seed, number)
    if isinstance(kind, Chest):
        return draw_chest(kind, seed, number)
    return draw_lung_ct(kind, seed, number)


def write_anatomy(
    folder: Path | str,
    kind: Anatomy,
    patients: int,
    slices: int = 1,
    seed: int = 0,
    progress: Callable[[float, int, str], None] | None = None,
) -> None:
    """Draw `patients` patients into a new `folder`, with `slices` each (brains and lung CT), and README.txt and phantom.json.

    `progress` gets patients done, patients in all, and the latest one's name. The folder appears when everything is written.
    ValueError when it exists and is not empty, for a number below 1, and for several slices of a kind that has one picture.
    """
    folder = Path(folder)
    if patients < 1 or slices < 1:
        raise ValueError(f"{patients} patients with {slices} slices: both must be at least 1")
    if isinstance(kind, Brain | LungCT):
        kind = replace(kind, slices=slices)
    elif slices != 1:
        raise ValueError(f"{type(kind).__name__} has one picture a patient, and slices is {slices}; leave it at 1")
    streams(seed, 0, 0)  # a seed that cannot be is said before anything is written
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} already holds something; choose an empty folder, so that two sets are never mixed")
    partial = folder.with_name(f".partial-{os.getpid()}-{folder.name}")
    write, contents = _WRITERS[type(kind)]
    try:
        partial.mkdir(parents=True)
        for patient in range(patients):
            cases = [draw(kind, seed, patient * slices + cut) for cut in range(slices)]
            write(partial, cases, kind, patient)
            if progress is not None:
                progress(patient + 1, patients, cases[0].patient)
        (partial / "README.txt").write_text(_README.format(contents=contents), encoding="utf-8")
        fields = {"kind": type(kind).__name__, "patients": patients, "slices": slices, "seed": seed, "phantom": to_fields(kind)}
        write_json(partial / "phantom.json", fields)
        if folder.exists():
            folder.rmdir()  # empty, as was looked
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_brain(folder: Path, cases: list[AnatomyCase], kind: Brain, patient: int) -> None:
    """Columns run to the patient's left, rows to the back, slices upwards."""
    name, step = cases[0].patient, cases[0].spacing_mm
    thick = kind.step_mm if len(cases) > 1 else max(kind.step_mm, step)  # nnU-Net takes the thinnest axes for its 2-D patch
    affine = np.diag([-step, -step, thick, 1.0])
    affine[:2, 3] = step * (kind.size_px - 1) / 2
    (folder / name).mkdir()
    for modality, ending in (("T1", "t1"), ("T1POST", "t1ce"), ("T2", "t2"), ("FLAIR", "flair")):
        volume = np.stack([case.images[modality].T for case in cases], axis=-1)
        _write_volume(folder / name / f"{name}_{ending}.nii.gz", np.rint(volume * VOLUME_RANGE).astype(np.int16), affine)
    masks = [case.mask.T for case in cases if case.mask is not None]
    _write_volume(folder / name / f"{name}_seg.nii.gz", np.stack(masks, axis=-1), affine)


def _write_volume(path: Path, volume: np.ndarray, affine: np.ndarray) -> None:
    image = nibabel.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"phantom, no patient"
    nibabel.save(image, path)


def _write_fundus(folder: Path, cases: list[AnatomyCase], kind: Fundus, patient: int) -> None:
    for case in cases:
        _write_picture(folder / "images" / f"{case.name}.png", _uint8(case.images["colour"]))
        if case.mask is not None:
            _write_picture(folder / "masks" / f"{case.name}.png", case.mask * np.uint8(255))
        _write_picture(folder / "field" / f"{case.name}.png", case.organ * np.uint8(255))


def _write_chest(folder: Path, cases: list[AnatomyCase], kind: Chest, patient: int) -> None:
    for case in cases:
        before = int(np.floor(patient * kind.opacity_share + 1e-9))  # patients of this class before this one
        before = before if case.category else patient - before
        split = "test" if before % round(1 / TEST_SHARE) == 0 else "train"
        _write_picture(folder / split / CATEGORIES[case.category or 0] / f"{case.name}.png", _uint8(case.images["X-ray"]))


def _write_lung_ct(folder: Path, cases: list[AnatomyCase], kind: LungCT, patient: int) -> None:
    for case in cases:
        _write_picture(folder / "images" / f"{case.name}.png", _uint8(case.images["CT"]))
        if case.mask is not None:
            _write_picture(folder / "masks" / f"{case.name}.png", case.mask * np.uint8(255))
        _write_picture(folder / "lungs" / f"{case.name}.png", case.organ * np.uint8(255))
        _write_boxes(folder / "boxes" / f"{case.name}.xml", case)


def _write_boxes(path: Path, case: AnatomyCase) -> None:
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = f"{case.name}.png"
    size = ElementTree.SubElement(root, "size")
    for key, value in (("width", case.organ.shape[1]), ("height", case.organ.shape[0]), ("depth", 1)):
        ElementTree.SubElement(size, key).text = str(value)
    for _, *corners in case.boxes if case.boxes is not None else ():
        found = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(found, "name").text = "nodule"
        box = ElementTree.SubElement(found, "bndbox")
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            ElementTree.SubElement(box, key).text = str(int(value))
    path.parent.mkdir(exist_ok=True)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8")


def _uint8(image: np.ndarray) -> UInt8[np.ndarray, "..."]:
    return np.rint(image * 255).astype(np.uint8)


def _write_picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG")


_WRITERS: dict[type, tuple[Callable[[Path, list[AnatomyCase], Any, int], None], str]] = {
    Brain: (
        _write_brain,
        "A folder a patient: T1, T1 with contrast medium (t1ce), T2 and FLAIR, skull-stripped, 0 to 1000;"
        f"\nseg is 1 in white matter lesions, or in tumours 1 to 4: {', '.join(TUMOUR_CLASSES)}.",
    ),
    Fundus: (_write_fundus, "images: photographs; masks: 255 in vessels; field: 255 in what the camera sees."),
    Chest: (
        _write_chest,
        f"Chest X-rays in folders by split and class ({', '.join(CATEGORIES)}); every fifth of a class is in test.",
    ),
    LungCT: (
        _write_lung_ct,
        "images: axial CT slices, their window in HU is in phantom.json; masks: 255 in nodules; lungs: 255 in lungs;"
        "\nboxes: around nodules, corners counted from 0 between pixels (xmax and ymax are the first pixel beyond)."
        "\nA name is lung-PATIENT-SLICE.",
    ),
}
