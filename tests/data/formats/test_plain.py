"""PNG, JPEG and BMP: deep colours, ICC profiles, alpha, and what is said of files that are not read."""

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from chromogen.data.formats.png_chunks import FRAMES, UNCONVERTED
from chromogen.data.formats.profiles import CONVERTED, UNREADABLE
from chromogen.data.formats.samples import NO_ALPHA, ON_WHITE
from chromogen.data.images import conversion_lines, decode_image, read_image, read_levels


def random_rgb(seed: int, height: int, width: int) -> np.ndarray:
    truth = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    truth[0, 0] = 255
    return truth


@settings(max_examples=60, deadline=None)
@given(
    bits=st.sampled_from([8, 10, 12, 14, 16]),
    kind=st.sampled_from(["grey", "grey+alpha", "rgb", "rgb+alpha"]),
    alpha=st.sampled_from([0, 1, 65535]),
    seed=st.integers(0, 9),
)
def test_deep_png_keep_the_bits_that_count(
    tmp_path_factory: pytest.TempPathFactory, bits: int, kind: str, alpha: int, seed: int
) -> None:
    truth = random_rgb(seed, 5, 7)
    right = np.repeat(truth[..., :1], 3, axis=2) if kind.startswith("grey") else truth
    stored = right[..., : 1 if kind.startswith("grey") else 3].astype(np.uint16) << bits - 8
    if kind.endswith("alpha"):
        stored = np.dstack([stored, np.full((5, 7), alpha, np.uint16)])
    path = tmp_path_factory.getbasetemp() / "deep.png"
    path.write_bytes(imagecodecs.png_encode(stored.squeeze()))
    decoded = decode_image(path)
    assert np.array_equal(decoded.pixels, right)
    if kind.endswith("alpha"):
        assert (ON_WHITE if alpha == 65535 else NO_ALPHA) in decoded.notes


def test_deep_grey_stays_deep_for_radiology(tmp_path: Path) -> None:
    values = np.array([[0, 1000, 65535]], dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(values))
    levels = read_levels(tmp_path / "a.png")
    assert (levels.kind, levels.values.tolist(), levels.values.dtype) == ("grey", values.tolist(), np.uint16)


@pytest.mark.parametrize("name", ["rgba_alpha_all_zero.png", "rgba_alpha_is_one.png"])
def test_alpha_that_is_none_makes_no_white_picture(shared: Path, name: str) -> None:
    decoded = decode_image(shared / "cases" / "images" / name)
    assert np.array_equal(decoded.pixels, np.load(shared / "cases" / "images" / "truth.npy"))
    assert decoded.notes == (NO_ALPHA,)


@pytest.mark.parametrize("alpha", [0, 1, 5, 128])
def test_palette_and_grey_with_alpha_that_is_none(tmp_path: Path, alpha: int) -> None:
    truth = random_rgb(0, 8, 9)
    grey = Image.fromarray(truth[..., 0])
    grey.putalpha(alpha)
    grey.save(tmp_path / "la.png")
    assert np.array_equal(read_image(tmp_path / "la.png"), np.repeat(truth[..., :1], 3, axis=2))
    quantised = Image.fromarray(truth).quantize(16)
    quantised.save(tmp_path / "p.png", transparency=bytes([alpha] * 16))
    assert np.array_equal(read_image(tmp_path / "p.png"), np.asarray(quantised.convert("RGB")))


def swapped_profile() -> bytes:
    """sRGB whose red and blue primaries stand for each other: the tags rXYZ and bXYZ change places."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = content.index(b"rXYZ"), content.index(b"bXYZ")
    content[red : red + 4], content[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_profile_is_converted_to_srgb(tmp_path: Path, kind: str) -> None:
    truth = np.repeat(np.repeat(random_rgb(0, 4, 5), 16, axis=0), 16, axis=1)
    Image.fromarray(truth).save(
        tmp_path / "a", kind, icc_profile=swapped_profile(), **({"quality": 100} if kind == "JPEG" else {})
    )
    decoded = decode_image(tmp_path / "a")
    assert decoded.notes == (CONVERTED,)
    assert np.abs(decoded.pixels.astype(int) - truth[..., ::-1])[8::16, 8::16].max() <= (12 if kind == "JPEG" else 1)


def test_the_case_with_swapped_primaries(shared: Path) -> None:
    path = shared / "cases" / "images" / "swapped_profile.png"
    decoded = decode_image(path)
    assert decoded.notes == (CONVERTED,)
    assert np.abs(decoded.pixels.astype(int) - np.asarray(Image.open(path))[..., ::-1]).max() <= 1


def test_srgb_itself_changes_nothing_and_a_broken_profile_is_said(tmp_path: Path) -> None:
    truth = random_rgb(0, 6, 7)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(truth).save(tmp_path / "a.png", icc_profile=srgb)
    Image.fromarray(truth).save(tmp_path / "b.png", icc_profile=b"no profile")
    Image.fromarray(truth).save(
        tmp_path / "c.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    )
    for name, notes in (("a", ()), ("b", (UNREADABLE,)), ("c", (UNREADABLE,))):
        decoded = decode_image(tmp_path / f"{name}.png")
        assert np.array_equal(decoded.pixels, truth) and decoded.notes == notes


def test_grey_under_a_colour_profile(tmp_path: Path) -> None:
    grey = random_rgb(0, 6, 7)[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png", icc_profile=swapped_profile())
    decoded = decode_image(tmp_path / "a.png")
    assert np.abs(decoded.pixels.astype(int) - grey[..., None]).max() <= 1 and CONVERTED in decoded.notes


def encoded(kind: str) -> bytes:
    truth = random_rgb(0, 32, 32)
    if kind == "12 bits":
        return imagecodecs.jpeg_encode(truth.astype(np.uint16) << 4, bitspersample=12, level=95)
    if kind == "JPEG-LS":
        return imagecodecs.jpegls_encode(truth)
    return struct.pack("<2sIIIIiiHHIIiiII", b"BM", 78, 0, 54, 40, 4, 2, 1, 24, 9, 24, 0, 0, 0, 0) + bytes(24)


@pytest.mark.parametrize("kind", ["12 bits", "JPEG-LS", "Unsupported BMP compression"])
def test_sound_files_that_are_not_read_are_not_called_damaged(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(kind))
    with pytest.raises(ValueError, match=rf"a\.jpg is \w+ of a kind that is not read \({kind}.*; save it as 8-bit PNG") as told:
        read_image(tmp_path / "a.jpg")
    assert "damaged" not in str(told.value)


@pytest.mark.parametrize(
    ("codec", "name"), [("jpeg2k", "JPEG 2000"), ("jpegxl", "JPEG XL"), ("webp", "WebP"), ("avif", "AVIF")]
)
def test_other_formats_are_named(tmp_path: Path, codec: str, name: str) -> None:
    (tmp_path / "a.png").write_bytes(getattr(imagecodecs, f"{codec}_encode")(random_rgb(0, 32, 32)))
    with pytest.raises(ValueError, match=rf"a\.png is none of PNG.*it begins as .*{name}"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_cut_short_is_said_only_where_the_end_is_missing(tmp_path: Path, kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(random_rgb(0, 64, 64)).save(buffer, kind)
    content = buffer.getvalue()
    (tmp_path / "cut").write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(ValueError, match="damaged or cut short"):
        read_image(tmp_path / "cut")
    if kind == "PNG":
        middle = len(content) // 2
        (tmp_path / "spoilt").write_bytes(content[:middle] + bytes(64) + content[middle + 64 :])
        with pytest.raises(ValueError, match="spoilt is damaged \\("):
            read_image(tmp_path / "spoilt")


def test_notes_are_counted_by_kind() -> None:
    told = [("a.png", ("grey made RGB",)), ("b.png", ()), ("c.png", ("palette", "grey made RGB"))]
    assert conversion_lines(told) == ["grey made RGB: 2 images, for example a.png", "palette: c.png"]


def _with_chunks(picture: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG, the chunks set behind its header."""
    content = imagecodecs.png_encode(picture)
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return content[:33] + body + content[33:]


GAMMA, LINEAR = (b"gAMA", struct.pack(">I", 45455)), (b"gAMA", struct.pack(">I", 100000))
P3 = (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))
SRGB_PRIMARIES = (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    ("chunks", "notes"),
    [
        ((), ()),
        ((GAMMA,), ()),
        ((GAMMA, SRGB_PRIMARIES), ()),
        (((b"sRGB", b"\0"), LINEAR), ()),
        (((b"cICP", bytes([1, 13, 0, 1])),), ()),
        ((LINEAR,), (UNCONVERTED,)),
        ((GAMMA, P3), (UNCONVERTED,)),
        (((b"cICP", bytes([12, 13, 0, 1])),), (UNCONVERTED,)),
        (((b"iCCP", b"x\0\0no zlib stream"),), (UNREADABLE,)),
        (((b"acTL", struct.pack(">II", 2, 0)),), (FRAMES,)),
    ],
)
def test_what_a_png_states_of_its_colours_is_not_ignored_in_silence(
    tmp_path: Path, deep: bool, chunks: tuple[tuple[bytes, bytes], ...], notes: tuple[str, ...]
) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(_with_chunks(picture.astype(np.uint16) * 257 if deep else picture, *chunks))
    found = decode_image(tmp_path / "a.png")
    assert np.array_equal(found.pixels, picture)
    assert tuple(note for note in found.notes if "16-bit" not in note) == notes
