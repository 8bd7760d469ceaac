"""Made cases on disk, in the layouts that other programs read; every file says that it is synthetic.

`png` images/NAME_MODALITY.png and masks/NAME.png; `nnunet` imagesTr/NAME_0000.nii.gz, labelsTr/NAME.nii.gz and dataset.json;
`classes` CLASS/NAME.png; `coco` images/ and annotations.json with boxes and areas. PNG files carry the provenance as text and
as XMP, NIfTI files in `descrip`, and the folder's manifest says it of all.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from chromogen.config import nearest
from chromogen.data.cases.source import SOURCE_TYPE_KEYWORD, SYNTHETIC_DESCRIP, SYNTHETIC_SOURCE_TYPE
from chromogen.files import write_json, written_whole
from chromogen.synthesize.made import MadeCase

NOTE = "Synthetic, made by a trained model; no patient. Research use only. Not for diagnosis."


@dataclass(frozen=True)
class About:
    """What all cases of one export share."""

    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    label: str  # mask, category, boxes or none
    model: str  # sha256 of the renderer


class Exporter(ABC):
    """One layout of files. `add` is called once a case, in order; the same case gives the same bytes."""

    def __init__(self, folder: Path, about: About) -> None:
        self.folder, self.about = folder, about

    @abstractmethod
    def add(self, case: MadeCase) -> list[Path]:
        """Write one case's files, each whole or not at all; the files."""

    def finish(self, records: Sequence[dict[str, Any]]) -> None:  # noqa: B027 - most layouts have nothing to add
        """Write what speaks of all cases, from their records in the manifest."""

    def _png(self, path: Path, pixels: np.ndarray) -> Path:
        write_marked_png(path, pixels, {"Model": self.about.model})
        return path


class Png(Exporter):
    def add(self, case: MadeCase) -> list[Path]:
        files = [
            self._png(self.folder / "images" / f"{case.name}_{name}.png", picture(image))
            for name, image in zip(self.about.modalities, case.images, strict=True)
        ]
        if case.mask is not None:
            files.append(self._png(self.folder / "masks" / f"{case.name}.png", case.mask))
        return files


class Classes(Exporter):
    """One folder a class; of several modalities each gets its name behind the case's."""

    def add(self, case: MadeCase) -> list[Path]:
        if case.category is None:
            raise ValueError("the layout 'classes' needs a class for every case, and this model's label is no class; take png")
        folder = self.folder / self.about.classes[case.category]
        if len(self.about.modalities) == 1:
            return [self._png(folder / f"{case.name}.png", picture(case.images[0]))]
        pairs = zip(self.about.modalities, case.images, strict=True)
        return [self._png(folder / f"{case.name}_{name}.png", picture(image)) for name, image in pairs]


class NnUnet(Exporter):
    """Each slice is a volume of one slice; nnU-Net's 2d configuration trains on such."""

    def add(self, case: MadeCase) -> list[Path]:
        if case.mask is None:
            raise ValueError(
                "the layout 'nnunet' needs a mask for every case, and this model's label is none; take png or coco"
            )
        files = []
        for number, image in enumerate(_channels(case)):
            files.append(self._volume(self.folder / "imagesTr" / f"{case.name}_{number:04d}.nii.gz", image, case, np.float32))
        files.append(self._volume(self.folder / "labelsTr" / f"{case.name}.nii.gz", case.mask, case, np.uint8))
        return files

    def finish(self, records: Sequence[dict[str, Any]]) -> None:
        rgb = any(record.get("channels", 1) == 3 for record in records)
        names = [f"{name} {c}" for name in self.about.modalities for c in "RGB"] if rgb else list(self.about.modalities)
        write_json(
            self.folder / "dataset.json",
            {
                "channel_names": {str(number): name for number, name in enumerate(names)},
                "labels": {("background" if number == 0 else name): number for number, name in enumerate(self.about.classes)},
                "numTraining": len(records),
                "file_ending": ".nii.gz",
                "origin": "synthetic",
                "description": NOTE,
            },
        )

    def _volume(self, path: Path, plane: np.ndarray, case: MadeCase, kind: type) -> Path:
        row, column = case.spacing_mm or (1.0, 1.0)
        volume = nibabel.Nifti1Image(plane.T[..., None].astype(kind), np.diag([column, row, 1.0, 1.0]))
        volume.header["descrip"] = f"{SYNTHETIC_DESCRIP} {self.about.model[:12]}".encode()
        with written_whole(path) as partial:
            named = partial.with_name(partial.name + ".nii.gz")  # nibabel goes by the ending
            try:
                nibabel.save(volume, named)
                named.replace(partial)
            finally:
                named.unlink(missing_ok=True)
        return path


class Coco(Exporter):
    def add(self, case: MadeCase) -> list[Path]:
        pairs = zip(self.about.modalities, case.images, strict=True)
        files = [self._png(self.folder / "images" / f"{case.name}_{name}.png", picture(image)) for name, image in pairs]
        case.facts["coco"] = annotations_of(case)
        return files

    def finish(self, records: Sequence[dict[str, Any]]) -> None:
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for record in records:
            height, width = record["size_px"]
            for name in self.about.modalities:
                images.append(
                    {
                        "id": len(images) + 1,
                        "file_name": f"images/{record['name']}_{name}.png",
                        "height": height,
                        "width": width,
                    }
                )
                for found in record["coco"]:
                    annotations.append({"id": len(annotations) + 1, "image_id": images[-1]["id"], "iscrowd": 0, **found})
        classes = [{"id": number, "name": name} for number, name in enumerate(self.about.classes) if number]
        info = {"description": NOTE, "origin": "synthetic"}
        write_json(
            self.folder / "annotations.json",
            {"info": info, "images": images, "annotations": annotations, "categories": classes},
        )


FORMATS: dict[str, type[Exporter]] = {"png": Png, "nnunet": NnUnet, "classes": Classes, "coco": Coco}


def exporter_named(name: str, folder: Path, about: About) -> Exporter:
    """The exporter of a layout; ValueError with the nearest name, when the label does not fit it, or when the name of a
    modality or class, which somebody chose for their data, would lead a file elsewhere."""
    if name not in FORMATS:
        raise ValueError(f"no export layout {name!r}; {nearest(name, FORMATS)}")
    wants = {"nnunet": ("mask",), "classes": ("category",), "coco": ("mask", "boxes")}.get(name, (about.label,))
    if about.label not in wants:
        raise ValueError(f"the layout {name!r} holds {' or '.join(wants)}, and this model's label is {about.label!r}; take png")
    for word in (*about.modalities, *about.classes):
        if not word.strip(". ") or any(letter in '/\\:*?"<>|' or ord(letter) < 32 for letter in word):
            raise ValueError(f"{word!r} names a modality or class and cannot be part of a file's name; rename it in the data")
    return FORMATS[name](folder, about)


def annotations_of(case: MadeCase) -> list[dict[str, Any]]:
    """COCO's bbox (x, y, width, height in px), area and category_id of every box, or of every connected piece of the mask."""
    found = []
    if case.boxes is not None:
        for number, x0, y0, x1, y1 in case.boxes[case.boxes[:, 0] > 0].tolist():
            box = [x0, y0, x1 - x0, y1 - y0]
            found.append({"category_id": int(number), "bbox": [round(v, 2) for v in box], "area": round(box[2] * box[3], 2)})
    elif case.mask is not None:
        for number in np.unique(case.mask[case.mask > 0]).tolist():
            pieces, _ = ndimage.label(case.mask == number, structure=np.ones((3, 3)))
            for index, (rows, columns) in enumerate(ndimage.find_objects(pieces), start=1):
                area = int((pieces[rows, columns] == index).sum())
                box = [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
                found.append({"category_id": number, "bbox": box, "area": area})
    return found


def picture(image: np.ndarray) -> np.ndarray:
    """(C, H, W) in [0, 1] as uint8 (H, W) or (H, W, 3), rounded. Of three neighbouring grey slices all three are kept."""
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))


def write_marked_png(path: Path, pixels: np.ndarray, record: dict[str, str]) -> None:
    """A PNG that says it is synthetic, whole or not at all."""
    text = PngInfo()
    for key, value in {"Synthetic": "true", SOURCE_TYPE_KEYWORD: SYNTHETIC_SOURCE_TYPE, "Disclaimer": NOTE, **record}.items():
        text.add_itxt(key, value)
    with written_whole(path) as partial:
        Image.fromarray(pixels).save(partial, format="PNG", pnginfo=text, compress_level=3)


def _channels(case: MadeCase) -> list[np.ndarray]:
    """Every channel of every modality as a plane of its own."""
    return [plane for image in case.images for plane in image]


def read_records(path: Path) -> list[dict[str, Any]]:
    """The lines of cases.jsonl; a last line cut short by a kill is left out."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records
