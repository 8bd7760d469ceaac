"""More miniatures of what lies on disks: sets one folder deeper, splits side by side, masks that say two things."""

import gzip
import json
from pathlib import Path

import numpy as np
import tifffile

from tests.miniatures.cases import dataset, head, lesion, masked, miniature, palette, picture, shot, slice_, spots, volume


@miniature(layout="nnunet", patients=4, cases=20, classes=("background", "cancer"), modalities=("CT",))
def decathlon_in_a_folder(root: Path) -> None:
    """Its classes and its modality must not be lost because the folder above is given."""
    home = root / "Task06_Lung"
    for number in range(4):
        volume(home / f"imagesTr/lung_{number:03d}_0000.nii.gz", head(number))
        volume(home / f"labelsTr/lung_{number:03d}.nii.gz", lesion())
    dataset(home, channels=("CT",), cancer=1)


@miniature(refused="holds 2 data sets of nnU-Net")
def two_data_sets_of_nnunet(root: Path) -> None:
    for place in ("Dataset001_A", "Dataset002_B"):
        decathlon_in_a_folder(root / place)
        (root / place / "Task06_Lung").rename(root / f"{place}_")
        (root / place).rmdir()


@miniature(layout="image_masks", patients=6, cases=6, classes=("none", "label"))
def splits_side_by_side(root: Path) -> None:
    """ISIC 2018."""
    for place, split in enumerate(("Training", "Validation", "Test")):
        for number in (2 * place, 2 * place + 1):
            picture(root / f"ISIC2018_Task1-2_{split}_Input/ISIC_{number:07d}.png", shot(number))
            picture(root / f"ISIC2018_Task1_{split}_GroundTruth/ISIC_{number:07d}_segmentation.png", spots(255))


@miniature(layout="image_masks", patients=4, cases=4, classes=("none", "label"))
def images_a_folder_deeper_than_masks(root: Path) -> None:
    """Shenzhen."""
    for number in range(4):
        picture(root / f"ChinaSet_AllFiles/CXR_png/CHNCXR_{number:04d}_0.png", shot(number))
        picture(root / f"mask/CHNCXR_{number:04d}_0_mask.png", spots(255))


@miniature(refused="several grey levels .about 0, 128, 255. as JPEG")
def masks_of_grey_levels_as_jpeg(root: Path) -> None:
    def mask(path: Path, number: int) -> Path:
        levels = np.full((64, 64, 3), 255, np.uint8)
        levels[16:48, 16:48] = 128
        levels[26:38, 26:38] = 0
        return picture(path.with_suffix(".jpg"), levels)

    for number in range(4):
        picture(root / f"images/p{number}.png", shot(number, 64))
        mask(root / f"masks/p{number}.png", number)


@miniature(layout="image_masks", patients=4, cases=4, classes=("none", "label"))
def masks_with_soft_edges_as_jpeg(root: Path) -> None:
    masked(root, lambda path, number: picture(path.with_suffix(".jpg"), spots(255)))


@miniature(refused="masks of class numbers and others of 0 and 255")
def masks_of_ones_and_masks_of_255(root: Path) -> None:
    masked(root, lambda path, number: picture(path, spots((1, 255)[number % 2])))


@miniature(layout="image_masks", patients=4, cases=4, classes=("none", "label"), problems=("black and white may be swapped",))
def masks_of_a_palette_in_tiff(root: Path) -> None:
    """White is number 0 and fills the border: told, as for a PNG of the same palette."""
    masked(root, lambda path, number: palette(path.with_suffix(".tif"), spots(1), [255, 255, 255, 0, 0, 0]))


@miniature(layout="image_masks", patients=4, cases=4, classes=("none", "label"))
def tiff_called_png_and_gif(root: Path) -> None:
    for number in range(4):
        for place, pixels in (("images", shot(number)), ("masks", spots(255))):
            path = root / f"{place}/p{number}{('.gif', '.png')[number % 2]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, 65535 - pixels.astype(np.uint16) * 16, photometric="miniswhite", compression="lerc")


@miniature(layout="image_masks", patients=4, cases=4, classes=("none", "label"))
def dicom_with_masks_as_png(root: Path) -> None:
    for number in range(4):
        slice_(root / f"images/p{number}.dcm", patient=f"P{number}", seed=number)
        picture(root / f"masks/p{number}.png", spots(255))


@miniature(layout="dicom_boxes", patients=4, cases=4, notes=("1 other files are not read", "4 slices are called masks"))
def mammograms(root: Path) -> None:
    """CBIS-DDSM: a patient a view, cropped or as a mask; labels in a table."""
    for number in range(4):
        name = f"Mass-Training_P_{number:05d}_LEFT_CC"
        slice_(root / name / "1.dcm", patient=name, seed=number, Modality="MG", SeriesDescription="full mammogram images")
        slice_(root / f"{name}_1/1.dcm", patient=f"{name}_1", Modality="MG", SeriesDescription="ROI mask images")
    (root / "mass_case_description_train_set.csv").write_text("patient_id,pathology\n")


@miniature(layout="dicom_boxes", patients=3, cases=3, notes=("no RescaleIntercept",))
def ct_without_hounsfield_units(root: Path) -> None:
    for number in range(3):
        slice_(root / f"P{number}/a.dcm", patient=f"P{number}", seed=number, RescaleIntercept=None, RescaleSlope=None)


@miniature(refused="boxes of YOLO .p0.txt. are not read: convert them")
def yolo(root: Path) -> None:
    for number in range(4):
        picture(root / f"images/p{number}.png", shot(number))
        (root / "labels").mkdir(exist_ok=True)
        (root / f"labels/p{number}.txt").write_text("0 0.5 0.5 0.2 0.2\n")


@miniature(refused="labels in a table .labels.csv. are not read")
def labels_in_a_table(root: Path) -> None:
    for number in range(4):
        picture(root / f"images/p{number}.png", shot(number))
    (root / "labels.csv").write_text("image,finding\np0.png,mass\n")


@miniature(refused="annotations.json is damaged or no JSON")
def coco_cut_short(root: Path) -> None:
    for number in range(4):
        picture(root / f"images/p{number}.png", shot(number))
    (root / "annotations.json").write_text('{"images": [')


@miniature(refused="annotations.json is not in COCO's form")
def annotations_of_another_kind(root: Path) -> None:
    for number in range(4):
        picture(root / f"images/p{number}.png", shot(number))
    (root / "annotations.json").write_text(json.dumps({"_via_img_metadata": {}}))


@miniature(refused="c.hdr with c.img .Analyze, NIfTI in two files. is not read: save .nii.gz")
def nifti_in_two_files(root: Path) -> None:
    for place in ("images", "labels"):
        (root / place).mkdir()
        for ending in ("hdr", "img"):
            (root / place / f"c.{ending}").write_bytes(b"\0" * 400)


@miniature(refused="p0.ppm.gz is packed: unpack it")
def pictures_packed_one_by_one(root: Path) -> None:
    for place in ("all-images", "labels-ah"):
        (root / place).mkdir()
        for number in range(2):
            (root / f"{place}/p{number}.ppm.gz").write_bytes(gzip.compress(b"P5 1 1 255 0"))


@miniature(refused="which of the volumes are labels is not seen")
def volumes_called_otherwise(root: Path) -> None:
    for number in range(2):
        volume(root / f"Batch 1/volume-{number}.nii", head(number))
        volume(root / f"Batch 1/segmentation-{number}.nii", lesion())


@miniature(layout="volume_masks", patients=4, cases=20, classes=("none", "label"))
def volumes_of_0_and_255(root: Path) -> None:
    """One class, not 255 of them; in 12 bits, too."""
    for number in range(4):
        volume(root / f"images/c{number}.nii.gz", head(number))
        volume(root / f"labels/c{number}.nii.gz", lesion().astype(np.int16) * 255)


@miniature(layout="volume_masks", patients=4, cases=20, classes=("none", "level 1000", "level 4095"))
def volumes_of_levels(root: Path) -> None:
    for number in range(4):
        volume(root / f"images/c{number}.nii.gz", head(number))
        volume(root / f"labels/c{number}.nii.gz", np.choose(lesion((1, 2)), (0, 1000, 4095)).astype(np.int16))


@miniature(layout="volume_masks", patients=2, cases=10, classes=("none", "label 1", "label 2"))
def the_first_channel_of_nnunet_without_its_json(root: Path) -> None:
    for number in range(2):
        volume(root / f"imagesTr/c{number}_0000.nii.gz", head(number))
        volume(root / f"labelsTr/c{number}.nii.gz", lesion((1, 2)))


@miniature(layout="nnunet", patients=4, cases=20, classes=("background", "cancer"), modalities=("CT",))
def nnunet_two_folders_down(root: Path) -> None:
    decathlon_in_a_folder(root / "nnUNet_raw")
    path = root / "nnUNet_raw/Task06_Lung/dataset.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as Windows writes it


@miniature(layout="bids", patients=2, cases=10, modalities=("dwi",))
def isles(root: Path) -> None:
    for number in (1, 2):
        name = f"sub-strokecase000{number}"
        volume(root / f"{name}/ses-0001/dwi/{name}_ses-0001_dwi.nii.gz", head(number))
        volume(root / f"derivatives/{name}/ses-0001/{name}_ses-0001_msk.nii.gz", lesion())


@miniature(layout="image_masks", patients=4, cases=4, notes=("test has no masks beside",))
def carvana(root: Path) -> None:
    for number in range(4):
        picture(root / f"train/{number}.png", shot(number))
        picture(root / f"train_masks/{number}_mask.gif", spots(255))
    picture(root / "test/9.png", shot(9))


@miniature(layout="dicom_boxes", patients=2, cases=2, notes=("1 DICOM files are no images",))
def contours_beside_slices(root: Path) -> None:
    for number in range(2):
        slice_(root / f"P{number}/a.dcm", patient=f"P{number}", seed=number)
    slice_(root / "P0/rt.dcm", patient="P0", Modality="RTSTRUCT", Rows=None, Columns=None, PixelData=None)


@miniature(layout="dicom_boxes", patients=2, cases=2, problems=("is no Pascal VOC file (it holds LidcReadMessage)",))
def lidc(root: Path) -> None:
    for number in range(2):
        slice_(root / f"P{number}/a.dcm", patient=f"P{number}", seed=number)
    (root / "P0/069.xml").write_text('<LidcReadMessage xmlns="http://www.nih.gov"><readingSession/></LidcReadMessage>')


@miniature(refused="c.mgz is of a kind that is not read")
def volumes_of_freesurfer(root: Path) -> None:
    (root / "images").mkdir()
    (root / "images/c.mgz").write_bytes(b"\0" * 400)


@miniature(layout="volume_masks", patients=2, cases=10, classes=("none", *(f"label {number}" for number in range(1, 105))))
def volumes_of_104_organs(root: Path) -> None:
    for number in range(2):
        labels = lesion()
        labels[6:17, 5:15] = (np.arange(550) % 105).reshape(11, 10, 5)
        volume(root / f"images/c{number}.nii.gz", head(number))
        volume(root / f"labels/c{number}.nii.gz", labels)
