import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from chromogen.data.images import decode_image, image_facts, list_images, read_image, resize_image


def png_bytes(width: int, height: int, bits: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG written out by hand: signature, header, one data chunk, end."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def random_rgb(height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_the_content_decides_the_format(tmp_path: Path, kind: str) -> None:
    image = random_rgb()
    Image.fromarray(image).save(tmp_path / "lying.jpg", kind)
    decoded = decode_image(tmp_path / "lying.jpg")
    assert (decoded.format, decoded.notes) == (kind, ())
    assert np.array_equal(decoded.pixels, image)
    facts = image_facts(tmp_path / "lying.jpg")
    assert (facts.format, facts.width, facts.height, facts.mode) == (kind, 7, 5, "RGB")


def test_bci_png_is_jpeg_inside(bci_dev: Path) -> None:
    paths = list_images(bci_dev / "HE")
    assert len(paths) == 8
    for path in paths:
        decoded = decode_image(path)
        assert (decoded.format, decoded.notes) == ("JPEG", ())
        assert np.array_equal(decoded.pixels, np.asarray(Image.open(path)))


def test_16_bit_colour_keeps_the_high_byte(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256], [32768, 65535, 513]], dtype=">u2")  # one row of two pixels
    (tmp_path / "a.png").write_bytes(png_bytes(2, 1, 16, 2, b"\0" + values.tobytes()))
    decoded = decode_image(tmp_path / "a.png")
    assert decoded.pixels.tolist() == [[[0, 0, 1], [128, 255, 2]]]
    assert decoded.notes == ("16-bit reduced to 8-bit",)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey(tmp_path: Path, name: str) -> None:
    Image.fromarray(np.array([[0, 255, 256, 65535]], dtype=np.uint16)).save(tmp_path / name)
    decoded = decode_image(tmp_path / name)
    assert decoded.pixels.tolist() == [[[0] * 3, [0] * 3, [1] * 3, [255] * 3]]
    assert decoded.notes == ("16-bit reduced to 8-bit", "grey made RGB")


def test_16_bit_tiff_of_big_endian_grey(tmp_path: Path) -> None:
    Image.frombytes("I;16B", (2, 1), b"\x12\x34\xab\xcd").save(tmp_path / "a.tif")
    assert decode_image(tmp_path / "a.tif").pixels[0, :, 0].tolist() == [0x12, 0xAB]


def test_grey_palette_and_bilevel(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 130]], dtype=np.uint8)).save(tmp_path / "grey.png")
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.save(tmp_path / "palette.png")
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "bits.png")
    grey, paletted, bits = (decode_image(tmp_path / f"{name}.png") for name in ("grey", "palette", "bits"))
    assert grey.pixels.tolist() == [[[0, 0, 0], [130, 130, 130]]] and grey.notes == ("grey made RGB",)
    assert paletted.pixels.tolist() == [[[10, 20, 30], [200, 100, 50]]] and paletted.notes == ("palette",)
    assert bits.pixels.tolist() == [[[0, 0, 0], [255, 255, 255]]] and bits.notes == ("grey made RGB",)


def test_alpha_is_composited_on_white(tmp_path: Path) -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 128]]], dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    decoded = decode_image(tmp_path / "a.png")
    # 128/255 of 0, 100, 200 and the rest of white: 127, 177.2, 227.4
    assert decoded.pixels.tolist() == [[[10, 20, 30], [255, 255, 255], [127, 177, 227]]]
    assert decoded.notes == ("alpha composited on white",)


def test_transparency_of_grey_and_palette_counts_as_alpha(tmp_path: Path) -> None:
    grey, alpha = (Image.fromarray(np.array([values], dtype=np.uint8)) for values in ([40, 40], [0, 255]))
    Image.merge("LA", (grey, alpha)).save(tmp_path / "la.png")
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.save(tmp_path / "p.png", transparency=b"\x00\xff")
    assert decode_image(tmp_path / "la.png").pixels[..., 0].tolist() == [[255, 40]]
    decoded = decode_image(tmp_path / "p.png")
    assert decoded.pixels.tolist() == [[[255, 255, 255], [200, 100, 50]]]
    assert decoded.notes == ("palette", "alpha composited on white")


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.jpg", quality=100)
    decoded = decode_image(tmp_path / "a.jpg")
    assert decoded.notes == ("CMYK converted",)
    assert np.abs(decoded.pixels.astype(int) - [0, 255, 255]).max() <= 2


# The side of the picture that row 0 and column 0 of the file hold, from the EXIF specification.
ORIENTATIONS = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_exif_orientation_is_applied(tmp_path: Path, kind: str, orientation: int) -> None:
    upright = np.zeros((16, 24, 3), dtype=np.uint8)
    upright[:8, :8] = 255  # one white corner, top left
    row_0, column_0 = ORIENTATIONS[orientation]
    stored = upright.transpose(1, 0, 2) if row_0 in ("left", "right") else upright
    stored = stored[::-1] if row_0 in ("bottom", "right") else stored
    stored = stored[:, ::-1] if column_0 in ("bottom", "right") else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, kind, exif=exif)
    decoded = decode_image(path)
    assert decoded.pixels.shape == (16, 24, 3)
    assert np.abs(decoded.pixels.astype(int) - upright).max() <= 8  # JPEG
    assert decoded.notes == (() if orientation == 1 else ("EXIF orientation applied",))
    assert (image_facts(path).width, image_facts(path).height) == (24, 16)


def test_exif_behind_the_pixels_of_a_png(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(random_rgb()).save(buffer, "PNG", exif=exif)
    content = buffer.getvalue()
    start = content.index(b"eXIf") - 4
    end = start + 12 + struct.unpack(">I", content[start : start + 4])[0]
    (tmp_path / "late.png").write_bytes(content[:start] + content[end:-12] + content[start:end] + content[-12:])
    decoded = decode_image(tmp_path / "late.png")
    assert np.array_equal(decoded.pixels, random_rgb()[::-1, ::-1])
    assert decoded.notes == ("EXIF orientation applied",)


def test_facts_come_from_the_header_alone(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_bytes(300, 200, 8, 2, b"not these pixels"))
    assert (image_facts(tmp_path / "a.png").width, image_facts(tmp_path / "a.png").height) == (300, 200)
    with pytest.raises(ValueError, match="damaged"):
        read_image(tmp_path / "a.png")


def test_first_of_several_pages(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    decoded = decode_image(tmp_path / "a.tif")
    assert decoded.notes == ("first of several pages taken",)
    assert (decoded.pixels == [255, 0, 0]).all()


def test_floating_point_pixels_of_no_known_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), -3.5, dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"a\.tif holds floating-point values down to -3\.5; save it as 8-bit RGB"):
        read_image(tmp_path / "a.tif")


def test_a_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    bomb = png_bytes(50_000, 50_000, 8, 2, b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    assert len(bomb) < 100
    for read in (read_image, image_facts):
        with pytest.raises(ValueError, match=r"bomb\.png claims 50000 x 50000 pixels.*decompression bomb"):
            read(tmp_path / "bomb.png")
    with pytest.raises(ValueError, match="bomb"):
        Image.fromarray(random_rgb()).save(tmp_path / "small.png")
        read_image(tmp_path / "small.png", max_pixels=34)  # 5 x 7 is one too many
    assert read_image(tmp_path / "small.png", max_pixels=35).shape == (5, 7, 3)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_100_million_pixels_load_within_2_5_copies_and_leave_pillow_alone(tmp_path: Path) -> None:
    """A BMP is raw pixels behind a header, so a sparse file makes a large one in no time; its last row is the top one."""
    header = struct.pack("<2sIIIIiiHHIIiiII", b"BM", 54 + 3 * 10**8, 0, 54, 40, 10_000, 10_000, 1, 24, 0, 0, 0, 0, 0, 0)
    with (tmp_path / "large.bmp").open("wb") as handle:
        handle.write(header)
        handle.seek(54 + 3 * 10**8 - 3)
        handle.write(bytes((50, 100, 200)))  # blue first
    program = (
        "import sys, warnings\n"
        "from pathlib import Path\n"
        "from PIL import Image\n"
        "from chromogen.data.images import read_image\n"
        "warnings.simplefilter('error')\n"
        "limit = Image.MAX_IMAGE_PIXELS\n"
        "status = Path('/proc/self/status')\n"  # what getrusage tells begins with the peak of the process that started this one
        "peak = lambda: int(status.read_text().split('VmHWM:')[1].split()[0]) // 1024\n"
        "before = peak()\n"
        "pixels = read_image(sys.argv[1])\n"
        "assert pixels.shape == (10_000, 10_000, 3) and pixels[0, -1].tolist() == [200, 100, 50]\n"
        "assert Image.MAX_IMAGE_PIXELS == limit\n"
        "print(peak() - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "large.bmp"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 280 < int(done.stdout) < 740  # MiB; the array alone is 286


@pytest.mark.parametrize("band_pixels", [1, 7, 20, 35, 100])
def test_bands_join_without_gap_or_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, band_pixels: int) -> None:
    monkeypatch.setattr("chromogen.data.formats.plain.BAND_PIXELS", band_pixels)
    Image.fromarray(random_rgb()).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), random_rgb())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"%PDF-1.7", "is none of PNG"),
        (b"GIF89a" + bytes(50), "is none of PNG"),
        (b"BM" + bytes(9), "damaged"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.png {sentence}|a\.png is {sentence}"):
        read_image(tmp_path / "a.png")


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_truncated_file_is_named(tmp_path: Path, kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(random_rgb(64, 64)).save(buffer, kind)
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[: len(buffer.getvalue()) * 2 // 3])
    with pytest.raises(ValueError, match=r"cut\.png is damaged or cut short.*copy it again"):
        read_image(tmp_path / "cut.png")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow's remarks on damaged metadata
@settings(max_examples=600, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "TIFF", "BMP"]),
    cut=st.floats(0, 1),
    damage=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_file_is_a_value_error_or_an_image(
    tmp_path_factory: pytest.TempPathFactory, kind: str, cut: float, damage: list[tuple[float, int]]
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(random_rgb(16, 16)).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    for place, value in damage:
        content[int(place * len(content))] = value
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    path.write_bytes(content[: int(len(content) * cut) + 1])
    try:
        pixels = read_image(path, max_pixels=10**6)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3


def test_listing_is_natural_and_passes_over_clutter(tmp_path: Path) -> None:
    for name in ("10.PNG", "2.jpg", "a1.TIFF", "A2.bmp", "1.jpeg", ".hidden.png", "._2.jpg", "Thumbs.db", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["1.jpeg", "2.jpg", "10.PNG", "a1.TIFF", "A2.bmp"]


def test_a_link_to_nothing_is_listed_and_fails_when_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "b.png").mkdir()
    (path,) = list_images(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"a\.png"):
        read_image(path)


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=8))
def test_numbers_in_names_sort_by_value(tmp_path_factory: pytest.TempPathFactory, numbers: list[int]) -> None:
    folder = tmp_path_factory.mktemp("numbers")
    for number in numbers:
        (folder / f"s{number}_x.png").touch()
    assert [path.name for path in list_images(folder)] == [f"s{number}_x.png" for number in sorted(numbers)]


def test_resize_keeps_aspect_and_constant_colour() -> None:
    image = np.full((40, 60, 3), (200, 100, 50), dtype=np.uint8)
    small = resize_image(image, 10)
    assert small.shape == (10, 15, 3) and (small == (200, 100, 50)).all()
    assert resize_image(image, 40) is image
