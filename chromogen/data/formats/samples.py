"""Samples as a file stores them, and the one way from there to uint8 RGB.

How many bits count. A file may keep 12 bits, or 8, in samples of 16. What its tags state is believed where the values fit it.
Where it states nothing, the highest value of the picture decides: the smallest of 8, 10, 12, 14, 16, 24 and 32 bits that holds
it. That is right unless all of a picture is darker than a quarter of white, which no bright field is; the note says that it was
done. Of these bits the upper eight are kept, which gives back what was 8 bits once, whether shifted, repeated or multiplied up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from chromogen.data.formats.profiles import profile_note
from chromogen.tensors import Uint8Image

Colour = Literal["grey", "rgb", "palette", "cmyk", "ycbcr"]
Alpha = Literal["", "straight", "premultiplied"]
CHANNELS: dict[Colour, int] = {"grey": 1, "palette": 1, "rgb": 3, "cmyk": 4, "ycbcr": 3}

DEPTHS = (8, 10, 12, 14, 16, 24, 32)
ON_WHITE = "alpha composited on white"
NO_ALPHA = "alpha that holds no opacity ignored"
SEE_THROUGH = 16  # alpha that is nowhere above a 16th of opaque is something else: zeros, a mask of 0 and 1, class numbers
PERCENT = 101  # fractions of a hundred go so far; what is brighter counts to 255
BAND_PIXELS = 2**22


@dataclass(frozen=True)
class Luma:
    """How YCbCr is meant: the weights of red, green and blue in Y, and (black, white) of Y, Cb and Cr."""

    weights: tuple[float, float, float] = (0.299, 0.587, 0.114)
    ranges: tuple[float, float, float, float, float, float] = (0, 255, 128, 255, 128, 255)


@dataclass(frozen=True, eq=False)
class Samples:
    """Values (H, W, C): the channels of `colour`, then alpha where there is one; unsigned, signed or floating-point.

    bits: of a stored sample. stated: how many of them count, as the file says; None where it does not. white_is_zero: 0 is
    white. palette: colours by number. profile: ICC. notes: what was done to get here.
    """

    values: np.ndarray
    colour: Colour
    bits: int
    stated: int | None = None
    alpha: Alpha = ""
    white_is_zero: bool = False
    palette: UInt8[np.ndarray, "colours 3"] | None = None
    luma: Luma = Luma()
    profile: bytes = b""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scale:
    """How stored values become 8 bits, and what to say of it."""

    apply: Callable[[np.ndarray], np.ndarray]
    note: str = ""


def to_rgb8(samples: Samples, where: str) -> tuple[Uint8Image, tuple[str, ...]]:
    """uint8 RGB (H, W, 3) and all notes. Raises ValueError, naming `where`, for values of no known range."""
    count = CHANNELS[samples.colour]
    colours = samples.values[..., :count]
    scale = Scale(_unchanged) if samples.colour == "palette" else scale_of(colours, samples, where)
    notes = [*samples.notes, scale.note, *_colour_notes(samples)]
    mode = {"grey": "L", "cmyk": "CMYK"}.get(samples.colour, "RGB")
    profile, said = profile_note(samples.profile, mode)
    alpha_scale = None
    if samples.alpha:
        alpha = samples.values[..., count]
        alpha_scale = _scale_of_alpha(alpha, samples)
        notes.append(ON_WHITE if alpha_scale else NO_ALPHA)
    notes += said
    as_it_is = samples.colour == "rgb" and colours.dtype == np.uint8 and not scale.note and not samples.white_is_zero
    if as_it_is and alpha_scale is None and profile is None:
        return np.ascontiguousarray(colours), tuple(filter(None, notes))
    height, width = samples.values.shape[:2]
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    rows = max(1, BAND_PIXELS // max(width, 1))
    for top in range(0, height, rows):
        band = slice(top, top + rows)
        eight = scale.apply(colours[band])
        if samples.white_is_zero:
            eight = 255 - eight
        made = _rgb(eight, samples, where)
        if profile is not None:
            made = profile.apply(eight[..., 0] if profile.mode == "L" else eight if profile.mode == "CMYK" else made)
        if alpha_scale is not None:
            made = on_white(made, alpha_scale.apply(samples.values[band, :, count]), samples.alpha == "premultiplied")
        pixels[band] = made
    return pixels, tuple(filter(None, notes))


def scale_of(values: np.ndarray, samples: Samples, where: str) -> Scale:
    """The rule at the top of this module for the colours of a picture; ValueError for values that no rule fits."""
    if values.size == 0:
        return Scale(lambda band: band.astype(np.uint8))
    if values.dtype.kind == "f":
        return _scale_of_floats(values, samples, where)
    if samples.bits <= 8 and values.dtype.kind == "u":
        bits = samples.stated if samples.stated and int(values.max()) < 2**samples.stated else samples.bits
        return Scale(_unchanged) if bits == 8 else Scale(_stretched(bits), "" if bits == 1 else f"{bits}-bit made 8-bit")
    low, high = int(values.min()), int(values.max())
    if low < 0:
        raise ValueError(
            f"{where} holds signed values down to {low}, which are no brightness of a picture; save it as 8-bit RGB"
        )
    return _scale_of_integers(high, samples, samples.bits - (values.dtype.kind == "i"), where)


def on_white(colours: UInt8[np.ndarray, "h w 3"], alpha: UInt8[np.ndarray, "h w"], premultiplied: bool = False) -> np.ndarray:
    """Colours over white; premultiplied ones hold their share of opacity already."""
    share = alpha[..., None].astype(np.uint16)
    if premultiplied:
        return np.minimum(colours.astype(np.uint16) + (255 - share), 255).astype(np.uint8)
    return ((colours * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)


def is_opacity(low: float, high: float, opaque: float) -> bool:
    """Whether a channel of these extremes is opacity: it varies and reaches further than masks do, or it is opaque."""
    return low == high == opaque or (low < high and high * SEE_THROUGH > opaque)


def _scale_of_integers(high: int, samples: Samples, most: int, where: str) -> Scale:
    """`most` bits can count: of signed samples one less than is stored."""
    stored = f"in {samples.bits} bits"
    if samples.stated is not None and high < 2**samples.stated:
        bits = samples.stated
        return Scale(_shifted(bits), _reduced(bits, most, stored, ""))
    if high >= 2 ** DEPTHS[-1]:
        raise ValueError(f"{where} holds values up to {high}, more than 32 bits; save it as 8-bit RGB")
    bits = next(bits for bits in DEPTHS if high < 2**bits)
    if high == 0 or bits > most:
        bits = most
    if samples.white_is_zero and bits < most and high > 0:
        raise ValueError(
            f"{where} holds white as 0 and values up to {high} in samples of {samples.bits} bits, and no tag says how many "
            "bits count: it may be a bright picture or one of fewer bits; save it as 8-bit RGB"
        )
    return Scale(_shifted(bits), _reduced(bits, most, stored, " (by the highest value)"))


def _reduced(bits: int, of: int, stored: str, how: str) -> str:
    if bits == of:
        return f"{bits}-bit reduced to 8-bit"
    return f"{bits}-bit values {stored}{how} {'made' if bits <= 8 else 'reduced to'} 8-bit"


def _scale_of_floats(values: np.ndarray, samples: Samples, where: str) -> Scale:
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{where} holds floating-point values that are not finite; save it as 8-bit RGB")
    if low < 0:
        raise ValueError(f"{where} holds floating-point values down to {low:g}; save it as 8-bit RGB, from 0 to 255")
    if high <= 1:
        return Scale(lambda band: np.rint(band * 255).astype(np.uint8), "fractions from 0 to 1 made 8-bit")
    if PERCENT < high <= 255 or (16 <= high <= 255 and _are_whole(values)):
        return Scale(lambda band: np.rint(band).astype(np.uint8), "floating-point values from 0 to 255 made 8-bit")
    if 255 < high < 65536 and _are_whole(values):
        bits = next(bits for bits in DEPTHS if high < 2**bits)
        shift = _shifted(bits)
        note = f"{bits}-bit values in floating point (by the highest value) reduced to 8-bit"
        return Scale(lambda band: shift(band.astype(np.uint16)), note)
    raise ValueError(
        f"{where} holds floating-point values from {low:g} to {high:g}, which are neither fractions (0 to 1) nor grey levels "
        "(0 to 255); save it as 8-bit RGB"
    )


def _are_whole(values: np.ndarray) -> bool:
    return all(bool((row == np.rint(row)).all()) for row in values)


def _scale_of_alpha(alpha: np.ndarray, samples: Samples) -> Scale | None:
    """To 0-255, or None where the channel is no opacity. Deep alpha has its own depth: 255 in 16 bits may be opaque."""
    low, high = float(alpha.min()), float(alpha.max())
    if alpha.dtype.kind == "f":
        opaque = 1.0 if high <= 1 else 255.0 if high <= 255 else 65535.0
        scale = Scale(lambda band: np.rint(np.clip(band / opaque, 0, 1) * 255).astype(np.uint8))
        return scale if np.isfinite([low, high]).all() and is_opacity(low, high, opaque) else None
    if samples.bits <= 8:
        return Scale(_stretched(samples.bits)) if is_opacity(low, high, 2**samples.bits - 1) else None
    if low < 0 or high >= 2 ** DEPTHS[-1]:
        return None
    bits = next(bits for bits in DEPTHS if high < 2**bits)
    return Scale(_shifted(bits)) if is_opacity(low, high, 2**bits - 1) else None


def _unchanged(band: np.ndarray) -> np.ndarray:
    return band


def _shifted(bits: int) -> Callable[[np.ndarray], np.ndarray]:
    """The upper eight of `bits`; fewer than eight are stretched."""
    return _stretched(bits) if bits < 8 else lambda band: (band >> (bits - 8)).astype(np.uint8)


def _stretched(bits: int) -> Callable[[np.ndarray], np.ndarray]:
    """Up to eight bits so that the highest value becomes 255."""
    top = 2**bits - 1
    return lambda band: ((band.astype(np.uint32) * 510 + top) // (2 * top)).astype(np.uint8)


def _colour_notes(samples: Samples) -> list[str]:
    said = {"grey": "grey made RGB", "palette": "palette", "cmyk": "CMYK converted", "ycbcr": "YCbCr converted"}
    return [said.get(samples.colour, ""), "white is zero: inverted" if samples.white_is_zero else ""]


def _rgb(eight: np.ndarray, samples: Samples, where: str) -> np.ndarray:
    if samples.colour == "rgb":
        return eight
    if samples.colour == "grey":
        return np.broadcast_to(eight, (*eight.shape[:2], 3))
    if samples.colour == "palette":
        assert samples.palette is not None
        if eight.size and int(eight.max()) >= len(samples.palette):
            raise ValueError(f"{where} uses colour {int(eight.max())} of a palette of {len(samples.palette)}; save it as RGB")
        return samples.palette[eight[..., 0]]
    if samples.colour == "cmyk":
        light = 255 - eight.astype(np.uint32)
        return ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)
    return _from_ycbcr(eight, samples.luma)


def _from_ycbcr(eight: np.ndarray, luma: Luma) -> np.ndarray:
    """TIFF 6.0, section 21: code values to full range by ReferenceBlackWhite, then by the weights of YCbCrCoefficients."""
    low, high = np.array(luma.ranges[0::2], np.float32), np.array(luma.ranges[1::2], np.float32)
    full = (eight.astype(np.float32) - low) * (np.array((255, 127, 127), np.float32) / (high - low))
    red_weight, green_weight, blue_weight = luma.weights
    y, cb, cr = full[..., 0], full[..., 1], full[..., 2]
    red, blue = y + cr * (2 - 2 * red_weight), y + cb * (2 - 2 * blue_weight)
    green = (y - blue_weight * blue - red_weight * red) / green_weight
    return np.rint(np.clip(np.stack((red, green, blue), axis=-1), 0, 255)).astype(np.uint8)
