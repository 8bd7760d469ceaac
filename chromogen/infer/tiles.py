"""Cut a large image into overlapping tiles and blend the translated ones without a seam, one band of rows at a time.

Along each axis, neighbouring tiles overlap by at least 2 * context_px + RAMP_PX. They are cross-faded over RAMP_PX pixels in
the middle of that overlap, so every pixel comes only from tiles that see all of its context: where a network looks no further
than context_px, the blended result equals one pass over the whole image. Tiles start on multiples of multiple_px, so a
network that halves its input sees the same phase everywhere.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int64

from chromogen.method import Tiling
from chromogen.tensors import SignedImages, Uint8Image, Uint8Images, uint8_from_signed

RAMP_PX = 32
SMALLEST_PX = 64  # smaller images are reflected up to this: networks that halve and pad cannot take a handful of pixels
WHOLE_PIXELS = 4096 * 4096  # the most that goes through a network in one piece; 64 channels of it are 4 GB in float32
STRIP_PX = 64  # finished rows become uint8 in strips, which keeps the temporary copies small

Progress = Callable[[int, int], None]  # tiles done, tiles in all


@dataclass(frozen=True)
class Span:
    """One tile along one axis: it reads from pixel `start` and contributes to the pixels `first` to `stop` - 1.

    `start` + the tile's size may lie beyond the image; what lies there is reflected.
    """

    start: int
    first: int
    stop: int
    weights: Float[np.ndarray, " length"]  # stop - first values; over all spans they add up to 1 at every pixel


@dataclass(frozen=True)
class Grid:
    """The tiles of one image: every row of `rows` with every column of `columns`."""

    tile_height: int
    tile_width: int
    rows: Sequence[Span]  # from top to bottom
    columns: Sequence[Span]  # in any order


def plan(height: int, width: int, tiling: Tiling, tile_px: int) -> Grid:
    """Lay tiles over an image; sides of at most `tile_px` pixels take one tile, larger ones several of equal size.

    `tile_px` is raised to what the method's context needs and rounded up to its multiple. A method that needs the whole image
    gets it in one tile, whatever `tile_px` says; above WHOLE_PIXELS that is a ValueError.
    """
    if tiling.whole_image:
        if height * width > WHOLE_PIXELS:
            raise ValueError(
                f"the image has {width} x {height} pixels, and this model, which looks at the statistics of the whole "
                f"image, takes at most {WHOLE_PIXELS} in one piece; cut the image into smaller ones, each to be normalised by "
                "itself, or take a model trained with batch norm"
            )
        tile_px = max(height, width)
    tile_height, rows = _spans(height, tiling, tile_px)
    tile_width, columns = _spans(width, tiling, tile_px)
    return Grid(tile_height, tile_width, rows, columns)


def reflected(start: int, stop: int, size: int) -> Int64[np.ndarray, " length"]:
    """Indices in [0, size) for the pixels `start` to `stop` - 1 of a line mirrored at both ends, again and again.

    The end pixel is not repeated (numpy.pad's mode "reflect").
    """
    if size == 1:
        return np.zeros(stop - start, np.int64)
    position = np.arange(start, stop) % (2 * size - 2)
    return np.minimum(position, 2 * size - 2 - position)


def cut(image: Uint8Image, top: int, left: int, height: int, width: int) -> Uint8Image:
    """A copy of the box at (top, left), reflected where it leaves the image."""
    rows = reflected(top, top + height, image.shape[0])
    columns = reflected(left, left + width, image.shape[1])
    return image[rows[:, None], columns[None, :]]


def blend(
    image: Uint8Image,
    grid: Grid,
    translate: Callable[[Uint8Images], SignedImages],
    batch_size: int = 1,
    progress: Progress | None = None,
) -> Uint8Image:
    """Translate `image` tile by tile, `batch_size` tiles of one row at a time, and blend.

    `translate` takes uint8 (N, tile_height, tile_width, 3) and returns float32 of the same size in [-1, 1] on the CPU. Beyond
    `image` and the result this holds one band of float32 rows, at most a tile high. Raises ValueError when a value is not
    finite.
    """
    height, width = image.shape[:2]
    result = np.empty_like(image)
    unfinished = torch.zeros(3, 0, width)
    total = len(grid.rows) * len(grid.columns)
    ends = [*(row.first for row in grid.rows[1:]), height]
    for y, (row, end) in enumerate(zip(grid.rows, ends, strict=True)):
        band = torch.zeros(3, row.stop - row.first, width)
        band[:, : unfinished.shape[1]] = unfinished
        for x in range(0, len(grid.columns), batch_size):
            columns = grid.columns[x : x + batch_size]
            tiles = [cut(image, row.start, column.start, grid.tile_height, grid.tile_width) for column in columns]
            for fake, column in zip(translate(np.stack(tiles)), columns, strict=True):
                inner = fake[:, row.first - row.start : row.stop - row.start, column.first - column.start :]
                weights = torch.from_numpy(np.outer(row.weights, column.weights))
                band[:, :, column.first : column.stop] += inner[:, :, : column.stop - column.first] * weights
            if progress is not None:
                progress(y * len(grid.columns) + x + len(columns), total)
        for top in range(row.first, end, STRIP_PX):
            bottom = min(top + STRIP_PX, end)
            result[top:bottom] = uint8_from_signed(band[None, :, top - row.first : bottom - row.first])[0]
        unfinished = band[:, end - row.first :].clone()
    return result


def joints(spans: Sequence[Span]) -> list[int]:
    """The pixels where one tile hands over to the next: the middle of each cross-fade."""
    ordered = sorted(spans, key=lambda span: span.first)
    return [(before.stop + after.first) // 2 for before, after in pairwise(ordered)]


def seam_score(image: Uint8Image, grid: Grid) -> float:
    """Mean absolute step between neighbouring pixels inside the cross-fades, divided by the same elsewhere; 1 is seamless.

    A tile that differs from its neighbour shows as a value above 1. NaN for an image of one tile.
    """
    sums = np.zeros((2, 2))  # (elsewhere, in a cross-fade) x (sum, count)
    for spans, lines in ((grid.rows, image), (grid.columns, image.swapaxes(0, 1))):
        inside = np.zeros(len(lines), int)
        for joint in joints(spans):
            inside[joint - RAMP_PX // 2 : joint + RAMP_PX // 2] = 1
        for line, (before, after) in enumerate(pairwise(lines)):
            step = np.abs(after.astype(np.int16) - before)
            sums[inside[line]] += step.sum(), step.size
    if sums[1, 1] == 0:
        return math.nan
    return float((sums[1, 0] / sums[1, 1]) / (sums[0, 0] / sums[0, 1]))


def _spans(size: int, tiling: Tiling, tile_px: int) -> tuple[int, list[Span]]:
    """Tile size along one axis and its spans."""
    multiple = tiling.multiple_px
    padded = _round_up(max(size, SMALLEST_PX), multiple)
    overlap = 2 * tiling.context_px + RAMP_PX
    tile = _round_up(max(tile_px, SMALLEST_PX, overlap + 2 * RAMP_PX + multiple), multiple)
    if padded <= tile:
        return padded, [Span(0, 0, size, np.ones(size, np.float32))]
    stride = (tile - overlap) // multiple * multiple
    steps = math.ceil((padded - tile) / stride)
    starts = [round(i * (padded - tile) / (steps * multiple)) * multiple for i in range(steps + 1)]
    middles = [(before + tile + after) // 2 for before, after in pairwise(starts)]
    firsts = [0, *(middle - RAMP_PX // 2 for middle in middles)]
    stops = [*(middle + RAMP_PX // 2 for middle in middles), size]
    spans = []
    for start, first, stop in zip(starts, firsts, stops, strict=True):
        weights = np.ones(stop - first)
        if first > 0:
            weights[:RAMP_PX] = _rise()
        if stop < size:
            weights[-RAMP_PX:] -= _rise()
        spans.append(Span(start, first, stop, weights.astype(np.float32)))
    return tile, spans


def _rise() -> Float[np.ndarray, " ramp"]:
    """A raised cosine from 0 to 1; with its mirror image it adds up to 1."""
    return 0.5 - 0.5 * np.cos(np.pi * (np.arange(RAMP_PX) + 0.5) / RAMP_PX)


def _round_up(value: int, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple
