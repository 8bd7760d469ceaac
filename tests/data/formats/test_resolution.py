"""um per pixel, written by other libraries and read back; what nobody measured stays unknown."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromogen.data.formats.resolution import believed
from chromogen.data.images import decode_image, image_facts

PICTURE = np.full((5, 6, 3), 200, np.uint8)
Options = dict[str, Any]


def both(path: Path) -> float | None:
    """From the header alone and after decoding; they agree."""
    found = decode_image(path).mpp
    assert image_facts(path).mpp == found
    return found


@settings(max_examples=25, deadline=None)
@given(mpp=st.floats(0.11, 1.95).filter(lambda value: abs(value - 1) > 1e-3), kind=st.sampled_from(["PNG", "TIFF", "BMP"]))
def test_dots_per_inch_come_back_as_um(tmp_path_factory: pytest.TempPathFactory, mpp: float, kind: str) -> None:
    path = tmp_path_factory.getbasetemp() / "resolution"
    Image.fromarray(PICTURE).save(path, kind, dpi=(25_400 / mpp, 25_400 / mpp))
    assert both(path) == pytest.approx(mpp, rel=1e-4)


def test_jpeg_says_whole_dots_per_inch(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.jpg", dpi=(50_800, 50_800))
    assert both(tmp_path / "a.jpg") == pytest.approx(0.5)


@pytest.mark.parametrize("dpi", [1, 72, 96, 150, 300, 600, 2400, 25_400])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_printers_and_defaults_are_unknown(tmp_path: Path, kind: str, dpi: int) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a", kind, dpi=(dpi, dpi))
    assert both(tmp_path / "a") is None


@pytest.mark.parametrize(
    ("options", "mpp"),
    [
        ({"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}, 0.5),
        ({"resolution": (50_800, 50_800), "resolutionunit": "INCH"}, 0.5),
        ({"resolution": (20_000, 20_000), "resolutionunit": "NONE"}, None),
        ({"resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (10_000, 10_000), "resolutionunit": "CENTIMETER"}, None),
        ({"resolution": (10, 10), "resolutionunit": "CENTIMETER"}, None),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "um"}}, 0.25),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "micron"}}, 0.25),
        ({"imagej": True, "resolution": (4000, 4000), "metadata": {"unit": "mm"}}, 0.25),
        ({"imagej": True, "resolution": (0.004, 0.004), "metadata": {"unit": "nm"}}, 0.25),
        ({"imagej": True, "resolution": (4, 4), "metadata": {"unit": "pixel"}}, None),
        ({"imagej": True, "resolution": (1, 1), "metadata": {"unit": "um"}}, None),
        ({"imagej": True}, None),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}}, 0.25),
        ({"ome": True, "metadata": {"PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm"}}, 0.25),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.00025, "PhysicalSizeXUnit": "mm"}}, 0.25),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "pixel"}}, None),
        ({"ome": True, "metadata": {"PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0}}, None),
        ({"description": "Aperio Image Library v11\n5x6|AppMag = 20|MPP = 0.4990", "metadata": None}, 0.499),
        ({"description": "Aperio Image Library v11\n5x6|MPP = none", "metadata": None}, None),
        ({"resolution": (0, 0), "resolutionunit": "CENTIMETER"}, None),
    ],
)
def test_tiff_tags(tmp_path: Path, options: Options, mpp: float | None) -> None:
    path = tmp_path / ("a.ome.tif" if options.get("ome") else "a.tif")
    tifffile.imwrite(path, PICTURE, photometric="rgb", **options)
    assert both(path) == (None if mpp is None else pytest.approx(mpp, rel=1e-3))


@given(st.floats(allow_nan=True, allow_infinity=True) | st.none(), st.floats(allow_nan=True, allow_infinity=True) | st.none())
def test_what_is_believed_lies_between_a_tenth_and_two(across: float | None, down: float | None) -> None:
    found = believed(across, down)
    assert found is None or (0.095 <= found <= 2.1 and found != 1)


def test_real_scans(shared: Path) -> None:
    slides = shared / "data" / "slides"
    assert image_facts(slides / "CMU-1-Small-Region.svs").mpp == pytest.approx(0.499)
    assert image_facts(slides / "cytology_563479_aperio.tif").mpp is None  # 10 pixels a cm, which nobody measured
