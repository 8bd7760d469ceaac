"""COCO's annotations of a made case: a box and a run-length mask of every connected piece of a label, or its boxes alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage

from chromogen.synthesize.made import MadeCase


def annotations_of(case: MadeCase) -> list[dict[str, Any]]:
    """COCO's bbox (x, y, width, height in px), area in px, iscrowd 0 and category_id (from 1) of every box, or of every
    connected piece of the mask; pieces have their pixels as `segmentation`, of a box nobody knows them."""
    found: list[dict[str, Any]] = []
    if case.boxes is not None:
        for number, x0, y0, x1, y1 in case.boxes[case.boxes[:, 0] > 0].tolist():
            box = [x0, y0, x1 - x0, y1 - y0]
            found.append({"category_id": int(number), "bbox": [round(v, 2) for v in box], "area": round(box[2] * box[3], 2)})
    elif case.mask is not None:
        for number in np.unique(case.mask[case.mask > 0]).tolist():
            pieces, _ = ndimage.label(case.mask == number, structure=np.ones((3, 3)))
            for index, (rows, columns) in enumerate(ndimage.find_objects(pieces), start=1):
                piece = pieces == index
                box = [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start]
                area = int(piece.sum())
                found.append({"category_id": number, "bbox": box, "area": area, "segmentation": run_lengths(piece)})
    return [{"iscrowd": 0, **one} for one in found]


def run_lengths(piece: Bool[np.ndarray, "height width"]) -> dict[str, list[int]]:
    """COCO's uncompressed RLE: lengths of runs down the columns, zeros and ones in turn, zeros first; size: rows, columns."""
    flat = np.concatenate([[False], piece.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return {"size": list(piece.shape), "counts": np.diff([0, *changes.tolist(), piece.size]).tolist()}


def mask_of(annotations: Sequence[Mapping[str, Any]], size_px: tuple[int, int]) -> UInt8[np.ndarray, "height width"]:
    """The mask (rows, columns) that `annotations_of` a mask wrote down. ValueError for annotations without masks."""
    if not all("segmentation" in one for one in annotations):
        raise ValueError("the annotations have no segmentation, so that there is no mask; make the cases with --format png")
    flat = np.zeros(size_px[0] * size_px[1], np.uint8)
    for one in annotations:
        ends = np.cumsum(one["segmentation"]["counts"])
        for first, last in zip(ends[::2], ends[1::2], strict=False):
            flat[first:last] = one["category_id"]
    return flat.reshape(size_px, order="F")
