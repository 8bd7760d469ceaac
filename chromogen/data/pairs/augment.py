"""Augmentation of a pair: both images are cut and turned alike; the stain of the source alone may vary."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from chromogen.color import H_E, optical_density, transmittance
from chromogen.data.images import PairImages
from chromogen.tensors import Uint8Image
from chromogen.tissue import glass, unseen


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How training draws from a set: the fields every data value shares."""

    crop_px: int | None = 512  # side of the square cut out at a random place; None takes whole images
    dihedral: bool = True  # one of the 8 turns and mirrors of a square (4 for whole images that are not square)
    flip_only: bool = False  # mirror left-right half of the time and nothing else, as the published code does
    stain_jitter: float = 0.0  # 0.2 multiplies H and E of the source by 0.8-1.2
    same_glass: bool = False  # bring the light of the target to the source's: slides are scanned brighter or darker by chance
    class_balanced: bool = False  # draw the HER2 levels in turn, as often as each other
    unpaired: bool = False  # draw the target independently of the source, for methods that learn without pairs
    sampling: Literal["even", "weighted"] = "even"  # weighted: well matching and rare pairs more often (pairs/sampling.py)
    drop_worst: float = 0.0  # share of the training pairs left out for their quality (pairs/quality.py); validation keeps all
    cache_gib: float = 2.0  # memory for decoded images, all workers together

    def __post_init__(self) -> None:
        if self.crop_px is not None and self.crop_px < 1:
            raise ValueError(f"data.crop_px is {self.crop_px}; it must be at least 1, or None for whole images")
        if not 0 <= self.stain_jitter < 1:
            raise ValueError(f"data.stain_jitter is {self.stain_jitter}; it must be from 0 to below 1")
        if not 0 <= self.drop_worst < 1:
            raise ValueError(f"data.drop_worst is {self.drop_worst}; it must be from 0 to below 1, such as 0.1 for a tenth")
        if self.unpaired and (self.sampling == "weighted" or self.drop_worst):
            raise ValueError(
                "data.sampling weighted and data.drop_worst judge a source and its target together, and data.unpaired parts "
                "them; leave out data.unpaired, or set data.sampling even and data.drop_worst 0"
            )

    def left_out(self) -> str:
        """A clause on what training leaves out of a set, "" for nothing."""
        return f", {self.drop_worst:.3g} of the training pairs left out as the worst" if self.drop_worst else ""


@dataclass(frozen=True)
class View:
    """A square of the image, turned by quarter turns and then perhaps mirrored left-right."""

    top: int
    left: int
    height: int
    width: int
    quarter_turns: int
    mirrored: bool

    def of(self, image: Uint8Image) -> Uint8Image:
        cut = image[self.top : self.top + self.height, self.left : self.left + self.width]
        turned = np.rot90(cut, self.quarter_turns)
        return np.ascontiguousarray(turned[:, ::-1] if self.mirrored else turned)


def augment(images: PairImages, draws: Draws, rng: np.random.Generator) -> PairImages:
    """Cut, turn and re-stain a pair; the same state of `rng` gives the same bytes, and the level has no say.

    Raises ValueError when an image is smaller than the crop, or when the two images of a pair differ in size.
    """
    source, target = images.source, images.target
    view = draw_view(images.name, source, draws, rng)
    jitter = draw_jitter(draws.stain_jitter, rng)
    if target is not None and draws.unpaired:
        target = draw_view(images.name, target, draws, rng).of(target)
    elif target is not None:
        if source.shape != target.shape:
            raise ValueError(f"{images.name}: the source is {_size(source)} px, the target {_size(target)} px; make them equal")
        target = view.of(target if not draws.same_glass else relit(target, _light(source), _light(target)))
    source = view.of(source)
    return replace(images, source=source if jitter is None else restain(source, jitter, _light(source)), target=target)


def relit(image: Uint8Image, wanted: Float[np.ndarray, "3"], present: Float[np.ndarray, "3"]) -> Uint8Image:
    """The image under a light in which its glass, now of colour `present`, has the colour `wanted` (both unit RGB)."""
    table = np.clip(np.arange(256)[:, None] * (wanted / present), 0, 255).round().astype(np.uint8)
    return np.stack([table[:, channel][image[..., channel]] for channel in range(3)], axis=-1)


def draw_view(name: str, image: Uint8Image, draws: Draws, rng: np.random.Generator) -> View:
    """Where to cut `image` and how to turn it. `name` is for the error message when it is smaller than the crop."""
    height, width = image.shape[:2]
    side = draws.crop_px
    if side is not None and side > min(height, width):
        raise ValueError(f"{name} is {_size(image)} px, smaller than crop_px {side}; lower crop_px or leave the image out")
    cut_height, cut_width = (height, width) if side is None else (side, side)
    top, left = (int(rng.integers(0, room + 1)) for room in (height - cut_height, width - cut_width))
    turn = int(rng.integers(0, 8))
    if draws.flip_only or not draws.dihedral:
        turn &= 4 if draws.flip_only else 0
    elif cut_height != cut_width:
        turn &= 6  # half turns and mirrors keep the shape
    return View(top, left, cut_height, cut_width, turn & 3, bool(turn & 4))


def draw_jitter(strength: float, rng: np.random.Generator) -> Float[np.ndarray, "2"] | None:
    """What haematoxylin and eosin are multiplied by: 1 +- strength."""
    return None if strength == 0 else rng.uniform(1 - strength, 1 + strength, 2)


def restain(image: Uint8Image, scale: Float[np.ndarray, "2"], white: Float[np.ndarray, "3"]) -> Uint8Image:
    """Multiply the concentrations of haematoxylin and eosin of an H&E image; what is neither stays, and so does the glass.

    `white` is the colour of the glass in unit RGB: the target shares its light with the source, so that a jitter of the glass
    would ask for a light that nothing in the source tells.
    By Beer-Lambert a mixture of densities is a product of transmittances, and a channel has 256 values: nine small tables
    and two multiplications a channel replace the logarithms and powers of every pixel.
    """
    mix = H_E.inverse @ np.diag([*scale, 1.0]) @ H_E.matrix  # densities in -> densities out, both R, G, B
    glass = optical_density(white)
    offset = transmittance(glass - glass @ mix)
    # 0 counts as a third of a level: what comes back as light may be as dark as it was
    densities = optical_density(np.arange(256) / 255.0, darkest=1 / 3 / 255)
    tables = transmittance(densities[:, None, None] * mix).astype(np.float32)
    restained = np.empty_like(image)
    for channel in range(3):
        light = tables[:, 0, channel][image[..., 0]] * np.float32(255.0 * offset[channel])
        light *= tables[:, 1, channel][image[..., 1]]
        light *= tables[:, 2, channel][image[..., 2]]
        restained[..., channel] = np.clip(np.rint(light), 0, 255)
    return restained


def _light(image: Uint8Image) -> Float[np.ndarray, "3"]:
    """The light of the slide, which padding does not have."""
    return glass(image, unseen(image))


def _size(image: Uint8Image) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
