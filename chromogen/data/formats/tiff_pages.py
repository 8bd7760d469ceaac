"""Which page of a TIFF file is the picture, or which three grey ones are.

Pages that say they are reduced, masks, labels or macros are none, wherever they stand; of the others the largest is. Three grey
pages of one size are red, green and blue, in the order of their colours where OME or ImageJ states them; any other number of
grey pages, focus planes and times are a stack, which is no picture and is refused.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tifffile import TiffFile, TiffPage

from chromogen.data.formats.ome import Planes, of_imagej, of_ome, order_of

MOST_PAGES = 64  # that are looked at; whole slides have about ten
REDUCED, MASK = 1, 4  # bits of NewSubfileType
TRANSPARENCY = 4  # the photometric interpretation of a mask
WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1
GREY = (WHITE_IS_ZERO, BLACK_IS_ZERO)
THREE_GREY = "three grey pages taken as red, green and blue"
FIRST = "first of several pages taken"
UNUSED_TABLE = "lookup table of ImageJ ignored: the grey values themselves are taken"
_NUMBERS = (
    *("imagewidth", "imagelength", "imagedepth", "samplesperpixel", "rowsperstrip", "tilewidth", "tilelength", "tiledepth"),
    *("photometric", "compression", "planarconfig", "predictor", "sampleformat", "fillorder"),
)
_BESIDE = re.compile(r"^\s*(label|macro|thumbnail|overview)\b", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Chosen:
    """One page, or three grey ones as red, green and blue. planes: what OME or ImageJ says of them, if anything."""

    pages: tuple[TiffPage, ...]
    notes: tuple[str, ...] = ()
    planes: Planes | None = None


def choose(tiff: TiffFile, where: str) -> Chosen:
    """The picture of a TIFF file. Raises ValueError, naming `where`, for stacks and for fluorescence."""
    pages, count = _pages(tiff, where), len(tiff.pages)
    best = max(
        _full(pages), key=lambda page: (_area(page), not _is_grey(page))
    )  # of equals the first in colour: masks are grey
    if best.imagedepth > 1:
        raise ValueError(f"{where} is a volume of {best.imagedepth} planes, not one picture; save the plane that is meant")
    planes = _stated_planes(tiff, pages[0], best)
    if planes is not None and planes.channels * planes.depths * planes.times > 1:
        return _of_planes(planes, best, pages, count, where)
    _refuse_shaped_stack(pages[0], best, count, where)
    alike = [page for page in _full(pages) if _kind(page) == _kind(best)]
    if _is_grey(best) and best.bitspersample != 1 and len(alike) > 1:
        if len(alike) == 3 and count <= MOST_PAGES:
            return Chosen(tuple(alike), (THREE_GREY,), planes)
        number = count if count > MOST_PAGES else len(alike)
        raise ValueError(
            f"{where} holds {number} grey pages of one size, a stack and not one picture; save the right one alone"
        )
    return Chosen((best,), _page_notes(best, pages, count, planes), planes)


def _pages(tiff: TiffFile, where: str) -> list[TiffPage]:
    """Pages and what hangs below them (some files keep a thumbnail above and the picture in a SubIFD)."""
    found: list[TiffPage] = []
    for number in range(min(len(tiff.pages), MOST_PAGES)):
        page = tiff.pages[number]
        if not isinstance(page, TiffPage):
            continue
        found.append(_checked(page, where))
        if page.subifds and page.pages is not None:
            below = [page.pages[k] for k in range(min(len(page.pages), MOST_PAGES))]
            larger = [sub for sub in below if isinstance(sub, TiffPage) and _area(_checked(sub, where)) > _area(page)]
            found += [sub for sub in larger if not sub.subfiletype & (REDUCED | MASK)]
    return found


def _checked(page: TiffPage, where: str) -> TiffPage:
    """Sizes that are text or fractions would be multiplied all the same."""
    for name in _NUMBERS:
        if not isinstance(getattr(page, name), int):
            raise ValueError(f"{where} is damaged (TIFF: its {name} is no number); copy it again from its origin")
    return page


def _full(pages: Sequence[TiffPage]) -> list[TiffPage]:
    pictures = [page for page in pages if not page.subfiletype & MASK and page.photometric != TRANSPARENCY] or [*pages]
    full = [page for page in pictures if not page.subfiletype & REDUCED] or pictures
    return [page for page in full if not _BESIDE.search(page.description[:4096])] or full


def _area(page: TiffPage) -> int:
    return page.imagewidth * page.imagelength


def _kind(page: TiffPage) -> tuple[object, ...]:
    return (page.imagewidth, page.imagelength, page.samplesperpixel, page.bitspersample, page.sampleformat, page.photometric)


def _is_grey(page: TiffPage) -> bool:
    return page.samplesperpixel == 1 and page.photometric in GREY


def _is_tinted(planes: Planes) -> bool:
    """Whether ImageJ shows the one channel in other colours than grey."""
    return planes.channels == 1 and planes.colours not in ((), ("",), ("white",))


def _page_notes(best: TiffPage, pages: Sequence[TiffPage], count: int, planes: Planes | None) -> tuple[str, ...]:
    table = (UNUSED_TABLE,) if planes is not None and _is_tinted(planes) and _is_grey(best) else ()
    if best is not pages[0]:
        return (f"page {pages.index(best) + 1} of {max(count, len(pages))} taken, the one of full resolution", *table)
    return (*((FIRST,) if len(_full(pages)) > 1 else ()), *table)


def _stated_planes(tiff: TiffFile, first: TiffPage, best: TiffPage) -> Planes | None:
    if first.is_ome:
        fitting = [p for p in of_ome(first.description) if (p.width, p.height) == (best.imagewidth, best.imagelength)]
        return fitting[0] if fitting else None
    header = tiff.imagej_metadata if first.is_imagej else None
    if header is None:
        return None
    return of_imagej(header, best.imagewidth, best.imagelength, header.get("LUTs"))


def _of_planes(planes: Planes, best: TiffPage, pages: Sequence[TiffPage], count: int, where: str) -> Chosen:
    samples = best.samplesperpixel
    channels = max(1, planes.channels // samples) if samples > 1 else planes.channels
    if planes.depths > 1 or planes.times > 1 or (samples > 1 and channels > 1):
        parts = {"channels": channels, "focus planes": planes.depths, "times": planes.times}
        said = ", ".join(f"{number} {name}" for name, number in parts.items() if number > 1)
        raise ValueError(f"{where} is a stack ({said}), not one picture; save the plane that is meant")
    if planes.fluorescent:
        raise ValueError(f"{where} is fluorescence ({planes.fluorescent}), no bright-field picture; its channels are no RGB")
    if samples > 1 or channels == 1:
        return Chosen((best,), _page_notes(best, pages, count, planes), planes)
    order = order_of(planes.colours)
    if channels != 3 or order is None:
        colours = ": their colours are stated as others" if channels == 3 else ""
        raise ValueError(f"{where} has {channels} channels, which are no red, green and blue{colours}; save it as RGB")
    numbers = planes.pages or tuple(pages.index(best) + k for k in range(3))
    if max(numbers) >= len(pages) or any(_kind(pages[k]) != _kind(best) for k in numbers):
        raise ValueError(f"{where} says that it has three channels, and their pages are not in this file; save it as RGB")
    return Chosen(tuple(pages[numbers[k]] for k in order), (THREE_GREY,), planes)


def _refuse_shaped_stack(first: TiffPage, best: TiffPage, count: int, where: str) -> None:
    """tifffile's own {"shape": ..., "axes": ...}: several planes behind one page, or an axis of depth or time."""
    if not first.description.startswith('{"shape"'):
        return
    try:
        said = json.loads(first.description)
        shape, axes = [int(side) for side in said["shape"]], str(said.get("axes", ""))
    except (ValueError, TypeError, KeyError):
        return
    deep = len(axes) == len(shape) and any(axis in "ZTR" and side > 1 for axis, side in zip(axes, shape, strict=True))
    hidden = count == 1 and math.prod(shape) > _area(best) * best.samplesperpixel
    if deep or hidden:
        raise ValueError(f"{where} is a stack of the shape {shape}, not one picture; save the plane that is meant")
