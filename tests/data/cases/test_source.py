import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from chromogen.config import from_fields, to_fields
from chromogen.data.cases.backgrounds import GreyRange
from chromogen.data.cases.boxes import read_boxes
from chromogen.data.cases.fit import fit_to
from chromogen.data.cases.masks import read_mask
from chromogen.data.cases.pictures import read_picture
from chromogen.data.cases.source import (
    SOURCE_TYPE_KEYWORD,
    SYNTHETIC_DESCRIP,
    SYNTHETIC_SOURCE_TYPE,
    CaseSource,
    SliceRule,
    open_cases,
)
from chromogen.data.cases.split import divided, shuffled

REAL = Path(__file__).resolve().parents[4] / "shared" / "data"
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # file axes run to the left, back and head, so that slices are transposed and no more


def volumes(root: Path, patients: str = "ABC", shape: tuple[int, int, int] = (6, 8, 10), described: str = "") -> Path:
    """Head-like volumes: 0 outside, and in slices 2 to 7 a bright block; a lesion in slices 4 and 5."""
    for number, patient in enumerate(patients):
        for part in ("t1", "flair", "seg"):
            values = np.zeros(shape, dtype=np.int16)
            if part == "seg":
                values[2, 3, 4:6] = 4
            else:
                values[1:5, 2:6, 2:8] = 100 + np.random.default_rng([number, part == "t1"]).integers(0, 50, (4, 4, 6))
            image = nib.Nifti1Image(values, np.diag([-2.0, -1.0, 3.0, 1.0]))
            image.header["descrip"] = described
            path = root / patient / f"{patient}_{part}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(image, path)
    return root


def picture(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def masked(root: Path, count: int = 5, **options: Any) -> Path:
    """Pictures that are brighter to the right, each from another level on, with a mask of their left half."""
    for number in range(count):
        ramp = np.tile(np.arange(8, dtype=np.uint8) * 10 + 20 + number, (6, 1))
        picture(root / "images" / f"p{number}.png", ramp, **options)
        picture(root / "masks" / f"p{number}.png", (np.arange(8) < 4).astype(np.uint8) * np.full((6, 1), 255, dtype=np.uint8))
    return root


# --- volumes -------------------------------------------------------------------------------------------------------------


def test_slices_of_volumes(tmp_path: Path) -> None:
    cases = open_cases(CaseSource(str(volumes(tmp_path)), slices=SliceRule(min_foreground=0.1)))
    assert cases.modalities == ("T1", "FLAIR") and cases.label == "mask"
    assert [name for name in cases.names if name.startswith("A")] == [f"A/axial_{number:03d}" for number in range(2, 8)]
    case = cases[cases.names.index("A/axial_004")]
    assert case.patient == "A" and case.origin == "real" and case.spacing_mm == (1.0, 2.0) and len(case.files) == 3
    values = np.asarray(nib.load(tmp_path / "A" / "A_t1.nii.gz").dataobj)  # type: ignore[attr-defined]
    top = np.percentile(values[values > 0], 99.5)
    assert np.allclose(case.images["T1"], np.clip(values[:, :, 4].T / top, 0, 1), atol=1e-6)
    assert case.images["T1"].dtype == np.float32 and case.images["T1"].shape == (8, 6)
    assert case.mask is not None and np.argwhere(case.mask).tolist() == [[3, 2]] and case.mask[3, 2] == 4
    assert case.affine is not None and np.allclose(case.affine @ [2, 3, 0, 1], [-4, -3, 12, 1])


@pytest.mark.parametrize(
    ("rule", "numbers"),
    [
        (SliceRule(min_foreground=0), list(range(10))),
        (SliceRule(min_foreground=0, first=3, last=5), [3, 4, 5]),
        (SliceRule(min_foreground=0, share=(0.2, 0.8), every=2), [2, 4, 6]),
        (SliceRule(min_foreground=0, first=8), [8, 9]),
        (SliceRule(lesion_only=True), [4, 5]),
        (SliceRule(axis="coronal", min_foreground=0.3), [2, 3, 4, 5]),
        (SliceRule(axis="sagittal", lesion_only=True), [2]),
    ],
)
def test_slice_rules(tmp_path: Path, rule: SliceRule, numbers: list[int]) -> None:
    cases = open_cases(CaseSource(str(volumes(tmp_path, "A")), slices=rule))
    assert [member.number for member in cases.members] == numbers


def test_neighbouring_slices_are_channels(tmp_path: Path) -> None:
    source = CaseSource(str(volumes(tmp_path, "A")), slices=SliceRule(min_foreground=0))
    alone, around = open_cases(source), open_cases(replace(source, neighbours=True))
    images = [case.images["T1"] for case in alone]
    assert np.array_equal(around[5].images["T1"], np.stack(images[4:7], axis=2))
    assert np.array_equal(around[0].images["T1"], np.stack([images[0], images[0], images[1]], axis=2))
    assert np.array_equal(around[9].images["T1"], np.stack([images[8], images[9], images[9]], axis=2))


def test_normalising_volumes(tmp_path: Path) -> None:
    source = CaseSource(str(volumes(tmp_path, "A")))
    values = np.asarray(nib.load(tmp_path / "A" / "A_t1.nii.gz").dataobj)[:, :, 4].T  # type: ignore[attr-defined]
    minmax = open_cases(replace(source, normalise="minmax"))[2].images["T1"]
    assert np.allclose(minmax, values / values.max())
    window = open_cases(replace(source, normalise="window", window_hu=(100, 50)))[2].images["T1"]
    assert np.allclose(window, np.clip((values - 75) / 50, 0, 1))
    assert "normalised by window" in open_cases(replace(source, normalise="window")).describe()


def test_a_volume_that_has_nothing_to_show_is_noted(tmp_path: Path) -> None:
    volumes(tmp_path, "AB")
    nib.save(
        nib.Nifti1Image(np.zeros((6, 8, 10), dtype=np.int16), np.diag([-2.0, -1.0, 3.0, 1.0])), tmp_path / "B" / "B_seg.nii.gz"
    )
    cases = open_cases(CaseSource(str(tmp_path), slices=SliceRule(lesion_only=True)))
    assert set(cases.patients) == {"A"}
    assert cases.notes == ("1 studies have nothing that meets the slice rule, for example B",)
    with pytest.raises(ValueError, match="no slice or picture meets the slice rule; loosen slices"):
        open_cases(CaseSource(str(tmp_path), slices=SliceRule(min_foreground=0.9)))


def test_faults_stop_or_are_told(tmp_path: Path) -> None:
    volumes(tmp_path)
    nib.save(
        nib.Nifti1Image(np.zeros((6, 8, 9), dtype=np.int16), np.diag([-2.0, -1.0, 3.0, 1.0])), tmp_path / "B" / "B_flair.nii.gz"
    )
    (tmp_path / "C" / "C_t1.nii.gz").unlink()
    source = CaseSource(str(tmp_path))
    with pytest.raises(ValueError, match="lacks T1"):
        open_cases(source)
    told: list[str] = []
    assert set(open_cases(source, told.append).patients) == {"A"}
    assert len(told) == 2 and "has 6 x 8 x 10 voxels" in told[1]


def test_labels_beyond_the_classes(tmp_path: Path) -> None:
    source = CaseSource(str(volumes(tmp_path, "A")), classes=("none", "lesion"), slices=SliceRule(lesion_only=True))
    with pytest.raises(
        ValueError, match=r"A_seg.nii.gz holds class 4, but the classes are 0 to 1 \(none, lesion\); name them all"
    ):
        open_cases(source)[0]


# --- pictures ------------------------------------------------------------------------------------------------------------


def test_pictures_with_masks(tmp_path: Path) -> None:
    cases = open_cases(CaseSource(str(masked(tmp_path)), shares=(0.6, 0.2, 0.2)))
    case = cases[0]
    assert np.allclose(case.images["image"], np.tile(np.arange(8) / 7, (6, 1)), atol=1e-6)
    assert case.mask is not None and np.array_equal(case.mask, np.tile(np.arange(8) < 4, (6, 1)))
    assert case.spacing_mm is case.affine is case.category is case.boxes is None
    assert [len(cases.of_split(split)) for split in ("train", "val", "test")] == [3, 1, 1]
    assert {case.split for case in cases} == {"train", "val", "test"}


def test_grey_and_colour(tmp_path: Path) -> None:
    for name, colour in (("A/1", (9, 9, 12)), ("B/2", (200, 10, 10))):
        picture(tmp_path / f"{name}.png", np.tile(np.array([[colour], [(0, 0, 0)]], dtype=np.uint8), (1, 3, 1)))
    source = CaseSource(str(tmp_path))
    first = open_cases(source)
    assert [first[k].images["image"].ndim for k in (1, 0)] == [2, 2]  # what the first is, all are, whichever is read first
    assert [open_cases(replace(source, colour="colour"))[k].images["image"].shape for k in (0, 1)] == [(2, 3, 3)] * 2
    assert [case.category for case in first] == [0, 1] and first.classes == ("A", "B")


def test_deep_pictures_keep_their_bits(tmp_path: Path) -> None:
    deep = np.array([[0, 300], [40000, 65535]], dtype=np.uint16)
    for ending in ("png", "tif"):
        path = picture(tmp_path / f"a.{ending}", deep)
        assert np.array_equal(read_picture(path).pixels, deep.astype(np.float32))


@pytest.mark.parametrize(
    ("levels", "classes"),
    [
        ([0, 1, 2, 31], [0, 1, 2, 31]),
        ([0, 127, 128, 255], [0, 0, 1, 1]),
        ([0.0, 0.25, 0.5, 1.0], [0, 0, 1, 1]),
        ([0.0, 1.0, 2.0], [0, 1, 2]),
        ([0, 32767, 32768, 65535], [0, 0, 1, 1]),
    ],
)
def test_masks_of_classes_and_masks_in_black_and_white(tmp_path: Path, levels: list[float], classes: list[int]) -> None:
    np.save(tmp_path / "m.npy", np.array([levels]))
    assert read_mask(tmp_path / "m.npy").tolist() == [classes]


def test_mask_files(tmp_path: Path) -> None:
    halves = np.array([[0, 0, 255, 255]] * 4, dtype=np.uint8)
    assert np.array_equal(read_mask(picture(tmp_path / "a.jpg", halves // 20)), np.zeros((4, 4)))  # JPEG: below half is none
    assert np.array_equal(read_mask(picture(tmp_path / "b.png", halves > 0)), halves > 0)
    palette = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).convert("P")
    palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    palette.putdata([0, 1, 2])
    palette.save(tmp_path / "c.png")
    assert read_mask(tmp_path / "c.png").tolist() == [[0, 1, 2]]
    for levels, sentence in (([-1.0, 1.0], "holds the label -1"), ([np.nan, 1.0], "labels that are not finite")):
        np.save(tmp_path / "d.npy", np.array([levels]))
        with pytest.raises(ValueError, match=sentence):
            read_mask(tmp_path / "d.npy")


def test_arrays_that_cannot_be_read(tmp_path: Path) -> None:
    for name, array, sentence in (
        ("objects", np.array([{}], dtype=object), "Python objects, which are never unpickled"),
        ("words", np.array([["a"]]), "does not hold plain numbers"),
        ("deep", np.zeros((2, 2, 2)), r"a picture of shape \(2, 2, 2\) is neither \(H, W\) nor \(H, W, 3\)"),
    ):
        np.save(tmp_path / f"{name}.npy", array, allow_pickle=True)
        with pytest.raises(ValueError, match=sentence):
            read_picture(tmp_path / f"{name}.npy")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "deep.npy").read_bytes()[:-8])
    with pytest.raises(ValueError, match="cut.npy cannot be read as a NumPy array"):
        read_picture(tmp_path / "cut.npy")
    np.save(tmp_path / "two.npy", np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="holds 2 pictures, and number 2 was asked for"):
        read_picture(tmp_path / "two.npy", 2)


def test_a_mask_of_another_size_is_found_at_opening(tmp_path: Path) -> None:
    picture(masked(tmp_path) / "masks" / "p3.png", np.zeros((6, 7), dtype=np.uint8))
    with pytest.raises(
        ValueError, match=r"p3.png has 8 x 6 px, .*p3.png has 7 x 6; the images and the label of a case have one size"
    ):
        open_cases(CaseSource(str(tmp_path)))


# --- boxes ---------------------------------------------------------------------------------------------------------------


def test_boxes(tmp_path: Path) -> None:
    def voc(text: str) -> Path:
        (tmp_path / "a.xml").write_text(f"<annotation>{text}</annotation>")
        return tmp_path / "a.xml"

    corners = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>4</ymax></bndbox>"
    size = "<size><width>8</width><height>6</height></size>"
    found = read_boxes(voc(f"{size}<object><name>B</name>{corners}</object>"))
    assert found.numbered(("none", "A", "B"), tmp_path).tolist() == [[2, 1, 2, 5, 4]]
    assert found.outside(8, 6) == "" and found.outside(9, 6) == "was drawn on 8 x 6 px, the image has 9 x 6"
    assert "has the box 'B' from (1, 2) to (5, 4), outside" in replace(found, size=None).outside(4, 6)
    with pytest.raises(ValueError, match="a box is called 'B', but the classes are A"):
        found.numbered(("none", "A"), tmp_path)
    assert read_boxes(voc("")).numbered(("none",), tmp_path).shape == (0, 5)
    for text, sentence in (
        (f"<object>{corners}</object>", "object 1 lacks a name, a corner or an area"),
        (f"<object><name>A</name>{corners.replace('5', '1')}</object>", "lacks a name, a corner or an area"),
        (f"<object><name>A</name>{corners.replace('5', 'x')}</object>", "has a corner that is no number"),
        ("<object>", "is not XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>', "defines entities"),
    ):
        with pytest.raises(ValueError, match=sentence):
            read_boxes(voc(text))


# --- size ----------------------------------------------------------------------------------------------------------------


def test_shrinking_averages_and_masks_take_the_nearest() -> None:
    pixels = np.random.default_rng(0).random((8, 12)).astype(np.float32)
    fit = fit_to(8, 12, (4, 6), "resize")
    assert np.allclose(fit.image(pixels), pixels.reshape(4, 2, 6, 2).mean((1, 3)), atol=1e-6)
    classes = np.random.default_rng(1).integers(0, 9, (8, 12)).astype(np.uint8)
    assert set(np.unique(fit.mask(classes))) <= set(np.unique(classes))
    assert fit.spacing((1.0, 0.5)) == (2.0, 1.0)


def test_aspect_is_kept_and_the_rest_is_empty() -> None:
    fit = fit_to(4, 8, 16, "resize")
    image = fit.image(np.ones((4, 8), dtype=np.float32))
    assert image.shape == (16, 16) and np.array_equal(image.any(axis=1), [False] * 4 + [True] * 8 + [False] * 4)
    assert fit.boxes(np.array([[1, 0, 0, 8, 4]], dtype=np.float32)).tolist() == [[1, 0, 4, 16, 12]]
    assert fit_to(4, 8, 16, "stretch").image(np.ones((4, 8, 3), dtype=np.float32)).min() == 1


@given(st.tuples(*[st.integers(1, 20)] * 2), st.tuples(*[st.integers(1, 20)] * 2))
def test_a_crop_holds_the_centre(size: tuple[int, int], out: tuple[int, int]) -> None:
    """Against plain loops: every pixel of the crop is the one at its place, or 0 beyond the picture."""
    pixels = np.arange(1, size[0] * size[1] + 1, dtype=np.float32).reshape(size)
    fit = fit_to(*size, out, "crop")
    cropped = fit.image(pixels)
    assert cropped.shape == out
    for row, column in np.ndindex(*out):
        y, x = row - (out[0] - size[0]) // 2, column - (out[1] - size[1]) // 2
        assert cropped[row, column] == (pixels[y, x] if 0 <= y < size[0] and 0 <= x < size[1] else 0)


def test_boxes_are_cut_with_their_image() -> None:
    boxes = np.array([[1, 0, 0, 5, 5], [2, 0, 0, 2, 9]], dtype=np.float32)
    assert fit_to(10, 10, 4, "crop").boxes(boxes).tolist() == [[1, 0, 0, 2, 2]]


@pytest.mark.parametrize("how", ["resize", "stretch", "crop"])
def test_a_place_stays_where_it_is(how: Any) -> None:
    """The blob's centre of mass, in mm, before and after."""
    pixels = np.zeros((24, 40), dtype=np.float32)
    pixels[8:12, 20:28] = 1
    affine = np.array([[0.5, 0, 0, 3], [0, 2, 0, -7], [0, 0, 1, 1], [0, 0, 0, 1.0]])
    fit = fit_to(24, 40, (12, 20), how)
    found = []
    for image, place in ((pixels, affine), (fit.image(pixels), fit.affine(affine))):
        rows, columns = np.nonzero(image)
        assert place is not None
        found.append(place @ [columns.mean(), rows.mean(), 0, 1])
    assert np.allclose(*found)


def test_an_empty_range_is_black() -> None:
    assert GreyRange(7, 7).unit(np.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]


# --- splits --------------------------------------------------------------------------------------------------------------


@given(
    st.integers(1, 60),
    st.sampled_from([(0.8, 0.1, 0.1), (0.9, 0.0, 0.1), (0.5, 0.25, 0.25), (1.0, 0.0, 0.0)]),
    st.integers(0, 9),
)
def test_shares_of_patients(count: int, shares: tuple[float, float, float], seed: int) -> None:
    patients = [f"p{number}" for number in range(count)]
    splits = shuffled(patients, shares, seed)
    assert splits == shuffled(reversed(patients), shares, seed) and set(splits) == set(patients)
    counts = [list(splits.values()).count(split) for split in ("train", "val", "test")]
    assert counts[0] >= 1
    if count >= 3:
        assert all((found > 0) == (share > 0) for found, share in zip(counts, shares, strict=True))
        assert all(abs(found - share * count) <= 1.5 for found, share in zip(counts, shares, strict=True))


def test_another_seed_is_another_split() -> None:
    patients = [f"p{number}" for number in range(40)]
    assert len({tuple(sorted(shuffled(patients, (0.8, 0.1, 0.1), seed).items())) for seed in range(5)}) == 5


def test_the_layouts_own_split_is_kept() -> None:
    stated = {f"t{k}": "train" for k in range(18)} | {"x": "test", "y": "test"}
    kept = divided(stated, (0.8, 0.1, 0.1), 0, keep=True)
    assert {name for name, split in kept.items() if split == "test"} == {"x", "y"}
    assert list(kept.values()).count("val") == 2 and set(divided(stated, (0.9, 0.0, 0.1), 0, keep=True).values()) == {
        "train",
        "test",
    }
    assert divided(stated | {"v": "val"}, (0.8, 0.1, 0.1), 0, keep=True) == stated | {"v": "val"}
    assert divided(stated, (0.8, 0.1, 0.1), 0, keep=False) == shuffled(stated, (0.8, 0.1, 0.1), 0)


def test_a_patient_in_two_splits_is_an_error(tmp_path: Path) -> None:
    for number, name in enumerate(
        ("train/NORMAL/IM-0001-0001", "test/NORMAL/IM-0001-0002", "train/SICK/person1_virus_1", "test/SICK/person2_virus_2")
    ):
        picture(tmp_path / f"{name}.png", np.eye(4, dtype=np.uint8) * (200 + number))
    with pytest.raises(
        ValueError, match="patient 'IM-0001' is in test and train: what is learned would be tested on the same person"
    ):
        open_cases(CaseSource(str(tmp_path)))
    with pytest.raises(ValueError, match="IM-0001"):
        open_cases(CaseSource(str(tmp_path)), on_fault=lambda sentence: None)
    by_patient = {(member.patient, member.split) for member in open_cases(CaseSource(str(tmp_path), split="shuffle")).members}
    assert len(by_patient) == 3


# --- provenance ----------------------------------------------------------------------------------------------------------


def marks() -> dict[str, PngImagePlugin.PngInfo]:
    found = {name: PngImagePlugin.PngInfo() for name in ("tEXt", "iTXt", "packed", "xmp", "other")}
    found["tEXt"].add_text(SOURCE_TYPE_KEYWORD, SYNTHETIC_SOURCE_TYPE)
    found["iTXt"].add_itxt(SOURCE_TYPE_KEYWORD, "trainedAlgorithmicMedia")
    found["packed"].add_itxt(SOURCE_TYPE_KEYWORD, SYNTHETIC_SOURCE_TYPE, zip=True)
    found["xmp"].add_itxt("XML:com.adobe.xmp", f"<x Iptc4xmpExt:DigitalSourceType='{SYNTHETIC_SOURCE_TYPE}'/>")
    found["other"].add_text(SOURCE_TYPE_KEYWORD, "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture")
    return found


@pytest.mark.parametrize("kind", list(marks()))
def test_marks_in_png_files(tmp_path: Path, kind: str) -> None:
    cases = open_cases(CaseSource(str(masked(tmp_path, pnginfo=marks()[kind])), shares=(1.0, 0.0, 0.0)))
    assert {member.origin for member in cases.members} == {"real" if kind == "other" else "synthetic"}
    assert cases[0].origin == cases.members[0].origin


def test_marks_in_volumes_and_beside_files(tmp_path: Path) -> None:
    def origins(root: Path) -> list[str]:
        return [
            member.origin
            for member in open_cases(CaseSource(str(root), shares=(1, 0, 0), slices=SliceRule(first=4, last=4))).members
        ]

    assert origins(volumes(tmp_path / "a", "A", described=SYNTHETIC_DESCRIP + " 1.0")) == ["synthetic"]
    masked(tmp_path / "b", 3)
    (tmp_path / "b" / "images" / "p1.json").write_text('{"origin": "synthetic"}')
    assert origins(tmp_path / "b") == ["real", "synthetic", "real"]
    (tmp_path / "b" / "manifest.json").write_text(
        json.dumps({"cases": [{"name": "images/p2", "origin": "synthetic"}, {"name": "images/p0"}]})
    )
    assert origins(tmp_path / "b") == ["real", "synthetic", "synthetic"]
    (tmp_path / "b" / "manifest.json").write_text('{"origin": "synthetic"}')
    assert origins(tmp_path / "b") == ["synthetic"] * 3
    (tmp_path / "b" / "manifest.json").write_text('{"origin": ')
    with pytest.raises(ValueError, match="manifest.json is not JSON"):
        origins(tmp_path / "b")


def test_a_synthetic_case_never_tests(tmp_path: Path) -> None:
    masked(tmp_path / "test")
    (tmp_path / "manifest.json").write_text('{"origin": "synthetic"}')
    with pytest.raises(ValueError, match=r"images/p\d is synthetic and stands in the test split; .*: take it out"):
        open_cases(CaseSource(str(tmp_path)))
    (tmp_path / "manifest.json").rename(tmp_path / "test" / "manifest.json")
    for split in ("auto", "shuffle"):  # where nobody put it there, it trains
        cases = open_cases(CaseSource(str(tmp_path / "test"), split=split))  # type: ignore[arg-type]
        assert {member.split for member in cases.members} == {"train"}


# --- the value in a recipe -----------------------------------------------------------------------------------------------


def test_a_source_is_plain_fields(tmp_path: Path) -> None:
    source = CaseSource("somewhere", modalities=("T1",), size_px=(240, 240), slices=SliceRule(first=55, last=104), seed=3)
    assert from_fields(CaseSource, json.loads(json.dumps(to_fields(source)))) == source
    assert from_fields(CaseSource, to_fields(replace(source, size_px=64))).size_px == 64  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"layout": "brat"}, "did you mean 'brats'"),
        ({"size_px": 0}, "size_px is 0"),
        ({"size_px": (16, 0)}, "size_px is"),
        ({"shares": (0.0, 0.0, 0.0)}, "shares"),
        ({"shares": (-1.0, 1.0, 1.0)}, "shares"),
        ({"window_hu": (0.0, 0.0)}, "window_hu"),
        ({"modalities": ("T1", "T1")}, "names one twice"),
        ({"classes": ("none",)}, "name what 0 and 1 stand for"),
        ({"patient_pattern": "("}, "is no regular expression"),
        ({"neighbours": True, "colour": "colour"}, "both want the three channels"),
    ],
)
def test_sources_that_are_not_possible(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        CaseSource("somewhere", **fields)


@pytest.mark.parametrize(
    "fields", [{"first": -1}, {"first": 5, "last": 4}, {"every": 0}, {"share": (0.6, 0.4)}, {"min_foreground": 1.0}]
)
def test_slice_rules_that_are_not_possible(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="slices"):
        SliceRule(**fields)


def test_identity_is_of_the_files_and_the_fields_and_not_of_the_place(tmp_path: Path) -> None:
    source = CaseSource(str(masked(tmp_path / "a")))
    same = replace(source, root=str(masked(tmp_path / "b")))
    assert open_cases(source).identity() == open_cases(same).identity() != open_cases(replace(source, seed=1)).identity()
    picture(tmp_path / "b" / "images" / "p0.png", np.random.default_rng(0).integers(0, 255, (6, 8), dtype=np.uint8))
    assert open_cases(source).identity() != open_cases(same).identity()


# --- real sets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "layout", "patients", "cases", "shape", "fields"),
    [
        ("mri/open_ms", "open_ms", 3, 3, (218, 182), {"slices": SliceRule(first=90, last=90, min_foreground=0)}),
        ("mri/brats2015", "brats2015", 6, 6, (240, 240), {"slices": SliceRule(first=80, last=80, min_foreground=0)}),
        ("retina", "chase", 14, 28, (960, 999, 3), {}),
        ("xray", "class_folders", 1096, 1300, (224, 224), {}),
        ("lung_ct/finding_lungs/npy64", "stacks", 267, 267, (64, 64), {}),
        ("lung_ct/finding_lungs/mini_test_tif", "image_masks", 10, 10, (512, 512), {}),
        (
            "lung_ct/lung_pet_ct_dx",
            "dicom_boxes",
            2,
            38,
            (512, 512, 3),
            {"neighbours": True, "slices": SliceRule(lesion_only=True)},
        ),
    ],
)
def test_real_sets(folder: str, layout: str, patients: int, cases: int, shape: tuple[int, ...], fields: dict[str, Any]) -> None:
    if not (REAL / folder).is_dir():
        pytest.skip(f"needs the real images in ../shared/data/{folder}, which are not part of the repository")
    found = open_cases(CaseSource(str(REAL / folder), **fields))
    assert (found.layout, len(set(found.patients)), len(found)) == (layout, patients, cases)
    case = found[len(found) // 2]
    for image in case.images.values():
        assert (
            image.shape == shape and image.dtype == np.float32 and image.min() >= 0 and image.max() <= 1 and image.std() > 0.05
        )
    if case.mask is not None and layout != "open_ms":
        assert 0 < (case.mask > 0).mean() < 0.5
    if case.boxes is not None:
        assert len(case.boxes) and (case.boxes[:, 3:] > case.boxes[:, 1:3]).all()
