import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.evaluate.ranking import (
    RULES,
    Column,
    RankInterval,
    Rule,
    failures_as_zero,
    rank,
    rank_intervals,
    rule_named,
)

# Table II of the challenge's paper: final rank, PSNR in dB and its rank, SSIM and its rank.
TABLE_II = {
    "arpitdec5": (1, 19.736, 2, 0.574, 1),
    "Just4Fun": (2, 22.929, 1, 0.559, 2),
    "lifangda02": (3, 17.927, 5, 0.555, 3),
    "stan9": (4, 17.959, 4, 0.543, 4),
    "guanxianchao": (5, 19.560, 3, 0.497, 5),
    "vivek23": (6, 15.271, 6, 0.493, 6),
}
CHALLENGE = {name: {"psnr": psnr, "ssim": ssim} for name, (_, psnr, _, ssim, _) in TABLE_II.items()}


def rows(**entries: tuple[float, float]) -> dict[str, dict[str, float]]:
    return {name: {"psnr": psnr, "ssim": ssim} for name, (psnr, ssim) in entries.items()}


@pytest.mark.parametrize("order", [list(TABLE_II), list(reversed(TABLE_II)), sorted(TABLE_II)])
def test_the_challenge_rule_gives_the_order_of_the_paper(order: list[str]) -> None:
    places = rank({name: CHALLENGE[name] for name in order}, RULES["bci2022-rank"])
    assert [place.entry for place in places] == list(TABLE_II)
    for place in places:
        final, _, by_psnr, _, by_ssim = TABLE_II[place.entry]
        assert (place.rank, place.column_ranks, place.tied_with) == (final, {"psnr": by_psnr, "ssim": by_ssim}, ())
    assert [place.score for place in places] == pytest.approx([1.4, 1.6, 3.8, 4.0, 4.2, 6.0])


def test_the_score_rule_gives_the_published_score_and_another_winner() -> None:
    published = rank(rows(attention_gan=(22.047, 0.5684)), RULES["seed000-score"])[0]
    assert round(published.score, 4) == 9.1598
    places = rank(CHALLENGE, RULES["seed000-score"])
    assert [place.entry for place in places[:3]] == ["Just4Fun", "arpitdec5", "guanxianchao"]  # the order of PSNR
    assert [place.entry for place in places] == sorted(CHALLENGE, key=lambda name: -CHALLENGE[name]["psnr"])


def test_equal_values_share_the_better_rank_and_equal_sums_the_place() -> None:
    places = rank(rows(a=(20, 0.5), b=(20, 0.4), c=(20, 0.5), d=(19, 0.6)), RULES["bci2022-rank"])
    found = {place.entry: place for place in places}
    assert found["a"].column_ranks == {"psnr": 1, "ssim": 2} and found["b"].column_ranks == {"psnr": 1, "ssim": 4}
    assert [(place.entry, place.rank) for place in places] == [("a", 1), ("c", 1), ("d", 3), ("b", 4)]
    assert found["a"].tied_with == ("c",) and found["c"].tied_with == ("a",) and found["d"].tied_with == ()
    averaged = Rule("averaged", RULES["bci2022-rank"].columns, "rank", "", ties="averaged")
    assert rank(rows(a=(20, 0.5), b=(20, 0.4), c=(19, 0.3)), averaged)[0].column_ranks == {"psnr": 1.5, "ssim": 1}


def test_sums_that_differ_only_in_rounding_are_ties() -> None:
    """Ranks (1, 6) and (4, 4) both give 4.0; in binary fractions 0.4 + 3.6 and 1.6 + 2.4 differ."""
    assert 0.4 * 1 + 0.6 * 6 != 0.4 * 4 + 0.6 * 4
    table = rows(a=(26, 0.1), b=(23, 0.3), c=(25, 0.6), d=(24, 0.5), e=(22, 0.4), f=(21, 0.2))
    found = {place.entry: place for place in rank(table, RULES["bci2022-rank"])}
    assert found["a"].column_ranks == {"psnr": 1, "ssim": 6} and found["b"].column_ranks == {"psnr": 4, "ssim": 4}
    assert found["a"].tied_with == ("b",) and found["a"].rank == found["b"].rank


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(15, 20), st.integers(0, 5)), min_size=1, max_size=9))
def test_ranks_by_counting(values: list[tuple[int, int]]) -> None:
    table = {f"e{k}": {"psnr": psnr, "ssim": ssim / 10} for k, (psnr, ssim) in enumerate(values)}
    places = rank(table, RULES["bci2022-rank"])
    sums = {}
    for name, row in table.items():
        better = [1 + sum(other[key] > row[key] for other in table.values()) for key in ("psnr", "ssim")]
        sums[name] = 4 * better[0] + 6 * better[1]  # ten times, in whole numbers
    for place in places:
        assert place.score == pytest.approx(sums[place.entry] / 10)
        assert place.rank == 1 + sum(value < sums[place.entry] for value in sums.values())
        assert set(place.tied_with) == {n for n, v in sums.items() if v == sums[place.entry]} - {place.entry}
    assert [place.rank for place in places] == sorted(place.rank for place in places)


def test_a_rule_of_ones_own_with_a_direction() -> None:
    rule = rule_named("SSIM=1, dab_error=-2")
    assert rule.columns == (Column("ssim", 1.0), Column("dab_error", 2.0, higher_is_better=False)) and rule.by == "rank"
    table = {"sharp": {"ssim": 0.5, "dab_error": 0.3}, "stained": {"ssim": 0.4, "dab_error": 0.1}}
    places = rank(table, rule)
    assert [(place.entry, place.score) for place in places] == [("stained", 4.0), ("sharp", 5.0)]
    lower = Rule("least error", (Column("dab_error", 1.0, higher_is_better=False),), "value", "")
    assert [(place.entry, place.score) for place in rank(table, lower)] == [("stained", -0.1), ("sharp", -0.3)]


def test_an_infinite_psnr_is_first() -> None:
    places = rank(rows(copy=(math.inf, 1.0), other=(30, 0.9)), RULES["seed000-score"])
    assert places[0].entry == "copy" and places[0].score == math.inf
    tables = {"copy": np.array([[math.inf, 1.0]] + [[20.0, 0.5]] * 9), "other": np.full((10, 2), [25.0, 0.5])}
    found = rank_intervals(tables, Rule("psnr", (Column("psnr", 1.0), Column("ssim", 1e-6)), "rank", ""), draws=4000)
    assert found["copy"].first == pytest.approx(1 - 0.9**10, abs=0.03)  # whenever its one identical image is drawn


def test_rank_intervals_by_drawing_in_a_loop() -> None:
    rng = np.random.default_rng(0)
    tables = {name: rng.normal([20 + shift, 0.5], [1.0, 0.05], (30, 2)) for name, shift in (("a", 0), ("b", 0.2), ("c", -3))}
    rule = RULES["bci2022-rank"]
    found = rank_intervals(tables, rule, draws=3000)
    ranks: dict[str, list[int]] = {name: [] for name in tables}
    for _ in range(1500):
        drawn = rng.integers(30, size=30)
        means = {name: dict(zip(("psnr", "ssim"), table[drawn].mean(axis=0), strict=True)) for name, table in tables.items()}
        for place in rank(means, rule):
            ranks[place.entry].append(place.rank)
    for name, one in found.items():
        assert one.first == pytest.approx(np.mean(np.array(ranks[name]) == 1), abs=0.05)
        assert (one.low, one.high) == tuple(np.quantile(ranks[name], [0.025, 0.975]).round())


def test_rank_intervals_of_clear_and_of_equal_entries() -> None:
    better = np.random.default_rng(0).normal([25, 0.6], [1, 0.01], (40, 2))
    tables = {"worse": better - [3, 0.1], "best": better, "same": better.copy()}
    found = rank_intervals(tables, RULES["bci2022-rank"])
    assert found["best"] == found["same"] == RankInterval(1, 1, 1.0)  # ties for the first place are first
    assert found["worse"] == RankInterval(3, 3, 0.0)
    assert rank_intervals(tables, RULES["bci2022-rank"], groups=np.arange(40) // 5) == found


def test_slides_make_ranks_less_sure() -> None:
    slides = np.repeat(np.arange(6), 30)
    leads = np.array([3.0, 3, 3, -2, -2, -2])[slides]
    tables = {"a": np.stack([20 + leads, 0.5 + 0.1 * leads], axis=1), "b": np.full((180, 2), [20.0, 0.5])}
    assert rank_intervals(tables, RULES["bci2022-rank"])["a"] == RankInterval(1, 1, pytest.approx(1.0, abs=0.02))
    assert rank_intervals(tables, RULES["bci2022-rank"], slides)["a"] == RankInterval(1, 2, pytest.approx(0.6563, abs=0.02))


def test_failed_images_count_as_zero_in_psnr_and_ssim_only() -> None:
    values, failed = [20.0, math.nan, 30.0], [False, True, False]
    assert failures_as_zero("psnr", values, failed).tolist() == [20.0, 0.0, 30.0]
    assert failures_as_zero("ssim", values, failed)[1] == 0.0
    assert failures_as_zero("sharpness", [1.0], [False]).tolist() == [1.0]
    with pytest.raises(ValueError, match="1 images failed, and nothing says what sharpness they get"):
        failures_as_zero("sharpness", values, failed)
    with pytest.raises(ValueError, match="1 images have no ssim"):
        failures_as_zero("ssim", values, [False] * 3)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bci2023-rank", "did you mean 'bci2022-rank'"),
        ("psnr=0", "not COLUMN=WEIGHT"),
        ("psnr=much", "not COLUMN=WEIGHT"),
        ("psnr=0.4,ssim", "'ssim' is not COLUMN=WEIGHT"),
        ("psnr=nan", "not COLUMN=WEIGHT"),
        ("=1", "not COLUMN=WEIGHT"),
        ("psnr=1,PSNR=2", "each column once"),
    ],
)
def test_wrong_rules_are_named(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        rule_named(text)


def test_wrong_tables_are_named() -> None:
    rule = RULES["bci2022-rank"]
    for call, sentence in [
        (lambda: rank({}, rule), "nothing to rank"),
        (lambda: rank({"a": {"psnr": 1.0, "sim": 0.4}}, rule), "a: there is no ssim to rank by; did you mean 'sim'"),
        (lambda: rank(rows(a=(1.0, math.nan)), rule), "a: there is no ssim"),
        (lambda: rank_intervals({"a": np.zeros((3, 2)), "b": np.zeros((4, 2))}, rule), "over the same images"),
        (lambda: rank_intervals({"a": np.zeros((3, 1))}, rule), "2 columns"),
        (lambda: rank_intervals({}, rule), "2 columns"),
        (lambda: rank_intervals({"a": np.full((3, 2), np.nan)}, rule), "a has images without a value"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            call()
