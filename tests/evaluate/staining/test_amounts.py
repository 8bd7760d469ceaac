import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, linregress, pearsonr, wasserstein_distance

from chromogen.color import H_E_DAB, combine
from chromogen.evaluate.agreement import dice
from chromogen.evaluate.staining.amounts import (
    AMOUNTS,
    CUT_OFFS,
    Dab,
    Divergence,
    calibration,
    class_means,
    correlation,
    dab_measures,
    histogram_divergence,
    integrated_density,
    mean_dab,
    ordering_violations,
    positive_area,
    tile_dice,
    top_decile,
    tracking,
    wasserstein,
)


def painted(dab: float, white: float = 1.0) -> np.ndarray:
    amounts = np.zeros((4, 4, 3))
    amounts[..., 0], amounts[..., 2] = 0.3, dab
    return np.rint(255 * combine(amounts, H_E_DAB, white)).astype(np.uint8)


@pytest.mark.parametrize("dab", [0.0, 0.1, 0.5])
def test_mean_dab_reads_back_what_was_painted(dab: float) -> None:
    assert mean_dab(painted(dab)) == pytest.approx(dab, abs=0.01)
    assert mean_dab(painted(dab, 0.8), 0.8) == pytest.approx(dab, abs=0.01)
    assert mean_dab(painted(dab, 0.8)) > dab + 0.02  # grey glass taken for white looks like stain


@pytest.mark.parametrize(
    ("means", "violations"),
    [
        ((0.1, 0.2, 0.3, 0.4), 0),
        ((0.1, 0.2, 0.4, 0.3), 1),  # 3+ below 2+
        ((0.1, 0.3, 0.3, 0.4), 1),  # a tie of 1+ and 2+
        ((0.4, 0.1, 0.2, 0.3), 3),  # 0 above everything
        ((0.2, 0.2, 0.2, 0.2), 6),  # the same tone for all
        ((0.4, 0.3, 0.2, 0.1), 6),
    ],
)
def test_ordering_violations_by_hand(means: tuple[float, ...], violations: int) -> None:
    level = [3, 0, 2, 1, 0, None]
    dab = [means[3], means[0] - 0.05, means[2], means[1], means[0] + 0.05, 9.0]
    found = ordering_violations(level, dab)
    assert (found.violations, found.pairs) == (violations, 6)
    assert found.means == pytest.approx(dict(enumerate(means)))


def test_ordering_counts_only_the_pairs_of_classes_that_occur() -> None:
    assert (ordering_violations([3, 1], [0.1, 0.2]).violations, ordering_violations([3, 1], [0.1, 0.2]).pairs) == (1, 1)
    assert ordering_violations([None, 2], [0.1, 0.2]).pairs == 0


def test_class_means_leave_out_what_has_no_class() -> None:
    assert class_means([1, None, 1, 0], [1.0, 100.0, 3.0, 7.0]) == {0: 7.0, 1: 2.0}


def test_guessing_the_class_correlates_overall_but_not_within() -> None:
    level = [0, 0, 0, 3, 3, 3]
    real = [0.1, 0.2, 0.3, 0.9, 1.0, 1.1]
    guessed = [0.2, 0.2, 0.2, 1.0, 1.0, 1.0]
    found = correlation(level, guessed, real)
    assert found.overall == pytest.approx(np.corrcoef(guessed, real)[0, 1])
    assert found.overall > 0.97
    assert math.isnan(found.within)
    assert math.isnan(found.between)  # two classes are two points


def test_correlation_within_and_between_by_hand() -> None:
    level = [0, 0, 1, 1, 2, 2, 3, None]
    real = [1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 20.0, 100.0]
    predicted = [3.0, 1.0, 7.0, 5.0, 11.0, 9.0, 20.0, 0.0]  # right class means, inverted inside each class
    found = correlation(level, predicted, real)
    assert found.between == pytest.approx(1.0)
    assert found.within == pytest.approx(-1.0)
    assert found.overall == pytest.approx(np.corrcoef(predicted, real)[0, 1])


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1, 2 and 2"):
        correlation([1], [0.1, 0.2], [0.1, 0.2])


def densities(seed: int = 0, height: int = 50, width: int = 70) -> tuple[np.ndarray, np.ndarray]:
    """Two skewed densities, as stained tissue has them; float32 like those of `dab_density`."""
    rng = np.random.default_rng(seed)
    return (rng.gamma(2, 0.15, (height, width)).astype(np.float32), rng.gamma(3, 0.2, (height, width)).astype(np.float32))


def test_divergence_in_fixed_bins_by_plain_loops() -> None:
    made, real = densities()
    made[0, :5] = 7.0  # beyond the last bin
    histograms = []
    for density in (made, real):
        counts = [0] * 100
        for value in density.ravel().tolist():
            counts[min(99, int(value / 0.02))] += 1
        shares = [count / density.size + 1e-10 for count in counts]
        histograms.append([share / sum(shares) for share in shares])
    p, q = histograms
    found = histogram_divergence(made, real)
    assert found.kl == pytest.approx(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)), rel=1e-9)
    assert found.js == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-9)
    assert histogram_divergence(real, made).kl != pytest.approx(found.kl, rel=0.05)  # the direction matters
    assert histogram_divergence(real, made).js == pytest.approx(found.js)
    assert histogram_divergence(real, real) == Divergence(0.0, 0.0)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 40), width=st.integers(1, 40))
def test_divergence_in_its_own_range_equals_numpy_histograms_and_scipy(seed: int, height: int, width: int) -> None:
    made, real = (density.astype(np.float64) for density in densities(seed, height, width))
    top = max(made.max(), real.max()) + 1e-6
    p, q = (np.histogram(density, 256, (0, top), density=True)[0] + 1e-10 for density in (made, real))
    found = histogram_divergence(made, real, own_range=True)
    assert found.kl == pytest.approx(entropy(p, q), rel=1e-6, abs=1e-9)
    assert found.js == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-6, abs=1e-9)
    assert 0 <= found.js <= math.log(2) + 1e-12


def test_divergences_of_blank_and_of_disjoint_densities() -> None:
    blank, dark = np.zeros((3, 4), dtype=np.float32), np.full((3, 4), 1.0, dtype=np.float32)
    for own_range in (False, True):
        assert histogram_divergence(blank, blank, own_range) == Divergence(0.0, 0.0)
        assert histogram_divergence(blank, dark, own_range).js == pytest.approx(math.log(2), abs=1e-6)
        assert 20 < histogram_divergence(blank, dark, own_range).kl < 32  # finite: about -log(1e-10)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 40), width=st.integers(1, 40))
def test_wasserstein_equals_scipy(seed: int, height: int, width: int) -> None:
    made, real = densities(seed, height, width)
    assert wasserstein(made, real) == pytest.approx(wasserstein_distance(made.ravel(), real.ravel()), rel=1e-5, abs=1e-7)
    assert wasserstein(made, made + 0.25) == pytest.approx(0.25, rel=1e-5)
    assert wasserstein(made, made[::-1, ::-1]) == 0.0  # places do not count


def test_amounts_by_hand() -> None:
    density = np.array([[0.0, 0.1, 0.2, 0.3, 0.5], [0.7, 0.9, 0.25, 0.41, 0.05]])
    assert [positive_area(density, cut) for cut in CUT_OFFS] == pytest.approx([60.0, 40.0, 20.0])  # 0.2 is not above 0.2
    assert top_decile(density) == pytest.approx(0.9)
    assert top_decile(np.tile(density, (1, 2))) == pytest.approx(0.9)
    assert top_decile(density[:, :1]) == pytest.approx(0.7)  # of fewer than ten pixels, one
    assert integrated_density(density) == pytest.approx(0.3 + 0.5 + 0.7 + 0.9 + 0.25 + 0.41)
    assert integrated_density(density, 0.6) == pytest.approx(1.6)
    rng = np.random.default_rng(0).random((37, 41))
    assert top_decile(rng) == pytest.approx(np.sort(rng.ravel())[-152:].mean())  # 0.1 x 1517 px


def test_tile_dice_forgives_displacement_inside_a_tile() -> None:
    target = np.zeros((64, 96))
    target[8:16, 8:16] = target[40:48, 70:78] = 1.0
    moved = np.roll(target, (5, 9), axis=(0, 1))
    assert dice(moved > 0.2, target > 0.2) == 0.0
    assert tile_dice(moved, target, 0.2) == 1.0
    assert tile_dice(np.roll(target, 32, axis=1), target, 0.2) < 1.0
    assert math.isnan(tile_dice(0 * target, 0 * target, 0.2))
    assert tile_dice(0 * target, target, 0.2) == 0.0


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 40), width=st.integers(1, 40), tile_px=st.integers(1, 45))
def test_tile_dice_by_plain_loops(seed: int, height: int, width: int, tile_px: int) -> None:
    made, real = densities(seed, height, width)
    both = total = 0
    for top in range(0, height, tile_px):
        for left in range(0, width, tile_px):
            a, b = (int((d[top : top + tile_px, left : left + tile_px] > 0.3).sum()) for d in (made, real))
            both, total = both + min(a, b), total + a + b
    found = tile_dice(made, real, 0.3, tile_px)
    assert math.isnan(found) if total == 0 else found == pytest.approx(2 * both / total)
    if total:
        plain = dice(made > 0.3, real > 0.3)
        assert found >= plain - 1e-12
        assert tile_dice(made, real, 0.3, 1) == pytest.approx(plain)


@pytest.mark.parametrize("tile_px", [200, 255, 256, 300, 700])
def test_tiles_higher_than_a_byte_can_count(tile_px: int) -> None:
    """Positive everywhere against positive in the upper half: whatever the tiles, the smaller count is that of the half."""
    made, real = np.ones((600, 2)), np.ones((600, 2))
    real[300:] = 0
    assert tile_dice(made, real, 0.3, tile_px) == pytest.approx(2 * 600 / (1200 + 600))


def test_dab_measures_of_painted_images() -> None:
    """A quarter of the target at 0.5 OD, a half of the prediction: areas, means and distances follow."""
    target, prediction = painted(0.0), painted(0.0)
    target[:2, :2] = prediction[:, :2] = painted(0.5)[0, 0]
    found = dab_measures(prediction, target, 1.0)
    assert (found["positive_area_0.4"], found["positive_area_0.4_target"]) == (50.0, 25.0)
    assert found["dab"] == pytest.approx(0.25, abs=0.01) and found["dab_target"] == pytest.approx(0.125, abs=0.01)
    assert found["dab_error"] == pytest.approx(found["dab_wasserstein"], abs=1e-6) == pytest.approx(0.125, abs=0.01)
    assert found["dice_0.4"] == found["tile_dice_0.4"] == pytest.approx(2 * 4 / 12)
    assert math.isnan(found["dice_0.6"]) and math.isnan(found["tile_dice_0.6"])
    assert found["top_decile"] == pytest.approx(0.5, abs=0.01)
    assert found["integrated"] == pytest.approx(8 * 0.5, abs=0.1)
    assert found["dab_kl"] > 0 and found["dab_js_own_range"] == pytest.approx(found["dab_js"], abs=1e-6)
    assert all(name in found and f"{name}_target" in found for name in AMOUNTS)
    under_grey = dab_measures(np.rint(0.8 * prediction).astype(np.uint8), np.rint(0.8 * target).astype(np.uint8), 0.8)
    assert under_grey == pytest.approx(found, abs=0.02, nan_ok=True, rel=0.05)
    with pytest.raises(ValueError, match="the prediction is 4x3 px, its target 4x4 px"):
        dab_measures(prediction[:3], target, 1.0)


def test_calibration_equals_scipy_and_numbers_by_hand() -> None:
    rng = np.random.default_rng(4)
    real = rng.random(30)
    virtual = 0.05 + 0.6 * real + 0.1 * rng.random(30)
    expected = linregress(real, virtual)
    found = calibration(virtual, real)
    assert (found.slope, found.intercept, found.r2) == pytest.approx((expected.slope, expected.intercept, expected.rvalue**2))
    exact = calibration([1.0, 2.0, 3.0], [1.0, 3.0, 5.0])
    assert (exact.slope, exact.intercept, exact.r2) == pytest.approx((0.5, 0.5, 1.0))
    flat = calibration([0.2, 0.2, 0.2], [0.1, 0.2, 0.3])  # one tone for all
    assert (flat.slope, flat.intercept) == pytest.approx((0.0, 0.2)) and math.isnan(flat.r2)
    assert math.isnan(calibration([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]).slope)
    assert math.isnan(calibration([1.0, 2.0], [1.0, 3.0]).slope)
    assert math.isnan(calibration([], []).slope)
    with pytest.raises(ValueError, match="got 1 and 2"):
        calibration([1.0], [1.0, 2.0])


def test_tracking_follows_every_amount() -> None:
    rng = np.random.default_rng(1)
    level = [0, 0, 1, 1, 2, 2, 3, 3]
    images = []
    for one in level:
        target = np.rint(255 * combine(np.dstack([np.full((8, 8), 0.3), np.zeros((8, 8)), rng.random((8, 8)) * 0.3 * one])))
        images.append(dab_measures(np.clip(target + 5, 0, 255).astype(np.uint8), target.astype(np.uint8), 1.0))
    found = tracking(level, images)
    assert tuple(found) == AMOUNTS
    made, real = [image["top_decile"] for image in images], [image["top_decile_target"] for image in images]
    assert found["top_decile"].correlation == correlation(level, made, real)
    assert found["top_decile"].correlation.overall == pytest.approx(pearsonr(made, real).statistic)
    assert found["dab"].calibration == calibration([i["dab"] for i in images], [i["dab_target"] for i in images])
    assert found["dab"].ordering.pairs == 6


def test_densities_are_ordered_whatever_their_kind() -> None:
    rng = np.random.default_rng(0)
    mixed = rng.gamma(0.5, 0.3, (41, 37))
    mixed[:3] = 0.0
    for density in (mixed, mixed.astype(np.float32), (mixed - 0.2).astype(np.float32), np.full((4, 5), 0.3, np.float32)):
        found = Dab(density).ordered
        assert found.dtype == density.dtype and np.array_equal(found, np.sort(density, axis=None))
    edges = np.array([[0.3, 0.1, 0.3]], dtype=np.float32)  # the first and the last are equal, and it is not flat
    assert Dab(edges).ordered.tolist() == sorted(edges[0].tolist())
    assert Dab(-np.zeros((1, 2), np.float32)).ordered.tolist() == [0, 0]


def test_one_target_serves_many_predictions() -> None:
    rng = np.random.default_rng(1)
    target, *others = (rng.gamma(0.5, 0.3, (70, 50)).astype(np.float32) for _ in range(4))
    kept = Dab(target)
    for other in others:
        found = Dab(other).measures(kept)
        assert found == Dab(other).measures(Dab(target.copy()))
        assert found["dab_wasserstein"] == pytest.approx(wasserstein_distance(other.ravel(), target.ravel()), rel=1e-5)
        assert found["top_decile"] == pytest.approx(np.sort(other, axis=None)[-350:].mean())
        assert found["tile_dice_0.4"] == tile_dice(other, target, 0.4) and found["dice_0.2"] == dice(other > 0.2, target > 0.2)
        assert found["dab_kl"] == histogram_divergence(other, target).kl
    with pytest.raises(ValueError, match="equal size"):
        Dab(target[1:]).measures(kept)


def test_bins_are_counted_as_numpy_counts_them() -> None:
    """Values on the edges of bins, below 0 and beyond the last bin."""
    rng = np.random.default_rng(2)
    first = np.concatenate([np.arange(0, 2.6, 0.02), rng.uniform(-0.3, 3, 1000)]).astype(np.float32)[None]
    second = rng.uniform(0, 1, first.shape).astype(np.float32)
    p, q = (
        np.histogram(np.clip(one.astype(float) * 50, 0, 99.5), np.arange(101))[0] / one.size + 1e-10 for one in (first, second)
    )
    assert histogram_divergence(first, second).kl == pytest.approx(entropy(p, q), rel=1e-9)
