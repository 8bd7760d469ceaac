"""MetaImage and NRRD against SimpleITK, which wrote them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.data.cases.raw_volumes import open_raw
from chromogen.data.cases.volumes import open_volume

sitk = pytest.importorskip("SimpleITK")

TURNS = (
    [1, 0, 0, 0, 1, 0, 0, 0, 1],
    [0, 1, 0, -1, 0, 0, 0, 0, 1],
    [-1, 0, 0, 0, 0, 1, 0, 1, 0],
    [0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, 1],
)
TYPES = (np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64)


@settings(max_examples=24, deadline=None)
@given(
    st.sampled_from([".mha", ".mhd", ".nrrd", ".nhdr"]),
    st.sampled_from(TYPES),
    st.sampled_from(TURNS),
    st.booleans(),
    st.integers(1, 3),
)
def test_voxels_and_places_are_those_of_simpleitk(
    tmp_path_factory: pytest.TempPathFactory, ending: str, kind: type, turn: list[float], packed: bool, channels: int
) -> None:
    path = tmp_path_factory.mktemp("v") / f"v{ending}"
    values = np.random.default_rng(0).integers(0, 99, (4, 3, 5, channels) if channels > 1 else (4, 3, 5)).astype(kind)
    image = sitk.GetImageFromArray(values, isVector=channels > 1)
    image.SetDirection([float(x) for x in turn])
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetSpacing((0.5, 1.5, 2.5))
    sitk.WriteImage(image, str(path), packed)
    found = open_raw(path)
    assert found.channels == channels and found.shape == (5, 3, 4)
    assert np.array_equal(found.read(), np.moveaxis(values, (0, 2), (2, 0)))
    for index in ((0, 0, 0), (4, 2, 3), (1, 2, 0)):
        left, back, head = image.TransformIndexToPhysicalPoint(index)
        assert np.allclose(found.affine @ [*index, 1], [-left, -back, head, 1])
    if channels == 1:
        nifti = path.with_name("v.nii.gz")
        sitk.WriteImage(image, str(nifti))
        ours, theirs = open_volume(path), open_volume(nifti)
        assert np.allclose(ours.affine, theirs.affine, atol=1e-4) and np.array_equal(ours.pixels, theirs.pixels)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((4, 3, 5), np.int16))
    for ending in (".mha", ".nrrd"):
        sound = tmp_path / f"a{ending}"
        sitk.WriteImage(image, str(sound), False)
        cut = tmp_path / f"cut{ending}"
        cut.write_bytes(sound.read_bytes()[:-7])
        with pytest.raises(ValueError, match=f"cut{ending} holds 113 bytes of voxels, its header promises 120"):
            open_raw(cut).read()
        (tmp_path / f"text{ending}").write_text("no volume")
        with pytest.raises(ValueError, match=f"text{ending} (is no MetaImage|does not begin with NRRD)"):
            open_raw(tmp_path / f"text{ending}")
        packed = tmp_path / f"packed{ending}"
        sitk.WriteImage(image, str(packed), True)
        held = packed.read_bytes()
        packed.write_bytes(held[:-12] + bytes(12))
        with pytest.raises(ValueError, match="is damaged|bytes of voxels"):
            open_raw(packed).read()
    sitk.WriteImage(image, str(tmp_path / "b.mhd"))
    (tmp_path / "b.raw").unlink()
    with pytest.raises(FileNotFoundError, match=r"b.raw, which holds the voxels of .*b.mhd, does not exist"):
        open_raw(tmp_path / "b.mhd").read()
