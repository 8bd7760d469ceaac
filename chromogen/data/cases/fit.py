"""Grey levels to [0, 1], and every case of a set to one size: images, masks, boxes, spacing and affine alike."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from chromogen.data.cases.backgrounds import GreyRange

Normalise = Literal["auto", "minmax", "percentile", "window"]
Fitting = Literal["resize", "stretch", "crop"]

Boxes = Float[np.ndarray, "boxes 5"]  # class (from 1), x0, y0, x1, y1 in px: the left edge of column 3 is 3.0


def range_by(
    rule: Literal["minmax", "percentile", "window"], pixels: np.ndarray, grey: GreyRange, window: tuple[float, float]
) -> GreyRange:
    """What becomes 0 and 1 in `pixels`, a picture or a slice of what has the range `grey`. `window` is a centre and a width, as
    on a CT console. Background stays background under every rule."""
    if rule == "window":
        return replace(grey, low=window[0] - window[1] / 2, high=window[0] + window[1] / 2)
    if rule == "percentile":
        return grey
    shown = pixels if grey.background is None else pixels[pixels != grey.background]
    return replace(grey, low=float(shown.min()), high=float(shown.max())) if shown.size else grey


@dataclass(frozen=True)
class Fit:
    """How a picture of `rows` x `columns` comes to lie in one of `out_rows` x `out_columns`.

    It is resampled to `inner_rows` x `inner_columns`, and its top left corner then lies at (`top`, `left`), which is negative
    where it is cut. What is not covered is 0.
    """

    rows: int
    columns: int
    inner_rows: int
    inner_columns: int
    top: int
    left: int
    out_rows: int
    out_columns: int

    @property
    def scale(self) -> tuple[float, float]:
        return self.inner_rows / self.rows, self.inner_columns / self.columns

    def image(self, pixels: Float[np.ndarray, "height width *colour"]) -> Float[np.ndarray, "height width *colour"]:
        """Averaged over areas when it shrinks, linear when it grows; float32."""
        planes = pixels[..., None] if pixels.ndim == 2 else pixels
        kernel = Image.Resampling.BOX if max(self.scale) <= 1 else Image.Resampling.BILINEAR
        fitted = [self._placed(self._resampled(planes[..., k].astype(np.float32), kernel)) for k in range(planes.shape[2])]
        return fitted[0] if pixels.ndim == 2 else np.stack(fitted, axis=2)

    def mask(self, classes: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
        """The class of the nearest pixel."""
        return self._placed(self._resampled(classes.astype(np.uint8), Image.Resampling.NEAREST))

    def boxes(self, boxes: Boxes) -> Boxes:
        """Cut to the picture; a box of which nothing is left is gone."""
        down, across = self.scale
        moved = boxes.astype(np.float32).copy()
        for corner in (1, 3):
            moved[:, corner] = np.clip(boxes[:, corner] * across + self.left, 0, self.out_columns)
            moved[:, corner + 1] = np.clip(boxes[:, corner + 1] * down + self.top, 0, self.out_rows)
        return moved[(moved[:, 3] > moved[:, 1]) & (moved[:, 4] > moved[:, 2])]

    def spacing(self, spacing_mm: tuple[float, float] | None) -> tuple[float, float] | None:
        return None if spacing_mm is None else (spacing_mm[0] / self.scale[0], spacing_mm[1] / self.scale[1])

    def affine(self, affine: Float[np.ndarray, "4 4"] | None) -> Float[np.ndarray, "4 4"] | None:
        """`affine` for the pixels of the fitted picture; pixel centres are whole numbers."""
        if affine is None:
            return None
        back = np.eye(4)
        for axis, (scale, start) in enumerate(zip(self.scale[::-1], (self.left, self.top), strict=True)):
            back[axis, axis] = 1 / scale
            back[axis, 3] = (0.5 - start) / scale - 0.5
        return affine @ back

    def _resampled(self, plane: np.ndarray, kernel: Image.Resampling) -> np.ndarray:
        if plane.shape == (self.inner_rows, self.inner_columns):
            return plane
        return np.asarray(Image.fromarray(plane).resize((self.inner_columns, self.inner_rows), kernel))

    def _placed(self, plane: np.ndarray) -> np.ndarray:
        if plane.shape == (self.out_rows, self.out_columns) and self.top == self.left == 0:
            return np.ascontiguousarray(plane)
        out = np.zeros((self.out_rows, self.out_columns), dtype=plane.dtype)
        into, of = zip(
            *(
                _overlap(*line)
                for line in ((self.top, self.inner_rows, self.out_rows), (self.left, self.inner_columns, self.out_columns))
            ),
            strict=True,
        )
        out[into] = plane[of]
        return out


def fit_to(rows: int, columns: int, size_px: int | tuple[int, int] | None, how: Fitting) -> Fit:
    """`resize`: the picture as large as it fits, its aspect kept, the rest 0. `stretch`: both sides to `size_px`.
    `crop`: not resampled; cut or filled up with 0 around the centre. None leaves the size alone."""
    if size_px is None:
        return Fit(rows, columns, rows, columns, 0, 0, rows, columns)
    out_rows, out_columns = (size_px, size_px) if isinstance(size_px, int) else size_px
    inner = {"crop": (rows, columns), "stretch": (out_rows, out_columns)}.get(how)
    if inner is None:
        scale = min(out_rows / rows, out_columns / columns)
        inner = (min(out_rows, max(1, round(rows * scale))), min(out_columns, max(1, round(columns * scale))))
    top, left = (out_rows - inner[0]) // 2, (out_columns - inner[1]) // 2
    return Fit(rows, columns, *inner, top, left, out_rows, out_columns)


def _overlap(start: int, length: int, out: int) -> tuple[slice, slice]:
    """Where a line of `length` px that begins at `start` lies in one of `out` px, and which part of it that is."""
    first, last = max(0, start), min(out, start + length)
    return slice(first, last), slice(first - start, last - start)
