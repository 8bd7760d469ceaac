import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from chromogen.evaluate import statistics
from chromogen.evaluate.statistics import blocks, compare, holm, interval, numbered, resampled


def skewed(images: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2, size=images)


def correlation(pairs: np.ndarray) -> float:
    return float(np.corrcoef(pairs[:, 0], pairs[:, 1])[0, 1])


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("statistic", [None, np.median, lambda values: float(np.std(values))])
def test_intervals_equal_scipy_on_the_same_draws(method: str, statistic: object) -> None:
    """SciPy makes the interval of our own bootstrap distribution, so that the two must agree to the last digits."""
    values = skewed(31)
    found = interval(values, statistic, method=method, draws=1500, seed=4)  # type: ignore[arg-type]
    drawn = resampled(values, statistic, draws=1500, seed=4)  # type: ignore[arg-type]
    expected = stats.bootstrap(
        (values,),
        statistic or np.mean,
        vectorized=False,
        n_resamples=0,
        method="BCa" if method == "bca" else method,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=drawn),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-9)
    assert found.note == "" and (found.images, found.units) == (31, 31)


def test_draws_are_those_of_a_bootstrap() -> None:
    """Against SciPy's own draws: the same spread and quantiles, within what 10,000 draws allow."""
    values = skewed(40)
    ours = resampled(values)
    drawn = stats.bootstrap((values,), np.mean, n_resamples=10_000, random_state=np.random.default_rng(1))
    theirs = drawn.bootstrap_distribution
    assert len(ours) == 10_000
    assert ours.mean() == pytest.approx(values.mean(), abs=4 * values.std() / math.sqrt(40 * 10_000))
    assert ours.std() == pytest.approx(values.std() / math.sqrt(40), rel=0.03)
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01


def test_the_vectorised_mean_equals_a_loop_over_samples() -> None:
    values, slides = skewed(23), [f"s{k % 5}" for k in range(23)]
    for groups in (None, slides):
        looped = resampled(values, lambda sample: float(np.mean(sample)), groups, draws=300)
        assert resampled(values, None, groups, draws=300) == pytest.approx(looped, rel=1e-12)
        quick, slow = interval(values, None, groups), interval(values, lambda sample: float(np.mean(sample)), groups)
        assert (quick.low, quick.high) == pytest.approx((slow.low, slow.high), rel=1e-9)


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_workers_change_nothing(workers: int) -> None:
    values, slides = skewed(37), np.arange(37) // 4
    for groups in (None, slides):
        one = resampled(values, np.median, groups, draws=1100, workers=1)
        assert np.array_equal(one, resampled(values, np.median, groups, draws=1100, workers=workers))
        apart = compare(values, skewed(37, 1), groups, draws=1100)
        assert apart == compare(values, skewed(37, 1), groups, draws=1100, workers=workers)
    assert not np.array_equal(one, resampled(values, np.median, slides, draws=1100, seed=1))


def test_small_blocks_for_many_images_hold_all_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "BLOCK_VALUES", 100)
    parts = blocks(numbered(None, 30), 10, 0)
    assert [part.draws for part in parts] == [3, 3, 3, 1]
    drawn = np.concatenate([part.counts() for part in parts])
    assert (drawn.sum(axis=1) == 30).all() and len(np.unique(drawn, axis=0)) == 10


def test_slides_are_drawn_whole() -> None:
    slides = ["a", "b", "a", "c", "c", "c"]
    counts = np.concatenate([block.counts() for block in blocks(numbered(slides, 6), 2000, 0)])
    assert (counts[:, 0] == counts[:, 2]).all() and (counts[:, 3] == counts[:, 5]).all()
    assert (counts[:, [0, 1, 3]].sum(axis=1) == 3).all()  # three slides each time
    combinations = {tuple(row) for row in counts[:, [0, 1, 3]]}
    assert len(combinations) == 10  # all multisets of three slides


def test_slides_widen_the_interval_of_images_that_resemble_each_other() -> None:
    rng = np.random.default_rng(0)
    slides = np.repeat(np.arange(25), 8)
    values = rng.normal(size=25)[slides] + 0.1 * rng.normal(size=200)
    alone, whole = interval(values), interval(values, groups=slides)
    assert (whole.high - whole.low) > 2 * (alone.high - alone.low)
    expected = 2 * 1.96 * np.std([values[slides == k].mean() for k in range(25)]) / 5
    assert whole.high - whole.low == pytest.approx(expected, rel=0.1)
    assert (whole.images, whole.units, alone.units) == (200, 25, 200)


def test_groups_of_one_image_are_images() -> None:
    values = skewed(30)
    assert interval(values, groups=range(30)) == interval(values)
    assert compare(values, values[::-1] + 0.3, groups=range(30)) == compare(values, values[::-1] + 0.3)


def test_a_statistic_of_several_columns() -> None:
    x = np.random.default_rng(2).normal(size=50)
    pairs = np.stack([x, x + np.random.default_rng(3).normal(size=50)], axis=1)
    found = interval(pairs, correlation, draws=1000)
    assert found.estimate == pytest.approx(correlation(pairs))
    assert 0.5 < found.low < found.estimate < found.high < 0.9
    with pytest.raises(ValueError, match="name a statistic"):
        interval(pairs)


def test_coverage_of_the_mean() -> None:
    """95 % intervals over 40 skewed values hold the true mean (2) about 19 times of 20."""
    held = [interval(skewed(40, 100 + k), draws=400, seed=k) for k in range(200)]
    assert 0.89 <= np.mean([one.low <= 2 <= one.high for one in held]) <= 0.98


def test_too_few_images_are_noted() -> None:
    assert "only 8 images: the interval is too narrow" in interval(skewed(8)).note
    assert "only 3 groups" in interval(skewed(60), groups=np.arange(60) // 20).note
    alone = interval([3.0])
    assert alone.estimate == 3.0 and math.isnan(alone.low) and "only one image" in alone.note
    assert "only one group" in interval(skewed(60), groups=["a"] * 60).note
    assert "too few for any test to reach p = 0.05" in compare(skewed(5), skewed(5, 1)).difference.note
    assert "any test" not in compare(skewed(6), skewed(6, 1)).difference.note
    lone = compare([1.0], [2.0])
    assert lone.difference.estimate == -1.0 and math.isnan(lone.wilcoxon_p) and math.isnan(lone.permutation_p)


def test_equal_values_and_undefined_draws() -> None:
    flat = interval([0.1] * 30)
    assert (flat.low, flat.high) == pytest.approx((0.1, 0.1))
    rare = np.zeros((30, 2))
    rare[:, 0], rare[0, 1] = np.arange(30), 1.0

    def or_nan(pairs: np.ndarray) -> float:
        return correlation(pairs) if np.ptp(pairs[:, 1]) else math.nan

    assert "of 1000 draws, which were left out" in interval(rare, or_nan, draws=1000).note
    assert math.isnan(interval(rare, lambda _: math.nan, draws=100).low)


def test_sign_flips_equal_scipy_and_a_list_of_all_ways() -> None:
    differences = np.array([0.3, -0.1, 0.7, 0.2, 0.9, 0.4, -0.25, 0.05])
    found = compare(differences, np.zeros(8))
    ways = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=8)]
    assert found.permutation_p == np.mean(np.array(ways) >= abs(differences.sum()) - 1e-12)
    expected = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert found.permutation_p == pytest.approx(expected.pvalue)
    assert compare([1.0] * 6, [0.0] * 6).permutation_p == 2 / 64
    assert compare([1.0] * 6, [1.0] * 6).permutation_p == 1.0


def test_random_sign_flips_agree_with_the_t_test() -> None:
    first, second = skewed(300), skewed(300, 1) + 0.15
    found = compare(first, second)
    assert found.permutation_p == pytest.approx(stats.ttest_rel(first, second).pvalue, abs=0.02)
    certain = compare(first, first + 5 + skewed(300))
    assert certain.permutation_p == 1 / 10_001


def test_slides_flip_together() -> None:
    slides = np.array([0, 0, 0, 1, 1, 2, 3, 3, 4, 4, 5, 6])
    differences = skewed(12) - 1.2
    sums = [differences[slides == k].sum() for k in range(7)]
    ways = [abs(np.dot(signs, sums)) for signs in itertools.product((-1, 1), repeat=7)]
    found = compare(differences, np.zeros(12), slides)
    assert found.permutation_p == np.mean(np.array(ways) >= abs(sum(sums)) - 1e-12)
    means = [differences[slides == k].mean() for k in range(7)]
    assert found.wilcoxon_p == pytest.approx(stats.wilcoxon(means).pvalue)


def test_wilcoxon_equals_a_list_of_all_ways_and_scipy() -> None:
    differences = np.array([1.5, -0.4, 2.2, 0.7, 0.9, -0.1, 3.0])
    ranks = stats.rankdata(np.abs(differences))
    sums = [sum(rank for rank, up in zip(ranks, way, strict=True) if up) for way in itertools.product((0, 1), repeat=7)]
    smaller = min(ranks[differences > 0].sum(), ranks[differences < 0].sum())
    found = compare(differences, np.zeros(7))
    assert found.wilcoxon_p == pytest.approx(2 * np.mean(np.array(sums) <= smaller))
    first, second = skewed(80), skewed(80, 1)
    assert compare(first, second).wilcoxon_p == pytest.approx(stats.wilcoxon(first, second).pvalue)
    assert compare(first, first).wilcoxon_p == 1.0


def test_comparison_is_first_less_second() -> None:
    first, second = skewed(50) + 1.0, skewed(50)
    found = compare(first, second + 0.1 * skewed(50, 1))
    assert found.difference.estimate == pytest.approx((first - second - 0.1 * skewed(50, 1)).mean())
    back = compare(second + 0.1 * skewed(50, 1), first)
    assert (back.difference.estimate, back.permutation_p) == pytest.approx((-found.difference.estimate, found.permutation_p))
    assert 0.6 < found.difference.low < found.difference.estimate < found.difference.high < 1.0


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02], [0.02]),
        ([0.5, 0.6, 0.9], [1.0, 1.0, 1.0]),
        ([0.01, math.nan, 0.02], [0.02, math.nan, 0.02]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([], []),
    ],
)
def test_holm_by_hand(p: list[float], adjusted: list[float]) -> None:
    assert holm(p) == pytest.approx(adjusted, nan_ok=True)


def test_wrong_input_is_named() -> None:
    for call, sentence in [
        (lambda: interval([]), "no images to draw from"),
        (lambda: interval([1.0, math.nan]), "the value of image 1 is not finite"),
        (lambda: compare([1.0, math.inf], [1.0, math.inf]), "not finite"),
        (lambda: compare([1.0], [1.0, 2.0]), "got 1 and 2"),
        (lambda: interval([1.0, 2.0], groups=["a"]), "a group .slide. for each of 2 images, got 1"),
        (lambda: interval([1.0, 2.0], confidence=95), "between 0 and 1"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            call()
