"""Boxes around findings, as Pascal VOC writes them: one XML file an image."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

MAX_BYTES = 2**20


@dataclass(frozen=True)
class NamedBoxes:
    """The names of the objects and their corners x0, y0, x1, y1 in px; `size` is what the file says of its image."""

    names: tuple[str, ...]
    corners: tuple[tuple[float, float, float, float], ...]
    size: tuple[int, int] | None  # columns, rows

    def numbered(self, classes: tuple[str, ...], where: Path) -> Float[np.ndarray, "boxes 5"]:
        """Class number and corners; ValueError for a name that `classes` lacks."""
        for name in self.names:
            if name not in classes[1:]:
                raise ValueError(
                    f"{where}: a box is called {name!r}, but the classes are {', '.join(classes[1:])}; name them all"
                )
        rows = [(classes.index(name), *corners) for name, corners in zip(self.names, self.corners, strict=True)]
        return np.array(rows, dtype=np.float32).reshape(-1, 5)

    def outside(self, columns: int, rows: int) -> str:
        """What is wrong with the boxes on an image of that size, "" for nothing."""
        if self.size and min(self.size) > 0 and self.size != (columns, rows):
            return f"was drawn on {self.size[0]} x {self.size[1]} px, the image has {columns} x {rows}"
        for name, (x0, y0, x1, y1) in zip(self.names, self.corners, strict=True):
            if x0 < 0 or y0 < 0 or x1 > columns or y1 > rows:
                where = f"from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g})"
                return f"has the box {name!r} {where}, outside the image of {columns} x {rows} px"
        return ""


def read_boxes(path: Path) -> NamedBoxes:
    """The objects of a Pascal VOC file. ValueError: not XML, an entity in it, a box without name, corners or area."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} has more than {MAX_BYTES} bytes; a list of boxes is short")
    text = path.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\0" in text:
        raise ValueError(f"{path} defines entities or is not UTF-8; boxes need neither: write plain Pascal VOC")
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not XML ({error}); write the boxes again") from error
    names, corners = [], []
    for number, item in enumerate(tree.iter("object"), start=1):
        name = (item.findtext("name") or "").strip()
        try:
            x0, y0, x1, y1 = (float(item.findtext(f"bndbox/{key}") or "nan") for key in ("xmin", "ymin", "xmax", "ymax"))
        except ValueError as error:
            raise ValueError(f"{path}: object {number} has a corner that is no number; write the boxes again") from error
        if not name or not np.isfinite([x0, y0, x1, y1]).all() or not (x1 > x0 and y1 > y0):
            raise ValueError(f"{path}: object {number} lacks a name, a corner or an area; write xmin < xmax and ymin < ymax")
        names.append(name)
        corners.append((x0, y0, x1, y1))
    return NamedBoxes(tuple(names), tuple(corners), _size(tree))


def _size(tree: ElementTree.Element) -> tuple[int, int] | None:
    try:
        return int(tree.findtext("size/width") or ""), int(tree.findtext("size/height") or "")
    except ValueError:
        return None
