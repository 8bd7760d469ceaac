"""Radiology as it lies on disk, in small: every layout and fault that `data check` must read or name, drawn here.

`MINIATURES` holds a writer for each and what is right to say of it. Nothing is copied from real data.
"""

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

SHAPE = (24, 20, 5)
LPS = np.diag([-1.0, -1.0, 2.0, 1.0])


@dataclass(frozen=True)
class Right:
    """What is right: layout, patients, cases, classes and modalities where they matter, words of notes and problems.

    `refused`: words of the error where the folder as a whole is refused."""

    layout: str = ""
    patients: int = 0
    cases: int = 0
    classes: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    refused: str = ""


Writer = Callable[[Path], None]
MINIATURES: dict[str, tuple[Writer, Right]] = {}


def miniature(**right: Any) -> Callable[[Writer], Writer]:
    def added(write: Writer) -> Writer:
        MINIATURES[write.__name__] = (write, Right(**right))
        return write

    return added


# --- pieces --------------------------------------------------------------------------------------------------------------


def head(seed: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """An ellipsoid of noisy tissue, 250 to 500, in 0."""
    rng = np.random.default_rng(seed)
    x, y = np.mgrid[: shape[0], : shape[1]]
    inside = ((x - shape[0] / 2) / (0.4 * shape[0])) ** 2 + ((y - shape[1] / 2) / (0.4 * shape[1])) ** 2 < 1
    values = 250 + 250 * rng.random(shape)
    return np.where(inside[..., None], values, 0).astype(np.float32)


def lesion(classes: tuple[int, ...] = (1,), shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """A square of 3 x 3 of each class in slices 1 to 3, one above the other."""
    mask = np.zeros(shape, np.uint8)
    for place, number in enumerate(classes):
        mask[8 + 3 * place : 11 + 3 * place, 8:11, 1:4] = number
    return mask


def volume(path: Path, values: np.ndarray, affine: np.ndarray = LPS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def metaimage(path: Path, values: np.ndarray, packed: bool = False) -> Path:
    """x to the left, y to the back, z to the head: ITK's own frame."""
    kind = {"uint8": "MET_UCHAR", "float32": "MET_FLOAT", "int16": "MET_SHORT"}[str(values.dtype)]
    held = values.tobytes(order="F")
    held = zlib.compress(held) if packed else held
    size = " ".join(map(str, values.shape))
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        f"CompressedData = {packed}",
    ]
    lines += ["TransformMatrix = 1 0 0 0 1 0 0 0 1", "Offset = 0 0 0", "ElementSpacing = 1 1 2", f"DimSize = {size}"]
    lines += [f"ElementType = {kind}", "ElementDataFile = LOCAL", ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join(lines).encode() + held)
    return path


def nrrd(path: Path, values: np.ndarray, encoding: str = "gzip") -> Path:
    kind = {"uint8": "uint8", "float32": "float", "int16": "short"}[str(values.dtype)]
    held = values.tobytes(order="F")
    lines = ["NRRD0004", "# made for a test", f"type: {kind}", "dimension: 3", "space: left-posterior-superior"]
    lines += [
        f"sizes: {' '.join(map(str, values.shape))}",
        "space directions: (1,0,0) (0,1,0) (0,0,2)",
        "kinds: domain domain domain",
    ]
    lines += ["endian: little", f"encoding: {encoding}", "space origin: (0,0,0)", "", ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join(lines).encode() + (gzip.compress(held) if encoding == "gzip" else held))
    return path


def shot(seed: int, size: int = 32) -> np.ndarray:
    """A round organ of grey levels around 150 in black, (size, size) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size / 2
    return np.where(x**2 + y**2 < (0.45 * size) ** 2, rng.integers(100, 200, (size, size)), 0).astype(np.uint8)


def spots(*levels: Any, size: int = 32, kind: type = np.uint8) -> np.ndarray:
    """A square of 5 x 5 of each level on 0 (or of each colour on black)."""
    deep = np.ndim(levels[0]) if levels else 0
    mask = np.zeros((size, size, 3) if deep else (size, size), kind)
    for place, level in enumerate(levels):
        mask[6 + 6 * place : 11 + 6 * place, 12:17] = level
    return mask


def picture(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def palette(path: Path, numbers: np.ndarray, colours: list[int]) -> Path:
    image = Image.fromarray(numbers)
    image = image.convert("P") if image.mode != "P" else image
    image.putdata(numbers.ravel().tolist())
    image.putpalette(colours)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def masked(root: Path, mask: Callable[[Path, int], Path], count: int = 4, images: str = "images", masks: str = "masks") -> None:
    for number in range(count):
        picture(root / images / f"p{number}.png", shot(number))
        mask(root / masks / f"p{number}.png", number)


def dataset(root: Path, ending: str = ".nii.gz", channels: tuple[str, ...] = ("T1",), **labels: Any) -> None:
    facts = {
        "channel_names": {str(number): name for number, name in enumerate(channels)},
        "labels": {"background": 0, **labels},
        "file_ending": ending,
    }
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(facts))


def slice_(path: Path, place: float = 0.0, patient: str = "P1", seed: int = 0, **tags: Any) -> Path:
    """A CT slice of a disc of tissue in air, HU = stored - 1024. Tags of None are left out."""
    stored = np.where(shot(seed) > 0, 1064, 24).astype(np.uint16) + np.random.default_rng(seed).integers(
        0, 9, (32, 32), np.uint16
    )
    meta = FileMetaDataset()
    uid = str(tags.pop("SOPInstanceUID", generate_uid()))
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, UID(uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    usual: dict[str, Any] = {
        "SOPClassUID": CTImageStorage, "SOPInstanceUID": uid, "PatientID": patient, "Modality": "CT",
        "SeriesInstanceUID": f"1.2.3.{sum(map(ord, path.parent.name))}", "Rows": 32, "Columns": 32, "BitsAllocated": 16,
        "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0, "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "RescaleSlope": 1, "RescaleIntercept": -1024, "PixelSpacing": [0.8, 0.8], "ImagePositionPatient": [0, 0, place],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelData": stored.tobytes(),
    }  # fmt: skip
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    for name, value in (usual | tags).items():
        if value is not None:
            setattr(dataset, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def voc(path: Path, name: str = "A", difficult: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    corners = "<xmin>12</xmin><ymin>12</ymin><xmax>18</xmax><ymax>18</ymax>"
    found = f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"
    path.write_text(f"<annotation><filename>x</filename>{found}</annotation>")
    return path


# --- leaks ---------------------------------------------------------------------------------------------------------------


def _classes(root: Path, *places: str) -> None:
    for number, place in enumerate(places):
        picture(root / place, shot(number))


@miniature(layout="class_folders", patients=5, cases=5, problems=("(test) and", "are the same image, once"))
def same_bytes_in_train_and_test_and_in_two_classes(root: Path) -> None:
    _classes(root, "Training/glioma/a.png", "Training/none/b.png", "Testing/glioma/c.png")
    picture(root / "Testing/none/d.png", shot(1))
    picture(root / "Training/none/e.png", shot(0))


@miniature(layout="class_folders", patients=6, cases=6)
def official_folders_are_splits(root: Path) -> None:
    _classes(
        root, *(f"{split}/{kind}/{split}{n}.png" for split in ("Training", "Testing") for kind in ("a", "b") for n in (1,))
    )
    _classes(root, "Training/a/9.png", "Training/b/8.png")
    picture(root / "Training/a/9.png", shot(20))
    picture(root / "Training/b/8.png", shot(21))


@miniature(layout="nnunet", patients=3, cases=30)
def frames_of_one_patient(root: Path) -> None:
    dataset(root, lesion=1)
    for number, name in enumerate(f"patient{p:03d}_frame{f:02d}" for p in range(3) for f in (1, 12)):
        volume(root / "imagesTr" / f"{name}_0000.nii.gz", head(number))
        volume(root / "labelsTr" / f"{name}.nii.gz", lesion())


@miniature(layout="brats", patients=3, cases=15, notes=("are there twice or more",))
def one_patient_under_two_names(root: Path) -> None:
    for seed, name in ((0, "BraTS20_Training_001"), (1, "BraTS20_Training_002"), (0, "BraTS20_Training_003")):
        volume(root / name / f"{name}_t1.nii.gz", head(seed))
        volume(root / name / f"{name}_seg.nii.gz", lesion((1, 2, 4)))


# --- labels --------------------------------------------------------------------------------------------------------------


@miniature(layout="image_masks", patients=3, cases=3, classes=("none", "label"), notes=("mask is passed over", "field of view"))
def drive(root: Path) -> None:
    for number in range(3):
        picture(root / f"training/images/2{number}_training.tif", np.repeat(shot(number)[..., None], 3, axis=2))
        picture(root / f"training/1st_manual/2{number}_manual1.gif", spots(255))
        picture(root / f"training/mask/2{number}_training_mask.gif", (shot(number) > 0) * np.uint8(255))
        picture(root / f"test/images/0{number}_test.tif", np.repeat(shot(9 + number)[..., None], 3, axis=2))
        picture(root / f"test/mask/0{number}_test_mask.gif", (shot(number) > 0) * np.uint8(255))


@miniature(layout="image_masks", patients=4, cases=4, problems=("a camera's field of view is no label",))
def field_of_view_alone(root: Path) -> None:
    masked(root, lambda path, number: picture(path, (shot(number) > 0) * np.uint8(255)), masks="mask")


@miniature(layout="masks_beside", patients=5, cases=5, classes=("none", "benign", "malignant"))
def busi(root: Path) -> None:
    for number, name in enumerate(("benign/benign (1)", "benign/benign (2)", "malignant/malignant (1)", "normal/normal (1)")):
        picture(root / f"set/{name}.png", np.repeat(shot(number)[..., None], 3, axis=2))
        picture(root / f"set/{name}_mask.png", spots(0 if "normal" in name else 255))
    picture(root / "set/benign/benign (3).png", shot(9))
    picture(root / "set/benign/benign (3)_mask.png", spots(255))
    picture(root / "set/benign/benign (3)_mask_1.png", spots(0, 255))


@miniature(layout="image_masks", patients=3, cases=3, classes=("none", "leftMask", "rightMask"), notes=("a folder a class",))
def montgomery(root: Path) -> None:
    for number in range(3):
        picture(root / f"CXR_png/MCUCXR_000{number}_0.png", shot(number))
        picture(root / f"ManualMask/leftMask/MCUCXR_000{number}_0.png", spots(255))
        picture(root / f"ManualMask/rightMask/MCUCXR_000{number}_0.png", spots(0, 255))


@miniature(
    layout="brats", patients=2, cases=10, classes=("none", "necrotic core", "oedema", "enhancing tumour", "resection cavity")
)
def brats_since_2023(root: Path) -> None:
    for number, name in enumerate(("BraTS-GLI-00000-100", "BraTS-GLI-00001-101")):
        for part in ("t1n", "t1c", "t2w", "t2f"):
            volume(root / name / f"{name}-{part}.nii.gz", head(10 * number + ord(part[1]) + ord(part[2])))
        volume(root / name / f"{name}-seg.nii.gz", lesion((1, 2, 3, 4)))


@miniature(layout="brats", patients=2, cases=10, problems=("label 3 is in", "has no name for it"))
def brats_before_2023_with_a_3(root: Path) -> None:
    for number, name in enumerate(("BraTS20_Training_001", "BraTS20_Training_002")):
        volume(root / name / f"{name}_t1.nii.gz", head(number))
        volume(root / name / f"{name}_seg.nii.gz", lesion((1, 2, 3)))


@miniature(layout="nnunet", patients=2, cases=8, classes=("background", "lesion"), notes=("labelled to be ignored",))
def nnunet_ignore(root: Path) -> None:
    dataset(root, lesion=1, ignore=2)
    for number in range(2):
        mask = lesion()
        mask[2, 2, 4] = 2
        volume(root / f"imagesTr/c{number}_0000.nii.gz", head(number))
        volume(root / f"labelsTr/c{number}.nii.gz", mask)


@miniature(
    layout="nnunet", patients=2, cases=10, classes=("background", "whole", "core", "enhancing"), notes=("labels are regions",)
)
def nnunet_regions(root: Path) -> None:
    dataset(root, whole=[1, 2, 3], core=[2, 3], enhancing=[3])
    for number in range(2):
        volume(root / f"imagesTr/c{number}_0000.nii.gz", head(number))
        volume(root / f"labelsTr/c{number}.nii.gz", lesion((1, 2, 3)))


@miniature(
    layout="nnunet", patients=2, cases=10, classes=("background", "unused 1", "kidney", "unused 3", "unused 4", "tumour")
)
def nnunet_with_gaps(root: Path) -> None:
    dataset(root, kidney=2, tumour=5)
    for number in range(2):
        volume(root / f"imagesTr/c{number}_0000.nii.gz", head(number))
        volume(root / f"labelsTr/c{number}.nii.gz", lesion((2, 5)))


@miniature(layout="image_masks", patients=4, cases=4, classes=("none", "level 85", "level 170", "level 255"))
def masks_of_grey_levels(root: Path) -> None:
    masked(root, lambda path, number: picture(path, spots(85, 170, 255) if number else spots(85)))


@miniature(layout="image_masks", patients=4, cases=4, classes=("none", "green (0, 255, 0)", "red (255, 0, 0)"))
def masks_of_colours(root: Path) -> None:
    masked(root, lambda path, number: picture(path, spots((255, 0, 0), (0, 255, 0))))


@miniature(layout="image_masks", patients=4, cases=4, classes=("none", "label"))
def masks_of_a_palette_whose_0_is_white(root: Path) -> None:
    masked(root, lambda path, number: palette(path, 1 - spots(1), [255, 255, 255, 0, 0, 0]))


@miniature(layout="image_masks", patients=4, cases=4, classes=("none", "label"))
def masks_of_12_bits(root: Path) -> None:
    masked(root, lambda path, number: picture(path, spots(4095, kind=np.uint16)))


@miniature(layout="image_masks", patients=4, cases=4, classes=("none", "level 128", "level 0"))
def masks_whose_background_is_white(root: Path) -> None:
    """REFUGE: the cup is 0, the disc around it 128, everything else 255."""
    mask = np.full((32, 32), 255, np.uint8)
    mask[8:20, 8:20] = 128
    mask[11:16, 11:16] = 0
    masked(root, lambda path, number: picture(path.with_suffix(".bmp"), mask))


@miniature(layout="image_masks", patients=4, cases=4, problems=("black and white may be swapped",))
def masks_that_are_swapped(root: Path) -> None:
    masked(root, lambda path, number: picture(path, 255 - spots(255)))


@miniature(layout="image_masks", patients=4, cases=0, refused="masks in colours as JPEG")
def masks_of_colours_as_jpeg(root: Path) -> None:
    masked(root, lambda path, number: picture(path.with_suffix(".jpg"), spots((255, 0, 0), (0, 255, 0))))


@miniature(layout="dicom_boxes", patients=2, cases=5, classes=("none", "A"), notes=("marked as difficult",))
def difficult_boxes(root: Path) -> None:
    for patient in ("P1", "P2"):
        for number in range(3):
            slice_(root / patient / f"{number}.dcm", number, patient, seed=ord(patient[1]) + number)
        voc(root / patient / "1.xml")
    voc(root / "P2" / "2.xml", difficult=1)


# --- volumes -------------------------------------------------------------------------------------------------------------


@miniature(layout="nnunet", patients=2, cases=10, modalities=("FLAIR", "T1w"), notes=("have no labels, as is usual",))
def decathlon(root: Path) -> None:
    dataset(root, channels=("FLAIR", "T1w"), lesion=1)
    for number in range(2):
        volume(root / f"imagesTr/B_{number}.nii.gz", np.stack([head(number), head(9 + number)], axis=-1))
        volume(root / f"labelsTr/B_{number}.nii.gz", lesion())
    volume(root / "imagesTs/B_7.nii.gz", np.stack([head(7), head(8)], axis=-1))


@miniature(layout="nnunet", patients=2, cases=10)
def nnunet_metaimage(root: Path) -> None:
    dataset(root, ".mha", lesion=1)
    for number in range(2):
        metaimage(root / f"imagesTr/c{number}_0000.mha", head(number), packed=bool(number))
        metaimage(root / f"labelsTr/c{number}.mha", lesion(), packed=bool(number))


@miniature(layout="volume_masks", patients=2, cases=10)
def plain_nrrd(root: Path) -> None:
    for number in range(2):
        nrrd(root / f"images/c{number}.nrrd", head(number), "gzip" if number else "raw")
        nrrd(root / f"labels/c{number}.nrrd", lesion())


@miniature(layout="brats", patients=2, cases=10)
def gzip_called_nii(root: Path) -> None:
    for number in range(2):
        name = f"BraTS20_Training_00{number}"
        for part, values in (("t1", head(number)), ("seg", lesion())):
            path = volume(root / name / f"{name}_{part}.nii.gz", values)
            path.rename(path.with_name(f"{name}_{part}.nii")) if number else path.write_bytes(
                gzip.decompress(path.read_bytes())
            )


@miniature(layout="bids", patients=2, cases=10, modalities=("T1w", "FLAIR"))
def bids(root: Path) -> None:
    for number in range(2):
        for part in ("T1w", "FLAIR"):
            volume(root / f"sub-0{number}/ses-1/anat/sub-0{number}_ses-1_{part}.nii.gz", head(number + len(part)))
        labels = root / f"derivatives/labels/sub-0{number}/ses-1/anat"
        volume(labels / f"sub-0{number}_ses-1_T1w_label-lesion_mask.nii.gz", lesion())
        volume(labels / f"sub-0{number}_ses-1_T1w_desc-brain_mask.nii.gz", lesion())


@miniature(layout="volumes_beside", patients=2, cases=20, classes=("none", "right ventricle", "myocardium", "left ventricle"))
def acdc(root: Path) -> None:
    for number in range(2):
        name = f"patient00{number}"
        for frame in ("frame01", "frame12"):
            volume(root / f"training/{name}/{name}_{frame}.nii.gz", head(10 * number + int(frame[-1])))
            volume(root / f"training/{name}/{name}_{frame}_gt.nii.gz", lesion((1, 2, 3)))
        volume(root / f"training/{name}/{name}_4d.nii.gz", np.stack([head(number)] * 2, axis=-1))


@miniature(layout="volume_masks", patients=2, cases=10, classes=("none", "label 1", "label 2"))
def images_and_labels(root: Path) -> None:
    for number in range(2):
        volume(root / f"images/c{number}.nii.gz", head(number))
        volume(root / f"labels/c{number}.nii.gz", lesion((1, 2)))


@miniature(layout="nnunet", patients=3, cases=3, modalities=("RGB",))
def nnunet_colours_in_one_png(root: Path) -> None:
    dataset(root, ".png", ("R", "G", "B"), road=1)
    for number in range(3):
        picture(root / f"imagesTr/i{number}_0000.png", np.stack([shot(number), shot(9), shot(8)], axis=2))
        picture(root / f"labelsTr/i{number}.png", spots(1))


@miniature(layout="brats", patients=2, cases=5, problems=("holds 0 in every voxel: this image is missing",))
def a_modality_of_zeros(root: Path) -> None:
    for number, name in enumerate(("A", "B")):
        volume(root / name / f"{name}_t1.nii.gz", head(number))
        volume(root / name / f"{name}_t2.nii.gz", head(5) * (1 - number))
        volume(root / name / f"{name}_seg.nii.gz", lesion())


@miniature(layout="brats", patients=2, cases=10, notes=("passed over, such as",))
def more_volumes_than_needed(root: Path) -> None:
    for number, name in enumerate(("A", "B")):
        for part, values in (("t1", head(number)), ("t1_n4", head(7)), ("seg", lesion()), ("pred_seg", lesion((2,)))):
            volume(root / name / f"{name}_{part}.nii.gz", values)


@miniature(layout="volume_masks", patients=2, cases=10, notes=("two placements (qform and sform)",))
def two_placements(root: Path) -> None:
    for number in range(2):
        for folder, values in (("images", head(number)), ("labels", lesion())):
            image = nib.Nifti1Image(values, LPS)
            image.set_qform(LPS + np.array([[0, 0, 0, 40], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]), 1)
            image.set_sform(LPS, 4)
            path = root / folder / f"c{number}.nii.gz"
            path.parent.mkdir(exist_ok=True, parents=True)
            nib.save(image, path)


@miniature(layout="volume_masks", patients=2, cases=10, notes=("slope 0 with an intercept (5)",))
def slope_of_zero(root: Path) -> None:
    for number in range(2):
        for folder, values in (("images", head(number)), ("labels", lesion())):
            path = volume(root / folder / f"c{number}.nii", values)
            if folder == "images":
                held = bytearray(path.read_bytes())
                held[112:120] = struct.pack("<ff", 0.0, 5.0)
                path.write_bytes(bytes(held))


# --- DICOM and boxes -----------------------------------------------------------------------------------------------------


@miniature(layout="dicom_boxes", patients=2, cases=6, classes=("none", "G"))
def dicom_without_ending_and_boxes_by_uid(root: Path) -> None:
    for patient in ("A0001", "A0002"):
        for number in range(3):
            uid = f"1.2.826.0.1.{patient[-1]}.{number}"
            slice_(
                root / f"images/Lung_Dx-{patient}/1-{number:02d}",
                number,
                patient,
                seed=int(patient[-1]) + number,
                SOPInstanceUID=uid,
            )
        voc(root / f"Annotation/{patient}/1.2.826.0.1.{patient[-1]}.1.xml", "G")


@miniature(layout="dicom_boxes", patients=2, cases=4, notes=("localisers or lie across",))
def localisers(root: Path) -> None:
    for patient in ("P1", "P2"):
        for number in range(2):
            slice_(root / patient / f"{number}.dcm", number, patient, seed=ord(patient[1]) + number)
        voc(root / patient / "1.xml")
    slice_(root / "P1" / "scout.dcm", 0, "P1", 30, ImageOrientationPatient=[1, 0, 0, 0, 0, -1], SeriesInstanceUID="1.9")
    slice_(root / "P2" / "scout.dcm", 9, "P2", 31, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesInstanceUID="1.8")


@miniature(layout="dicom_boxes", patients=2, cases=4, problems=("of one series lie at one place",))
def doubled_positions(root: Path) -> None:
    for patient in ("P1", "P2"):
        for number in range(2):
            slice_(root / patient / f"{number}.dcm", number, patient, seed=ord(patient[1]) + number)
        voc(root / patient / "1.xml")
    slice_(root / "P1" / "again.dcm", 1, "P1", 33)


@miniature(layout="dicom_boxes", patients=3, cases=6, notes=("each folder is taken as a patient",))
def everybody_called_the_same(root: Path) -> None:
    for patient in ("P1", "P2", "P3"):
        for number in range(2):
            slice_(root / patient / f"{number}.dcm", number, "ANONYMOUS", seed=10 * ord(patient[1]) + number)
        voc(root / patient / "1.xml")


@miniature(layout="dicom_boxes", patients=1, cases=2, problems=("XML files have no slice",))
def boxes_without_a_slice(root: Path) -> None:
    for number in range(2):
        slice_(root / "P1" / f"{number}.dcm", number, "P1", seed=number)
    voc(root / "P1" / "1.xml")
    voc(root / "P1" / "gone.xml")


@miniature(layout="image_boxes", patients=3, cases=3, classes=("none", "A"), notes=("read as showing nothing",))
def voc_beside_png(root: Path) -> None:
    for number in range(3):
        picture(root / f"JPEGImages/p{number}.png", shot(number))
    for number in range(2):
        voc(root / f"Annotations/p{number}.xml")


@miniature(layout="image_boxes", patients=4, cases=4, classes=("none", "nodule"))
def coco_beside_png(root: Path) -> None:
    for split in ("train", "valid"):
        images = [{"id": number, "file_name": f"{split}{number}.png", "width": 32, "height": 32} for number in (1, 2)]
        for number, image in enumerate(images):
            picture(root / split / str(image["file_name"]), shot(number + 10 * ord(split[0])))
        boxes = [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [12, 12, 6, 5], "area": 30, "iscrowd": 0}]
        facts = {"images": images, "annotations": boxes, "categories": [{"id": 7, "name": "nodule"}]}
        (root / split / "_annotations.coco.json").write_text(json.dumps(facts))
