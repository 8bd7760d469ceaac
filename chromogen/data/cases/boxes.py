"""Boxes around findings: Pascal VOC (one XML file an image) and COCO (one JSON file for many)."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

MAX_BYTES = 2**20
MAX_COCO_BYTES = 2**30


@dataclass(frozen=True)
class NamedBoxes:
    """The names of the objects and their corners x0, y0, x1, y1 in px; `size` is what the file says of its image.

    `difficult` are the names of boxes that the file marks so, and that are not among `names`: by the rules of Pascal VOC they
    count neither as findings nor as their absence. `image` is the name of the image as the file gives it.
    """

    names: tuple[str, ...]
    corners: tuple[tuple[float, float, float, float], ...]
    size: tuple[int, int] | None  # columns, rows
    difficult: tuple[str, ...] = ()
    image: str = ""

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
    """The objects of a Pascal VOC file. ValueError: not XML, another kind, an entity in it, a box without name or area."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} has more than {MAX_BYTES} bytes; a list of boxes is short")
    text = path.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\0" in text:
        raise ValueError(f"{path} defines entities or is not UTF-8; boxes need neither: write plain Pascal VOC")
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not XML ({error}); write the boxes again") from error
    kind = tree.tag.rpartition("}")[2]
    if kind != "annotation" and tree.find(".//object") is None:
        raise ValueError(f"{path} is no Pascal VOC file (it holds {kind}); write the boxes as such, or take the file out")
    names: list[str] = []
    corners: list[tuple[float, float, float, float]] = []
    difficult = []
    for number, item in enumerate(tree.iter("object"), start=1):
        name = (item.findtext("name") or "").strip()
        try:
            x0, y0, x1, y1 = (float(item.findtext(f"bndbox/{key}") or "nan") for key in ("xmin", "ymin", "xmax", "ymax"))
        except ValueError as error:
            raise ValueError(f"{path}: object {number} has a corner that is no number; write the boxes again") from error
        if not name or not np.isfinite([x0, y0, x1, y1]).all() or not (x1 > x0 and y1 > y0):
            raise ValueError(f"{path}: object {number} lacks a name, a corner or an area; write xmin < xmax and ymin < ymax")
        if (item.findtext("difficult") or "0").strip() not in ("0", ""):
            difficult.append(name)
            continue
        names.append(name)
        corners.append((x0, y0, x1, y1))
    image = (tree.findtext("filename") or "").strip()
    return NamedBoxes(tuple(names), tuple(corners), _size(tree), tuple(difficult), image)


def is_coco(path: Path) -> bool:
    """Whether a JSON file holds images, annotations and categories, as COCO's files of boxes do."""
    if path.stat().st_size > MAX_COCO_BYTES:
        return False
    return {"images", "annotations", "categories"} <= _coco(path, path.stat().st_mtime_ns).keys()


@lru_cache(maxsize=8)
def _coco(path: Path, _version: int) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def read_coco(path: Path) -> dict[str, NamedBoxes]:
    """The boxes of every image of a COCO file by the image's file name; images without boxes are there, too.

    `iscrowd` boxes stand for many at once and count as difficult. ValueError: lists that lack a field, or that lead nowhere.
    """
    facts = _coco(path, path.stat().st_mtime_ns)
    try:
        classes = {one["id"]: str(one["name"]) for one in facts["categories"]}
        images = {one["id"]: one for one in facts["images"]}
        found: dict[Any, list[tuple[str, tuple[float, float, float, float], bool]]] = {key: [] for key in images}
        for number, one in enumerate(facts["annotations"], start=1):
            x, y, width, height = (float(value) for value in one["bbox"])
            if not np.isfinite([x, y, width, height]).all() or not (width > 0 and height > 0):
                raise ValueError(f"annotation {number} has a box without area")
            found[one["image_id"]].append(
                (classes[one["category_id"]], (x, y, x + width, y + height), bool(one.get("iscrowd")))
            )
        boxes = {}
        for key, image in images.items():
            sure = [(name, corners) for name, corners, hard in found[key] if not hard]
            size = (int(image["width"]), int(image["height"])) if "width" in image and "height" in image else None
            hard = tuple(name for name, _, crowd in found[key] if crowd)
            name = str(image["file_name"])
            boxes[name] = NamedBoxes(tuple(n for n, _ in sure), tuple(c for _, c in sure), size, hard, name)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no COCO file of boxes ({type(error).__name__}: {error}); every annotation needs "
            "image_id, category_id and bbox"
        ) from error
    return boxes


def _size(tree: ElementTree.Element) -> tuple[int, int] | None:
    try:
        return int(tree.findtext("size/width") or ""), int(tree.findtext("size/height") or "")
    except ValueError:
        return None
