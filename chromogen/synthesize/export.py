"""Made cases on disk, in the layouts that other programs read; every file says that it is synthetic.

`png` images/NAME_MODALITY.png and masks/NAME.png; `nnunet` imagesTr/NAME_0000.nii.gz, labelsTr/NAME.nii.gz and dataset.json;
`classes` CLASS/NAME.png; `coco` images/ and annotations.json with boxes, areas and masks. PNG files carry the provenance as
text and as XMP, NIfTI files in `descrip`, and the folder's manifest says it of all.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from chromogen.config import nearest
from chromogen.data.cases.source import SOURCE_TYPE_KEYWORD, SYNTHETIC_DESCRIP, SYNTHETIC_SOURCE_TYPE
from chromogen.data.cases.volumes import Axis
from chromogen.files import write_json, written_whole
from chromogen.synthesize.coco import annotations_of
from chromogen.synthesize.made import MadeCase
from chromogen.synthesize.numbering import distinct_names, numbers_in_use, renumbered
from chromogen.synthesize.slices import slice_affine, write_slice

NOTE = "Synthetic, made by a trained model; no patient. Research use only. Not for diagnosis."


@dataclass(frozen=True)
class About:
    """What all cases of one export share. `consecutive`: classes without a name go, the others are numbered 0, 1, 2, ..."""

    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    label: str  # mask, category, boxes or none
    model: str  # sha256 of the renderer
    axis: Axis = "axial"  # of the slices that the model was trained on
    consecutive: bool = False

    @property
    def numbers(self) -> tuple[int, ...]:
        """Place k holds what class k of the export was before."""
        return numbers_in_use(self.classes) if self.consecutive else tuple(range(len(self.classes)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the export's classes by number, all distinct."""
        return distinct_names([self.classes[number] for number in self.numbers])


class Exporter(ABC):
    """One layout of files. `add` is called once a case, in order; the same case gives the same bytes."""

    def __init__(self, folder: Path, about: About) -> None:
        self.folder, self.about = folder, about

    def add(self, case: MadeCase) -> list[Path]:
        """Write one case's files, each whole or not at all; the files. ValueError naming a case that nobody could read back."""
        _check(case, self.about)
        if self.about.consecutive:
            numbers = self.about.numbers
            mask, boxes = case.mask, case.boxes
            if mask is not None:
                mask = renumbered(mask, numbers, case.name)
            if boxes is not None and len(boxes):
                column = renumbered(boxes[:, :1].astype(np.uint8), numbers, case.name)
                boxes = np.concatenate([column.astype(boxes.dtype), boxes[:, 1:]], axis=1)
            case = replace(case, mask=mask, boxes=boxes)
        return self._write(case)

    @abstractmethod
    def _write(self, case: MadeCase) -> list[Path]: ...

    def finish(self, records: Sequence[dict[str, Any]]) -> None:  # noqa: B027 - most layouts have nothing to add
        """Write what speaks of all cases, from their records in the manifest."""

    def _png(self, path: Path, pixels: np.ndarray) -> Path:
        write_marked_png(path, pixels, {"Model": self.about.model})
        return path


class Png(Exporter):
    def _write(self, case: MadeCase) -> list[Path]:
        files = [
            self._png(self.folder / "images" / f"{case.name}_{name}.png", picture(image))
            for name, image in zip(self.about.modalities, case.images, strict=True)
        ]
        if case.mask is not None:
            files.append(self._png(self.folder / "masks" / f"{case.name}.png", case.mask))
        return files


class Classes(Exporter):
    """One folder a class; of several modalities each gets its name behind the case's."""

    def _write(self, case: MadeCase) -> list[Path]:
        if case.category is None:
            raise ValueError("the layout 'classes' needs a class for every case, and this model's label is no class; take png")
        folder = self.folder / self.about.classes[case.category]
        if len(self.about.modalities) == 1:
            return [self._png(folder / f"{case.name}.png", picture(case.images[0]))]
        pairs = zip(self.about.modalities, case.images, strict=True)
        return [self._png(folder / f"{case.name}_{name}.png", picture(image)) for name, image in pairs]


class NnUnet(Exporter):
    """Each slice is a volume of one slice; nnU-Net's 2d configuration trains on such."""

    def _write(self, case: MadeCase) -> list[Path]:
        if case.mask is None:
            raise ValueError(
                "the layout 'nnunet' needs a mask for every case, and this model's label is none; take png or coco"
            )
        files = [
            self._volume(self.folder / "imagesTr" / f"{case.name}_{number:04d}.nii.gz", plane.astype(np.float32), case)
            for number, plane in enumerate(_channels(case))
        ]
        files.append(self._volume(self.folder / "labelsTr" / f"{case.name}.nii.gz", case.mask.astype(np.uint8), case))
        return files

    def finish(self, records: Sequence[dict[str, Any]]) -> None:
        rgb = any(record.get("channels", 1) == 3 for record in records)
        names = [f"{name} {c}" for name in self.about.modalities for c in "RGB"] if rgb else list(self.about.modalities)
        named = distinct_names(self.about.names[1:], taken=("background",))
        write_json(
            self.folder / "dataset.json",
            {
                "channel_names": {str(number): name for number, name in enumerate(names)},
                "labels": {"background": 0, **{name: number for number, name in enumerate(named, start=1)}},
                "numTraining": len(records),
                "file_ending": ".nii.gz",
                "origin": "synthetic",
                "description": NOTE,
            },
        )

    def _volume(self, path: Path, plane: np.ndarray, case: MadeCase) -> Path:
        affine = slice_affine(case.lines.shape, case.spacing_mm, self.about.axis)
        write_slice(path, plane, affine, f"{SYNTHETIC_DESCRIP} {self.about.model[:12]}")
        return path


class Coco(Exporter):
    def _write(self, case: MadeCase) -> list[Path]:
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
                    annotations.append({"id": len(annotations) + 1, "image_id": images[-1]["id"], **found})
        classes = [{"id": number, "name": name} for number, name in enumerate(self.about.names) if number]
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


def _check(case: MadeCase, about: About) -> None:
    """ValueError for values that other programs would turn into 0 or read as nothing."""
    for name, image in zip(about.modalities, case.images, strict=True):
        bad = int((~np.isfinite(image)).sum())
        if bad:
            raise ValueError(
                f"{case.name}: {bad} pixels of its {name} are not finite (NaN or infinity), and readers take such for 0; train "
                "the renderer anew, or try --device cpu"
            )
    if case.mask is not None and case.mask.shape != case.lines.shape:
        raise ValueError(f"{case.name}: its mask is {case.mask.shape}, its images are {case.lines.shape} (rows, columns)")
    if case.mask is not None and case.mask.max(initial=0) >= len(about.classes):
        raise ValueError(f"{case.name}: its mask holds class {case.mask.max()}, the classes are {', '.join(about.classes)}")
    if case.boxes is not None and not np.isfinite(case.boxes).all():
        raise ValueError(f"{case.name}: a corner of a box is not finite (NaN or infinity); train the renderer anew")


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
