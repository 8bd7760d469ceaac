"""What other programs read in made sets: nibabel and SimpleITK by the affine, pycocotools, nnU-Net's rule for its patch."""

import json
import re
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from chromogen.data.cases.source import CaseSource, SliceRule, open_cases
from chromogen.synthesize.coco import annotations_of, mask_of, run_lengths
from chromogen.synthesize.export import FORMATS, About, exporter_named, picture
from chromogen.synthesize.made import MadeCase
from chromogen.synthesize.maker import case_name
from chromogen.synthesize.numbering import distinct_names

CLASSES = ("none", "core", "oedema")
OF_PYCOCOTOOLS = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
ANY_FOLDER = settings(
    deadline=None, max_examples=15, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def made(
    name: str = "synthetic-0-00000", rows: int = 5, columns: int = 7, spacing: Any = (1.0, 1.0), classes: int = 3
) -> MadeCase:
    """Grey levels and labels without any symmetry."""
    rng = np.random.default_rng(rows * 100 + columns)
    mask = rng.integers(0, classes, (rows, columns)).astype(np.uint8)
    plane = np.zeros((rows, columns), np.uint8)
    return MadeCase(name, rng.random((2, 1, rows, columns)).astype(np.float32), plane, plane, mask, None, None, spacing)


def written(folder: Path, layout: str, case: MadeCase, classes: tuple[str, ...] = CLASSES, **about: Any) -> dict[str, Any]:
    """The case in files; what dataset.json or annotations.json say."""
    label = "mask" if case.mask is not None else "boxes"
    exporter = exporter_named(layout, folder, About(("T1", "FLAIR"), classes, label, "0" * 64, **about))
    exporter.add(case)
    exporter.finish([{"name": case.name, "size_px": case.lines.shape, "channels": 1, **case.facts}])
    found = [path for path in (folder / "dataset.json", folder / "annotations.json") if path.is_file()]
    return json.loads(found[0].read_text()) if found else {}


def as_radiologists_look(volume: Any) -> np.ndarray:
    """The picture of one axial slice by nibabel: right to the left, front on top."""
    pixels = np.asarray(nibabel.as_closest_canonical(volume).dataobj)  # axes run to the right, the front, the head
    return pixels[::-1, ::-1, 0].T


@pytest.mark.parametrize("name", ["imagesTr/synthetic-0-00000_0001", "labelsTr/synthetic-0-00000"])
def test_by_the_affine_a_volume_is_the_picture(tmp_path: Path, name: str) -> None:
    case = made(spacing=(2.0, 0.5))
    written(tmp_path, "nnunet", case)
    written(tmp_path / "png", "png", case)
    path = tmp_path / f"{name}.nii.gz"
    png = tmp_path / "png" / ("masks/synthetic-0-00000.png" if "labels" in name else "images/synthetic-0-00000_FLAIR.png")
    wanted = np.asarray(Image.open(png))

    volume = nibabel.load(path)
    looked = as_radiologists_look(volume)
    assert np.array_equal(looked if "labels" in name else picture(looked[None]), wanted)
    assert volume.header["qform_code"] == volume.header["sform_code"] > 0  # both placements, and they agree
    assert np.allclose(volume.get_qform(), volume.get_sform(), atol=1e-5)

    image = SimpleITK.ReadImage(str(path))  # its frame runs to the left, the back, the head, as pictures do
    assert np.allclose(np.reshape(image.GetDirection(), (3, 3)), np.eye(3)) and image.GetSpacing()[:2] == (0.5, 2.0)
    pixels = SimpleITK.GetArrayFromImage(image)[0]
    assert np.array_equal(pixels if "labels" in name else picture(pixels[None]), wanted)


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
def test_made_slices_lie_beside_real_ones(tmp_path: Path, axis: Any) -> None:
    """A real volume, stored in another order of axes, cut, exported and read back: the same cut, the same directions."""
    rng = np.random.default_rng(0)
    real = tmp_path / "real"
    for folder in ("imagesTr", "labelsTr"):
        (real / folder).mkdir(parents=True)
    turned = np.array([[0, 1.5, 0, 3], [0, 0, 2.5, -7], [0.75, 0, 0, 11], [0, 0, 0, 1.0]])  # voxels run up, right, forward
    for place in ("imagesTr/a_0000", "imagesTr/a_0001", "labelsTr/a"):
        values = rng.random((6, 7, 8)).astype(np.float32) if "_" in place else rng.integers(0, 3, (6, 7, 8)).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(values, turned), real / f"{place}.nii.gz")
    names = {"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0, "core": 1, "oedema": 2}}
    (real / "dataset.json").write_text(json.dumps(names))
    rule = SliceRule(axis=axis, min_foreground=0.0)
    case = open_cases(CaseSource(str(real), slices=rule, shares=(1, 0, 0)))[2]
    images = np.stack([case.images[name][None] for name in ("T1", "FLAIR")])
    assert case.mask is not None and case.affine is not None
    plane = np.zeros(case.mask.shape, np.uint8)
    again = MadeCase("synthetic-0-00000", images, plane, plane, case.mask, None, None, case.spacing_mm)
    written(tmp_path / "made", "nnunet", again, axis=axis)
    source = CaseSource(str(tmp_path / "made"), slices=rule, normalise="minmax", shares=(1, 0, 0))
    (found,) = open_cases(source)
    assert found.mask is not None and found.affine is not None and found.spacing_mm == case.spacing_mm
    assert np.array_equal(found.mask, case.mask)
    low, high = images[1].min(), images[1].max()
    assert np.allclose(found.images["FLAIR"], (images[1, 0] - low) / (high - low), atol=1e-5)
    assert np.allclose(found.affine[:3, :2], case.affine[:3, :2], atol=1e-5)  # columns and rows point where they did


@ANY_FOLDER
@given(
    spacing=st.one_of(st.none(), st.tuples(*[st.floats(0.05, 20).map(lambda mm: round(mm, 3))] * 2)),
    shape=st.tuples(st.integers(3, 9), st.integers(3, 9)),
)
def test_nnunet_makes_its_patch_of_the_slice(tmp_path: Path, spacing: Any, shape: tuple[int, int]) -> None:
    """The rule of nnU-Net 2.8.1, as recorded: spacing and shape in the order of SimpleITK's array; the first of the axes of
    largest spacing is set aside, and the other two are the 2-D patch. A slice thinner than its pixels gave patches of [1, 32].
    """
    written(tmp_path, "nnunet", made(rows=shape[0], columns=shape[1], spacing=spacing))
    image = SimpleITK.ReadImage(str(tmp_path / "imagesTr" / "synthetic-0-00000_0000.nii.gz"))
    steps, size = np.array(image.GetSpacing()[::-1]), SimpleITK.GetArrayFromImage(image).shape
    aside = int(np.argmax(steps))
    assert [size[axis] for axis in range(3) if axis != aside] == list(shape)
    assert image.GetSpacing()[2] >= max(image.GetSpacing()[:2])


@ANY_FOLDER
@given(names=st.lists(st.sampled_from(["unused", "background", "none", "a", "unused 2", "a 1"]), min_size=1, max_size=9))
def test_nnunet_finds_every_number_once(tmp_path: Path, names: list[str]) -> None:
    classes = ("none", *names)
    labels = written(tmp_path, "nnunet", made(classes=len(classes)), classes)["labels"]
    assert sorted(labels.values()) == list(range(len(classes))) and labels["background"] == 0
    assert len(set(distinct_names(classes))) == len(classes)


@pytest.mark.parametrize("layout", ["nnunet", "png", "coco"])
def test_gaps_are_named_apart_and_closed_on_request(tmp_path: Path, layout: str) -> None:
    classes = ("none", "unused", "core", "unused", "unused", "rim")
    case = made(classes=1)
    assert case.mask is not None
    case.mask[1:3, 2:4], case.mask[4, 5] = 2, 5
    kept, closed = (
        written(tmp_path / word, layout, case, classes, consecutive=word == "closed") for word in ("kept", "closed")
    )
    masks = {}
    for word, about in (("kept", kept), ("closed", closed)):
        if layout == "nnunet":
            volume = nibabel.load(tmp_path / word / "labelsTr" / "synthetic-0-00000.nii.gz")
            masks[word] = as_radiologists_look(volume)
        elif layout == "png":
            masks[word] = np.asarray(Image.open(tmp_path / word / "masks" / "synthetic-0-00000.png"))
        else:
            masks[word] = mask_of([one for one in about["annotations"] if one["image_id"] == 1], case.lines.shape)
    assert np.array_equal(masks["kept"], case.mask)
    assert np.array_equal(masks["closed"], np.array([0, 0, 1, 0, 0, 2])[case.mask])
    if layout == "nnunet":
        assert kept["labels"] == {"background": 0, "unused": 1, "core": 2, "unused 3": 3, "unused 4": 4, "rim": 5}
        assert closed["labels"] == {"background": 0, "core": 1, "rim": 2}
    if layout == "coco":
        assert closed["categories"] == [{"id": 1, "name": "core"}, {"id": 2, "name": "rim"}]
    case.mask[0, 0] = 3
    with pytest.raises(ValueError, match=r"synthetic-0-00000: its mask holds class 3, which has no name"):
        written(tmp_path / "no", layout, case, classes, consecutive=True)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(tmp_path: Path, layout: str, value: float) -> None:
    case = made("synthetic-7-00042")
    case.images[1, 0, 2, 3] = value
    label = "category" if layout == "classes" else "mask"
    case.category = 0
    exporter = exporter_named(layout, tmp_path, About(("T1", "FLAIR"), CLASSES, label, ""))
    with pytest.raises(ValueError, match="synthetic-7-00042: 1 pixels of its FLAIR are not finite"):
        exporter.add(case)
    assert not list(tmp_path.iterdir())


def test_boxes_that_are_no_numbers_and_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    boxed = made()
    boxed.mask, boxed.boxes = None, np.array([[1, 0, 0, np.nan, 3]])
    large, high = made(), made()
    assert high.mask is not None
    large.mask, high.mask[0, 0] = np.zeros((9, 9), np.uint8), 3
    for case, sentence in ((boxed, "a corner of a box"), (large, "its mask is"), (high, "holds class 3")):
        with pytest.raises(ValueError, match=f"synthetic-0-00000: .*{sentence}"):
            written(tmp_path, "coco", case)


@OF_PYCOCOTOOLS
def test_pycocotools_reads_the_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = made(rows=12, columns=9)
    written(tmp_path, "coco", case)
    coco = COCO(str(tmp_path / "annotations.json"))
    assert min(coco.getAnnIds()) == min(coco.getImgIds()) == min(coco.getCatIds()) == 1 and len(coco.getImgIds()) == 2
    for image in coco.getImgIds():
        mask = np.zeros((12, 9), np.uint8)
        for one in coco.loadAnns(coco.getAnnIds(imgIds=image)):
            piece = coco.annToMask(one)
            rows, columns = np.nonzero(piece)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert one["bbox"] == box and one["area"] == piece.sum() and one["iscrowd"] == 0
            mask[piece > 0] = one["category_id"]
        assert np.array_equal(mask, case.mask)
    sure = [{**one, "score": 1.0} for one in coco.dataset["annotations"]]
    for kind in ("segm", "bbox"):
        scored = COCOeval(coco, coco.loadRes([dict(one) for one in sure]), kind)
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
        assert scored.stats[0] == pytest.approx(1.0)


@OF_PYCOCOTOOLS
def test_pycocotools_reads_the_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = made(rows=32, columns=40)
    case.mask, case.boxes = None, np.array([[1, 2.5, 3, 20, 17.25], [2, 0, 0, 40, 32], [0, 0, 0, 0, 0]], np.float32)
    found = written(tmp_path, "coco", case)["annotations"]
    assert [one["bbox"] for one in found[:2]] == [[2.5, 3, 17.5, 14.25], [0, 0, 40, 32]] and found[1]["area"] == 1280
    coco = COCO(str(tmp_path / "annotations.json"))
    scored = COCOeval(coco, coco.loadRes([{**one, "score": 1.0} for one in found]), "bbox")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    assert scored.stats[0] == pytest.approx(1.0)


@OF_PYCOCOTOOLS
@ANY_FOLDER
@given(shape=st.tuples(st.integers(1, 8), st.integers(1, 8)), seed=st.integers(0, 99), share=st.floats(0, 1))
def test_run_lengths_are_cocos(tmp_path: Path, shape: tuple[int, int], seed: int, share: float) -> None:
    piece = np.random.default_rng(seed).random(shape) < share
    coco = COCO()
    coco.imgs = {1: {"height": shape[0], "width": shape[1]}}
    assert np.array_equal(coco.annToMask({"image_id": 1, "segmentation": run_lengths(piece)}), piece)
    plane = np.zeros(shape, np.uint8)
    case = MadeCase("a", np.zeros((1, 1, *shape), np.float32), plane, plane, piece.astype(np.uint8))
    assert np.array_equal(mask_of(annotations_of(case), shape), piece)


@given(seed=st.integers(0, 10**6), number=st.integers(0, 10**7), other=st.integers(0, 10**7))
@settings(max_examples=50, derandomize=True)
def test_names_end_in_five_digits(seed: int, number: int, other: int) -> None:
    assert re.fullmatch(r"synthetic-.*-\d{5}", case_name(seed, number))
    assert (case_name(seed, number) == case_name(seed, other)) == (number == other)
