import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.challenge.mha import mha_facts, read_mha

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)  # 2 rows of 3 RGB pixels


def mha(image: np.ndarray, body: bytes | None = None, **changes: str) -> bytes:
    """A MetaImage by hand, as ITK writes it; `changes` replace header fields."""
    fields = {
        "ObjectType": "Image", "NDims": "2", "BinaryData": "True", "BinaryDataByteOrderMSB": "False", "CompressedData": "False",
        "TransformMatrix": "1 0 0 1", "Offset": "0 0", "CenterOfRotation": "0 0", "ElementSpacing": "1 1",
        "DimSize": f"{image.shape[1]} {image.shape[0]}", "AnatomicalOrientation": "??",
        "ElementNumberOfChannels": str(1 if image.ndim == 2 else image.shape[2]), "ElementType": "MET_UCHAR",
        "ElementDataFile": "LOCAL",
    }  # fmt: skip
    header = "".join(f"{key} = {value}\n" for key, value in (fields | changes).items())
    return header.encode() + (image.tobytes() if body is None else body)


def written(folder: Path, content: bytes) -> Path:
    (folder / "a.mha").write_bytes(content)
    return folder / "a.mha"


def packed(image: np.ndarray) -> bytes:
    return mha(image, zlib.compress(image.tobytes()), CompressedData="True")


def test_the_bytes_itk_writes(tmp_path: Path) -> None:
    """Written out by hand from what ITK's writer produced for two pixels."""
    content = (
        b"ObjectType = Image\nNDims = 2\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        b"TransformMatrix = 1 0 0 1\nOffset = 0 0\nCenterOfRotation = 0 0\nElementSpacing = 1 1\nDimSize = 2 1\n"
        b"AnatomicalOrientation = ??\nElementNumberOfChannels = 3\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
        b"\x01\x02\x03\xff\x00\x0a"
    )
    assert read_mha(written(tmp_path, content)).tolist() == [[[1, 2, 3], [255, 0, 10]]]


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), colour=st.booleans(), compressed=st.booleans())
def test_pixels_come_back(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, colour: bool, compressed: bool
) -> None:
    image = np.random.default_rng(height).integers(0, 256, (height, width, *([3] * colour)), dtype=np.uint8)
    path = written(tmp_path_factory.mktemp("m"), packed(image) if compressed else mha(image))
    found = read_mha(path)
    assert (mha_facts(path).width, mha_facts(path).height) == (width, height)
    assert found.shape == (height, width, 3) and found.dtype == np.uint8
    assert all(np.array_equal(found[..., k], image[..., k] if colour else image) for k in range(3))


def test_more_than_a_chunk_and_one_slice_of_a_volume(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 4, (900, 800, 3), dtype=np.uint8)  # 2.2 MB
    for content in (mha(image), packed(image), mha(image, NDims="3", DimSize="800 900 1")):
        assert np.array_equal(read_mha(written(tmp_path, content)), image)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ElementDataFile": "/etc/passwd"}, "in another file"),
        ({"ElementType": "MET_USHORT"}, "8-bit"),
        ({"NDims": "3", "DimSize": "3 2 2"}, "one flat picture"),
        ({"NDims": "3"}, "one flat picture"),
        ({"DimSize": "3 -2"}, "whole numbers"),
        ({"DimSize": "3 2.5"}, "whole numbers"),
        ({"DimSize": "3 99999999999999999999"}, "whole numbers"),
        ({"DimSize": "0 2"}, "whole numbers"),
        ({"DimSize": "20000 20000"}, "more than the limit"),
        ({"ElementNumberOfChannels": "4"}, "channels"),
        ({"BinaryData": "False"}, "as text"),
        ({"CompressedData": "maybe"}, "neither True nor False"),
        ({"HeaderSize": "-1"}, "HeaderSize"),
        ({"Comment": "x" * 5000}, "not a MetaImage"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, changes: dict[str, str], sentence: str) -> None:
    header = {key: value for key, value in changes.items() if key != "ElementDataFile"}
    content = mha(PIXELS, **changes)
    if header.keys() & {"HeaderSize", "Comment"}:  # new fields stand before the last line
        lines = "".join(f"{key} = {value}\n" for key, value in header.items()).encode()
        content = lines + mha(PIXELS)
    with pytest.raises(ValueError, match=sentence):
        read_mha(written(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (mha(PIXELS)[:-1], "fewer"),
        (mha(PIXELS) + b"x", "more"),
        (packed(PIXELS)[:-9], "fewer"),
        (mha(PIXELS, zlib.compress(PIXELS.tobytes() + b"x"), CompressedData="True"), "more"),
        (mha(PIXELS, zlib.compress(bytes(2**22)), CompressedData="True"), "more"),
        (mha(PIXELS, b"no zlib at all", CompressedData="True"), "damaged"),
        (b"", "not a MetaImage"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "not a MetaImage"),
        (b"Comment = x\n" * 200, "not a MetaImage"),
    ],
)
def test_damage_is_told(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"a.mha.*{sentence}"):
        read_mha(written(tmp_path, content))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_is_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    raw = bytearray(packed(PIXELS))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert read_mha(written(tmp_path_factory.mktemp("m"), bytes(raw)), max_pixels=10_000).shape[2] == 3
    except ValueError:
        return
