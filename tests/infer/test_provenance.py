import hashlib
import struct
import xml.etree.ElementTree as ElementTree
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from chromogen.infer.provenance import SOURCE_TYPE, describe, pixels_sha256, read_provenance, write_png


@pytest.fixture
def stain(stainer_of, conv_net):
    return stainer_of(conv_net())


def chunks(path):
    """The chunks of a PNG by the letter of the specification: length, type, data, CRC."""
    data, found, at = path.read_bytes(), [], 8
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0]
        found.append((kind, body))
        at += length + 12
    return found


def international_texts(path):
    """Keyword -> text of the iTXt chunks: keyword, 0, compressed?, method, language, 0, translated keyword, 0, UTF-8."""
    texts = {}
    for kind, body in chunks(path):
        if kind == b"iTXt":
            keyword, rest = body.split(b"\0", 1)
            assert rest[0] == 0
            texts[keyword.decode("latin-1")] = rest[2:].split(b"\0", 2)[2].decode("utf-8")
    return texts


def test_the_record_comes_back_and_so_do_the_pixels(tmp_path, stain, he):
    image, record = he(30, 41), describe(stain, he(30, 41, seed=1))
    write_png(tmp_path / "a.png", image, record)
    assert read_provenance(tmp_path / "a.png") == record
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)


def test_it_says_what_a_reader_must_know(tmp_path, stain, he):
    write_png(tmp_path / "a.png", he(8, 8), describe(stain, he(8, 8)))
    texts = international_texts(tmp_path / "a.png")
    assert texts["Synthetic"] == "true"
    assert texts["ModelSHA256"] == stain.model.sha256 and texts["Model"] == "tiny"
    assert "Research use only. Not for diagnosis." in texts["Disclaimer"]
    assert texts["DataLicence"] == "CC0-1.0"
    assert texts["Software"].startswith("chromogen ")


def test_the_xmp_packet_is_xml_that_says_synthetic(tmp_path, stain, he):
    card = replace(stain.model.card, target_stain="HER2 <IHC> & more")
    stain = replace(stain, model=replace(stain.model, card=card))
    write_png(tmp_path / "a.png", he(8, 8), describe(stain, he(8, 8)))
    packet = international_texts(tmp_path / "a.png")["XML:com.adobe.xmp"]
    tree = ElementTree.fromstring(packet.split("?>", 1)[1].rsplit("<?xpacket", 1)[0])
    (term,) = tree.iter("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert term.text == SOURCE_TYPE == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    (text,) = tree.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}li")
    assert "virtual HER2 <IHC> & more computed from H&E" in text.text


def test_same_pixels_and_model_same_bytes(tmp_path, stain, he):
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name, he(30, 30), describe(stain, he(30, 30)))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert {kind for kind, _ in chunks(tmp_path / "a.png")} <= {b"IHDR", b"iTXt", b"IDAT", b"IEND"}  # no tIME


def test_the_hash_of_the_pixels_by_hand():
    image = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    expected = hashlib.sha256(struct.pack("<qq", 2, 3) + bytes(range(18))).hexdigest()
    assert pixels_sha256(image) == expected
    assert pixels_sha256(image.reshape(3, 2, 3)) != expected
    assert pixels_sha256(np.repeat(image, 2, axis=1)[:, ::2]) == expected


def test_precision_and_model_are_told_apart(stain, he):
    record = describe(stain, he(8, 8))
    assert record != describe(replace(stain, prepared=replace(stain.prepared, precision="bf16")), he(8, 8))
    assert record != describe(replace(stain, model=replace(stain.model, sha256="1" * 64)), he(8, 8))


def test_files_that_say_nothing_are_refused(tmp_path, he):
    Image.fromarray(he(8, 8)).save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("not an image")
    Image.fromarray(he(8, 8)).save(tmp_path / "photo.jpg")
    with pytest.raises(ValueError, match=r"plain\.png does not say that chromogen made it"):
        read_provenance(tmp_path / "plain.png")
    for name in ("text.png", "photo.jpg"):
        with pytest.raises(ValueError, match="is not a whole PNG file"):
            read_provenance(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_provenance(tmp_path / "nowhere.png")
