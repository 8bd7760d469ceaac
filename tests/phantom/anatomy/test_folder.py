"""Written phantoms: what is read back by others' readers is what was drawn."""

import json
from pathlib import Path
from xml.etree import ElementTree

import nibabel
import numpy as np
import pytest
from PIL import Image

from chromogen.data.cases.layouts import find_studies
from chromogen.phantom.anatomy import Anatomy, Brain, Chest, Fundus, LungCT, draw, write_anatomy

KINDS: list[Anatomy] = [Brain(size_px=32), Fundus(size_px=32), Chest(size_px=32), LungCT(size_px=32, lesion_rate=5.0)]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def test_brains_are_volumes_of_the_drawn_slices(tmp_path: Path) -> None:
    brain = Brain(size_px=48, lesions="tumour", lesion_rate=1.0, slice_mm=4.0)
    write_anatomy(tmp_path / "set", brain, patients=2, slices=3, seed=5)
    kind = Brain(size_px=48, lesions="tumour", lesion_rate=1.0, slice_mm=4.0, slices=3)
    for patient in ("brain-0000", "brain-0001"):
        names = {"T1": "t1", "T1POST": "t1ce", "T2": "t2", "FLAIR": "flair"}
        volumes = {m: nibabel.load(tmp_path / "set" / patient / f"{patient}_{end}.nii.gz") for m, end in names.items()}
        labels = nibabel.load(tmp_path / "set" / patient / f"{patient}_seg.nii.gz")
        for cut in range(3):
            drawn = draw(kind, 5, 3 * int(patient[-1]) + cut)
            assert np.array_equal(np.asarray(labels.dataobj)[:, :, cut].T, drawn.mask)
            for modality, volume in volumes.items():
                read = np.asarray(volume.dataobj)[:, :, cut].T / 1000
                assert np.abs(read - drawn.images[modality]).max() <= 0.0005 + 1e-6
        assert np.allclose(labels.header.get_zooms(), (200 / 48, 200 / 48, 4.0))
        assert nibabel.aff2axcodes(labels.affine) == ("L", "P", "S")


def test_fundus_and_lung_ct_are_pictures_beside_masks(tmp_path: Path) -> None:
    write_anatomy(tmp_path / "eye", Fundus(size_px=64), patients=2, seed=1)
    write_anatomy(tmp_path / "lung", LungCT(size_px=64, lesion_rate=6.0), patients=2, slices=2, seed=1)
    for number in range(2):
        drawn = draw(Fundus(size_px=64), 1, number)
        for folder, expected in (("images", drawn.images["colour"]), ("masks", drawn.mask), ("field", drawn.organ)):
            read = pixels(tmp_path / "eye" / folder / f"{drawn.name}.png")
            assert np.abs(read / 255 - expected).max() <= 0.5 / 255 + 1e-6
    boxes = 0
    for number in range(4):
        drawn = draw(LungCT(size_px=64, lesion_rate=6.0, slices=2), 1, number)
        for folder, expected in (("images", drawn.images["CT"]), ("masks", drawn.mask), ("lungs", drawn.organ)):
            read = pixels(tmp_path / "lung" / folder / f"{drawn.name}.png")
            assert np.abs(read / 255 - expected).max() <= 0.5 / 255 + 1e-6
        root = ElementTree.parse(tmp_path / "lung" / "boxes" / f"{drawn.name}.xml").getroot()
        read_boxes = [[float(node.text or "nan") for node in box] for box in root.iter("bndbox")]
        assert np.array_equal(np.array(read_boxes).reshape(-1, 4), drawn.boxes[:, 1:])
        boxes += len(read_boxes)
    assert boxes > 4


def test_chests_lie_in_class_folders_with_both_classes_in_both_splits(tmp_path: Path) -> None:
    write_anatomy(tmp_path / "set", Chest(size_px=32), patients=20, seed=3)
    found = {path.relative_to(tmp_path / "set").parent.as_posix(): 0 for path in (tmp_path / "set").rglob("*.png")}
    for path in (tmp_path / "set").rglob("*.png"):
        found[path.relative_to(tmp_path / "set").parent.as_posix()] += 1
        drawn = draw(Chest(size_px=32), 3, int(path.stem[-4:]))
        assert path.parent.name == ("normal", "opacity")[drawn.category]
        assert np.abs(pixels(path) / 255 - drawn.images["X-ray"]).max() <= 0.5 / 255 + 1e-6
    assert found == {"train/normal": 8, "train/opacity": 8, "test/normal": 2, "test/opacity": 2}


@pytest.mark.parametrize("kind", KINDS)
def test_folders_explain_themselves_and_are_recognised(kind: Anatomy, tmp_path: Path) -> None:
    told: list[tuple[float, int, str]] = []
    write_anatomy(tmp_path / "set", kind, patients=3, seed=2, progress=lambda *step: told.append(step))
    assert [step[:2] for step in told] == [(1, 3), (2, 3), (3, 3)]
    assert "PHANTOMS" in (tmp_path / "set" / "README.txt").read_text()
    said = json.loads((tmp_path / "set" / "phantom.json").read_text())
    assert (said["kind"], said["patients"], said["seed"]) == (type(kind).__name__, 3, 2)
    layout, studies = find_studies(tmp_path / "set")
    expected = {Brain: "brats", Fundus: "image_masks", Chest: "class_folders", LungCT: "image_masks"}
    assert layout == expected[type(kind)] and len(studies.studies) == 3 and not studies.problems


def test_nothing_is_mixed_and_nothing_half_written_stays(tmp_path: Path) -> None:
    write_anatomy(tmp_path / "set", Chest(size_px=32), patients=1)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="already holds something"):
        write_anatomy(tmp_path / "set", Chest(size_px=32), patients=1)
    with pytest.raises(ValueError, match="one picture a patient"):
        write_anatomy(tmp_path / "new", Fundus(size_px=32), patients=1, slices=2)
    with pytest.raises(ValueError, match="at least 1"):
        write_anatomy(tmp_path / "new", Brain(size_px=32), patients=0)
    with pytest.raises(ValueError, match="from 0 up"):
        write_anatomy(tmp_path / "new", Brain(size_px=32), patients=1, seed=-1)

    def stop(*step: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_anatomy(tmp_path / "new", Chest(size_px=32), patients=3, progress=stop)
    assert sorted(tmp_path.rglob("*")) == before
