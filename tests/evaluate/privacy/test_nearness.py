from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from chromogen.evaluate.privacy import nearness as module
from chromogen.evaluate.privacy.nearness import authenticity, binomial_interval, membership, nearness


def cloud(count: int, dimension: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)) + 30.0


def nearest(point: np.ndarray, others: np.ndarray) -> float:
    return min(float(np.linalg.norm(point - other)) for other in others)


def by_loops(synthetic: np.ndarray, train: np.ndarray, holdout: np.ndarray) -> float:
    """Every way of thinning the larger set is tried."""
    size = min(len(train), len(holdout))
    votes = []
    for point in synthetic:
        for some in combinations(train, size):
            for others in combinations(holdout, size):
                a, b = nearest(point, np.array(some)), nearest(point, np.array(others))
                votes.append(0.5 if a == b else float(a < b))
    return float(np.mean(votes))


@pytest.mark.parametrize("sizes", [(6, 6), (7, 3), (3, 7), (2, 5)])
@pytest.mark.parametrize("block", [2, 512])
def test_nearness_equals_all_ways_of_thinning(sizes: tuple[int, int], block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    train, holdout, synthetic = cloud(sizes[0], 3, 1), cloud(sizes[1], 3, 2), cloud(9, 3, 3)
    holdout[0] = train[0] = synthetic[0]  # a tie
    synthetic[1] = train[1]
    found = nearness(synthetic, train, holdout)
    assert found.share == pytest.approx(by_loops(synthetic, train, holdout), abs=1e-12)
    assert (found.synthetic, found.compared) == (9, min(sizes))


@given(st.integers(0, 30), st.integers(1, 30))
def test_the_interval_is_that_of_scipy(hits: int, trials: int) -> None:
    hits = min(hits, trials)
    expected = stats.binomtest(hits, trials).proportion_ci(0.9, "exact")
    assert binomial_interval(hits, trials, 0.9) == pytest.approx((expected.low, expected.high), abs=1e-9)


@settings(deadline=None)
@given(st.integers(0, 20), st.integers(1, 20), st.integers(1, 20))
def test_the_chance_of_a_hit_counts_subsets(marked: int, population: int, drawn: int) -> None:
    marked, drawn = min(marked, population), min(drawn, population)
    expected = 1 - comb(population - marked, drawn) / comb(population, drawn)
    assert module._chance_of_a_hit(np.array([marked]), population, drawn)[0] == pytest.approx(expected, abs=1e-12)


def test_a_sampler_that_remembers_nothing_is_at_a_half_and_one_that_copies_at_one() -> None:
    train, holdout = cloud(200, 5, 1), cloud(120, 5, 2)
    fresh = nearness(cloud(400, 5, 3), train, holdout)
    assert fresh.low < 0.5 < fresh.high and fresh.high - fresh.low < 0.11
    copied = nearness(train[:50] + 0.01, train, train[150:] + 3.0)
    assert copied.low > 0.5 and nearness(train + 0.01, train, cloud(200, 5, 4)).share > 0.99
    memorised = np.concatenate([train[:100] + 0.01, cloud(100, 5, 5)])
    assert nearness(memorised, train[:120], holdout).low > 0.6


@pytest.mark.parametrize("block", [3, 512])
def test_authenticity_equals_plain_loops(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    train, synthetic = cloud(20, 4, 1), cloud(11, 4, 2)
    synthetic[3] = train[7]
    found = authenticity(synthetic, train)
    for j, point in enumerate(synthetic):
        distances = [float(np.linalg.norm(point - other)) for other in train]
        near = int(np.argmin(distances))
        own = nearest(train[near], np.delete(train, near, axis=0))
        assert found.nearest[j] == near and found.distance[j] == pytest.approx(distances[near], abs=1e-9)
        assert found.authentic[j] == (distances[near] > own)
    assert found.nearest[3] == 7 and found.distance[3] == 0 and not found.authentic[3]
    assert found.share == pytest.approx(found.authentic.mean()) and 0 < found.share < 1


def test_copies_are_not_authentic_and_strangers_are() -> None:
    train = cloud(50, 4, 1)
    assert authenticity(train + 1e-3, train).share == 0
    assert authenticity(train + 100, train).share == 1
    assert 0.3 < authenticity(cloud(400, 4, 2), cloud(400, 4, 3)).share < 0.7


def test_membership_equals_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(0)
    train, holdout = rng.integers(0, 6, 40) + 1.0, rng.integers(0, 6, 25) + 0.0
    found = membership(train, holdout)
    labels = np.repeat([1, 0], [40, 25])
    assert found.auc == pytest.approx(roc_auc_score(labels, np.concatenate([train, holdout])), abs=1e-12)
    assert found.p == pytest.approx(stats.mannwhitneyu(train, holdout, method="asymptotic").pvalue)
    assert (found.train, found.holdout) == (40, 25)
    assert membership(holdout, train).auc == pytest.approx(1 - found.auc)
    flat = membership(np.ones(3), np.ones(4))
    assert (flat.auc, flat.p) == (0.5, 1.0)


def test_bad_tables_are_refused() -> None:
    good = cloud(4, 3, 0)
    with pytest.raises(ValueError, match="train features must be a table .* of 2 or more"):
        authenticity(good, good[:1])
    with pytest.raises(ValueError, match="holdout features of image 2 are not finite"):
        nearness(good, good, np.where(np.arange(4)[:, None] == 2, np.nan, good))
    with pytest.raises(ValueError, match="different numbers of features"):
        nearness(good, good, good[:, :2])
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        nearness(good, good, good, confidence=95)
    with pytest.raises(ValueError, match="scores of the held-out images"):
        membership(np.ones(3), np.array([]))
