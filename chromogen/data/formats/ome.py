"""What OME-XML and ImageJ's header say of the pages beside each other: channels, focus planes, times, bits, um per pixel."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from chromogen.data.formats.resolution import in_um

LONGEST_XML = 16 * 2**20  # characters; the OME-XML of plates goes to some megabytes
RGB = ("red", "green", "blue")
_FLUORESCENT = re.compile(r"dapi|hoechst|fitc|tritc|\bcy[35]\b|\bgfp\b|alexa|rhodamine", re.IGNORECASE)
_PURE = {(255, 0, 0): "red", (0, 255, 0): "green", (0, 0, 255): "blue"}
_NAMES = {"r": "red", "g": "green", "b": "blue", **{name: name for name in RGB}}


@dataclass(frozen=True)
class Planes:
    """One picture of several planes. channels: in all; colours: of the channels, as far as stated ("" where not).

    pages: of each channel where the file says so (OME's TiffData). um: width and height of a pixel, None where not stated.
    """

    width: int
    height: int
    channels: int
    depths: int = 1
    times: int = 1
    colours: tuple[str, ...] = ()
    fluorescent: str = ""  # the word that shows it
    bits: int | None = None
    um: tuple[float | None, float | None] = (None, None)
    pages: tuple[int, ...] = ()


def of_ome(xml: str) -> list[Planes]:
    """Every image of an OME-XML text; none where it cannot be read."""
    if len(xml) > LONGEST_XML or "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        return []
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError):
        return []
    found = (_of_pixels(pixels) for pixels in root.iter() if _tag(pixels) == "Pixels")
    return [planes for planes in found if planes is not None]


def of_imagej(header: Mapping[str, Any], width: int, height: int, lookup_tables: Sequence[Any] | None) -> Planes:
    """What ImageJ's "ImageJ=1.53t ..." header and its lookup tables say."""
    number = {key: header.get(key, 1) for key in ("channels", "slices", "frames", "images")}
    channels, depths, times, images = (value if isinstance(value, int) and value > 0 else 1 for value in number.values())
    if channels == depths == times == 1:
        depths = images
    labels = header.get("Labels") or header.get("labels")
    if channels == times == 1 and depths == 3 and labels and _named([str(label) for label in labels]) == RGB:
        channels, depths = 3, 1  # what ImageJ calls an RGB stack
    colours: tuple[str, ...] = ()
    if isinstance(lookup_tables, np.ndarray) and lookup_tables.ndim == 2:
        lookup_tables = lookup_tables[None]  # tifffile unpacks the only one
    if lookup_tables is not None and len(lookup_tables) >= channels:
        colours = tuple(_of_table(table) for table in lookup_tables[:channels])
    return Planes(width, height, channels, depths, times, colours)


def order_of(colours: Sequence[str]) -> tuple[int, int, int] | None:
    """Which of three channels is red, green and blue: as stated, else in this order; None where they are other colours."""
    if sorted(colours) == sorted(RGB):
        return (colours.index("red"), colours.index("green"), colours.index("blue"))
    return None if any(colours) and set(colours) != {"white"} else (0, 1, 2)


def _of_pixels(pixels: ElementTree.Element) -> Planes | None:
    said = pixels.attrib
    try:
        sizes = {name: int(said[f"Size{name}"]) for name in "XYCZT"}
    except (KeyError, ValueError):
        return None
    channels = [child for child in pixels if _tag(child) == "Channel"]
    names = [channel.get("Name", "") for channel in channels]
    stated = tuple(_stated_colour(channel.get("Color")) for channel in channels)
    colours = _named(names) or stated
    bits = said.get("SignificantBits", "")
    return Planes(
        sizes["X"],
        sizes["Y"],
        sizes["C"],
        sizes["Z"],
        sizes["T"],
        colours if len(colours) == 3 else (),
        _fluorescence(channels),
        int(bits) if bits.isdigit() and int(bits) > 0 else None,
        (_um(said, "X"), _um(said, "Y")),
        _pages(pixels, sizes["C"]),
    )


def _um(said: Mapping[str, str], axis: str) -> float | None:
    try:
        return in_um(float(said[f"PhysicalSize{axis}"]), said.get(f"PhysicalSize{axis}Unit", "µm"))
    except (KeyError, ValueError):
        return None


def _pages(pixels: ElementTree.Element, channels: int) -> tuple[int, ...]:
    """The page of each channel where TiffData names them one by one."""
    found: dict[int, int] = {}
    for data in pixels:
        if _tag(data) == "TiffData":
            first, page = data.get("FirstC", "0"), data.get("IFD", "")
            if first.isdigit() and page.isdigit() and data.get("PlaneCount", "1") == "1":
                found.setdefault(int(first), int(page))
    return tuple(found[channel] for channel in range(channels)) if set(found) >= set(range(min(channels, 64))) else ()


def _fluorescence(channels: Sequence[ElementTree.Element]) -> str:
    for channel in channels:
        said = channel.attrib
        for key in ("Fluor", "EmissionWavelength"):
            if said.get(key):
                return f"{key} {said[key]}"
        if said.get("ContrastMethod") == "Fluorescence" or _FLUORESCENT.search(said.get("Name", "")):
            return said.get("Name") or "Fluorescence"
    return ""


def _named(names: Sequence[str]) -> tuple[str, ...]:
    found = tuple(_NAMES.get(name.strip().casefold(), "") for name in names)
    return found if sorted(found) == sorted(RGB) else ()


def _stated_colour(text: str | None) -> str:
    """OME keeps a colour as the signed 32-bit number of its bytes red, green, blue, alpha."""
    try:
        number = int(text or "") & 0xFFFFFFFF
    except ValueError:
        return ""
    return _colour(number >> 24, number >> 16 & 255, number >> 8 & 255)


def _of_table(table: Any) -> str:
    """The colour that a lookup table (3, 256) leads to; "other" where it leads from light to dark."""
    first, last = ([int(row[place]) for row in table] for place in (0, -1))
    return _colour(*last) if sum(first) <= sum(last) else "other"


def _colour(red: int, green: int, blue: int) -> str:
    return _PURE.get((red, green, blue), "white" if red == green == blue else "other")


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
