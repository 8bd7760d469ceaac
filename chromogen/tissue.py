"""What of a picture shows the slide: all but padding that a registration or a canvas left, and the ink of a pen.

Padding is one flat colour (black, white, grey, a mean) that begins in a corner: strips, frames, the triangles a rotation
leaves; or black of any outline, wherever it lies. Beside it interpolation leaves a ramp of a few pixels and JPEG leaves
ringing; both belong to it. Flat matter in the colour of the picture's own glass is glass. Ink is red, green, cyan, blue or
black beyond what stains reach, looked for on a thumbnail: specks are no ink. Everything here is arithmetic on uint8 RGB.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage

from chromogen.color import background
from chromogen.tensors import Uint8Image

Mask = Bool[np.ndarray, "height width"]

TISSUE = 0.02  # decadic density, mean of R, G and B, from which on a pixel holds tissue: IHC without brown is as pale as 0.03
BLACK = 12  # grey level up to which a flat patch is black
BLACK_PX = 5  # its least side
LEAST_RUN = 8  # pixels along the border that are flat
LEAST_SHARE, LEAST_SIDE = 2e-3, 0.25  # of the picture, and of one of its sides
LEAST_BLACK = 0.01  # share of the picture; nuclei full of DAB are smaller
EXACT_SHARE = 0.7  # of the nearly equal pixels; real glass has less than 0.5, padding in a JPEG of quality 75 0.88
FLAT = 2  # grey levels within which a colour is one colour
RINGING_PX, RINGING = 8, 20  # how far JPEG carries an edge into the padding, and how many grey levels high
RAMP_PX = 3  # of interpolation
OWN_BELOW, OWN_ABOVE = 3, 4  # grey levels around the picture's white within which flat matter is glass
SATURATED, SATURATED_ABOVE = 250, 8  # the same for full light
SQUARE = np.ones((3, 3), dtype=bool)
THUMBNAIL_PX = 128  # shorter side on which ink is looked for, at least
SAMPLE = 65_536  # pixels that tell the picture's own glass
LEAST_INK = 0.002  # share of the picture that one stroke covers
LEAST_BLACK_INK = 0.01  # share of the picture that one stroke of black covers: nuclei full of DAB are smaller


def unseen(image: Uint8Image) -> Mask | None:
    """True where the picture does not show the slide: padding or ink. None where it shows it everywhere, or nowhere."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"the image must be uint8 RGB of shape (H, W, 3), got {image.dtype} {image.shape}")
    found = [mask for mask in (padding(image), ink(image)) if mask is not None]
    hidden = np.logical_or.reduce(found) if found else None
    return None if hidden is None or hidden.all() else hidden


def glass(image: Uint8Image, hidden: Mask | None) -> Float[np.ndarray, "3"]:
    """Colour of empty glass in unit RGB (`chromogen.color.background`), of what is not hidden."""
    return background(image, None if hidden is None else ~hidden)


def showing(hidden: Mask | None, least_px: int = 1) -> tuple[slice, slice]:
    """Rows and columns of the smallest box around what is not hidden; all of them where it would be under `least_px` a side."""
    if hidden is None:
        return slice(None), slice(None)
    rows, columns = (np.flatnonzero(~hidden.all(axis=axis)) for axis in (1, 0))
    if min(len(rows), len(columns)) < 1 or min(np.ptp(rows), np.ptp(columns)) + 1 < least_px:
        return slice(None), slice(None)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def padding(image: Uint8Image) -> Mask | None:
    """True on padding and its ramps; None where there is none. A picture of one colour alone has none: it is that colour."""
    found = _black(image)
    for colour in _corner_colours(image):
        if not _is_exact(image[:: _step(image), :: _step(image)], colour):
            continue
        flat = _joined_to_corners(_close(image, colour, FLAT))
        if not _is_large(flat) or flat.all() or _is_own_glass(image, colour, flat):
            continue
        ringing = _close(image, colour, RINGING)
        flat = ndimage.binary_dilation(flat, SQUARE, iterations=RINGING_PX, mask=ringing)
        found = flat if found is None else found | flat
    if found is None or found.all():
        return None
    return ndimage.binary_dilation(found, SQUARE, iterations=RAMP_PX)


def ink(image: Uint8Image) -> Mask | None:
    """True on the ink of a pen; None where there is none."""
    factor = max(1, min(image.shape[:2]) // THUMBNAIL_PX)
    small = inked(np.asarray(Image.fromarray(image).reduce(factor)))
    if not small.any():
        return None
    wide = ndimage.binary_dilation(small, SQUARE)
    return wide.repeat(factor, axis=0).repeat(factor, axis=1)[: image.shape[0], : image.shape[1]]


def extremes(image: UInt8[np.ndarray, "*shape 3"]) -> tuple[UInt8[np.ndarray, "*shape"], UInt8[np.ndarray, "*shape"]]:
    """The darkest and the brightest of each pixel's three grey levels; ten times as fast as asking for it along the axis."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    return np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)


def inked(image: Uint8Image) -> Mask:
    """Where a small picture holds a pen's ink: a clear core, and what of the same hue is joined to it."""
    red, green, blue = np.moveaxis(image.astype(np.int16), -1, 0)
    warm, cool, sky = red - np.maximum(green, blue), green - red, blue - np.maximum(red, green)
    found = np.zeros(red.shape, dtype=bool)
    for strength, core, edge, least in ((warm, 110, 80, LEAST_INK), (cool, 55, 8, LEAST_INK), (sky, 85, 60, LEAST_INK)):
        found |= _strokes(strength > core, strength > edge, least)
    lowest, highest = extremes(image)
    grey = highest - lowest < 25
    return found | _strokes(grey & (highest < 50), grey & (highest < 80), LEAST_BLACK_INK)


def _strokes(core: Mask, edge: Mask, least: float) -> Mask:
    """The connected parts of `edge` whose core covers at least that share of the picture."""
    if core.mean() < least:
        return np.zeros_like(core)
    parts, count = ndimage.label(edge, SQUARE)
    kept = np.bincount(parts[core], minlength=count + 1) >= least * core.size
    kept[0] = False
    return kept[parts]


def _black(image: Uint8Image) -> Mask | None:
    """Flat black wherever it lies; None where there is none of that size."""
    few = image[::BLACK_PX, ::BLACK_PX]
    if _close(few, np.zeros(3), BLACK).mean() < LEAST_BLACK / 2:
        return None
    dark = _close(image, np.zeros(3), BLACK)
    patch = ndimage.binary_erosion(dark, np.ones((BLACK_PX, BLACK_PX), bool))
    parts, count = ndimage.label(ndimage.binary_dilation(patch, np.ones((BLACK_PX, BLACK_PX), bool)), SQUARE)
    kept = np.bincount(parts.ravel(), minlength=count + 1) >= LEAST_BLACK * dark.size
    kept[0] = False
    return kept[parts] if kept.any() else None


def _corner_colours(image: Uint8Image) -> list[np.ndarray]:
    """Colours of the corners from which one colour runs on along the border for at least 8 px, each once."""
    kept: list[np.ndarray] = []
    for rows, columns in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        turned = image[::rows, ::columns]
        colour = turned[0, 0].astype(np.int16)
        runs = (turned[0, :LEAST_RUN], turned[:LEAST_RUN, 0])
        if any(len(run) == LEAST_RUN and np.abs(run - colour).max() <= 1 for run in runs) and all(
            np.abs(colour - one).max() > FLAT for one in kept
        ):
            kept.append(colour)
    return kept


def _close(image: Uint8Image, colour: np.ndarray, by: int) -> Mask:
    """Where no channel is further than `by` grey levels from the colour."""
    low, high = np.clip(colour - by, 0, 255).astype(np.uint8), np.clip(colour + by, 0, 255).astype(np.uint8)
    channels = [(image[..., c] >= low[c]) & (image[..., c] <= high[c]) for c in range(3)]
    return channels[0] & channels[1] & channels[2]


def _joined_to_corners(flat: Mask) -> Mask:
    parts, _ = ndimage.label(flat)
    wanted = {int(parts[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    return np.isin(parts, list(wanted))


def _is_exact(sample: Uint8Image, colour: np.ndarray) -> bool:
    """Whether what is close to the colour is that very colour, as padding is, in JPEG too; real glass has its noise."""
    near, exact = _close(sample, colour, FLAT).mean(), _close(sample, colour, 0).mean()
    return bool(exact >= EXACT_SHARE * near)


def _is_large(flat: Mask) -> bool:
    """Large enough to matter: by its area, or because it runs along a good part of a side."""
    sides = (flat[0], flat[-1], flat[:, 0], flat[:, -1])
    return bool(flat.mean() >= LEAST_SHARE or max(side.mean() for side in sides) >= LEAST_SIDE)


def _is_own_glass(image: Uint8Image, colour: np.ndarray, flat: Mask) -> bool:
    """Whether a bright grey is what the rest of the picture has for glass, flat by saturation or by a network's doing."""
    if colour.max() - colour.min() > 0.12 * colour.max() or colour.max() < 128:
        return False
    step = _step(image)
    away = ~ndimage.binary_dilation(flat[::step, ::step], SQUARE, iterations=max(1, round(2 * RINGING_PX / step)))
    if not away.any():
        return True
    white = background(image[::step, ::step][away][None]) * 255
    above = SATURATED_ABOVE if colour.min() >= SATURATED else OWN_ABOVE
    return bool(((colour >= white - OWN_BELOW) & (colour <= white + above)).all())


def _step(image: Uint8Image) -> int:
    return max(1, round((image.shape[0] * image.shape[1] / SAMPLE) ** 0.5))
