"""Writing a folder of prepared cases: case by case, so that memory does not grow, and the folder whole or not at all."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from chromogen.data.cases.fit import Boxes
from chromogen.data.cases.prepared import PreparedCase, PreparedIndex, check_index, index_fields
from chromogen.files import write_json


class PreparedWriter:
    """Takes cases one after the other; made by `written_prepared`."""

    def __init__(self, folder: Path, index: PreparedIndex) -> None:
        self.folder, self.index = folder, index
        self.cases: list[PreparedCase] = []
        self._names = set[str]()
        self._arrays: dict[str, _Growing] = {}
        self._categories: list[int] = []
        self._boxes: list[Boxes] = []

    def add(
        self,
        case: PreparedCase,
        images: Float[np.ndarray, "modality channel height width"],
        lines: UInt8[np.ndarray, "height width"],
        organ: UInt8[np.ndarray, "height width"],
        mask: UInt8[np.ndarray, "height width"] | None = None,
        category: int | None = None,
        boxes: Boxes | None = None,
    ) -> None:
        """Write a case. Images are in [0, 1], `lines` and `organ` 0 or 1; of the label, what the index promises (a category of
        None is unknown). Raises ValueError naming the case when a shape, a range or a class does not fit."""
        self._check(case, images, {"lines": lines, "organ": organ}, mask, category, boxes)
        planes: dict[str, np.ndarray] = {
            "images": images.astype(np.float16),
            "lines": lines.astype(np.uint8),
            "organ": organ.astype(np.uint8),
        }
        if mask is not None and self.index.label == "mask":
            planes["mask"] = mask.astype(np.uint8)
        for name, plane in planes.items():
            if name not in self._arrays:
                self._arrays[name] = _Growing(self.folder / f"{name}.npy", plane.shape, plane.dtype)
            elif plane.shape != self._arrays[name].shape:
                expected = self._arrays[name].shape
                raise ValueError(f"{case.name}: its {name} have the shape {plane.shape}, those before {expected}; set size_px")
        for name, plane in planes.items():
            self._arrays[name].append(plane)
        self._categories.append(-1 if category is None else category)
        self._boxes.append(np.zeros((0, 5), dtype=np.float32) if boxes is None else boxes)
        self.cases.append(case)
        self._names.add(case.name)

    def finish(self) -> None:
        """Complete the arrays and write the index; ValueError when there is no case or a patient is in two splits."""
        if not self.cases:
            raise ValueError(f"no case was prepared for {self.index.title!r}; look at what was left out and why")
        index = replace(self.index, cases=tuple(self.cases))
        check_index(index)
        for array in self._arrays.values():
            array.close()
        if index.label == "category":
            np.save(self.folder / "category.npy", np.array(self._categories, dtype=np.int64))
        if index.label == "boxes":
            most = max(1, *(len(boxes) for boxes in self._boxes))
            filled = np.zeros((len(self._boxes), most, 5), dtype=np.float32)
            for row, boxes in zip(filled, self._boxes, strict=True):
                row[: len(boxes)] = boxes
            np.save(self.folder / "boxes.npy", filled)
        write_json(self.folder / "index.json", index_fields(index))

    def close(self) -> None:
        for array in self._arrays.values():
            array.file.close()

    def _check(
        self,
        case: PreparedCase,
        images: np.ndarray,
        planes: dict[str, np.ndarray],
        mask: np.ndarray | None,
        category: int | None,
        boxes: np.ndarray | None,
    ) -> None:
        index, classes = self.index, len(self.index.classes)
        if case.name in self._names:
            raise ValueError(f"{case.name} was prepared already; give every case its own name")
        if images.ndim != 4 or len(images) != len(index.modalities):
            raise ValueError(f"{case.name}: images of shape {images.shape} are not ({len(index.modalities)}, channels, H, W)")
        if not np.isfinite(images).all() or images.min() < 0 or images.max() > 1:
            raise ValueError(f"{case.name}: its images leave [0, 1] (from {images.min()} to {images.max()}); normalise them")
        for name, plane in planes.items():
            if plane.shape != images.shape[2:] or not np.isin(plane, (0, 1)).all():
                raise ValueError(f"{case.name}: its {name} must be {images.shape[2:]} of 0 and 1; they are {plane.shape}")
        if index.label == "mask" and (mask is None or mask.shape != images.shape[2:] or mask.max() >= classes):
            raise ValueError(f"{case.name}: its mask must be {images.shape[2:]} with the classes 0 to {classes - 1}")
        if index.label == "category" and category is not None and not 0 <= category < classes:
            raise ValueError(f"{case.name}: its category {category} is none of 0 to {classes - 1}")
        if index.label == "boxes" and boxes is not None and not _are_boxes(boxes, classes):
            raise ValueError(f"{case.name}: its boxes must be (n, 5) with a class of 1 to {classes - 1} first")


def _are_boxes(boxes: np.ndarray, classes: int) -> bool:
    return boxes.ndim == 2 and boxes.shape[1] == 5 and bool(np.isin(boxes[:, 0], np.arange(1, classes)).all())


@contextmanager
def written_prepared(
    root: Path | str,
    title: str,
    modalities: Sequence[str],
    label: str,
    classes: Sequence[str],
    licence: str = "",
    made_by: str = "",
) -> Iterator[PreparedWriter]:
    """Give a writer; when the body is through, the folder `root` is there, complete. When it fails, nothing is left.

    Raises FileExistsError when `root` is there already, ValueError for what `PreparedWriter` says.
    """
    root = Path(root).expanduser()
    if root.exists():
        raise FileExistsError(f"{root} exists already; remove it, or prepare into another folder")
    partial = root.with_name(f".partial-{os.getpid()}-{root.name[-32:]}")
    partial.mkdir(parents=True)
    index = PreparedIndex(title, tuple(modalities), label, tuple(classes), licence, made_by, ())  # type: ignore[arg-type]
    writer = PreparedWriter(partial, index)
    try:
        yield writer
        writer.finish()
        partial.rename(root)
    finally:
        writer.close()
        shutil.rmtree(partial, ignore_errors=True)


class _Growing:
    """An .npy file to which arrays of one shape are appended. NumPy leaves room in the header for the number of them."""

    def __init__(self, path: Path, shape: tuple[int, ...], kind: np.dtype) -> None:
        self.shape, self.kind, self.count = shape, kind, 0
        self.file = path.open("wb")
        self._header()
        self._begin = self.file.tell()

    def append(self, plane: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(plane).tobytes())
        self.count += 1

    def close(self) -> None:
        """Write the number of arrays into the header and everything to disk."""
        self.file.seek(0)
        self._header()
        assert self.file.tell() == self._begin
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    def _header(self) -> None:
        facts = {"descr": np.lib.format.dtype_to_descr(self.kind), "fortran_order": False, "shape": (self.count, *self.shape)}
        np.lib.format.write_array_header_1_0(self.file, facts)
