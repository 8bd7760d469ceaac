import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from chromogen.evaluate.reading.usefulness import (
    MIXTURES,
    Draws,
    Mixture,
    Outcome,
    budget,
    draws,
    gap,
    paired_p,
    recommendation,
    summaries,
)

# Table 5 once more, row by row: real, synthetic, augmented, order
TABLE_5 = """
1 1 0 0 random|2 .5 0 0 random|3 0 1 0 random|4 0 2 0 random|5 0 3 0 random|6 .1 1 0 synthetic first|7 .1 2 0 synthetic first
8 .1 3 0 synthetic first|9 .2 .8 0 random|10 .5 .5 0 random|11 .8 .2 0 random|12 1 .2 0 random|13 1 .5 0 random
14 1 .8 0 random|15 1 1 0 random|16 1 2 0 random|17 1 3 0 random|18 1 0 .2 random|19 1 0 .5 random|20 1 0 .8 random
21 1 0 1 random|22 1 0 2 random|23 1 0 3 random|24 1 1 0 real first|25 1 1 0 synthetic first
"""


def row(number: int) -> Mixture:
    return MIXTURES[number - 1]


def test_the_rows_are_those_of_the_table() -> None:
    expected = []
    for line in TABLE_5.strip().replace("\n", "|").split("|"):
        number, real, synthetic, augmented, order = line.split(" ", 4)
        expected.append(Mixture(int(number), float(real), float(synthetic), float(augmented), order))  # type: ignore[arg-type]
    assert expected == list(MIXTURES) and len(MIXTURES) == 25


def test_protocols_and_words() -> None:
    names = [mixture.protocol for mixture in MIXTURES]
    assert names == [*["TRTR"] * 2, *["TSTR"] * 3, *["few-shot"] * 3, *["mixed"] * 9, *["augmented"] * 6, *["mixed"] * 2]
    assert str(row(7)) == "0.1 real + 2 synthetic, synthetic first" and str(row(19)) == "1 real + 0.5 augmented"


def test_counts_are_rounded_and_never_nothing() -> None:
    assert row(13).counts(10) == (10, 5, 0)
    assert row(8).counts(4) == (1, 12, 0)
    assert row(22).counts(7) == (7, 0, 14)
    assert budget(247) == 24_700


def pairs(shown: Draws) -> list[tuple[int, int]]:
    return list(zip(shown.origin.tolist(), shown.item.tolist(), strict=True))


def test_real_images_alone_by_hand() -> None:
    shown = draws(row(1), 4, 10, seed=0)
    assert not shown.origin.any()
    items = shown.item.tolist()
    assert sorted(items[:4]) == sorted(items[4:8]) == [0, 1, 2, 3] and len(set(items[8:])) == 2


def test_a_union_is_shown_evenly_by_hand() -> None:
    shown = pairs(draws(row(13), 4, 12, seed=1))  # 4 real, 2 synthetic
    union = {(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)}
    assert set(shown[:6]) == set(shown[6:]) == union and shown[:6] != shown[6:]


def test_first_means_for_its_share_of_the_draws_by_hand() -> None:
    shown = draws(row(24), 3, 12, seed=0)  # real first, as many synthetic
    assert shown.origin.tolist() == [0] * 6 + [1] * 6
    shown = draws(row(25), 3, 12, seed=0)
    assert shown.origin.tolist() == [1] * 6 + [0] * 6 and sorted(shown.item.tolist()) == sorted([0, 1, 2] * 4)
    shown = draws(row(7), 10, 42, seed=0)  # 20 synthetic for 20/21 of 42 draws, then 1 real
    assert shown.origin.tolist() == [1] * 40 + [0] * 2 and len(set(shown.item[40:].tolist())) == 1


@given(st.sampled_from(MIXTURES), st.integers(1, 30), st.integers(1, 200), st.integers(0, 5))
def test_draws_stay_inside_their_sets(mixture: Mixture, cases: int, count: int, seed: int) -> None:
    shown = draws(mixture, cases, count, seed)
    assert len(shown.origin) == len(shown.item) == count
    sizes = mixture.counts(cases)
    for origin, size in enumerate(sizes):
        items = shown.item[shown.origin == origin]
        assert len(set(items.tolist())) <= size
        if len(items):
            assert items.min() >= 0 and items.max() < (cases if origin == 0 else size)
    if mixture.order == "random":
        times = list({pair: pairs(shown).count(pair) for pair in pairs(shown)}.values())
        assert max(times) - min(times) <= 1
    assert pairs(shown) == pairs(draws(mixture, cases, count, seed))


def test_a_smaller_share_is_part_of_a_larger_one() -> None:
    few, more = (set(draws(row(k), 20, 500, seed=3).item[draws(row(k), 20, 500, seed=3).origin == 0].tolist()) for k in (9, 10))
    assert len(few) == 4 and len(more) == 10 and few < more
    assert few != set(draws(row(9), 20, 500, seed=4).item[draws(row(9), 20, 500, seed=4).origin == 0].tolist())


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=6), st.integers(0, 99))
def test_p_equals_scipy(scores: list[float], seed: int) -> None:
    reference = np.random.default_rng(seed).random(len(scores))
    assert paired_p(scores, reference) == pytest.approx(stats.ttest_rel(scores, reference).pvalue, rel=1e-6)


def outcomes(**scores: tuple[float, ...]) -> list[Outcome]:
    return [Outcome(row(int(name[1:])), values) for name, values in scores.items()]


def test_summaries_by_hand() -> None:
    found = summaries(outcomes(r1=(0.80, 0.82, 0.84), r13=(0.85, 0.86, 0.90), r3=(0.6, 0.7, 0.65)))
    first, mixed, synthetic = found
    assert math.isnan(first.p) and math.isnan(first.p_corrected) and first.gain == 0 and first.sd == pytest.approx(0.02)
    assert mixed.mean == pytest.approx(0.87) and mixed.gain == pytest.approx(0.05) and mixed.seeds == 3
    assert mixed.p == pytest.approx(stats.ttest_rel((0.85, 0.86, 0.90), (0.80, 0.82, 0.84)).pvalue)
    assert mixed.p_corrected == pytest.approx(2 * min(mixed.p, synthetic.p))
    assert synthetic.gain == pytest.approx(-0.17)


def test_no_spread_no_test() -> None:
    assert math.isnan(paired_p([0.8], [0.7])) and math.isnan(paired_p([0.8, 0.9], [0.7, 0.8]))
    assert math.isnan(summaries(outcomes(r1=(0.8,), r3=(0.7,)))[1].sd)


def test_gap_by_hand() -> None:
    assert gap(0.7, 0.9, 0.5) == pytest.approx(0.5)
    assert gap(0.9, 0.9, 0.1) == 1 and math.isnan(gap(0.5, 0.5, 0.5))


BASE = (0.80, 0.82, 0.81, 0.79)


def plus(gain: float, wobble: float = 0.001) -> tuple[float, ...]:
    return tuple(value + gain + sign * wobble for value, sign in zip(BASE, (1, -1, 2, -2), strict=True))


@pytest.mark.parametrize(
    ("scores", "sentence"),
    [
        (
            {"r13": plus(0.03), "r3": plus(-0.2)},
            r"^Use row 13: 1 real \+ 0.5 synthetic: Dice \+0.030 .*p = .*4 seeds.*not tried",
        ),
        ({"r13": plus(0.03), "r19": plus(0.01)}, r"^Use row 13.*ordinary augmentation gains \+0.010 at best \(row 19"),
        ({"r13": plus(0.03), "r19": plus(0.04)}, r"^Do not use .*ordinary augmentation \(row 19.*gains \+0.040"),
        ({"r13": plus(-0.01), "r3": plus(-0.2)}, r"^Do not use .*every mixture did worse, at best \(row 13.*-0.010"),
        ({"r13": plus(0.005, 0.05)}, r"^Do not use .*no mixture is surely better, the best \(row 13.*\+0.005"),
        ({"r13": plus(0.2, 0.3), "r15": plus(0.03)}, r"^Use row 15"),  # the proven one, not the highest
    ],
)
def test_the_recommendation_follows_the_evidence(scores: dict[str, tuple[float, ...]], sentence: str) -> None:
    text = recommendation(summaries(outcomes(r1=BASE, **scores)), "Dice")
    assert __import__("re").search(sentence, text), text
    assert text.endswith(".") and text.count("\n") == 0


@pytest.mark.parametrize(
    ("scores", "floor", "sentence"),
    [
        ({"r13": plus(0.03), "r15": plus(-0.3)}, 0.99, r"^Do not use .*no reader of them is above one that learned nothing"),
        ({"r13": plus(-0.01), "r3": plus(-0.2)}, 0.6, r"^Do not use .*at best \(row 13"),
        ({"r13": plus(0.03), "r19": plus(-0.4)}, 0.6, r"^Use row 13.*; ordinary augmentation taught nothing\.$"),
        ({"r13": plus(0.03)}, 0.81, r"^Use row 13.* Real images alone are not above a reader that learned nothing"),
    ],
)
def test_a_row_that_taught_nothing_is_never_named(scores: dict[str, tuple[float, ...]], floor: float, sentence: str) -> None:
    rows = summaries(outcomes(r1=BASE, **scores))
    text = recommendation(rows, "Dice", floor)
    assert __import__("re").search(sentence, text), text
    for one in rows:
        assert one.mean > floor or f"row {one.mixture.row}:" not in text


def test_two_seeds_decide_nothing() -> None:
    text = recommendation(summaries(outcomes(r1=(0.8, 0.81), r13=(0.9, 0.92))))
    assert text == "Do not decide yet: 2 seeds cannot tell gain from chance, train at least 3."


def test_incomplete_outcomes_are_refused() -> None:
    with pytest.raises(ValueError, match="exactly one outcome must be row 1"):
        summaries(outcomes(r3=(0.8, 0.9)))
    with pytest.raises(ValueError, match="row 3 has 2 scores, row 1 has 3"):
        summaries(outcomes(r1=(0.8, 0.9, 0.7), r3=(0.8, 0.9)))
    with pytest.raises(ValueError, match="row 3 is not finite"):
        summaries(outcomes(r1=(0.8, 0.9), r3=(0.8, math.nan)))
    with pytest.raises(ValueError, match="at least one row with synthetic"):
        recommendation(summaries(outcomes(r1=(0.8, 0.9), r18=(0.8, 0.85))))
    with pytest.raises(ValueError, match="at least one training case"):
        draws(row(1), 0, 5, 0)
