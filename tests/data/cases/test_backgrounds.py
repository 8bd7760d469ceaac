"""The organ comes out as on the unshifted image, whatever stands where nothing was measured."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from chromogen.data.cases.backgrounds import GreyRange, background_of, grey_range, robust_range
from chromogen.data.cases.dicom import read_dicom
from chromogen.data.cases.source import CaseSource, SliceRule, open_cases
from chromogen.structure.organ import organ
from tests.miniatures.cases import LPS, head, lesion, slice_, volume

SHAPE = (48, 40, 5)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]
CIRCLE = (ROWS - 23.5) ** 2 + (COLUMNS - 19.5) ** 2 < 23**2  # what a scanner sees


def brain(seed: int) -> np.ndarray:
    return head(seed, SHAPE)


def body(seed: int) -> np.ndarray:
    """HU: air with noise, soft tissue and a little bone."""
    rng = np.random.default_rng(seed)
    values = np.where(brain(seed) > 0, rng.normal(40, 15, SHAPE), rng.normal(-1000, 8, SHAPE)).clip(-1024)
    values[20:24, 18:21] = 700
    return np.rint(values).astype(np.int16)


def knee(seed: int) -> np.ndarray:
    """MR: noise in air, tissue."""
    rng = np.random.default_rng(seed)
    return np.where(brain(seed) > 0, brain(seed), rng.uniform(4, 25, SHAPE)).astype(np.float32)


def scored(values: np.ndarray) -> np.ndarray:
    inside = values > 0
    return np.where(inside, (values - values[inside].mean()) / values[inside].std(), 0).astype(np.float32)


def padded(values: np.ndarray, value: float) -> np.ndarray:
    return np.where(CIRCLE[..., None], values, np.float32(value))


def prepared(root: Path, make: Callable[[int], np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A slice in [0, 1] and its organ."""
    for number in range(2):
        volume(root / f"images/c{number}.nii.gz", make(number), LPS)
        volume(root / f"labels/c{number}.nii.gz", lesion((1,), SHAPE))
    image = open_cases(CaseSource(str(root), slices=SliceRule(min_foreground=0)))[2].images["image"]
    return image, organ(torch.from_numpy(np.array(image))[None, None])[0, 0].numpy() > 0


@pytest.mark.parametrize(
    ("plain", "shifted"),
    [
        pytest.param(brain, lambda n: scored(brain(n)), id="z-scored inside a mask"),
        pytest.param(brain, lambda n: scored(brain(n)) * 100 + 7 * (brain(n) > 0), id="z-scored and stretched"),
        pytest.param(brain, lambda n: np.where(brain(n) > 0, brain(n), 32767), id="32767 outside"),
        pytest.param(brain, lambda n: np.where(brain(n) > 0, brain(n), -32768), id="-32768 outside"),
        pytest.param(body, lambda n: padded(body(n), -3024), id="CT padded with -3024"),
        pytest.param(body, lambda n: padded(body(n), -2048), id="CT padded with -2048"),
        pytest.param(body, lambda n: padded(body(n), -2000), id="CT padded with -2000"),
        pytest.param(knee, lambda n: padded(knee(n), 65535), id="MR padded with 65535"),
        pytest.param(knee, lambda n: padded(knee(n), -32768), id="MR padded with -32768"),
    ],
)
def test_the_organ_is_that_of_the_unshifted_image(
    plain: Callable[[int], np.ndarray], shifted: Callable[[int], np.ndarray], tmp_path: Path
) -> None:
    _, expected = prepared(tmp_path / "a", plain)
    image, found = prepared(tmp_path / "b", shifted)
    overlap = 2 * (found & expected).sum() / (found.sum() + expected.sum())
    assert overlap > 0.98 and 0.2 < expected.mean() < 0.8, (overlap, expected.mean(), found.mean())
    assert np.median(image[~expected]) < 0.1 < np.median(image[expected])


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(("signed", "value"), [(0, 65535), (0, 63536), (1, -2000), (0, 0)])
def test_padding_of_dicom_is_the_darkest_other_pixel(tmp_path: Path, signed: int, value: int, inverted: bool) -> None:
    """Against the same slice without padding."""
    kind = np.int16 if signed else np.uint16
    stored = np.random.default_rng(0).integers(100, 900, (32, 32)).astype(kind)
    stored[12:20, 12:20] = 50 if inverted else 1500
    around = stored.copy()
    around[:4] = np.array(value).astype(kind)
    tags = {"PixelRepresentation": signed, "Modality": "MR", "RescaleIntercept": 0}
    tags |= {"PhotometricInterpretation": "MONOCHROME1"} if inverted else {}
    plain = read_dicom(slice_(tmp_path / "a.dcm", PixelData=stored.tobytes(), **tags)).pixels
    found = read_dicom(slice_(tmp_path / "b.dcm", PixelData=around.tobytes(), PixelPaddingValue=value, **tags)).pixels
    inner = np.s_[4:]
    assert np.allclose(found[inner] - found[inner].min(), plain[inner] - plain[inner].min())
    assert (found[:4] == found[inner].min()).all()


def test_ct_below_air_is_air(tmp_path: Path) -> None:
    stored = np.full((32, 32), 1064, np.int16)
    stored[:8], stored[8:10] = -2000, 24
    found = read_dicom(slice_(tmp_path / "a.dcm", PixelData=stored.tobytes(), PixelRepresentation=1)).pixels
    assert (found[:10] == -1000).all() and (found[10:] == 40).all()


def test_ordinary_images_keep_their_range() -> None:
    """0 around a head, air around a chest, a picture without air, tissue of one grey level: as before."""
    for values in (brain(0), body(0), knee(0), np.arange(100.0).reshape(10, 10), np.pad(np.full((4, 4, 4), 7.0), 3)):
        assert grey_range(values) == GreyRange(*robust_range(values))
    tissue = np.pad(np.full((9, 9), 100.0), 5)
    tissue[8, 8] = 200
    assert grey_range(tissue) == GreyRange(*robust_range(tissue))


def test_a_background_fills_corners_and_border() -> None:
    values = np.arange(400.0).reshape(20, 20)
    assert background_of(values) is None
    values[:4], values[-4:] = 7, 7
    assert background_of(values) == 7
    values[0, 0] = values[0, -1] = 5
    assert background_of(values) is None
