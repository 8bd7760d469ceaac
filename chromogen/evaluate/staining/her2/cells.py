"""An IHC image measured once: every cell's ring as numbers, and what else the read-out must know of the picture.

measured = measure(image, mpp=0.5)
readout = read(measured, Thresholds())          # her2.readout; as often as you like, without the image
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float32, Int64
from scipy import ndimage

from chromogen.evaluate.staining.her2.membrane import (
    SECTORS,
    STEP_UM,
    Middles,
    PerSector,
    Rays,
    darker_half,
    own_share,
    territories,
)
from chromogen.evaluate.staining.her2.nuclei import Densities, Density, check_mpp, find_nuclei, ihc_densities, outside
from chromogen.kind import kind_of
from chromogen.tensors import Uint8Image
from chromogen.tissue import TISSUE, Mask, showing, unseen

BIN = 0.01  # of the DAB histogram
BINS = 300
QUIET_OD, QUIET_CELLS = 0.15, 20  # cells whose darkest line is below this show what noise measures, if there are so many


@dataclass(frozen=True)
class View:
    """What the picture is like, apart from its cells.

    white: colour of its empty glass, unit RGB. tissue: share that is not glass, of what is neither padding nor ink. pink: how
    much more green light the tissue takes than haematoxylin and DAB can, over its density; eosin does. foreign: share of the
    stain that is neither.
    grain: what a ring without any membrane measures by noise and texture alone, a density like those of `Cells.own`.
    detail: fine over coarse structure, small where the picture is out of focus. tissue_dab: tissue pixels (inside the mask,
    where there is one) by DAB density, bins of 0.01 from 0; the last bin holds the rest. hidden: share of padding and ink.
    stranger: what the picture is, where it is no H-DAB image (then nothing of it was measured); empty where it is one.
    """

    height: int
    width: int
    mpp: float
    white: tuple[float, float, float]
    tissue: float
    pink: float
    foreign: float
    grain: float
    detail: float
    tissue_dab: tuple[int, ...]
    hidden: float = 0.0
    stranger: str = ""


@dataclass(frozen=True, eq=False)
class Cells:
    """One row a cell, in pixels, um and decadic optical densities along the DAB vector.

    `own` is the density of the cell's own membrane in 24 directions, the first to the right, then clockwise; `line` the whole
    line there, the neighbour's half included; `radius_um` where it lies. Where the ring leaves the image all three are NaN.
    """

    view: View
    y: Float32[np.ndarray, " cells"]
    x: Float32[np.ndarray, " cells"]
    own: Float32[np.ndarray, "cells sectors"]
    line: Float32[np.ndarray, "cells sectors"]
    radius_um: Float32[np.ndarray, "cells sectors"]
    cytoplasm: Float32[np.ndarray, " cells"]
    nucleus: Float32[np.ndarray, " cells"]  # DAB over the middle of the nucleus

    def __len__(self) -> int:
        return len(self.y)


def measure(image: Uint8Image, mpp: float, within: Bool[np.ndarray, "height width"] | None = None) -> Cells:
    """Find and measure the cells of an H-DAB image; `within` (True for tumour, say) keeps those with their middle in it.

    Padding and ink lie outside the image, and cells with more than half of their ring outside are left out. Of a picture that
    is no H-DAB image nothing is measured; `View.stranger` says what it is. Raises ValueError for other arrays than uint8 RGB,
    for `mpp` outside 0.1-2 um per pixel and for a mask of another size.
    """
    kind = kind_of(image)
    check_mpp(mpp)
    if within is not None and within.shape != image.shape[:2]:
        sizes = [f"{shape[1]}x{shape[0]} px" for shape in (within.shape, image.shape)]
        raise ValueError(f"the mask is {sizes[0]}, its image {sizes[1]}; draw it on the image itself")
    if kind.name not in ("ihc", "blank"):
        return _nothing(image, mpp, f"it looks like {kind.words} ({kind.reason})")
    hidden = unseen(image)
    box = showing(hidden)
    found = ihc_densities(image[box], None if hidden is None else hidden[box])
    cells = _measure(found, mpp, None if hidden is None else hidden[box], None if within is None else within[box])
    return cells if hidden is None else _placed(cells, image, box, float(hidden.mean()))


def _nothing(image: Uint8Image, mpp: float, stranger: str) -> Cells:
    height, width = image.shape[:2]
    white = (1.0, 1.0, 1.0)
    view = View(height, width, float(mpp), white, 0.0, 0.0, 0.0, 0.0, 0.0, tissue_dab=(0,) * BINS, stranger=stranger)
    none, rings = np.empty(0, np.float32), np.empty((0, SECTORS), np.float32)
    return Cells(view, none, none, rings, rings, rings, none, none)


def _placed(cells: Cells, image: Uint8Image, box: tuple[slice, slice], hidden: float) -> Cells:
    """Cells of a part of the image, in pixels of the whole."""
    top, left = (np.float32(part.start or 0) for part in box)
    view = replace(cells.view, height=image.shape[0], width=image.shape[1], hidden=hidden)
    return replace(cells, view=view, y=cells.y + top, x=cells.x + left)


def _measure(found: Densities, mpp: float, hidden: Mask | None, within: Mask | None) -> Cells:
    middles = outside(find_nuclei(found, mpp), hidden)
    dab = ndimage.gaussian_filter(found.other, 0.3 / mpp, truncate=3)
    rays = Rays(middles, territories(middles, dab, mpp), dab, mpp, hidden)
    ridge = rays.ridge()
    line = rays.line(ridge)
    own = own_share(line, rays.neighbour, rays.seen)
    own = ndimage.median_filter(own, (1, 3), mode="wrap") if len(own) else own  # one ray alone is noise
    rows, columns = middles.astype(int).T
    keep = rays.seen.mean(axis=1) >= 0.5
    if within is not None:
        keep &= within[rows, columns]

    def ring(values: np.ndarray) -> Float32[np.ndarray, "cells sectors"]:
        return np.where(rays.seen, values, np.nan)[keep].astype(np.float32)

    nucleus = ndimage.gaussian_filter(found.other, 1.0 / mpp, truncate=3)[rows, columns]
    return Cells(
        view=_view(found, mpp, hidden, within, _grain(middles, line, dab, mpp, hidden)),
        y=rows[keep].astype(np.float32),
        x=columns[keep].astype(np.float32),
        own=ring(own),
        line=ring(line),
        radius_um=ring(ridge * STEP_UM),
        cytoplasm=rays.cytoplasm()[keep],
        nucleus=nucleus[keep].astype(np.float32),
    )


def _view(found: Densities, mpp: float, hidden: Mask | None, within: Mask | None, grain: float) -> View:
    tissue = found.total > TISSUE  # glass in what is hidden
    counted = tissue if within is None else tissue & within
    pink, foreign = _strangers(found, tissue, mpp)
    return View(
        height=tissue.shape[0],
        width=tissue.shape[1],
        mpp=float(mpp),
        white=found.white,
        tissue=float(tissue.mean() if hidden is None else tissue.sum() / max(1, (~hidden).sum())),
        pink=pink,
        foreign=foreign,
        grain=grain,
        detail=_detail(found.total, mpp),
        tissue_dab=tuple(int(count) for count in _histogram(found.other[counted])),
    )


def _grain(middles: Middles, line: PerSector, dab: Density, mpp: float, hidden: Mask | None) -> float:
    """The darker half of the ring on the picture's negative, where only chance makes lines: median of the unstained cells.

    The negative of a stained membrane is a valley between two banks, which look like lines; so stained cells cannot be asked.
    """
    rays = Rays(middles, territories(middles, np.zeros_like(dab), mpp), -dab, mpp, hidden)
    quiet = (line.max(axis=1) < QUIET_OD) & rays.seen.all(axis=1) if len(line) else np.zeros(0, bool)
    if quiet.sum() < QUIET_CELLS:
        return 0.0
    own = own_share(rays.line(rays.ridge()), rays.neighbour, rays.seen)[quiet]
    own = ndimage.median_filter(own, (1, 3), mode="wrap")
    return float(np.median(darker_half(own)))


def _histogram(dab: Float32[np.ndarray, " pixels"]) -> Int64[np.ndarray, " bins"]:
    return np.bincount(np.clip(dab / BIN, 0, BINS - 1).astype(np.int64), minlength=BINS)


def _strangers(found: Densities, tissue: Bool[np.ndarray, "height width"], mpp: float) -> tuple[float, float]:
    """`pink` and `foreign` of a View. On eight real IHC images at most 0.02 and 0.2; on their H&E at least 0.15 and 0.05."""
    parts = (found.haematoxylin, found.other, found.residual, found.total)
    first, second, rest, total = (ndimage.gaussian_filter(part, 1.0 / mpp, truncate=3)[tissue] for part in parts)
    pink = float(np.maximum(-rest, 0).sum()) / max(float(total.sum()), 1e-9)  # the residual's vector takes no green
    left = float(np.abs(rest).sum())
    return pink, left / max(float(np.abs(first).sum() + np.abs(second).sum()) + left, 1e-9)


def _detail(total: Density, mpp: float) -> float:
    """Deviation of the density's structure of 0.5-1 um over that of 2-4 um."""
    levels = [ndimage.gaussian_filter(total, um / mpp, truncate=3) for um in (0.5, 1.0, 2.0, 4.0)]
    coarse = float((levels[2] - levels[3]).std())
    return float((levels[0] - levels[1]).std()) / coarse if coarse > 1e-4 else 0.0
