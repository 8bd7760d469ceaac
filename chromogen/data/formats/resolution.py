"""um per pixel as picture files state it, believed only where tissue can have been scanned at it.

Most files that state a resolution state one that nobody measured: 72, 96 or 300 dots per inch for a printer (352.8 to 84.7 um),
or exactly 1 because a program had to write something. Both are taken for unknown.
"""

import re
from collections.abc import Mapping
from typing import Any

from PIL.ImageFile import ImageFile

FINEST_UM, COARSEST_UM = 0.1, 2.0
UM_OF_INCH, UM_OF_CM = 25_400.0, 10_000.0
SQUARE = 1.05  # sides of a pixel that differ by more are no resolution of a picture

_UM: dict[str, float] = {
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometre", "\\u00b5m"), 1.0),
    **{"nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "å": 1e-4, "inch": UM_OF_INCH, "in": UM_OF_INCH},
}


def believed(across: float | None, down: float | None = None) -> float | None:
    """um per pixel of a scan, or None: beyond 0.1 to 2, exactly 1 (what is written by default), or of oblong pixels."""
    if across is None or not FINEST_UM <= across <= COARSEST_UM or abs(across - 1) < 1e-5:
        return None
    if down is not None and not 1 / SQUARE <= down / across <= SQUARE:
        return None
    return across if down is None else (across + down) / 2


def in_um(length: float | None, unit: str | None) -> float | None:
    """A length in um; None where the unit is none of length."""
    factor = _UM.get((unit or "").strip().casefold())
    return None if length is None or factor is None else length * factor


def of_plain(image: ImageFile) -> float | None:
    """What the header of a PNG (pHYs), JPEG (JFIF or EXIF) or BMP says."""
    try:
        across, down = (UM_OF_INCH / float(value) for value in image.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return believed(across, down)


def of_tiff_tags(
    per_unit: tuple[float | None, float | None], unit: int, description: str, imagej: Mapping[str, Any] | None
) -> float | None:
    """XResolution and YResolution in pixels per inch (unit 2) or cm (3); ImageJ's own unit; "MPP = " of an Aperio scan."""
    if description.startswith("Aperio") and (found := re.search(r"\bMPP\s*=\s*([0-9.]+)", description)):
        return believed(_number(found.group(1)))
    if imagej is not None and imagej.get("unit") is not None:
        lengths = [in_um(1 / value, str(imagej["unit"])) if value else None for value in per_unit]
        if (found_unit := believed(*lengths)) is not None or unit not in (2, 3):
            return found_unit
    um = {2: UM_OF_INCH, 3: UM_OF_CM}.get(unit)
    if um is None:
        return None
    return believed(*(um / value if value else None for value in per_unit))


def ratio(value: object) -> float | None:
    """A TIFF rational as a number; None where there is none."""
    if isinstance(value, tuple) and len(value) == 2 and value[1]:
        return float(value[0]) / float(value[1])
    return float(value) if isinstance(value, int | float) and value else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
