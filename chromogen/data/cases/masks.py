"""Masks as pictures: which level, colour or number in them stands for which class, decided for a whole set.

A mask may hold class numbers, be black and white (with soft edges, in 8 or 16 bits, as a palette in either order), have one
grey level a class, or one colour a class. One file alone does not tell: a mask of 0 and 255 may be of a set that also knows 85.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, UnidentifiedImageError
from scipy import ndimage

from chromogen.data import images
from chromogen.data.cases.pictures import array_at, is_grey
from chromogen.data.images import MAX_PIXELS

MAX_CLASS = 31  # a picture of integers up to this holds class numbers; brighter ones are drawn
IGNORE = 255  # beside class numbers: pixels that nobody judged (Pascal VOC, Cityscapes)
MAX_LEVELS = 16  # more levels or colours than this are no classes
_HALF = 128  # of JPEG, whose noise is never bright
_FLAT, _NOISE = 8, 16  # levels within 3 x 3 px inside a mask, and between neighbouring levels, that JPEG's noise explains
LOOKED_AT = 200  # masks of a set, evenly spread, that decide how it is coded; all of them where levels stand for classes
_NAMES = {
    0x000000: "black", 0xFFFFFF: "white", 0xFF0000: "red", 0x00FF00: "green", 0x0000FF: "blue", 0xFFFF00: "yellow",
    0x00FFFF: "cyan", 0xFF00FF: "magenta", 0x800000: "dark red", 0x008000: "dark green", 0x000080: "dark blue",
    0x808080: "grey", 0x808000: "olive", 0x008080: "teal", 0x800080: "purple", 0xFFA500: "orange",
}  # fmt: skip

Histogram = Int[np.ndarray, "256"]
Kind = Literal["numbers", "black and white", "levels", "colours"]


@dataclass(frozen=True, eq=False)
class Levels:
    """What a mask file holds, (H, W): grey levels, or colours as 0xRRGGBB. `soft`: JPEG, whose noise looks like levels."""

    values: Int[np.ndarray, "height width"]
    colour: bool = False
    soft: bool = False


@dataclass(frozen=True)
class Coding:
    """How the masks of a set are coded. `codes` are the levels or colours of the classes by number, the background's first; for
    black and white half of the brightest level; empty for class numbers. `notes` say what had to be guessed."""

    kind: Kind
    codes: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    ignore: int | None = None
    notes: tuple[str, ...] = ()

    def seen(self, number: int) -> str:
        """The level or colour that stands for a class."""
        return _named(self.codes[number], self.kind) if number < len(self.codes) else "nothing"


@dataclass
class Seen:
    """Levels of the masks looked at: in how many pixels, on how many px of the border, and whether any has an inside."""

    counts: Counter[int] = field(default_factory=Counter)
    border: Counter[int] = field(default_factory=Counter)
    solid: set[int] = field(default_factory=set)
    flat: Histogram = field(default_factory=lambda: np.zeros(256, dtype=np.int64))  # of grey JPEG, away from edges
    beside: bool = False  # one mask holds both a class number and what may mean that nobody judged the pixel
    colour: bool = False
    soft: bool = False


def coding_of(files: Sequence[Path], indices: Sequence[int | None]) -> Coding:
    """How the masks of a set are coded, from a part of them, or from all where levels or colours stand for classes. Masks that
    cannot be read have no say. ValueError when they hold neither."""
    step = max(1, len(files) // LOOKED_AT)
    found = coding_from(_seen(files[::step], indices[::step]), files)
    if step > 1 and (found.kind in ("levels", "colours") or len(found.classes) > 2):
        found = coding_from(_seen(files, indices), files)
    return found


def read_mask(path: Path, index: int | None = None, coding: Coding | None = None) -> UInt8[np.ndarray, "height width"]:
    """Class of every pixel, 0 for none; `coding.ignore` where it says so. Without `coding` the file alone decides.

    ValueError with a sentence for what cannot be read and for a level that `coding` does not know.
    """
    levels = read_levels(path, index)
    if coding is None:
        seen = Seen()
        _look(seen, levels)
        coding = coding_from(seen, [path])
    return classes_of(levels, coding, path)


def classes_of(levels: Levels, coding: Coding, path: Path) -> UInt8[np.ndarray, "height width"]:
    """Class of every pixel. ValueError for a level that `coding` does not know."""
    values, top = levels.values, int(levels.values.max())
    if coding.kind == "black and white" or levels.soft:
        if top <= 1 and not levels.soft:
            return values.astype(np.uint8)
        return (values >= (_HALF if levels.soft or not coding.codes else coding.codes[0])).astype(np.uint8)
    if coding.kind == "numbers":
        unknown = (values > MAX_CLASS) & (values != coding.ignore)
        if unknown.any():
            raise ValueError(
                f"{path} holds the level {int(values[unknown][0])}, where the masks beside it hold class numbers up to "
                f"{MAX_CLASS}; save all of them alike"
            )
        return values.astype(np.uint8)
    if levels.colour != (coding.kind == "colours"):
        grey = levels.values
        values = grey * 0x010101 if coding.kind == "colours" else np.where((grey >> 16) == (grey & 255), grey & 255, -1)
    order = np.argsort(coding.codes)
    known = np.array(coding.codes)[order]
    place = np.clip(np.searchsorted(known, values), 0, len(known) - 1)
    if not (known[place] == values).all():
        what = _named(int(values[known[place] != values][0]), coding.kind)
        raise ValueError(
            f"{path} holds {what}, which is no class of this set ({', '.join(coding.classes)}); draw it as the others"
        )
    return order[place].astype(np.uint8)


def read_layer(path: Path, index: int | None = None) -> UInt8[np.ndarray, "height width"]:
    """A mask that stands for one class: 1 inside. Whatever is at least half as bright as its brightest level is inside."""
    levels = read_levels(path, index)
    half = _HALF if levels.soft else max(1, (int(levels.values.max()) + 1) // 2)
    return (levels.values >= half).astype(np.uint8)


def read_levels(path: Path, index: int | None = None) -> Levels:
    """The levels of a mask in the file. A palette of grey levels, or one in which black is not number 0, is resolved; else its
    numbers are the levels. ValueError, OSError."""
    suffix = path.suffix.casefold()
    if suffix == ".npy":
        return Levels(_whole(array_at(path, index), path))
    if images.is_tiff(path):
        found = images.read_levels(path)
        if found.palette is not None:
            return _of_numbers(found.values.astype(np.int64), found.palette[: int(found.values.max()) + 1].astype(np.int64))
        return _of_array(found.values * np.uint8(255) if found.kind == "bilevel" else found.values, path)
    try:
        with Image.open(path) as opened:
            image: Image.Image = opened
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it claims {image.width} x {image.height} px")
            soft = image.format == "JPEG"
            if image.mode == "P":
                return _of_palette(image)
            if image.mode in ("RGBA", "LA", "PA"):
                image = _without_alpha(image)
            pixels = np.asarray(image)
    except FileNotFoundError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as a mask ({error}); save it again as PNG") from error
    if pixels.dtype == bool:
        pixels = pixels * np.uint8(255)
    return _of_array(pixels, path, soft)


def _of_array(pixels: np.ndarray, path: Path, soft: bool = False) -> Levels:
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.ndim == 2:
        return Levels(_whole(pixels, path), soft=soft)
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise ValueError(f"{path} has the shape {pixels.shape}; a mask is one grey or colour picture: save it as PNG")
    if soft and is_grey(pixels[..., :3].astype(np.float32)):
        return Levels(pixels[..., 0].astype(np.int64), soft=True)
    if (pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all():
        return Levels(pixels[..., 0].astype(np.int64))
    if pixels.dtype != np.uint8:
        pixels = (pixels // 257).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    return Levels(pixels[..., :3].astype(np.int64) @ np.array([0x10000, 0x100, 1]), colour=True, soft=soft)


def _of_palette(image: Image.Image) -> Levels:
    numbers = np.asarray(image).astype(np.int64)
    flat = np.array(image.getpalette() or [], dtype=np.int64)[: 3 * (int(numbers.max()) + 1)].reshape(-1, 3)
    return _of_numbers(numbers, flat)


def _of_numbers(numbers: Int[np.ndarray, "height width"], flat: Int[np.ndarray, "count 3"]) -> Levels:
    if len(flat) <= numbers.max():
        return Levels(numbers)
    if (flat[:, 0] == flat[:, 1]).all() and (flat[:, 0] == flat[:, 2]).all():
        return Levels(flat[numbers, 0])
    if flat[0].any() and not flat.any(axis=1).all():  # black is somewhere else than at 0: the colours count
        packed = flat @ np.array([0x10000, 0x100, 1])
        return Levels(packed[numbers], colour=True)
    return Levels(numbers)


def _without_alpha(image: Image.Image) -> Image.Image:
    colours = np.asarray(image.convert("RGBA"))
    if (colours[..., :3] == colours[0, 0, :3]).all() and colours[..., 3].min() < colours[..., 3].max():
        return Image.fromarray(colours[..., 3])  # drawn in the alpha channel alone
    return Image.fromarray(np.ascontiguousarray(colours[..., :3]))


def _whole(array: np.ndarray, path: Path) -> Int[np.ndarray, "height width"]:
    """Levels as whole numbers; fractions up to 1 become 0 to 255."""
    if array.ndim == 3:
        array = array[..., 0]
    if array.dtype.kind not in "biuf" or array.size == 0:
        raise ValueError(f"{path} holds no numbers; write class numbers")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise ValueError(f"{path} holds labels that are not finite; write class numbers")
        if array.min() >= 0 and array.max() <= 1 and not np.isin(array, (0, 1)).all():
            array = array * 255
        elif np.abs(array - np.rint(array)).max() > 1e-3 and array.max() <= MAX_CLASS:
            raise ValueError(f"{path} holds labels between whole numbers, as resampling makes them; resample to the nearest")
        array = np.rint(array)
    if array.min() < 0:
        raise ValueError(f"{path} holds the label {array.min():g}; classes are 0 (none), 1, 2, ...")
    return array.astype(np.int64)


def _seen(files: Iterable[Path], indices: Iterable[int | None]) -> Seen:
    seen = Seen()
    for path, index in zip(files, indices, strict=True):
        try:
            _look(seen, read_levels(path, index))
        except (ValueError, OSError):
            continue  # whoever reads it says why
    return seen


def _look(seen: Seen, levels: Levels) -> None:
    values = levels.values
    seen.soft |= levels.soft
    if levels.soft and not levels.colour:
        flat = ndimage.maximum_filter(values, 3) - ndimage.minimum_filter(values, 3) <= _FLAT
        seen.flat += np.bincount(np.clip(values[flat], 0, 255), minlength=256)
        return
    seen.colour |= levels.colour
    names, counts = np.unique(values, return_counts=True)
    if len(names) > 4096:
        names, counts = names[:4096], counts[:4096]
    seen.counts.update(dict(zip(names.tolist(), counts.tolist(), strict=True)))
    seen.beside |= IGNORE in names and bool(((names > 0) & (names <= MAX_CLASS)).any())
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    seen.border.update(Counter(border.tolist()))
    if len(names) > 2 and not set(names.tolist()) <= seen.solid:
        alike = ndimage.minimum_filter(values, 3) == ndimage.maximum_filter(values, 3)
        seen.solid |= set(np.unique(values[alike]).tolist())
    elif len(names) <= 2:
        seen.solid |= set(names.tolist())


def coding_from(seen: Seen, files: Sequence[Path]) -> Coding:
    """What levels mean of which so many were seen. ValueError, naming the folder of `files`, when they are neither."""
    levels = sorted(seen.counts)
    if len(plateaus := _plateaus(seen.flat)) > 2:
        raise ValueError(
            f"{files[0].parent} holds masks of several grey levels (about {', '.join(map(str, plateaus))}) as JPEG, which "
            "smears them; save the masks as PNG"
        )
    if seen.soft and not levels:
        return Coding("black and white", (_HALF,))
    if seen.colour and seen.soft:
        raise ValueError(f"{files[0].parent} holds masks in colours as JPEG, which smears them; save the masks as PNG")
    if seen.colour:
        return _in_colours(seen, files)
    top = levels[-1] if levels else 0
    if top <= MAX_CLASS:
        return Coding("numbers", classes=_by_number(top))
    if set(levels) - set(range(MAX_CLASS + 1)) == {IGNORE} and len(levels) > 2 and 1 in levels:
        if not seen.beside:
            raise ValueError(
                f"{files[0].parent} holds masks of class numbers and others of 0 and {IGNORE}: the same class in black and "
                "white, or pixels that nobody judged; save all masks alike, as class numbers"
            )
        note = f"{IGNORE} beside class numbers means that nobody judged the pixel"
        return Coding("numbers", (), _by_number(max(set(levels) - {IGNORE})), IGNORE, (note,))
    between = [level for level in levels if 0 < level < top]
    solid = [level for level in between if level in seen.solid]
    if len(levels) <= 2 or not solid:
        return Coding("black and white", ((top + 1) // 2,))
    if len(levels) > MAX_LEVELS:
        if sum(seen.counts[level] for level in solid) < 0.001 * seen.counts.total():
            return Coding("black and white", ((top + 1) // 2,))
        raise ValueError(
            f"{files[0].parent} holds masks of {len(levels)} grey levels, which are neither black and white nor one level a "
            "class; write class numbers, and resample masks to the nearest"
        )
    return _coded("levels", levels, seen)


def _plateaus(flat: Histogram) -> list[int]:
    """Grey levels around which the inside of masks lies in JPEG: runs of levels that a thousandth of the pixels have each,
    unless there is more than noise between them."""
    found: list[list[int]] = []
    for level in np.flatnonzero(flat > 0.001 * flat.sum()).tolist():
        if found and level - found[-1][-1] <= _NOISE:
            found[-1].append(level)
        else:
            found.append([level])
    return [max(run, key=lambda level: int(flat[level])) for run in found]


def _by_number(top: int) -> tuple[str, ...]:
    return ("none", "label") if top <= 1 else ("none", *(f"label {number}" for number in range(1, top + 1)))


def _in_colours(seen: Seen, files: Sequence[Path]) -> Coding:
    colours = sorted(seen.counts)
    if len(colours) > MAX_LEVELS:
        raise ValueError(
            f"{files[0].parent} holds masks of {len(colours)} colours, too many for classes (soft edges, or pictures with "
            "the outline drawn on); write class numbers, and resample masks to the nearest"
        )
    return _coded("colours", colours, seen)


def _coded(kind: Literal["levels", "colours"], levels: Sequence[int], seen: Seen) -> Coding:
    """Black is the background where it is there, unless another level fills nearly all of the border."""
    most, count = seen.border.most_common(1)[0]
    background = 0 if 0 in levels and count < 0.9 * seen.border.total() else most
    rest = [level for level in levels if level != background]
    rest = rest[::-1] if background == max(levels) else rest
    codes = (background, *rest)
    names = tuple(_named(level, kind) for level in codes)
    meaning = ", ".join(f"{name} is class {number}" for number, name in enumerate(names[1:], start=1))
    note = f"masks hold {kind}: {names[0]} is none, {meaning}; set classes to name them"
    return Coding(kind, codes, ("none", *names[1:]), notes=(note,))


def _named(level: int, kind: str) -> str:
    if kind == "levels":
        return f"level {level}"
    colour = f"({level >> 16}, {level >> 8 & 255}, {level & 255})"
    return f"{_NAMES[level]} {colour}" if level in _NAMES else f"colour {colour}"
