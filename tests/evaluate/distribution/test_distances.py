import math
import warnings
from itertools import product

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from chromogen.evaluate.distribution import distances as module
from chromogen.evaluate.distribution.distances import distribution, fid, floor, in_real_spreads, kid, prdc

NAME = "efficientnet-lite0"
MEASURES = {"fid", "kid", "kid_std", "precision", "recall", "density", "coverage"}


def cloud(count: int, dimension: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Correlated features with means away from 0, as those of networks are."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(dimension, dimension)) / math.sqrt(dimension)
    return rng.normal(size=(count, dimension)) @ mixing + 0.7 + shift


def plain_fid(real: np.ndarray, fake: np.ndarray) -> float:
    """The formula as it is printed, by SciPy's matrix root."""
    s1, s2 = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    shift = real.mean(axis=0) - fake.mean(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that singular products have no exact root
        root = scipy.linalg.sqrtm(np.atleast_2d(s1 @ s2))
    return float(shift @ shift + np.trace(np.atleast_2d(s1 + s2)) - 2 * np.trace(root).real)


@settings(deadline=None, max_examples=25)
@given(
    real=st.integers(30, 60),
    fake=st.integers(30, 60),
    dimension=st.integers(2, 20),
    shift=st.floats(0.0, 2.0),
    seed=st.integers(0, 999),
)
def test_fid_equals_scipy_and_torchmetrics(real: int, fake: int, dimension: int, shift: float, seed: int) -> None:
    x, y = cloud(real, dimension, seed), cloud(fake, dimension, seed + 1000, shift)
    found = fid(x, y)
    assert found.value == pytest.approx(plain_fid(x, y), rel=1e-6, abs=1e-6)
    tensors = [part for side in (x, y) for part in (torch.tensor(side.mean(axis=0)), torch.tensor(np.cov(side, rowvar=False)))]
    assert found.value == pytest.approx(float(_compute_fid(*tensors)), rel=1e-6, abs=1e-6)
    assert (found.real, found.fake, found.dimension, found.note) == (real, fake, dimension, "")


@pytest.mark.parametrize(("real", "fake"), [(20, 20), (20, 90), (90, 20)])
def test_fid_of_fewer_images_than_dimensions_is_right_and_says_so(real: int, fake: int) -> None:
    x, y = cloud(real, 50, 1), cloud(fake, 50, 2, 0.3)
    found = fid(x, y)
    assert found.value == pytest.approx(plain_fid(x, y), rel=1e-4)
    assert found.note.startswith("20 images in 50 dimensions")


def test_fid_in_one_dimension_by_hand() -> None:
    """Means 1 and 4, standard deviations 1 and 2: 3^2 + (1 - 2)^2."""
    real, fake = np.array([[0.0], [1.0], [2.0]]), np.array([[2.0], [4.0], [6.0]])
    assert fid(real, fake).value == pytest.approx(10.0, abs=1e-12)


def test_fid_of_a_set_with_itself_is_0_and_of_too_few_images_is_biased() -> None:
    x = cloud(30, 64, 3)
    assert fid(x, x).value == pytest.approx(0.0, abs=1e-9)
    values = [fid(cloud(count, 64, 4), cloud(count, 64, 5)).value for count in (20, 80, 640)]
    assert values[0] > 2 * values[1] > 4 * values[2] > 0


def plain_kernel(x: np.ndarray, y: np.ndarray) -> float:
    return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3


def plain_kid(real: np.ndarray, fake: np.ndarray) -> float:
    m = len(real)
    rr = sum(plain_kernel(real[i], real[j]) for i, j in product(range(m), range(m)) if i != j)
    ff = sum(plain_kernel(fake[i], fake[j]) for i, j in product(range(m), range(m)) if i != j)
    rf = sum(plain_kernel(real[i], fake[j]) for i, j in product(range(m), range(m)))
    return (rr + ff) / (m * (m - 1)) - 2 * rf / m**2


@pytest.mark.parametrize("block", [3, 7, 1024])
def test_kid_equals_plain_loops_and_torchmetrics(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    x, y = cloud(9, 4, 1), cloud(9, 4, 2, 0.5)
    found = kid(x, y, subsets=3, size=9)  # every subset is everything
    assert found.mean == pytest.approx(plain_kid(x, y), rel=1e-9)
    assert found.mean == pytest.approx(float(poly_mmd(torch.tensor(x), torch.tensor(y))), rel=1e-9)
    assert found.std == pytest.approx(0.0, abs=1e-12)


def test_kid_is_over_the_subsets_it_draws() -> None:
    """Each draw takes real images first, then generated ones, from one generator."""
    x, y = cloud(12, 5, 1), cloud(15, 5, 2, 0.4)
    found = kid(x, y, subsets=4, size=6, seed=7)
    rng = np.random.default_rng(7)
    drawn = [(x[rng.choice(12, 6, replace=False)], y[rng.choice(15, 6, replace=False)]) for _ in range(4)]
    values = [plain_kid(*pair) for pair in drawn]
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9)
    assert found.std == pytest.approx(np.std(values), rel=1e-9)
    assert found == kid(x, y, subsets=4, size=6, seed=7) != kid(x, y, subsets=4, size=6, seed=8)


def test_kid_is_unbiased_where_fid_is_not() -> None:
    values = [kid(cloud(20, 8, seed), cloud(20, 8, seed + 500), subsets=1, size=20).mean for seed in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(200)
    assert min(values) < 0 < max(values)


@pytest.mark.parametrize(("images", "size"), [(500, 100), (200, 100), (60, 30), (3, 2), (2, 2)])
def test_sizes_of_kid_subsets(images: int, size: int) -> None:
    assert kid(cloud(images, 3, 0), cloud(500, 3, 1)).size == size


def plain_prdc(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float, float, float]:
    def radius(of: np.ndarray, at: int) -> float:
        return sorted(float(np.linalg.norm(of[at] - other)) for index, other in enumerate(of) if index != at)[k - 1]

    inside_real = [[np.linalg.norm(f - r) < radius(real, i) for i, r in enumerate(real)] for f in fake]
    inside_fake = [[np.linalg.norm(f - r) < radius(fake, j) for j, f in enumerate(fake)] for r in real]
    covered = [any(inside_real[j][i] for j in range(len(fake))) for i in range(len(real))]
    return (
        sum(any(row) for row in inside_real) / len(fake),
        sum(any(row) for row in inside_fake) / len(real),
        sum(sum(row) for row in inside_real) / (k * len(fake)),
        sum(covered) / len(real),
    )


@pytest.mark.parametrize("block", [4, 1024])
@pytest.mark.parametrize(("k", "shift"), [(1, 0.0), (3, 0.8), (5, 2.0), (3, 50.0)])
def test_prdc_equals_plain_loops(block: int, k: int, shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    x, y = cloud(17, 6, 1), cloud(14, 6, 2, shift)
    found = prdc(x, y, k)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(plain_prdc(x, y, k), abs=1e-12)
    if shift == 50.0:
        assert found.precision == found.recall == found.density == found.coverage == 0.0


def test_prdc_reach_equals_scikit_learn() -> None:
    x = cloud(300, 40, 3)
    expected = NearestNeighbors(n_neighbors=6).fit(x).kneighbors(x)[0][:, 5]
    assert np.sqrt(module._reach(x - x.mean(axis=0), 5)) == pytest.approx(expected, rel=1e-9)


def test_prdc_of_copies() -> None:
    """A copied set is all inside. One image again and again lies in few balls and covers nearly nothing."""
    x = cloud(40, 30, 1)
    same = prdc(x, x.copy())
    assert same.precision == same.recall == same.coverage == 1.0
    features = np.abs(cloud(40, 1280, 2))
    assert not module._squared_distances(features, features[::-1].copy())[::-1].diagonal().any()  # 0, not what rounding leaves
    repeated = np.repeat(x, 6, axis=0)  # the fifth neighbour of an image is the image: balls of no size hold nothing
    none = prdc(repeated, repeated)
    assert none.precision == none.recall == none.density == none.coverage == 0.0
    one = prdc(x, np.repeat(x[:1], 40, axis=0))
    assert one.precision == 1.0 and one.recall == 0.0 and one.coverage < 0.6


def test_floor_is_between_two_halves_of_the_real_images() -> None:
    x = cloud(61, 8, 1)
    found = floor(x, seed=5)
    order = np.random.default_rng(5).permutation(61)
    a, b = x[order[:30]], x[order[30:60]]
    assert found["fid"] == pytest.approx(plain_fid(a, b), rel=1e-6)
    assert found["kid"] == kid(a, b).mean and found["kid_std"] == kid(a, b).std
    assert found["coverage"] == prdc(a, b).coverage
    assert found.keys() == MEASURES and found == floor(x, seed=5) != floor(x, seed=6)


def test_every_name_carries_its_extractor() -> None:
    x, y = cloud(40, 50, 1), cloud(30, 50, 2, 0.2)
    found = distribution(x, y, NAME)
    expected = {f"{one}{end}[{NAME}]" for one in MEASURES for end in ("", "_floor")}
    assert found.keys() == expected | {f"images[{NAME}]", f"note[{NAME}]"}
    assert found[f"fid[{NAME}]"] == fid(x, y).value and found[f"kid[{NAME}]"] == kid(x, y).mean
    assert found[f"density[{NAME}]"] == prdc(x, y).density
    assert found[f"images[{NAME}]"] == "40 real, 30 generated; KID over 100 subsets of 15, neighbourhoods of 5"
    assert "30 images in 50 dimensions" in str(found[f"note[{NAME}]"])
    assert f"note[{NAME}]" not in distribution(cloud(80, 5, 1), cloud(80, 5, 2), NAME)


def test_small_sets_have_no_neighbourhoods_and_no_floor() -> None:
    found = distribution(cloud(3, 2, 1), cloud(3, 2, 2), NAME)
    absent = {key for key, value in found.items() if isinstance(value, float) and math.isnan(value)}
    assert {key.partition("[")[0] for key in absent} == {
        *(one for one in MEASURES if not one.startswith(("fid", "kid"))),
        *(f"{one}_floor" for one in MEASURES),
    }


def test_hand_made_features_are_compared_in_units_of_their_spread() -> None:
    """So the units in which they happen to be written do not matter, and a feature that never varies is left out."""
    x, y = cloud(60, 5, 1), cloud(60, 5, 2, 0.4)
    units = np.array([1e-3, 1.0, 50.0, 1e4, 7.0])
    first, second = distribution(x, y, "radiomics"), distribution(x * units, y * units, "radiomics")
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert second[key] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)
    assert distribution(x * units, y * units, NAME)[f"fid[{NAME}]"] > 1e4 * float(first["fid[radiomics]"])
    constant = np.full((60, 1), 3.0)
    with_constant = in_real_spreads(np.hstack([x, constant]), np.hstack([y, constant + 1]))
    for ours, plain in zip(with_constant, (x, y), strict=True):
        assert ours == pytest.approx((plain - x.mean(axis=0)) / x.std(axis=0))


@pytest.mark.parametrize(
    ("real", "fake", "sentence"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), r"the real features must be a table of at least two images.*\(1, 3\)"),
        (np.zeros((5, 3)), np.zeros(5), r"the generated features must be a table.*\(5,\)"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "3 and 4 features; describe both by the same extractor"),
        (np.zeros((5, 3)), np.array([[0.0, 1.0, 2.0], [0.0, np.nan, 1.0]]), "generated features of image 1 are not finite"),
    ],
)
@pytest.mark.parametrize("measure", [fid, kid, prdc, lambda real, fake: distribution(real, fake, NAME)])
def test_other_tables_are_refused(measure: object, real: np.ndarray, fake: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        measure(real, fake)  # type: ignore[operator]


def test_impossible_sizes_are_refused() -> None:
    x = cloud(6, 2, 1)
    with pytest.raises(ValueError, match="k must be from 1 to 5"):
        prdc(x, x, k=6)
    with pytest.raises(ValueError, match="subsets of 2 to 6 images"):
        kid(x, x, size=7)
    with pytest.raises(ValueError, match="at least one, got 0"):
        kid(x, x, subsets=0)
