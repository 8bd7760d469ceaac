"""Whether synthetic images give away the patients that a generator was trained on: evidence, never a guarantee.

Features are tables (images, dimension) of an extractor (`evaluate.distribution.extractors`) that saw none of the images in
training; name it beside every value. Hand-made features (radiomics) are to be brought to common units first
(`chromogen.evaluate.distribution.distances.in_real_spreads`). Pixels are compared in `copies`: use both, since an
extractor may be blind to what a copy keeps, and pixels to what a copy moves.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy import special, stats

BLOCK = 512  # rows whose distances to all others are held at once

Features = Float[np.ndarray, "images dimension"]
Scores = Float[np.ndarray, " images"]


@dataclass(frozen=True)
class Nearness:
    """How often a synthetic image is nearer to the training images than to held-out ones: 0.5 is no memorisation.

    low, high: exact binomial interval (Clopper and Pearson, Biometrika 26:404, 1934) of `share` at `confidence`. It says how
    sure the number is of these patients; another choice of held-out patients moves it too, the more the fewer they are.
    """

    share: float
    low: float
    high: float
    confidence: float
    synthetic: int
    compared: int  # real images on each side


@dataclass(frozen=True)
class Authenticity:
    """Of each synthetic image: nearest training image, distance to it, and whether it is authentic (Alaa et al., ICML 2022).

    An image is authentic when the training image nearest to it has another training image nearer to itself. A perfect sampler
    has a share near 0.5, a copier 0, a generator of something else 1.
    """

    share: float
    nearest: Int64[np.ndarray, " synthetic"]
    distance: Float[np.ndarray, " synthetic"]
    authentic: Bool[np.ndarray, " synthetic"]


@dataclass(frozen=True)
class Membership:
    """Can the critic's score tell training images from held-out ones? auc 0.5: no; 1: every training image scores higher.

    auc: chance that a training image scores above a held-out one, ties counted half. p: two-sided, of the Mann-Whitney test
    that it is 0.5.
    """

    auc: float
    p: float
    train: int
    holdout: int


def nearness(synthetic: Features, train: Features, holdout: Features, confidence: float = 0.95) -> Nearness:
    """Share of the synthetic images that are nearer to `train` than to `holdout` (Meehan et al., AISTATS 2020); ties half.

    The larger of two real sets would be nearer by its size alone, so it is thinned to the size of the smaller one: each
    synthetic image counts with its chance over all ways of thinning, which needs no draw. All three sets are compared in the
    same features; nobody may be in two of them.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence lies between 0 and 1, got {confidence}")
    synthetic, train, holdout = _checked(synthetic=synthetic, train=train, holdout=holdout)
    train_is_smaller = len(train) <= len(holdout)
    small, large = (train, holdout) if train_is_smaller else (holdout, train)
    large_nearer = np.empty(len(synthetic))
    for rows, block in _blocks(synthetic):
        least = _squared_distances(block, small).min(axis=1, keepdims=True)
        squared = _squared_distances(block, large)
        nearer, as_near = np.count_nonzero(squared < least, axis=1), np.count_nonzero(squared <= least, axis=1)
        chances = [_chance_of_a_hit(count, len(large), len(small)) for count in (nearer, as_near)]
        large_nearer[rows] = (chances[0] + chances[1]) / 2
    share = float(np.mean(1 - large_nearer if train_is_smaller else large_nearer))
    low, high = binomial_interval(share * len(synthetic), len(synthetic), confidence)
    return Nearness(share, low, high, confidence, len(synthetic), len(small))


def binomial_interval(hits: float, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share; half hits are allowed."""
    tail = (1 - confidence) / 2
    low = 0.0 if hits <= 0 else float(stats.beta.ppf(tail, hits, trials - hits + 1))
    high = 1.0 if hits >= trials else float(stats.beta.ppf(1 - tail, hits + 1, trials - hits))
    return low, high


def authenticity(synthetic: Features, train: Features) -> Authenticity:
    """Which synthetic images are further from their nearest training image than that one from its own nearest neighbour."""
    synthetic, train = _checked(synthetic=synthetic, train=train)
    nearest = np.empty(len(synthetic), dtype=np.int64)
    squared = np.empty(len(synthetic))
    for rows, block in _blocks(synthetic):
        distances = _squared_distances(block, train)
        nearest[rows] = distances.argmin(axis=1)
        squared[rows] = distances.min(axis=1)
    between = np.empty(len(train))
    for rows, block in _blocks(train):
        distances = _squared_distances(block, train)
        distances[np.arange(len(block)), np.arange(rows.start, rows.start + len(block))] = np.inf  # not to itself
        between[rows] = distances.min(axis=1)
    authentic = squared > between[nearest]
    return Authenticity(float(authentic.mean()), nearest, np.sqrt(squared), authentic)


def membership(train_scores: Scores, holdout_scores: Scores) -> Membership:
    """What the critic that trained a generator gives away: one score for each training and each held-out image."""
    scores = []
    for name, given in (("training", train_scores), ("held-out", holdout_scores)):
        values = np.asarray(given, dtype=np.float64)
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise ValueError(f"the scores of the {name} images must be finite numbers, one an image, got shape {values.shape}")
        scores.append(values)
    found = stats.mannwhitneyu(*scores, alternative="two-sided", method="asymptotic")
    p = 1.0 if np.isnan(found.pvalue) else float(found.pvalue)  # all scores equal
    auc = float(found.statistic) / (len(scores[0]) * len(scores[1]))
    return Membership(auc, p, len(scores[0]), len(scores[1]))


def _chance_of_a_hit(marked: Int64[np.ndarray, " images"], population: int, drawn: int) -> Float[np.ndarray, " images"]:
    """Chance that `drawn` of `population`, drawn at random, hold at least one of `marked`: 1 - C(P - M, D) / C(P, D)."""
    unmarked = population - marked
    possible = unmarked >= drawn
    left = np.where(possible, unmarked - drawn, 0)
    logarithm = special.gammaln(unmarked + 1) - special.gammaln(left + 1)
    logarithm += special.gammaln(population - drawn + 1) - special.gammaln(population + 1)
    missed = np.where(marked == 0, 1.0, np.exp(np.minimum(logarithm, 0.0)))
    return 1 - np.where(possible, missed, 0.0)


def _checked(**sets: Features) -> list[Features]:
    """The sets in double precision, their common centre at 0: distances by products then keep their digits."""
    tables = []
    for name, given in sets.items():
        features = np.asarray(given, dtype=np.float64)
        least = 2 if name == "train" else 1
        if features.ndim != 2 or len(features) < least or features.shape[1] < 1:
            raise ValueError(
                f"the {name} features must be a table (images, dimension) of {least} or more, got {features.shape}"
            )
        broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if broken.size:
            raise ValueError(f"the {name} features of image {broken[0]} are not finite; the extractor or its weights are wrong")
        tables.append(features)
    dimensions = {name: table.shape[1] for name, table in zip(sets, tables, strict=True)}
    if len(set(dimensions.values())) > 1:
        raise ValueError(f"the sets have different numbers of features ({dimensions}); describe all by the same extractor")
    centre = np.concatenate([table.mean(axis=0, keepdims=True) for table in tables]).mean(axis=0)
    return [table - centre for table in tables]


def _blocks(features: Features) -> Iterator[tuple[slice, Features]]:
    for start in range(0, len(features), BLOCK):
        rows = slice(start, start + BLOCK)
        yield rows, features[rows]


def _squared_distances(rows: Features, columns: Features) -> Float[np.ndarray, "rows columns"]:
    """By products, which is fast; what rounding alone could have made is 0, so that copies of an image are at no distance."""
    lengths = np.vecdot(rows, rows)[:, None] + np.vecdot(columns, columns)
    squared = lengths - 2 * (rows @ columns.T)
    squared[squared < 1e-13 * lengths] = 0.0
    return squared
