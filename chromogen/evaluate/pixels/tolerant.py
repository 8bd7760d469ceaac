"""PSNR and SSIM that forgive displaced sections: after the best whole shift, or after a coarse, smooth displacement.

Neighbouring sections never lie exactly on one another, and a sharp prediction pays for that more than a blurred one. Both
scores here look at an inner window of the target, the same for every displacement, so that nothing is gained by cropping;
pixels of the prediction are moved, never averaged, so that nothing is gained by blur; and not moving is always among the
choices, so that neither score is below `bci2022` of the same window. A displacement (y, x) says where the prediction shows
what the target shows at (0, 0).

Measured on eight BCI IHC images of 1024 px. Unrelated tissue (16 pairs) gains 0.04 dB and 0.003 by shift (at most 0.16 and
0.007), 0.03 dB and 0.003 by flow (at most 0.11 and 0.007): what chance is worth. Three of the images, bent smoothly by 3, 6
and 10 px root mean square, gain 9, 8 and 6 dB by flow, and 0 to 0.6 dB by the best shift.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int, Int64
from numpy.lib.stride_tricks import sliding_window_view
from scipy import fft, ndimage

from chromogen.evaluate.pixels.likeness import C1, C2, LUMA, check_pair, psnr, ssim
from chromogen.tensors import Uint8Image

RADIUS_PX = 8  # of shifts
CANDIDATES = 3  # shifts whose SSIM looks best on the sampled rows
SAMPLED_BANDS = 64  # of seven rows, or up to twice as many
BLOCK_PX = 64  # of the displacement field: one vector a block
REACH_PX = 16  # of the displacement field
TEXTURE = 2.0  # grey levels of deviation below which a block has nothing to match

Shift = tuple[int, int]


@dataclass(frozen=True)
class ShiftScore:
    """The best PSNR (dB) and the best SSIM, and the shift (y, x) in px that each was found at."""

    psnr: float
    ssim: float
    psnr_shift: Shift
    ssim_shift: Shift


@dataclass(frozen=True)
class FlowScore:
    """PSNR (dB) and SSIM after the displacement, and its mean length in px (before the choice not to move)."""

    psnr: float
    ssim: float
    moved_px: float


def shift_tolerant(prediction: Uint8Image, target: Uint8Image, radius_px: int = RADIUS_PX) -> ShiftScore:
    """The best PSNR and the best SSIM `uniform7` over all whole shifts of up to `radius_px` along each axis.

    The PSNR is that of every shift, exactly. The SSIM is exact too, but taken only at no shift, at the shift of the best PSNR
    and at the three that look best on a sample of the rows (on all of them up to 149 px of height). Of equal shifts the
    shortest counts. Images that leave less than 7 px between the rims are a ValueError.
    """
    check_pair(prediction, target)
    if radius_px < 0:
        raise ValueError(f"the radius of the shifts is {radius_px} px; it must not be negative")
    _check_size(target, radius_px, 7, f"shifts of up to {radius_px} px")
    inner = _inner(target, radius_px)
    errors = squared_errors(prediction, inner)
    shifts = sorted(_shifts(radius_px), key=lambda shift: (shift[0] ** 2 + shift[1] ** 2, shift))
    at = {shift: (shift[0] + radius_px, shift[1] + radius_px) for shift in shifts}
    least = min(shifts, key=lambda shift: int(errors[at[shift]]))
    likely = _similarities(prediction, inner)
    promising = sorted(shifts, key=lambda shift: -float(likely[at[shift]]))[:CANDIDATES]
    similarity = {shift: ssim(_shifted(prediction, shift, radius_px), inner) for shift in {(0, 0), least, *promising}}
    best = max((shift for shift in shifts if shift in similarity), key=similarity.__getitem__)
    return ShiftScore(psnr(_shifted(prediction, least, radius_px), inner), similarity[best], least, best)


def flow_tolerant(prediction: Uint8Image, target: Uint8Image) -> FlowScore:
    """PSNR and SSIM `uniform7` after the prediction is laid on the target by a coarse displacement field, or without it.

    The field has one vector of up to 16 px along each axis for every 64x64 px block of the target: where the luma of the
    prediction correlates best with it. Medians over 3x3 blocks discard vectors that their neighbours do not share, and
    between the centres of the blocks the field is bilinear: it straightens a section, and cannot put single cells right.
    Of each measure the better of "moved" and "not moved" counts. The rim of 16 px is never scored; images under 96 px
    are a ValueError.
    """
    check_pair(prediction, target)
    _check_size(target, REACH_PX, BLOCK_PX, f"a displacement field of {BLOCK_PX} px blocks")
    field = displacement_field(prediction, target)
    inner, unmoved = _inner(target, REACH_PX), _inner(prediction, REACH_PX)
    height, width, _ = inner.shape
    rows, columns = (np.rint(field).astype(np.intp) + REACH_PX)[:, :height, :width]
    rows, columns = rows + np.arange(height)[:, None], columns + np.arange(width)
    moved = prediction[rows, columns]
    moved_px = float(np.hypot(*field).mean())
    return FlowScore(max(psnr(moved, inner), psnr(unmoved, inner)), max(ssim(moved, inner), ssim(unmoved, inner)), moved_px)


def displacement_field(prediction: Uint8Image, target: Uint8Image) -> Float[np.ndarray, "2 inner_height inner_width"]:
    """The field of `flow_tolerant`, (y, x) in px for every pixel of the target but its rim of 16 px."""
    height, width = (side - 2 * REACH_PX for side in target.shape[:2])
    counts = height // BLOCK_PX, width // BLOCK_PX
    tops, lefts = ((side % BLOCK_PX) // 2 + BLOCK_PX * np.arange(n) for side, n in zip((height, width), counts, strict=True))
    blocks = _windows(_inner(target, REACH_PX) @ LUMA, BLOCK_PX, tops, lefts)
    surroundings = _windows(prediction @ LUMA, BLOCK_PX + 2 * REACH_PX, tops, lefts)
    vectors = np.stack([_displacements(row, around) for row, around in zip(blocks, surroundings, strict=True)], axis=1)
    smooth = [ndimage.median_filter(component, size=3, mode="nearest") for component in vectors]
    down, across = (
        _between(side, starts + (BLOCK_PX - 1) / 2) for side, starts in zip((height, width), (tops, lefts), strict=True)
    )
    return np.stack([down @ component @ across.T for component in smooth])


def _check_size(target: Uint8Image, rim_px: int, inner_px: int, of: str) -> None:
    height, width, _ = target.shape
    if min(height, width) < inner_px + 2 * rim_px:
        raise ValueError(f"{of} need images of at least {inner_px + 2 * rim_px} px, got {width}x{height} px")


def _inner(image: Uint8Image, rim_px: int) -> Uint8Image:
    return image[rim_px : len(image) - rim_px, rim_px : image.shape[1] - rim_px]


def _shifts(radius_px: int) -> Iterator[Shift]:
    return ((y, x) for y in range(-radius_px, radius_px + 1) for x in range(-radius_px, radius_px + 1))


def _shifted(image: Uint8Image, shift: Shift, radius_px: int) -> Uint8Image:
    top, left = shift[0] + radius_px, shift[1] + radius_px
    return image[top : len(image) - 2 * radius_px + top, left : image.shape[1] - 2 * radius_px + left]


def squared_errors(prediction: Uint8Image, inner: Uint8Image) -> Int64[np.ndarray, "shifts_y shifts_x"]:
    """Sum of squared differences for every position of the inner target in the prediction, by Fourier transform.

    Exact: the sums are whole numbers below 2^43 and the transforms err by less than 0.01 (grey is centred to keep them small).
    """
    shape = [fft.next_fast_len(side, real=True) for side in prediction.shape[:2]]
    shifts = [1 + outer - within for outer, within in zip(prediction.shape[:2], inner.shape[:2], strict=True)]
    spectrum = 0
    for channel in range(3):
        x, y = (fft.rfft2(image[..., channel].astype(np.float64) - 128, shape) for image in (prediction, inner))
        spectrum = spectrum + x * y.conj()
    products = np.rint(fft.irfft2(spectrum, shape)[: shifts[0], : shifts[1]]).astype(np.int64)
    power_x, power_y = (np.square(image.astype(np.int32) - 128).sum(axis=2, dtype=np.int64) for image in (prediction, inner))
    return _box_sums(power_x, inner.shape[:2]) - 2 * products + power_y.sum()


def _box_sums(values: np.ndarray, box: tuple[int, ...]) -> np.ndarray:
    """Sums over every position of a box inside the last two axes."""
    for axis, size in zip((-2, -1), box[:2], strict=True):
        running = np.cumsum(values, axis=axis)
        running = np.concatenate([np.zeros_like(running.take([0], axis)), running], axis)
        positions = running.shape[axis] - size
        values = running.take(range(size, size + positions), axis) - running.take(range(positions), axis)
    return values


def _similarities(prediction: Uint8Image, inner: Uint8Image) -> Float[np.ndarray, "shifts_y shifts_x"]:
    """About the SSIM at every shift: on luma, in the 7x7 windows of a sample of the rows. Good enough to rank by."""
    height, width, _ = inner.shape
    shifts = [1 + outer - within for outer, within in zip(prediction.shape[:2], inner.shape[:2], strict=True)]
    tops = np.arange(0, height - 6, max(1, (height - 6) // SAMPLED_BANDS))
    rows = tops[:, None] + np.arange(7)
    luma = (prediction @ LUMA).astype(np.float32)
    y = (inner @ LUMA)[rows]  # bands, 7, width
    sum_y, squares_y = _sums7(y.sum(axis=1)), _sums7(np.square(y).sum(axis=1))
    found = np.empty(shifts)
    for down in range(shifts[0]):
        wide = luma[rows + down]
        sums_x, squares_x = _sums7(wide.sum(axis=1)), _sums7(np.square(wide).sum(axis=1))
        for right in range(shifts[1]):
            sum_x = sums_x[:, right : right + width - 6]
            squares = squares_x[:, right : right + width - 6] + squares_y
            products = _sums7(np.einsum("bkw,bkw->bw", wide[..., right : right + width], y))
            means, powers = sum_x * sum_y, sum_x * sum_x + sum_y * sum_y
            above = (means * (2 / 49**2) + C1) * ((49 * products - means) * (2 / (49 * 48)) + C2)
            below = (powers * (1 / 49**2) + C1) * ((49 * squares - powers) * (1 / (49 * 48)) + C2)
            found[down, right] = (above / below).mean(dtype=np.float64)
    return found


def _sums7(values: Float32[np.ndarray, "bands columns"]) -> Float32[np.ndarray, "bands columns-6"]:
    two = values[:, :-1] + values[:, 1:]
    return two[:, :-5] + two[:, 2:-3] + two[:, 4:-1] + values[:, 6:]


def _windows(values: np.ndarray, size: int, tops: Int[np.ndarray, " rows"], lefts: Int[np.ndarray, " columns"]) -> np.ndarray:
    """The square windows with these upper left corners, as (rows, columns, size, size)."""
    return sliding_window_view(values, (size, size))[tops[:, None], lefts]


def _displacements(
    blocks: Float[np.ndarray, "n 64 64"], surroundings: Float[np.ndarray, "n 96 96"]
) -> Float[np.ndarray, "2 n"]:
    """Where in its surroundings each block correlates best (the nearest of equals); blocks without texture stay."""
    y = blocks.astype(np.float64) - blocks.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    x = surroundings.astype(np.float64) - surroundings.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    side, reach = x.shape[-1], 2 * REACH_PX + 1
    spectrum = fft.rfft2(x) * fft.rfft2(y, (side, side)).conj()
    covariance = fft.irfft2(spectrum, (side, side))[:, :reach, :reach]
    pixels = BLOCK_PX**2
    box = (BLOCK_PX, BLOCK_PX)
    power = _box_sums(np.square(x), box) - _box_sums(x, box) ** 2 / pixels
    floor = pixels * TEXTURE**2
    correlation = np.where(power > floor, covariance / np.sqrt(np.maximum(power, floor)), 0.0)
    offsets = np.array(sorted(_shifts(REACH_PX), key=lambda shift: (shift[0] ** 2 + shift[1] ** 2, shift)))
    ordered = correlation[:, offsets[:, 0] + REACH_PX, offsets[:, 1] + REACH_PX].round(6)
    best = offsets[ordered.argmax(axis=1)]
    textured = np.square(y).sum(axis=(1, 2)) > floor
    return np.where(textured[:, None], best, 0).T.astype(np.float64)


def _between(side: int, centres: Float[np.ndarray, " n"]) -> Float[np.ndarray, "side n"]:
    """Weights that interpolate linearly from values at the centres to every pixel; constant outside them."""
    return np.stack([np.interp(np.arange(side), centres, one) for one in np.eye(len(centres))], axis=1)
