import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.data.cases import volumes
from chromogen.data.cases.backgrounds import robust_range
from chromogen.data.cases.volumes import AXES, Volume, open_volume


def write(path: Path, values: np.ndarray, affine: np.ndarray | None = None, described: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(values, np.eye(4) if affine is None else affine)
    image.header["descrip"] = described
    nib.save(image, path)
    return path


def counted(shape: tuple[int, int, int] = (3, 4, 5)) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def turned(order: tuple[int, int, int], signs: tuple[int, int, int]) -> np.ndarray:
    """An affine whose file axes run along the patient's axes `order`, with steps of 1, 2 and 3 mm."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis in range(3):
        affine[order[axis], axis] = signs[axis] * (axis + 1)
    affine[:3, 3] = (10, -20, 30)
    return affine


@settings(max_examples=48, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([-1, 1])] * 3), st.sampled_from(AXES))
def test_every_pixel_keeps_its_place_in_the_patient(order: list[int], signs: tuple[int, int, int], axis: str) -> None:
    """Against nibabel alone: the voxel at the place that the slice's affine names holds the same value."""
    values = counted()
    affine = turned(tuple(order), signs)  # type: ignore[arg-type]
    volume = _in_memory(values, affine)
    number = volume.count(axis) // 2  # type: ignore[arg-type]
    shown, place = volume.slice(axis, number), volume.slice_affine(axis, number)  # type: ignore[arg-type]
    for row, column in np.ndindex(*shown.shape):
        where = place @ [column, row, 0, 1]
        index = np.rint(np.linalg.inv(affine) @ where).astype(int)[:3]
        assert values[tuple(index)] == shown[row, column]
    steps = [np.linalg.norm((place @ step)[:3]) for step in ([0, 1, 0, 0], [1, 0, 0, 0])]
    assert np.allclose(volume.spacing(axis), steps)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("axis", "down", "across"),
    [("axial", (0, -1, 0), (-1, 0, 0)), ("coronal", (0, 0, -1), (-1, 0, 0)), ("sagittal", (0, 0, -1), (0, -1, 0))],
)
def test_a_slice_lies_as_a_radiologist_looks_at_it(axis: str, down: tuple[int, ...], across: tuple[int, ...]) -> None:
    """Axial: down the picture is to the back, across it to the patient's left; (right, front, head) are positive."""
    place = _in_memory(counted(), np.eye(4)).slice_affine(axis, 1)  # type: ignore[arg-type]
    assert tuple(place[:3, 1]) == down and tuple(place[:3, 0]) == across


def _in_memory(values: np.ndarray, affine: np.ndarray) -> Volume:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        volume = open_volume(write(Path(folder) / "v.nii", values, affine))
        _ = volume.pixels[0, 0, 0]
        volume.__dict__["pixels"] = np.array(volume.pixels)
    return volume


def test_scaled_integers_and_the_description(tmp_path: Path) -> None:
    image = nib.Nifti1Image(counted(), np.eye(4))
    image.header.set_slope_inter(2.0, -7.0)
    image.header["descrip"] = "made here"
    nib.save(image, tmp_path / "v.nii.gz")
    volume = open_volume(tmp_path / "v.nii.gz")
    assert volume.described == "made here"
    assert sorted(volume.pixels.ravel()) == sorted(np.asarray(nib.load(tmp_path / "v.nii.gz").dataobj).ravel())  # type: ignore[attr-defined]


def test_robust_range_leaves_the_background_out_of_the_upper_end() -> None:
    head = np.concatenate([np.zeros(9000), np.linspace(1, 1000, 1000)])
    low, high = robust_range(head)
    assert low == 0 and high == pytest.approx(np.percentile(head[9000:], 99.5))
    assert robust_range(np.ones(5)) == (1, 1)


def test_volumes_that_do_not_lie_alike(tmp_path: Path) -> None:
    first = open_volume(write(tmp_path / "a.nii", counted()))
    first.check_same_place(open_volume(write(tmp_path / "same.nii", counted() * 2)))
    cases = {
        "shape": (counted((3, 4, 6)), np.eye(4), "has 3 x 4 x 5 voxels, .*3 x 4 x 6; register"),
        "spacing": (counted(), np.diag([1, 1, 2, 1]), "has voxels of 1 x 1 x 1 mm, .*of 1 x 1 x 2 mm; register"),
        "place": (
            counted(),
            np.array([[1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
            "lie up to 5 mm apart; register",
        ),
    }
    for name, (values, affine, sentence) in cases.items():
        with pytest.raises(ValueError, match=sentence):
            first.check_same_place(open_volume(write(tmp_path / f"{name}.nii", values, affine)))


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        open_volume(tmp_path / "gone.nii")
    sound = write(tmp_path / "v.nii.gz", np.random.default_rng(0).random((9, 9, 9)))
    cut = tmp_path / "cut.nii.gz"
    cut.write_bytes(sound.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"cut.nii.gz is damaged or no NIfTI file"):
        _ = open_volume(cut).pixels
    (tmp_path / "text.nii").write_text("no volume" * 100)
    with pytest.raises(ValueError, match=r"text.nii is damaged or no NIfTI file \(no NIfTI file inside\)"):
        open_volume(tmp_path / "text.nii")
    (tmp_path / "short.nii.gz").write_bytes(gzip.compress(b"short"))
    with pytest.raises(ValueError, match="shorter than the header"):
        open_volume(tmp_path / "short.nii.gz")
    with pytest.raises(ValueError, match="has the shape 2 x 2 x 2 x 2; a volume has three axes: save each modality by itself"):
        open_volume(write(tmp_path / "four.nii", np.zeros((2, 2, 2, 2), dtype=np.int16)))
    with pytest.raises(ValueError, match=r"holds 1 voxels that are not finite \(NaN or infinity\)"):
        _ = open_volume(write(tmp_path / "nan.nii", np.array([[[np.nan, 1.0]]]))).pixels
    monkeypatch.setattr(volumes, "MAX_VOXELS", 700)
    with pytest.raises(ValueError, match="claims 9 x 9 x 9 voxels, more than the limit of 700"):
        open_volume(sound)


def test_a_header_that_wants_gigabytes_unpacked_first(tmp_path: Path) -> None:
    path = write(tmp_path / "v.nii", counted())
    head = bytearray(path.read_bytes())
    head[108:112] = struct.pack("<f", 3e9)
    (tmp_path / "far.nii.gz").write_bytes(gzip.compress(bytes(head)))
    with pytest.raises(ValueError, match="its voxels begin at byte 3000000000"):
        open_volume(tmp_path / "far.nii.gz")
