"""What synthetic images are good for: a reader trained with them, judged on real test images that it has never seen.

The protocol is Table 5 of Qu, "Synthesis of Multimodal Medical Images Based on GAN" (Sun Yat-sen University, 2020): 25 mixtures
of real, synthetic and augmented images, with one budget of training draws for all. It kept the best of four runs; here
every mixture is trained with several seeds and compared, seed by seed, with real images alone (row 1). Real test images
decide, early stopping looks at real validation images only, and no patient is in two splits.

TRTR: trained on real, tested on real. TSTR: trained on synthetic, tested on real. TRTS: trained on real, tested on synthetic
images, by a reader that had no part in making them; it needs no mixture of its own, since row 1 has trained the reader.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64
from scipy import stats

from chromogen.evaluate.statistics import holm

Order = Literal["random", "real first", "synthetic first"]
Protocol = Literal["TRTR", "TSTR", "few-shot", "mixed", "augmented"]
ORIGINS = ("real", "synthetic", "augmented")

DRAWS_A_CASE = 100  # the budget of every row, for each real training case
FEWEST_SEEDS = 3
ALPHA = 0.05


@dataclass(frozen=True)
class Mixture:
    """One row: how many images of each origin, as multiples of the number of real training cases.

    augmented: real images under ordinary augmentation (turns, flips): the control for "more images help".
    """

    row: int
    real: float
    synthetic: float = 0.0
    augmented: float = 0.0
    order: Order = "random"

    @property
    def protocol(self) -> Protocol:
        """few-shot: few real images after many synthetic ones; mixed: the other rows of real and synthetic images."""
        if self.synthetic == 0:
            return "augmented" if self.augmented else "TRTR"
        if self.real == 0:
            return "TSTR"
        return "few-shot" if self.real < 1 and self.order == "synthetic first" else "mixed"

    def counts(self, cases: int) -> tuple[int, int, int]:
        """Images of each of `ORIGINS` when there are `cases` real training cases; a share above 0 is at least one image."""
        real, synthetic, augmented = (
            max(1, round(share * cases)) if share else 0 for share in (self.real, self.synthetic, self.augmented)
        )
        return real, synthetic, augmented

    def __str__(self) -> str:
        shares = zip((self.real, self.synthetic, self.augmented), ORIGINS, strict=True)
        parts = " + ".join(f"{share:g} {origin}" for share, origin in shares if share)
        return parts if self.order == "random" else f"{parts}, {self.order}"


_ADDED = (0.2, 0.5, 0.8, 1.0, 2.0, 3.0)
MIXTURES: tuple[Mixture, ...] = (
    Mixture(1, 1.0),
    Mixture(2, 0.5),
    *(Mixture(2 + k, 0.0, float(k)) for k in (1, 2, 3)),
    *(Mixture(5 + k, 0.1, float(k), order="synthetic first") for k in (1, 2, 3)),
    *(Mixture(row, real, synthetic) for row, real, synthetic in ((9, 0.2, 0.8), (10, 0.5, 0.5), (11, 0.8, 0.2))),
    *(Mixture(row, 1.0, share) for row, share in enumerate(_ADDED, start=12)),
    *(Mixture(row, 1.0, 0.0, share) for row, share in enumerate(_ADDED, start=18)),
    Mixture(24, 1.0, 1.0, order="real first"),
    Mixture(25, 1.0, 1.0, order="synthetic first"),
)


@dataclass(frozen=True)
class Draws:
    """What a reader is shown, draw by draw: `origin` indexes `ORIGINS`, `item` the set of that origin.

    Real items are numbers of training cases. Synthetic items are numbers from 0, augmented ones too: item k is an augmentation
    of training case k modulo the number of cases.
    """

    origin: Int64[np.ndarray, " draws"]
    item: Int64[np.ndarray, " draws"]


@dataclass(frozen=True)
class Outcome:
    """One mixture: its score with each seed (more is better), all of them from the same seeds in the same order."""

    mixture: Mixture
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Summary:
    """One mixture beside row 1. sd: over seeds, with n - 1; NaN for one seed.

    gain: mean difference to row 1 of the same seed. p: two-sided paired t test of it; NaN where there is no spread to test by
    (one seed, equal differences, row 1 itself). p_corrected: by Holm's method over all rows but the first.
    """

    mixture: Mixture
    mean: float
    sd: float
    gain: float
    p: float
    p_corrected: float
    seeds: int


def budget(cases: int) -> int:
    """How many images every row's reader is shown: 100 for each real training case."""
    return DRAWS_A_CASE * cases


def draws(mixture: Mixture, cases: int, count: int, seed: int) -> Draws:
    """The images that one reader is shown, `count` in all.

    random: passes over the union of all images, each pass in a new order, so that every image is as likely at every draw and
    none comes again before all have come. X first: passes over X for its share of the draws (by number of images), then
    passes over the rest. With one seed, the real cases of a smaller share are among those of a larger one, and synthetic and
    augmented images are the first ones of their sets: rows differ by what they add.
    """
    if cases < 1 or count < 1:
        raise ValueError(f"there must be at least one training case and one draw, got {cases} and {count}")
    rng = np.random.default_rng(seed)
    real, synthetic, augmented = mixture.counts(cases)
    sets = [rng.permutation(cases)[:real], np.arange(synthetic), np.arange(augmented)]
    table = np.concatenate([np.stack([np.full(len(items), origin), items]) for origin, items in enumerate(sets)], axis=1)
    if mixture.order == "random":
        shown = _passes(table, count, rng)
    else:
        ahead = table[0] == ORIGINS.index(mixture.order.removesuffix(" first"))
        early = round(count * ahead.sum() / len(ahead))
        shown = np.concatenate([_passes(table[:, ahead], early, rng), _passes(table[:, ~ahead], count - early, rng)], axis=1)
    return Draws(shown[0], shown[1])


def summaries(outcomes: Sequence[Outcome]) -> list[Summary]:
    """Every mixture beside row 1, in the order given. ValueError without a row 1, or when seeds are missing somewhere."""
    first = [outcome for outcome in outcomes if outcome.mixture.row == 1]
    if len(first) != 1:
        raise ValueError(
            f"exactly one outcome must be row 1, real images alone, to which all others are compared; {len(first)} are"
        )
    seeds = len(first[0].scores)
    for outcome in outcomes:
        if len(outcome.scores) != seeds or not seeds:
            raise ValueError(
                f"row {outcome.mixture.row} has {len(outcome.scores)} scores, row 1 has {seeds}: one for each seed"
            )
        if not all(map(math.isfinite, outcome.scores)):
            raise ValueError(f"a score of row {outcome.mixture.row} is not finite; that reader's training has failed")
    others = [outcome for outcome in outcomes if outcome.mixture.row != 1]
    tested = [paired_p(outcome.scores, first[0].scores) for outcome in others]
    p_values = dict(zip((id(outcome) for outcome in others), zip(tested, holm(tested), strict=True), strict=True))
    result = []
    for outcome in outcomes:
        mean, (p, corrected) = float(np.mean(outcome.scores)), p_values.get(id(outcome), (math.nan, math.nan))
        sd = float(np.std(outcome.scores, ddof=1)) if seeds > 1 else math.nan
        gain = mean - float(np.mean(first[0].scores))
        result.append(Summary(outcome.mixture, mean, sd, gain, p, corrected, seeds))
    return result


def paired_p(scores: Sequence[float], reference: Sequence[float]) -> float:
    """Two-sided p of the paired t test over seeds; NaN for fewer than two, or when all differences are the same."""
    differences = np.subtract(scores, reference, dtype=np.float64)
    if len(differences) < 2:
        return math.nan
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    if error <= 1e-12 * max(1.0, float(np.abs(scores).max())):
        return math.nan
    return float(2 * stats.t.sf(abs(float(differences.mean())) / error, len(differences) - 1))


def gap(tstr: float, trtr: float, floor: float) -> float:
    """How much of what real training images teach, synthetic ones teach too: (TSTR - floor) / (TRTR - floor).

    floor: the score of a reader that learned nothing (background everywhere; the commonest class). 1: as much; 0: nothing.
    NaN when real images taught nothing either.
    """
    return (tstr - floor) / (trtr - floor) if trtr > floor else math.nan


def recommendation(rows: Sequence[Summary], score_name: str = "the score", floor: float = -math.inf) -> str:
    """One sentence for the person who has to decide: the mixture to use, or not to use the synthetic images, and why.

    A mixture is recommended when it beats real images alone (Holm-corrected p below 0.05, at least three seeds) and its mean
    is above that of every row of ordinary augmentation that was tried; of several, the one of highest mean. `floor` is the
    score of a reader that learned nothing: a row that is not above it taught nothing, and is neither named nor compared with.
    """
    reference = next((row for row in rows if row.mixture.row == 1), None)
    mixed = [row for row in rows if row.mixture.synthetic > 0]
    if reference is None or not mixed:
        raise ValueError("a recommendation needs row 1, real images alone, and at least one row with synthetic images")
    if reference.seeds < FEWEST_SEEDS:
        return f"Do not decide yet: {_seeds(reference.seeds)} cannot tell gain from chance, train at least {FEWEST_SEEDS}."
    taught = [row for row in mixed if row.mean > floor + 1e-9]
    if not taught:
        return (
            f"Do not use the synthetic images: no reader of them is above one that learned nothing ({score_name} {floor:.3f})."
        )
    advice = _advice(rows, taught, score_name, floor)
    if reference.mean <= floor + 1e-9:
        return f"{advice} Real images alone are not above a reader that learned nothing ({score_name} {floor:.3f})."
    return advice


def _advice(rows: Sequence[Summary], mixed: Sequence[Summary], score_name: str, floor: float) -> str:
    best = max(mixed, key=lambda row: row.mean)
    proven = [row for row in mixed if row.gain > 0 and row.p_corrected < ALPHA]
    if not proven:
        found = _found(best, score_name)
        if best.gain <= 0:
            return f"Do not use the synthetic images: every mixture did worse, at best ({_place(best)}) {found}."
        return f"Do not use the synthetic images: no mixture is surely better, the best ({_place(best)}) has {found}."
    best = max(proven, key=lambda row: row.mean)
    found = _found(best, score_name)
    controls = [row for row in rows if row.mixture.protocol == "augmented"]
    if not controls:
        return f"Use {_place(best)}: {found}; ordinary augmentation was not tried, it may do as well."
    control = max(controls, key=lambda row: row.mean)
    if control.mean <= floor + 1e-9:
        return f"Use {_place(best)}: {found}; ordinary augmentation taught nothing."
    if control.mean >= best.mean:
        return (
            f"Do not use the synthetic images: ordinary augmentation ({_place(control)}) gains {control.gain:+.3f}, "
            f"as much as the best mixture ({_place(best)}), {found}."
        )
    return f"Use {_place(best)}: {found}; ordinary augmentation gains {control.gain:+.3f} at best ({_place(control)})."


def _found(row: Summary, score_name: str) -> str:
    return f"{score_name} {row.gain:+.3f} against real images alone ({_p(row.p_corrected)}, {_seeds(row.seeds)})"


def _passes(table: Int64[np.ndarray, "2 images"], count: int, rng: np.random.Generator) -> Int64[np.ndarray, "2 count"]:
    size = table.shape[1]
    order = [rng.permutation(size) for _ in range(-(-count // size))] if size else []
    return table[:, np.concatenate([np.zeros(0, dtype=np.int64), *order])[:count]]


def _place(row: Summary) -> str:
    return f"row {row.mixture.row}: {row.mixture}"


def _seeds(count: int) -> str:
    return f"{count} seed{'' if count == 1 else 's'}"


def _p(value: float) -> str:
    return "no p value" if math.isnan(value) else f"p = {value:.2g}, corrected"
