"""A lesion's label as something that can be moved: a piece of a segmentation mask, or boxes.

Both know the same three things: how they look after a turn, mirroring or shrinking; how they look some pixels aside; and
whether they lie inside an organ. Positions are in px from the top left corner of the image; pixel i reaches from i to i + 1.
"""

from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from jaxtyping import Bool, Float, UInt8

OrganPixels = Bool[np.ndarray, "height width"]


@dataclass(frozen=True)
class Move:
    """x -> matrix x + offset, for positions (row, column)."""

    matrix: Float[np.ndarray, "2 2"]
    offset: Float[np.ndarray, "2"]

    @classmethod
    def about(cls, centre: Float[np.ndarray, "2"], matrix: Float[np.ndarray, "2 2"]) -> Self:
        """The move that leaves `centre` where it is."""
        return cls(matrix, centre - matrix @ centre)

    def then(self, later: "Move") -> "Move":
        return Move(later.matrix @ self.matrix, later.matrix @ self.offset + later.offset)

    def of(self, points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "points 2"]:
        return points @ self.matrix.T + self.offset

    def back(self, points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "points 2"]:
        return (points - self.offset) @ np.linalg.inv(self.matrix).T


class Lesion(Protocol):
    """What can be placed into an organ."""

    def moved(self, move: Move) -> Self: ...
    def aside(self, rows: int, columns: int) -> Self: ...
    def inside(self, organ: OrganPixels) -> bool:
        """Whether there is a lesion at all and every pixel of it lies in the organ; beyond the image there is no organ."""

    def centre(self) -> Float[np.ndarray, "2"]:
        """Row and column of its middle."""


@dataclass(frozen=True)
class MaskLesion:
    """A piece of a segmentation mask (0: nothing) whose top left pixel lies at row `top` and column `left` of the image."""

    pixels: UInt8[np.ndarray, "height width"]
    top: int
    left: int

    @classmethod
    def of(cls, mask: UInt8[np.ndarray, "height width"]) -> Self:
        """All of a mask's lesions as one piece. A mask without any is a ValueError."""
        if mask.ndim != 2 or not np.issubdtype(mask.dtype, np.integer):
            raise ValueError(f"a lesion's mask must be whole numbers of shape (H, W), got {mask.dtype} {mask.shape}")
        if not mask.any():
            raise ValueError("this mask holds no lesion; leave it out of the bank")
        if mask.min() < 0 or mask.max() > 255:
            raise ValueError(f"the classes of a mask must be from 0 to 255, got {mask.min()} to {mask.max()}")
        return cls(mask.astype(np.uint8), 0, 0).trimmed()

    def moved(self, move: Move) -> Self:
        """By nearest neighbour, so that no new class appears. It may come out empty."""
        height, width = self.pixels.shape
        ends = [[row, column] for row in (self.top, self.top + height) for column in (self.left, self.left + width)]
        reached = move.of(np.array(ends, dtype=float))
        low, high = np.floor(reached.min(axis=0)).astype(int), np.ceil(reached.max(axis=0)).astype(int)
        grid = np.stack(np.meshgrid(np.arange(low[0], high[0]), np.arange(low[1], high[1]), indexing="ij"), axis=-1)
        source = np.floor(move.back(grid.reshape(-1, 2) + 0.5)).astype(int) - (self.top, self.left)
        known = ((source >= 0) & (source < (height, width))).all(axis=1)
        pixels = np.zeros(len(source), dtype=np.uint8)
        pixels[known] = self.pixels[tuple(source[known].T)]
        return replace(self, pixels=pixels.reshape(grid.shape[:2]), top=int(low[0]), left=int(low[1])).trimmed()

    def aside(self, rows: int, columns: int) -> Self:
        return replace(self, top=self.top + rows, left=self.left + columns)

    def inside(self, organ: OrganPixels) -> bool:
        height, width = self.pixels.shape
        if not self.pixels.any() or min(self.top, self.left) < 0:
            return False
        if self.top + height > organ.shape[0] or self.left + width > organ.shape[1]:
            return False
        return bool(organ[self.top : self.top + height, self.left : self.left + width][self.pixels > 0].all())

    def centre(self) -> Float[np.ndarray, "2"]:
        return np.argwhere(self.pixels).mean(axis=0) + 0.5 + (self.top, self.left) if self.pixels.any() else np.zeros(2)

    def drawn(self, height: int, width: int) -> UInt8[np.ndarray, "height width"]:
        """The mask of the whole image; what lies beyond its border is cut off."""
        mask = np.zeros((height, width), dtype=np.uint8)
        rows, columns = np.nonzero(self.pixels)
        down, across = rows + self.top, columns + self.left
        seen = (down >= 0) & (down < height) & (across >= 0) & (across < width)
        mask[down[seen], across[seen]] = self.pixels[rows[seen], columns[seen]]
        return mask

    def boxed(self) -> "BoxLesion":
        """The box around it, of its largest class."""
        self = self.trimmed()
        height, width = self.pixels.shape
        box = [self.pixels.max(), self.left, self.top, self.left + width, self.top + height]
        return BoxLesion(np.array([box], dtype=np.float32))

    def trimmed(self) -> Self:
        """The same lesion without empty rows and columns around it."""
        rows, columns = np.flatnonzero(self.pixels.any(axis=1)), np.flatnonzero(self.pixels.any(axis=0))
        if not len(rows):
            return replace(self, pixels=np.zeros((0, 0), dtype=np.uint8))
        cut = self.pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return replace(self, pixels=cut, top=self.top + int(rows[0]), left=self.left + int(columns[0]))


@dataclass(frozen=True)
class BoxLesion:
    """Boxes: class (from 1), x0, y0, x1, y1 in px."""

    boxes: Float[np.ndarray, "boxes 5"]

    @classmethod
    def of(cls, boxes: Float[np.ndarray, "boxes 5"]) -> Self:
        """An image's boxes; rows of class 0 only fill up and are left out. No box, or one without an area, is a ValueError."""
        if boxes.ndim != 2 or boxes.shape[1] != 5:
            raise ValueError(f"boxes must have shape (number, 5): class, x0, y0, x1, y1; got {boxes.shape}")
        real = boxes[boxes[:, 0] > 0].astype(np.float32)
        if not len(real):
            raise ValueError("this image has no box; leave it out of the bank")
        if not (np.isfinite(real).all() and (real[:, 3:] > real[:, 1:3]).all()):
            raise ValueError(f"every box needs x0 < x1 and y0 < y1, got {real.tolist()}")
        return cls(real)

    def moved(self, move: Move) -> Self:
        """The boxes around the ellipses that fill these boxes: what is in a box is more like one, and a turned box grows."""
        middle, half = self._middles(), (self.boxes[:, 3:] - self.boxes[:, 1:3])[:, ::-1] / 2  # (row, column)
        middle = move.of(middle)
        half = np.sqrt(np.square(half) @ np.square(move.matrix).T)
        low, high = (middle - half)[:, ::-1], (middle + half)[:, ::-1]
        return replace(self, boxes=np.concatenate([self.boxes[:, :1], low, high], axis=1).astype(np.float32))

    def aside(self, rows: int, columns: int) -> Self:
        return replace(self, boxes=self.boxes + np.array([0, columns, rows, columns, rows], dtype=np.float32))

    def inside(self, organ: OrganPixels) -> bool:
        for _, x0, y0, x1, y1 in self.boxes:
            left, top, right, bottom = int(np.floor(x0)), int(np.floor(y0)), int(np.ceil(x1)), int(np.ceil(y1))
            if min(left, top) < 0 or bottom > organ.shape[0] or right > organ.shape[1]:
                return False
            if not organ[top:bottom, left:right].all():
                return False
        return len(self.boxes) > 0

    def centre(self) -> Float[np.ndarray, "2"]:
        return self._middles().mean(axis=0)

    def _middles(self) -> Float[np.ndarray, "boxes 2"]:
        return ((self.boxes[:, 1:3] + self.boxes[:, 3:]) / 2)[:, ::-1].astype(float)
