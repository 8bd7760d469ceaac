"""Every kind of TIFF against the array it was written from."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromogen.data.formats.samples import DEPTHS, NO_ALPHA, ON_WHITE
from chromogen.data.formats.tiff_pages import FIRST, THREE_GREY, UNUSED_TABLE
from chromogen.data.images import decode_image, image_facts, read_image, read_levels

Writer = Callable[
    [np.ndarray], tuple[np.ndarray, np.ndarray, dict[str, Any]]
]  # truth -> what is stored, what is right, options
LOSSLESS = (None, "lzw", "zlib", "zstd", "packbits", "lzma")


def truth_of(seed: int, height: int, width: int) -> np.ndarray:
    """Colours as a bright field has them: somewhere white, somewhere black."""
    truth = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    truth[0, 0], truth[-1, -1] = 255, 0
    return truth


def rgb(store: Callable[[np.ndarray], np.ndarray]) -> Writer:
    return lambda truth: (store(truth), truth, {"photometric": "rgb"})


def grey(store: Callable[[np.ndarray], np.ndarray], photometric: str = "minisblack") -> Writer:
    return lambda truth: (store(truth[..., 0]), np.repeat(truth[..., :1], 3, axis=2), {"photometric": photometric})


def palette(bits: int) -> Writer:
    def write(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        table = np.random.default_rng(1).integers(0, 256, (3, 256), dtype=np.uint16) * 257
        numbers = truth[..., 0]
        return numbers, (table >> 8).T[numbers].astype(np.uint8), {"photometric": "palette", "colormap": table}

    assert bits == 8
    return write


def with_alpha(kind: str) -> Writer:
    def write(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        alpha = truth[..., :1].astype(float) / 255
        right = np.rint(truth * alpha + 255 * (1 - alpha)).astype(np.uint8)
        colours = np.rint(truth * alpha).astype(np.uint8) if kind == "assocalpha" else truth
        return np.dstack([colours, truth[..., 0]]), right, {"photometric": "rgb", "extrasamples": [kind]}

    return write


def cmyk(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    inks = np.dstack([truth, truth[..., 1]])
    light = 255.0 - inks
    return inks, np.rint(light[..., :3] * light[..., 3:] / 255).astype(np.uint8), {"photometric": "separated"}


def ycbcr(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    stored = np.asarray(Image.fromarray(truth).convert("YCbCr"))
    return stored, np.asarray(Image.fromarray(stored, "YCbCr").convert("RGB")), {"photometric": "ycbcr", "subsampling": (1, 1)}


KINDS: dict[str, Writer] = {
    "rgb8": rgb(lambda t: t),
    "rgb16 repeated": rgb(lambda t: t.astype(np.uint16) * 257),
    "rgb16 shifted": rgb(lambda t: t.astype(np.uint16) << 8),
    **{f"rgb {bits} in 16": rgb(lambda t, b=bits: np.rint(t / 255 * (2**b - 1)).astype(np.uint16)) for bits in (10, 12, 14)},
    "rgb 8 in 16": rgb(lambda t: t.astype(np.uint16)),
    "rgb 8 in signed 16": rgb(lambda t: t.astype(np.int16)),
    "rgb in all of signed 16": rgb(lambda t: t.astype(np.int16) << 7),
    "rgb 8 in 32": rgb(lambda t: t.astype(np.uint32)),
    "rgb32": rgb(lambda t: t.astype(np.uint32) * 16843009),
    "rgb float 0 to 1": rgb(lambda t: (t / 255).astype(np.float32)),
    "rgb half 0 to 1": rgb(lambda t: (t / 255).astype(np.float16)),
    "rgb double 0 to 255": rgb(lambda t: t.astype(np.float64)),
    "rgb 12 in float": rgb(lambda t: (t.astype(np.float32) * 16)),
    "grey8": grey(lambda t: t),
    "grey16": grey(lambda t: t.astype(np.uint16) * 257),
    "grey 12 in 16": grey(lambda t: t.astype(np.uint16) << 4),
    "grey float": grey(lambda t: (t / 255).astype(np.float32)),
    "grey8 white is zero": grey(lambda t: 255 - t, "miniswhite"),
    "grey16 white is zero": grey(lambda t: 65535 - t.astype(np.uint16) * 257, "miniswhite"),
    "bilevel": lambda t: (t[..., 0] > 127, np.repeat(np.where(t[..., :1] > 127, 255, 0), 3, 2), {"photometric": "minisblack"}),
    "bilevel white is zero": lambda t: (
        t[..., 0] <= 127, np.repeat(np.where(t[..., :1] > 127, 255, 0), 3, 2), {"photometric": "miniswhite"},
    ),
    "palette8": palette(8),
    "straight alpha": with_alpha("unassalpha"),
    "premultiplied alpha": with_alpha("assocalpha"),
    "cmyk": cmyk,
    "ycbcr": ycbcr,
    "three grey samples": lambda t: (t, t, {"photometric": "minisblack", "planarconfig": "contig"}),
    "three grey pages": lambda t: (np.moveaxis(t, -1, 0).copy(), t, {"photometric": "minisblack"}),
    "three grey pages, white is zero": lambda t: (255 - np.moveaxis(t, -1, 0), t, {"photometric": "miniswhite"}),
    "separate planes": lambda t: (np.moveaxis(t, -1, 0).copy(), t, {"photometric": "rgb", "planarconfig": "separate"}),
    "separate planes of 12 in 16": lambda t: (
        np.moveaxis(t.astype(np.uint16) << 4, -1, 0).copy(), t, {"photometric": "rgb", "planarconfig": "separate"},
    ),
}  # fmt: skip
TOLERANCE = {"straight alpha": 1, "premultiplied alpha": 1, "cmyk": 1, "ycbcr": 1}


@settings(max_examples=250, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    order=st.sampled_from("<>"),
    big=st.booleans(),
    tile=st.sampled_from([None, (16, 32)]),
    rows=st.sampled_from([None, 3]),
    compression=st.sampled_from(LOSSLESS),
    predictor=st.booleans(),
    size=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    seed=st.integers(0, 99),
)
def test_every_kind_equals_the_array_it_was_written_from(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    order: str,
    big: bool,
    tile: tuple[int, int] | None,
    rows: int | None,
    compression: str | None,
    predictor: bool,
    size: tuple[int, int],
    seed: int,
) -> None:
    stored, right, options = KINDS[kind](truth_of(seed, *size))
    options["predictor"] = predictor and compression in ("lzw", "zlib", "zstd", "lzma") and stored.dtype.kind != "b"
    if tile is not None and stored.dtype.kind != "b":
        options["tile"] = tile
    elif rows is not None:
        options["rowsperstrip"] = rows
    path = tmp_path_factory.getbasetemp() / "kind.tif"
    tifffile.imwrite(path, stored, byteorder=order, bigtiff=big, compression=compression, **options)
    decoded = decode_image(path)
    assert decoded.format == "TIFF" and decoded.pixels.dtype == np.uint8 and decoded.pixels.flags.writeable
    assert np.abs(decoded.pixels.astype(int) - right).max() <= TOLERANCE.get(kind, 0)
    facts = image_facts(path)
    assert (facts.height, facts.width) == size


@pytest.mark.parametrize("name", ["rgb12in16.tif", "rgb8in16.tif", "ome_cyx.ome.tif", "imagej_composite.tif", "jp2k.tif"])
def test_the_cases_equal_their_truth(shared: Path, name: str) -> None:
    cases = shared / "cases" / "images"
    assert np.array_equal(read_image(cases / name), np.load(cases / "truth.npy"))


@pytest.mark.parametrize(
    "name", ["rgb_float01.tif", "thumb_first.tif", "rgba_alpha_all_zero.png", "rgba_alpha_is_one.png", "grey16_miniswhite.tif"]
)
def test_more_cases_equal_their_truth(shared: Path, name: str) -> None:
    cases = shared / "cases" / "images"
    truth = np.load(cases / "truth.npy")
    right = truth if not name.startswith("grey") else np.repeat(truth[..., :1], 3, axis=2)
    assert np.array_equal(read_image(cases / name), right)


def test_jpeg_in_ycbcr_under_a_tag_that_says_rgb(shared: Path) -> None:
    """Written by QuPath; the PNG was saved by QuPath from it."""
    slides = shared / "data" / "slides"
    decoded = decode_image(slides / "OS-1-he.ome.tif")
    assert np.array_equal(decoded.pixels, read_image(slides / "OS-1-he.png"))
    assert decoded.mpp == pytest.approx(0.2271, abs=1e-4)


def test_a_palette_of_four_bits_and_grey_of_two(tmp_path: Path) -> None:
    """Written out by hand: one strip of packed numbers."""
    table = tuple(range(16)) + tuple(range(100, 116)) + tuple(range(200, 216))
    (tmp_path / "p.tif").write_bytes(by_hand(3, 1, 4, 3, b"\x0f\x10", colour_map=tuple(v * 257 for v in table)))
    assert read_image(tmp_path / "p.tif").tolist() == [[[0, 100, 200], [15, 115, 215], [1, 101, 201]]]
    levels = read_levels(tmp_path / "p.tif")
    assert (levels.kind, levels.values.tolist()) == ("palette", [[0, 15, 1]])
    (tmp_path / "g.tif").write_bytes(by_hand(4, 1, 2, 1, bytes([0b00_01_10_11])))
    decoded = decode_image(tmp_path / "g.tif")
    assert decoded.pixels[0, :, 0].tolist() == [0, 85, 170, 255] and "2-bit made 8-bit" in decoded.notes


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_samples_state_their_bits(tmp_path: Path, bits: int) -> None:
    """Dark values of few bits: by the highest value they would be taken for still fewer."""
    values = [3 << bits - 8, 1 << bits - 8]
    packed = (values[0] << bits | values[1]) << (-2 * bits) % 8
    (tmp_path / "a.tif").write_bytes(by_hand(2, 1, bits, 1, packed.to_bytes((2 * bits + 7) // 8, "big")))
    decoded = decode_image(tmp_path / "a.tif")
    assert decoded.pixels[0, :, 0].tolist() == [3, 1]
    assert decoded.notes[0] == f"{bits}-bit reduced to 8-bit"


def test_a_stated_depth_counts_more_than_the_values(tmp_path: Path) -> None:
    dark = np.array([[0, 255, 700]], dtype=np.uint16)
    tags = [(281, 3, 1, 4095, True)]
    tifffile.imwrite(tmp_path / "max.tif", dark, photometric="minisblack", extratags=tags)
    assert read_image(tmp_path / "max.tif")[0, :, 0].tolist() == [0, 15, 43]
    tifffile.imwrite(tmp_path / "ome.ome.tif", dark, photometric="minisblack", metadata={"SignificantBits": 14})
    assert read_image(tmp_path / "ome.ome.tif")[0, :, 0].tolist() == [0, 3, 10]
    tifffile.imwrite(tmp_path / "none.tif", dark, photometric="minisblack")
    decoded = decode_image(tmp_path / "none.tif")
    assert (
        decoded.pixels[0, :, 0].tolist() == [0, 63, 175]
        and "10-bit values in 16 bits (by the highest value)" in decoded.notes[0]
    )
    tifffile.imwrite(tmp_path / "lies.tif", dark, photometric="minisblack", extratags=[(281, 3, 1, 255, True)])
    assert read_image(tmp_path / "lies.tif")[0, :, 0].tolist() == [0, 63, 175]


def test_white_is_zero_of_unknown_depth_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((4, 4), 3000, np.uint16), photometric="miniswhite")
    with pytest.raises(ValueError, match="no tag says how many bits count"):
        read_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "white.tif", np.zeros((4, 4), np.uint16), photometric="miniswhite")
    assert (read_image(tmp_path / "white.tif") == 255).all()


@pytest.mark.parametrize("alpha", [0, 1, 9, 128])
def test_alpha_that_is_the_same_everywhere_is_no_opacity(tmp_path: Path, alpha: int) -> None:
    truth = truth_of(0, 6, 7)
    stored = np.dstack([truth, np.full((6, 7), alpha, np.uint8)])
    for kind in ("assocalpha", "unassalpha"):
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=[kind])
        decoded = decode_image(tmp_path / "a.tif")
        assert np.array_equal(decoded.pixels, truth) and decoded.notes == (NO_ALPHA,)


def test_deep_alpha_has_its_own_depth(tmp_path: Path) -> None:
    truth = truth_of(0, 6, 7)
    for opaque in (255, 4095, 65535):
        stored = np.dstack([truth.astype(np.uint16) << 4, np.full((6, 7), opaque, np.uint16)])
        tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extrasamples=["unassalpha"])
        assert np.array_equal(read_image(tmp_path / "a.tif"), truth)
    half = np.dstack([truth.astype(np.uint16) * 257, np.zeros((6, 7), np.uint16)])
    half[0, :, 3] = 65535
    tifffile.imwrite(tmp_path / "a.tif", half, photometric="rgb", extrasamples=["unassalpha"])
    decoded = decode_image(tmp_path / "a.tif")
    assert np.array_equal(decoded.pixels[0], truth[0]) and (decoded.pixels[1:] == 255).all() and ON_WHITE in decoded.notes


def test_a_fourth_channel_that_is_no_alpha_is_dropped_and_said(tmp_path: Path) -> None:
    truth = truth_of(0, 6, 7)
    for kinds in (["unspecified"], ["unspecified", "unspecified"], []):
        extra = [np.zeros((6, 7), np.uint8)] * max(1, len(kinds))
        tifffile.imwrite(tmp_path / "a.tif", np.dstack([truth, *extra]), photometric="rgb", extrasamples=kinds or None)
        assert np.array_equal(read_image(tmp_path / "a.tif"), truth)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 1, 0), (2, 0, 1)])
def test_channels_stand_where_their_colours_say(tmp_path: Path, order: tuple[int, int, int]) -> None:
    """OME by colour and by name, ImageJ by lookup table."""
    truth = truth_of(0, 8, 9)
    planes = np.stack([truth[..., k] for k in order])
    colours = [(-16776961, 16711935, 65535)[k] for k in order]  # red, green, blue with opaque alpha, as signed numbers
    names = [("Red", "Green", "Blue")[k] for k in order]
    for channel in ({"Color": colours}, {"Name": names}):
        meta = {"axes": "CYX", "Channel": channel}
        tifffile.imwrite(tmp_path / "a.ome.tif", planes, photometric="minisblack", metadata=meta)
        assert np.array_equal(read_image(tmp_path / "a.ome.tif"), truth)
    tables = []
    for k in order:
        tables.append(np.zeros((3, 256), np.uint8))
        tables[-1][k] = np.arange(256)
    meta = {"axes": "CYX", "mode": "composite", "LUTs": tables}
    tifffile.imwrite(tmp_path / "a.tif", planes, imagej=True, photometric="minisblack", metadata=meta)
    decoded = decode_image(tmp_path / "a.tif")
    assert np.array_equal(decoded.pixels, truth) and decoded.notes == (THREE_GREY,)


SHAPED = '{"shape": [3, 8, 9], "axes": "ZYX"}'  # as tifffile describes its files


def stack(shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, 90, np.uint8)


@pytest.mark.parametrize(
    ("shape", "options", "sentence"),
    [
        ((2, 8, 9), {"photometric": "minisblack"}, "holds 2 grey pages of one size, a stack"),
        ((5, 8, 9), {"photometric": "minisblack"}, "holds 5 grey pages"),
        ((70, 4, 4), {"photometric": "minisblack"}, "holds 70 grey pages"),
        ((3, 8, 9), {"photometric": "minisblack", "metadata": None, "description": SHAPED}, "is a stack of the shape"),
        ((3, 8, 9), {"photometric": "minisblack", "ome": True, "metadata": {"axes": "ZYX"}}, "3 focus planes"),
        ((3, 8, 9), {"photometric": "minisblack", "ome": True, "metadata": {"axes": "TYX"}}, "3 times"),
        (
            (4, 8, 9),
            {"photometric": "minisblack", "ome": True, "metadata": {"axes": "CYX"}},
            "has 4 channels, which are no red",
        ),
        ((3, 2, 8, 9), {"photometric": "minisblack", "ome": True, "metadata": {"axes": "ZCYX"}}, "2 channels, 3 focus planes"),
        ((2, 8, 9, 3), {"photometric": "rgb", "ome": True, "metadata": {"axes": "ZYXS"}}, "2 focus planes"),
        ((2, 3, 8, 9), {"photometric": "minisblack", "imagej": True, "metadata": {"axes": "ZCYX"}}, "3 channels, 2 focus"),
        ((3, 8, 9), {"photometric": "minisblack", "imagej": True, "metadata": {"axes": "ZYX"}}, "3 focus planes"),
        ((8, 9, 2), {"photometric": "minisblack", "planarconfig": "contig"}, "has 2 channels"),
        ((8, 9, 5), {"photometric": "minisblack", "planarconfig": "contig"}, "has 5 channels"),
        ((5, 8, 9), {"photometric": "minisblack", "planarconfig": "separate"}, "has 5 channels"),
        ((8, 9, 3), {"photometric": "cielab"}, "colours as CIELAB"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any], sentence: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", stack(shape), **options)
    for read in (read_image, image_facts):
        with pytest.raises(ValueError, match=rf"a\.tif .*{sentence}") as told:
            read(tmp_path / "a.tif")
        assert "damaged" not in str(told.value) and "save" in str(told.value)


@pytest.mark.parametrize(
    "channel",
    [{"Color": [255 << 24 | 255, 16711935, 65535]}, {"Name": ["DAPI", "FITC", "TRITC"]}, {"Fluor": ["a", "b", "c"]}],
)
def test_fluorescence_is_no_bright_field(tmp_path: Path, channel: dict[str, list[Any]]) -> None:
    channel = {"Color": [-1, 16711935, 65535]} if "Color" in channel else channel
    meta = {"axes": "CYX", "Channel": channel}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack((3, 8, 9)), photometric="minisblack", metadata=meta)
    with pytest.raises(ValueError, match="fluorescence|colours are stated as others"):
        read_image(tmp_path / "a.ome.tif")


@pytest.mark.parametrize(
    "order", [("full", "thumb", "label", "macro"), ("thumb", "full", "macro", "label"), ("label", "thumb", "macro", "full")]
)
def test_the_page_of_full_resolution_is_taken(tmp_path: Path, order: tuple[str, ...]) -> None:
    truth = truth_of(0, 32, 48)
    pages: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "full": (truth, {}),
        "thumb": (truth[::4, ::4].copy(), {"subfiletype": 1}),
        "label": (np.full((60, 60, 3), 7, np.uint8), {"description": "Aperio Leica\nlabel 60x60"}),
        "macro": (np.full((90, 60, 3), 9, np.uint8), {"subfiletype": 9}),
    }
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for name in order:
            pixels, options = pages[name]
            file.write(pixels, photometric="rgb", metadata=None, **options)
    assert np.array_equal(read_image(tmp_path / "a.tif"), truth)
    assert (image_facts(tmp_path / "a.tif").width, image_facts(tmp_path / "a.tif").height) == (48, 32)


def test_masks_pyramids_and_pictures_below_thumbnails(tmp_path: Path) -> None:
    truth = truth_of(0, 32, 48)
    with tifffile.TiffWriter(tmp_path / "mask.tif") as file:
        file.write(truth[..., 0] > 127, photometric="minisblack", subfiletype=4, metadata=None)
        file.write(truth, photometric="rgb", metadata=None)
    with tifffile.TiffWriter(tmp_path / "unsaid mask.tif") as file:
        file.write((truth[..., 0] > 127).astype(np.uint8), photometric="minisblack", metadata=None)
        file.write(truth, photometric="rgb", metadata=None)
    with tifffile.TiffWriter(tmp_path / "unsaid.tif") as file:
        file.write(truth[..., 0], photometric="minisblack", metadata=None)
        file.write(truth[..., 0] > 127, photometric="minisblack", metadata=None)
    with tifffile.TiffWriter(tmp_path / "pyramid.ome.tif", ome=True) as file:
        file.write(truth, photometric="rgb", subifds=2)
        for step in (2, 4):
            file.write(truth[::step, ::step].copy(), photometric="rgb", subfiletype=1)
    with tifffile.TiffWriter(tmp_path / "below.tif") as file:
        file.write(truth[::4, ::4].copy(), photometric="rgb", subifds=1, subfiletype=1, metadata=None)
        file.write(truth, photometric="rgb", metadata=None)
    for name in ("mask.tif", "unsaid mask.tif", "pyramid.ome.tif", "below.tif"):
        assert np.array_equal(read_image(tmp_path / name), truth), name
    assert np.array_equal(read_image(tmp_path / "unsaid.tif")[..., 0], truth[..., 0])
    assert decode_image(tmp_path / "pyramid.ome.tif").notes == ()
    assert FIRST in decode_image(tmp_path / "unsaid.tif").notes


@pytest.mark.parametrize(
    ("compression", "mode"),
    [("jpeg2000", "rgb"), ("jpegxl", "rgb"), ("webp", "rgb"), ("lerc", "rgb"), ("png", "rgb"), ("jpegxr", "grey")],
)
def test_rarer_lossless_compressions(tmp_path: Path, compression: str, mode: str) -> None:
    truth = truth_of(0, 32, 48)
    stored = truth if mode == "rgb" else truth[..., 0]
    options = {"compressionargs": {"lossless": True}} if compression in ("webp", "jpegxl") else {}
    photometric = "rgb" if mode == "rgb" else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric=photometric, compression=compression, **options)
    assert np.array_equal(read_image(tmp_path / "a.tif"), truth if mode == "rgb" else np.repeat(truth[..., :1], 3, 2))


@pytest.mark.parametrize("number", [32809, 65000, 12345])
def test_an_unknown_compression_is_named_and_not_called_damage(tmp_path: Path, number: int) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, truth_of(0, 8, 8), photometric="rgb", metadata=None)
    (tmp_path / "a.tif").write_bytes(changed_tag(buffer.getvalue(), 259, number))
    with pytest.raises(ValueError, match=r"a\.tif is compressed by .*not read here") as told:
        read_image(tmp_path / "a.tif")
    assert "damaged" not in str(told.value)


def test_a_decoder_that_fails_is_named_and_truncation_is_proven(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, truth_of(0, 64, 64), photometric="rgb", compression="zlib", metadata=None)
    content = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        start = file.pages[0].dataoffsets[0]
        count = file.pages[0].databytecounts[0]
    (tmp_path / "cut.tif").write_bytes(content[: start + count // 2])
    with pytest.raises(ValueError, match=r"cut\.tif is damaged or cut short \(pixels up to byte \d+, and the file ends at"):
        read_image(tmp_path / "cut.tif")
    content[start : start + count] = bytes(count)
    (tmp_path / "zeros.tif").write_bytes(content)
    with pytest.raises(ValueError, match=r"zeros\.tif could not be decoded \(ADOBE_DEFLATE, uint8"):
        read_image(tmp_path / "zeros.tif")


def test_claims_are_checked_before_anything_is_allocated(tmp_path: Path) -> None:
    whole = by_hand(8, 8, 8, 1, bytes(64))
    for tag, value, sentence in ((256, 60_000, r"cut short \(pixels up to byte 480008"), (278, 1, "pieces are listed")):
        (tmp_path / "a.tif").write_bytes(changed_tag(whole, tag, value))
        with pytest.raises(ValueError, match=sentence):
            read_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "j.tif", truth_of(0, 16, 16), photometric="rgb", compression="jpeg", tile=(16, 16))
    content = bytearray((tmp_path / "j.tif").read_bytes())
    place = content.index(b"\xff\xc0")
    content[place + 5 : place + 9] = struct.pack(">HH", 60_000, 60_000)
    (tmp_path / "j.tif").write_bytes(content)
    with pytest.raises(ValueError, match="holds a piece of 60000 x 60000 px"):
        read_image(tmp_path / "j.tif")


def test_float_levels_and_deep_levels_keep_all_they_have(tmp_path: Path) -> None:
    for values in (
        np.array([[0, 1000, 65535]], np.uint16),
        np.array([[-1024.5, 0, 3000]], np.float32),
        np.array([[-5, 7]], np.int16),
    ):
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
        levels = read_levels(tmp_path / "a.tif")
        assert levels.kind == "grey" and levels.values.dtype == values.dtype and np.array_equal(levels.values, values)
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 1000]], np.uint16), photometric="miniswhite")
    assert read_levels(tmp_path / "a.tif").values.tolist() == [[65535, 64535]]


def by_hand(width: int, height: int, bits: int, photometric: int, data: bytes, colour_map: tuple[int, ...] = ()) -> bytes:
    """A little-endian TIFF of one strip and one sample a pixel."""
    tags = [(256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 8)]
    tags += [(277, 3, 1), (278, 3, height), (279, 4, len(data))]
    table = struct.pack(f"<{len(colour_map)}H", *colour_map)
    body = data + bytes(len(data) % 2)
    place = 8 + len(body) + len(table)
    entries = [struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags]
    if colour_map:
        entries.append(struct.pack("<HHII", 320, 3, len(colour_map), 8 + len(body)))
    return b"II*\0" + struct.pack("<I", place) + body + table + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


def changed_tag(content: bytes, tag: int, value: int) -> bytes:
    """The same file with another value of a short tag of its first page."""
    (start,) = struct.unpack("<I", content[4:8])
    (count,) = struct.unpack("<H", content[start : start + 2])
    made = bytearray(content)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack("<H", content[entry : entry + 2]) == (tag,):
            made[entry + 2 : entry + 12] = struct.pack("<HII", 3, 1, value)
            return bytes(made)
    raise AssertionError(f"there is no tag {tag}")


def test_every_depth_gives_back_eight_bits_however_they_were_widened() -> None:
    """The rule itself, over all values: shifted, repeated, or multiplied and rounded."""
    for bits in DEPTHS:
        eight = np.arange(256, dtype=np.int64)
        for wide in (eight << bits - 8, np.rint(eight * (2**bits - 1) / 255).astype(np.int64)):
            assert np.array_equal(wide >> bits - 8, eight)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_plain_lzw_is_read_without_a_warning(tmp_path: Path, order: str, big: bool) -> None:
    """Pillow calls the EXIF data of a big-endian BigTIFF corrupt, and warnings are errors here."""
    values = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    tifffile.imwrite(tmp_path / "a.tif", values, byteorder=order, bigtiff=big, compression="lzw", photometric="minisblack")
    assert np.array_equal(read_image(tmp_path / "a.tif"), np.repeat(values[..., None], 3, axis=-1))


@pytest.mark.parametrize(("end", "said"), [(255, False), (0, True)])
def test_a_lookup_table_on_one_channel_is_no_damage(tmp_path: Path, end: int, said: bool) -> None:
    grey = np.arange(48 * 40, dtype=np.uint8).reshape(48, 40)
    ramp = np.linspace(255 - end, end, 256).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", grey, imagej=True, metadata={"axes": "YX", "LUTs": [np.stack([ramp] * 3)]})
    found = decode_image(tmp_path / "a.tif")
    assert np.array_equal(found.pixels, np.repeat(grey[..., None], 3, axis=2))
    assert (UNUSED_TABLE in found.notes) is said


def test_a_picture_below_a_thumbnail_is_counted_among_the_pages(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, 3)).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.ascontiguousarray(pixels[::4, ::4]), photometric="rgb", subifds=1, subfiletype=1, metadata=None)
        file.write(pixels, photometric="rgb", metadata=None)
    assert decode_image(tmp_path / "a.tif").notes == ("page 2 of 2 taken, the one of full resolution",)
