"""Whether the modalities of a generated case lie on top of each other, although their grey levels have nothing in common.

Grey levels cannot be subtracted between modalities, so edges are compared: how far one must be moved to meet the other
(phase correlation), how alike they are then, how much their lines overlap, and how much one modality tells about the other
in each part of the image. None of these is 0 or 1 for real images either: read each beside its value for real cases.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Shaped
from scipy import ndimage

from chromogen.evaluate.pixels.smoothing import smoothed

Plane = Shaped[np.ndarray, "height width"]
Cases = Shaped[np.ndarray, "cases modalities height width"]

SMOOTHING_PX = 1.0  # of the Gaussian before the gradient: noise has edges everywhere
FINENESS = 20  # parts of a pixel to which a shift is found
GRID = 4  # parts along each side in which mutual information is taken
LEVELS = 8  # grey levels it is taken over


@dataclass(frozen=True)
class PairRegistration:
    """Two modalities of many cases. Shifts in px: median and 95th percentile of their lengths; the others are means.

    edge_correlation: NCC of the edges after the shift is undone. line_overlap: Dice; NaN without lines. information: mutual
    information in bits over the parts of a grid.
    """

    modalities: tuple[int, int]
    shift_px: float
    shift_95_px: float
    edge_correlation: float
    line_overlap: float
    information: float
    cases: int


def registration(cases: Cases, lines: Cases | None = None) -> list[PairRegistration]:
    """Every pair of modalities over all cases; call it for generated cases and, as the reference, for real ones.

    lines: a line map of each image, 0 or 1, of the shape of `cases`; without them there is no overlap. ValueError for fewer
    than two modalities.
    """
    if cases.ndim != 4 or cases.shape[1] < 2 or not len(cases):
        raise ValueError(f"expected cases of at least two modalities, (cases, modalities, height, width), got {cases.shape}")
    if lines is not None and lines.shape != cases.shape:
        raise ValueError(f"lines {lines.shape} and images {cases.shape} must have one shape: one line map an image")
    edge_maps = np.stack([[edges(image) for image in case] for case in cases])
    found = []
    for first, second in combinations(range(cases.shape[1]), 2):
        pairs = [(maps[first], maps[second]) for maps in edge_maps]
        shifts = [phase_shift(*pair) for pair in pairs]
        lengths = np.hypot(*np.transpose(shifts))
        alike = [edge_correlation(*pair, shift) for pair, shift in zip(pairs, shifts, strict=True)]
        overlap = [np.nan] if lines is None else [line_overlap(case[first], case[second]) for case in lines]
        known = [local_information(case[first], case[second]).mean() for case in cases]
        found.append(
            PairRegistration(
                (first, second),
                float(np.median(lengths)),
                float(np.percentile(lengths, 95)),
                float(np.mean(alike)),
                float(np.mean(overlap)),
                float(np.mean(known)),
                len(cases),
            )
        )
    return found


def edges(image: Plane) -> Float[np.ndarray, "height width"]:
    """Length of the gradient of the smoothed image, per px, in the units of the image; mirrored at the border."""
    plane = smoothed(np.asarray(image, dtype=np.float32), SMOOTHING_PX).astype(np.float64)
    return np.hypot(ndimage.sobel(plane, 0), ndimage.sobel(plane, 1)) / 8


def phase_shift(first: Plane, second: Plane) -> tuple[float, float]:
    """How far the second lies from the first: (rows down, columns right) in px, to a twentieth; (0, 0) when one is flat.

    The peak of the inverse transform of the cross-power spectrum divided by its size (Kuglin and Hines, 1975), then the peak
    of the same sum on a grid of twentieths of a pixel around it (Guizar-Sicairos et al., Opt. Lett. 33:156, 2008). A shift
    is known up to half the image, and images count as repeating themselves: what the border cuts off must be background.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise ValueError(f"two planes of one size can be moved onto each other, got {first.shape} and {second.shape}")
    cross = np.conj(np.fft.fft2(first - first.mean())) * np.fft.fft2(second - second.mean())
    size = np.abs(cross)
    if size.max() <= 1e-12 * max(1.0, float(np.abs(first).max() * np.abs(second).max()) * first.size):
        return 0.0, 0.0
    cross /= np.maximum(size, 1e-9 * size.max())
    peak = np.unravel_index(np.argmax(np.fft.ifft2(cross).real), cross.shape)
    whole = [int(at) - side if at > side // 2 else int(at) for at, side in zip(peak, cross.shape, strict=True)]
    offsets = np.arange(-FINENESS, FINENESS + 1) / FINENESS
    waves = [
        np.exp(2j * np.pi * np.outer(near + offsets, np.fft.fftfreq(side)))
        for near, side in zip(whole, cross.shape, strict=True)
    ]
    fine = (waves[0] @ cross @ waves[1].T).real
    row, column = np.unravel_index(np.argmax(fine), fine.shape)
    return float(whole[0] + offsets[row]), float(whole[1] + offsets[column])


def edge_correlation(first: Plane, second: Plane, shift: tuple[float, float] = (0.0, 0.0)) -> float:
    """NCC in [-1, 1] of two edge maps, the second moved back by `shift` in whole px, over what both show; flat ones: 0."""
    down, right = (round(value) for value in shift)
    height, width = first.shape
    if abs(down) >= height or abs(right) >= width:
        raise ValueError(f"a shift of {down}, {right} px leaves nothing of {width}x{height} px to compare")
    x = first[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)].astype(np.float64)
    y = second[max(0, down) : height - max(0, -down), max(0, right) : width - max(0, -right)].astype(np.float64)
    x, y = x - x.mean(), y - y.mean()
    below = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / below) if below > 1e-12 * (1.0 + np.abs(first).max() * np.abs(second).max()) else 0.0


def line_overlap(first: Plane, second: Plane) -> float:
    """Dice of two line maps, 0 or 1 (or bool): 2 |A and B| / (|A| + |B|); 1 when neither has a line."""
    a: Bool[np.ndarray, "height width"] = np.asarray(first) > 0
    b: Bool[np.ndarray, "height width"] = np.asarray(second) > 0
    if a.shape != b.shape:
        raise ValueError(f"line maps of one size overlap, got {a.shape} and {b.shape}")
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def local_information(first: Plane, second: Plane, grid: int = GRID, levels: int = LEVELS) -> Float[np.ndarray, "grid grid"]:
    """Mutual information in bits of the grey levels of two modalities, in each part of a grid x grid division of the image.

    Each image's grey levels are its own `levels` equally full ones (equal values stay together), so that contrast and
    brightness do not count. Small parts overestimate it by about (levels - 1)^2 / (2 ln 2 pixels) bits: compare values of
    equal part sizes only.
    """
    height, width = first.shape
    if first.shape != second.shape or min(height, width) < grid:
        raise ValueError(f"two planes of one size, at least {grid} px, are needed, got {first.shape} and {second.shape}")
    joint = _ranked(first, levels) * levels + _ranked(second, levels)
    rows, columns = (np.linspace(0, side, grid + 1).round().astype(int) for side in (height, width))
    result = np.empty((grid, grid))
    for i in range(grid):
        for j in range(grid):
            part = joint[rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
            share = np.bincount(part.ravel(), minlength=levels**2).reshape(levels, levels) / part.size
            result[i, j] = _entropy(share.sum(axis=0)) + _entropy(share.sum(axis=1)) - _entropy(share.ravel())
    return result


def _ranked(image: Plane, levels: int) -> np.ndarray:
    values = np.asarray(image, dtype=np.float64)
    bounds = np.quantile(values, np.arange(1, levels) / levels)
    return np.searchsorted(bounds, values, side="left")


def _entropy(share: Float[np.ndarray, " levels"]) -> float:
    present = share[share > 0]
    return float(-(present * np.log2(present)).sum())
