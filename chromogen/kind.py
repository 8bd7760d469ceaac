"""What a picture shows by its colours: H&E, IHC with DAB, grey, light on black, nothing, or something else.

Under the picture's own light the optical densities of haematoxylin and DAB, and of their mixtures, lie in one plane; eosin
takes more green than any of them. So a picture is H&E where a good part of its tissue lies on the green side of that plane,
and IHC where next to nothing does, brown or only blue. Photographs, screenshots, fundi, fluorescence and noise are told by
their light, their blacks, colours that no such stain has, or the lack of any structure. Blue nuclei alone may be either stain;
they are called IHC. Which marker the DAB shows, no colour tells. Limits were read off real pictures (docs/her2.md).
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from chromogen.color import background, optical_density
from chromogen.tensors import Uint8Image
from chromogen.tissue import extremes, ink, padding

Name = Literal["he", "ihc", "grey", "dark", "blank", "other"]
NAMES: tuple[Name, ...] = get_args(Name)
WORDS: dict[Name, str] = {
    "he": "H&E",
    "ihc": "IHC (haematoxylin and DAB)",
    "grey": "a grey picture without any stain's colour",
    "dark": "light on black, as in fluorescence",
    "blank": "blank, without tissue",
    "other": "neither H&E nor IHC",
}

LOOKED_AT_PX = 256  # longer side of what is looked at, at most
TISSUE, LEAST_TISSUE = 0.03, 0.01  # density of a pixel that counts as stained, and the least share of such pixels
CLEAR = 0.06  # density from which on a pixel's hue can be told
DARK, MOST_DARK, MUCH_DARK = 50, 0.3, 0.06  # grey level of black; share that makes a dark picture, or a doubtful one
DENSE = 0.15  # median density of the stain beyond which black is no pen on a pale section
MOST_INK = 0.35
EQUAL, EVEN = 4, 8  # grey levels between the channels of a grey picture, JPEG included; between the pixels of plain glass
GREY = 0.06  # colour over density; the palest real IHC has 0.1
LEAST_GLASS, GLASS_HUE = 140, 0.12  # of plain glass: grey level, and what its channels may differ by over the brightest
LEAST_LIGHT, NEUTRAL, TINTED = 0.25, 0.72, 0.92  # the glass: its brightest channel, its darkest over its brightest
UNRELATED = 0.3  # correlation of neighbours; sections have more than 0.5
LEAST_FLAT = 0.7  # share of stained pixels that equal their neighbours, as those of a screenshot do; JPEG leaves up to 0.1
GREEN_SIDE = 0.165  # of a tenth of the stain at least: real IHC has up to 0.15, H&E from 0.18
# over density: red less blue of the whole stain, and how far it lies from the plane of haematoxylin and DAB
LEAST_HUE, MOST_HUE, LEAST_BEYOND, MOST_BEYOND, MOST_COLOUR = -1.45, 1.2, -0.6, 1.1, 1.6
NO_BLUE = -0.2  # red less blue of the bluest twentieth: brown alone


@dataclass(frozen=True)
class Kind:
    """What a picture is, and by what that was seen (a clause without a full stop)."""

    name: Name
    reason: str

    @property
    def words(self) -> str:
        return WORDS[self.name]


def kind_of(image: Uint8Image) -> Kind:
    """What a uint8 RGB picture (H, W, 3) shows; a few milliseconds. Raises ValueError for other arrays."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"the image must be uint8 RGB of shape (H, W, 3), got {image.dtype} {image.shape}")
    factor = -(-max(image.shape[:2]) // LOOKED_AT_PX)
    small = np.asarray(Image.fromarray(image).reduce(factor))
    frame, pen = (np.zeros(small.shape[:2], bool) if mask is None else mask for mask in (padding(small), ink(small)))
    shown, seen = small[~frame], small[~frame & ~pen]
    if not len(shown):
        return Kind("other", "all of it is padding")
    lowest, highest = extremes(shown)
    if max(int(np.ptp(shown[:, channel])) for channel in range(3)) == 0:
        return _one_colour(int(lowest[0]), int(highest[0]))
    dark = float((highest < DARK).mean())
    if dark > MOST_DARK:
        return Kind("dark", f"{100 * dark:.0f} % of it is black")
    if int((highest - lowest).max()) <= EQUAL:
        even = int(np.ptp(np.percentile(highest, [1, 99]))) <= EVEN
        return _one_colour(int(lowest.min()), int(highest.max())) if even else Kind("grey", "red, green and blue are equal")
    if len(seen) < (1 - MOST_INK) * len(shown):
        return Kind("other", f"{100 * (1 - len(seen) / len(shown)):.0f} % of it is black or has colours that no stain has")
    white = background(seen[None])
    if white.max() < LEAST_LIGHT or white.min() < NEUTRAL * white.max():
        return Kind("other", "it has no white light behind it")
    density = _densities(seen, white)
    total = _mean(density)
    if (total > TISSUE).mean() < LEAST_TISSUE:
        return Kind("blank", f"{100 * (total > TISSUE).mean():.1f} % of it holds anything")
    stain = _Stain.of(density[total > TISSUE])
    if stain.colour < GREY:
        return Kind("grey", "its tissue has no colour")
    if dark > MUCH_DARK and stain.median > DENSE:
        return Kind("other", f"{100 * dark:.0f} % of it is black")
    if _unrelated(small):
        return Kind("other", "neighbouring pixels have nothing in common, as in noise")
    if _drawn(small, frame | pen, white) > LEAST_FLAT:
        return Kind("other", "it has flat colours, as a drawing or a screenshot")
    if not (LEAST_HUE < stain.hue < MOST_HUE and LEAST_BEYOND < stain.beyond < MOST_BEYOND and stain.colour < MOST_COLOUR):
        return Kind("other", "its colours are of no stain")
    if stain.green_side > GREEN_SIDE:
        return Kind("he", "its tissue is pink")
    if stain.bluest < NO_BLUE and white.min() < TINTED * white.max():
        return Kind("other", "it is brown alone, without glass or blue nuclei")
    return Kind("ihc", "its colours are mixtures of blue and brown")


def _one_colour(darkest: int, brightest: int) -> Kind:
    """Plain glass is blank; black, dark grey or a hue is no slide at all."""
    glass = brightest > LEAST_GLASS and brightest - darkest < GLASS_HUE * brightest
    return Kind("blank", "it is plain glass") if glass else Kind("other", "it is of one colour, and that is no glass")


@dataclass(frozen=True)
class _Stain:
    """Ratios to density, of the whole stain where nothing else is said; dense pixels count more."""

    median: float  # density
    hue: float  # red less blue: 0.7 of haematoxylin, -0.9 of DAB
    beyond: float  # green beyond what haematoxylin and DAB of that hue take
    colour: float  # distance from grey
    green_side: float  # `beyond` of the tenth of the clear pixels that has more of it
    bluest: float  # hue of the bluest twentieth of them

    @classmethod
    def of(cls, density: Float[np.ndarray, "pixels 3"]) -> "_Stain":
        red, green, blue = density.T
        total = _mean(density)
        hue, above = red - blue, green - (red + blue) / 2
        beyond = above - (0.28 * total + 0.2125 * hue)  # the line through both stains
        weight = total / float(total @ total)
        clear = total > CLEAR
        if not clear.any():
            clear = total >= np.median(total)
        return cls(
            median=float(np.median(total)),
            hue=float(hue @ weight),
            beyond=float(beyond @ weight),
            colour=float(np.hypot(hue, 1.15 * above) @ weight),
            green_side=float(np.percentile((beyond / total)[clear], 90)),
            bluest=float(np.percentile((hue / total)[clear], 95)),
        )


def _unrelated(image: Uint8Image) -> bool:
    grey = _mean(image.astype(np.float32))
    rest = grey - grey.mean()
    power = float(np.square(rest).mean())
    beside = [(rest[:, 1:] * rest[:, :-1]), (rest[1:] * rest[:-1])]
    return any(part.size > 0 and float(part.mean()) < UNRELATED * power for part in beside)


def _drawn(image: Uint8Image, without: np.ndarray, white: np.ndarray) -> float:
    """Share of the stained pixels that equal the pixel to the right and the one below."""
    here = image[:-1, :-1]
    stained = (_mean(_densities(here, white)) > TISSUE) & ~without[:-1, :-1]
    same = (here == image[:-1, 1:]).all(axis=2) & (here == image[1:, :-1]).all(axis=2)
    return float(same[stained].mean()) if stained.any() else 0.0


def _densities(pixels: UInt8[np.ndarray, "*shape 3"], white: Float[np.ndarray, "3"]) -> Float32[np.ndarray, "*shape 3"]:
    levels = np.arange(256)[:, None].repeat(3, axis=1) / 255
    table = optical_density(levels, white).astype(np.float32)
    return np.stack([table[:, c].take(pixels[..., c]) for c in range(3)], axis=-1)


def _mean(values: Float32[np.ndarray, "*shape 3"]) -> Float32[np.ndarray, "*shape"]:
    return (values[..., 0] + values[..., 1] + values[..., 2]) * np.float32(1 / 3)
