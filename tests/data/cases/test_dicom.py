from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

from chromogen.data.cases import dicom
from chromogen.data.cases.dicom import dicom_facts, read_dicom

STORED = np.arange(12, dtype=np.int16).reshape(3, 4) * 100


def write(path: Path, stored: np.ndarray = STORED, syntax: str = ExplicitVRLittleEndian, **tags: Any) -> Path:
    """A CT slice; a tag of None is left out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    usual: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "PatientID": "P1",
        "Modality": "CT",
        "SeriesInstanceUID": "1.2.3",
        "Rows": stored.shape[0],
        "Columns": stored.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "RescaleSlope": 2,
        "RescaleIntercept": -1024,
        "PixelSpacing": [0.5, 0.75],
        "ImagePositionPatient": [-10, -20, 30],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelData": stored.tobytes(),
    }
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    for name, value in (usual | tags).items():
        if value is not None:
            setattr(dataset, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def test_values_are_hounsfield_units_and_places_are_known(tmp_path: Path) -> None:
    found = read_dicom(write(tmp_path / "a.dcm"))
    assert found.pixels.dtype == np.float32
    assert np.array_equal(found.pixels, STORED * 2.0 - 1024)
    facts = found.facts
    assert (facts.patient, facts.modality, facts.series, facts.place) == ("P1", "CT", "1.2.3", 30.0)
    assert facts.spacing_mm == (0.5, 0.75)
    # DICOM counts to the left and back, the affine to the right and front: column 2, row 1 lies at -10 + 2 * .75, -20 + .5
    assert facts.affine is not None and np.allclose(facts.affine @ [2, 1, 0, 1], [8.5, 19.5, 30, 1])


def test_film_that_is_inverted(tmp_path: Path) -> None:
    found = read_dicom(write(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1", RescaleSlope=1, RescaleIntercept=0))
    assert np.array_equal(found.pixels, 1100 - STORED)


def test_a_header_that_tells_little(tmp_path: Path) -> None:
    bare = dict.fromkeys(("PatientID", "PixelSpacing", "ImagePositionPatient", "RescaleSlope", "RescaleIntercept", "Modality"))
    found = read_dicom(write(tmp_path / "a.dcm", **bare))
    assert np.array_equal(found.pixels, STORED)
    assert found.facts.spacing_mm is found.facts.affine is found.facts.place is None and found.facts.patient == ""


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ({"PixelData": None}, r"a.dcm holds no pixel data; it may be a report or a plan"),
        ({"NumberOfFrames": 2}, "holds 2 frames; only single grey slices are read"),
        ({"SamplesPerPixel": 3}, "holds 3 colours a pixel; only single grey slices are read"),
        ({"Rows": None}, r"is damaged or no DICOM image \(it has no rows and columns"),
        ({"PixelData": b"\0\0"}, "is damaged or no DICOM image"),
        ({"Rows": 60000, "Columns": 60000}, "claims 60000 x 60000 pixels; the limit is"),
    ],
)
def test_slices_that_cannot_be_read(tmp_path: Path, tags: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_dicom(write(tmp_path / "a.dcm", **tags))


def test_transfer_syntaxes_are_judged_before_anything_is_unpacked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm")
    assert dicom_facts(path).rows == 3
    raw = path.read_bytes()
    known = str(ExplicitVRLittleEndian).encode()
    (tmp_path / "unknown.dcm").write_bytes(raw.replace(known, b"1.2.840.99999.1.2.1"[: len(known)], 1))
    with pytest.raises(
        ValueError, match=r"unknown.dcm has the unknown transfer syntax '1.2.840.99999.1.2.1'; save it uncompressed"
    ):
        read_dicom(tmp_path / "unknown.dcm")
    deflated = write(tmp_path / "deflated.dcm", syntax=DeflatedExplicitVRLittleEndian)
    for read in (read_dicom, dicom_facts):
        with pytest.raises(ValueError, match="may unpack to any size"):
            read(deflated)


def test_a_compression_without_a_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.dcm")
    raw = path.read_bytes()
    known, other = str(ExplicitVRLittleEndian).encode() + b"\0", str(JPEG2000Lossless).encode()
    at = raw.index(known) - 2
    size = int.from_bytes(raw[at : at + 2], "little")
    group = raw.index(b"\x02\x00\x00\x00UL") + 8
    longer = int.from_bytes(raw[group : group + 4], "little") + len(other) - size
    raw = raw[:group] + longer.to_bytes(4, "little") + raw[group + 4 :]
    raw = raw[:at] + len(other).to_bytes(2, "little") + other + raw[at + 2 + size :]
    (tmp_path / "j2k.dcm").write_bytes(raw)

    class NoDecoder:
        is_available = False

    monkeypatch.setattr(dicom, "get_decoder", lambda syntax: NoDecoder())
    with pytest.raises(ValueError, match=r"is compressed as 'JPEG 2000.*' \(1.2.840.10008.1.2.4.90\), and no decoder for that"):
        read_dicom(tmp_path / "j2k.dcm")


def test_what_is_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("no slice")
    with pytest.raises(ValueError, match=r"a.dcm is damaged or no DICOM image"):
        read_dicom(tmp_path / "a.dcm")
    with pytest.raises(FileNotFoundError):
        read_dicom(tmp_path / "gone.dcm")
