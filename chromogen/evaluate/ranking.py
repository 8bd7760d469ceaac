"""Who comes first: entries ranked by a named rule, with ties stated and, where images are known, an interval of each rank.

An image without a prediction counts as 0 dB and SSIM 0 (`failures_as_zero`), so that leaving out hard images never pays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from chromogen.config import nearest
from chromogen.evaluate.statistics import CONFIDENCE, DRAWS, Groups, blocks, numbered

Table = Float[np.ndarray, "images columns"]
DIGITS = 9  # what is equal to this many decimals is a tie: 0.4 x 1 + 0.6 x 6 and 0.4 x 4 + 0.6 x 4 differ to a computer
AS_ZERO = ("psnr", "ssim")


@dataclass(frozen=True)
class Column:
    """One measure of a rule. Its weight is positive; lower values win where `higher_is_better` is False."""

    name: str
    weight: float
    higher_is_better: bool = True


@dataclass(frozen=True)
class Rule:
    """How a table becomes a ranking.

    by: `rank` sums weight x rank in each column, the smallest sum wins; `value` sums weight x value, the largest wins.
    ties: equal values in a column share the best rank (1, 2, 2, 4) or the average of theirs (1, 2.5, 2.5, 4).
    """

    name: str
    columns: tuple[Column, ...]
    by: Literal["rank", "value"]
    description: str
    ties: Literal["shared", "averaged"] = "shared"


RULES = {
    rule.name: rule
    for rule in (
        Rule(
            "bci2022-rank",
            (Column("psnr", 0.4), Column("ssim", 0.6)),
            "rank",
            "0.4 x rank of PSNR + 0.6 x rank of SSIM, the smallest wins (BCI challenge 2022, equation 4). "
            "The paper does not say what equal values get; here they share the better rank.",
        ),
        Rule(
            "seed000-score",
            (Column("psnr", 0.4), Column("ssim", 0.6)),
            "value",
            "0.4 x PSNR in dB + 0.6 x SSIM, the largest wins. A whole SSIM is worth 1.5 dB, so PSNR decides nearly alone.",
        ),
    )
}


@dataclass(frozen=True)
class Place:
    """Where one entry stands. `score` is the rule's sum, `column_ranks` the rank in each of its columns (1 is best).

    tied_with: entries with the same score; they share the rank, and the next one is further down by their number.
    """

    entry: str
    rank: int
    score: float
    column_ranks: dict[str, float]
    tied_with: tuple[str, ...] = ()


@dataclass(frozen=True)
class RankInterval:
    """Where an entry would stand on other images like these: whole ranks, and the share of draws in which it is first.

    `low` is the better end. Ties for the first place count as first.
    """

    low: int
    high: int
    first: float


def rule_named(text: str) -> Rule:
    """A rule by name, or a weighted sum of ranks as `psnr=0.4,ssim=0.6,dab_error=-0.2`; a minus: lower values win.

    ValueError for an unknown name, a weight that is 0 or no number, and a column named twice.
    """
    if text in RULES:
        return RULES[text]
    if "=" not in text:
        raise ValueError(f"no rule is called {text!r}; {nearest(text, RULES)}; or write one as psnr=0.4,ssim=0.6")
    columns = []
    for part in text.lower().split(","):  # headings are read in lower case too
        name, _, weight = (piece.strip() for piece in part.partition("="))
        try:
            value = float(weight)
        except ValueError:
            value = 0.0
        if not name or not np.isfinite(value) or value == 0:
            raise ValueError(f"{part.strip()!r} is not COLUMN=WEIGHT with a weight other than 0; write psnr=0.4,ssim=0.6")
        columns.append(Column(name, abs(value), value > 0))
    if len({column.name for column in columns}) < len(columns):
        raise ValueError(f"a rule names each column once, got {text!r}")
    return Rule(text, tuple(columns), "rank", "Weighted sum of ranks, the smallest wins; a minus: lower values win.")


def rank(rows: Mapping[str, Mapping[str, float]], rule: Rule) -> list[Place]:
    """Rank entries by their columns, best first; entries that tie keep the order of `rows`.

    ValueError when there is no entry, or one lacks a column (or its value is NaN).
    """
    if not rows:
        raise ValueError("there is nothing to rank")
    values = np.array([[_value(entry, row, column) for column in rule.columns] for entry, row in rows.items()])
    ranks, scores, final = (found[0] for found in _ranked(values[None], rule))
    names = list(rows)
    places = []
    for k, entry in enumerate(names):
        tied = tuple(other for j, other in enumerate(names) if j != k and final[j] == final[k])
        by_column = {column.name: float(ranks[k, c]) for c, column in enumerate(rule.columns)}
        places.append(Place(entry, int(final[k]), float(scores[k]), by_column, tied))
    return sorted(places, key=lambda place: place.rank)


def rank_intervals(
    tables: Mapping[str, Table],
    rule: Rule,
    groups: Groups = None,
    confidence: float = CONFIDENCE,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, RankInterval]:
    """Bootstrap intervals of the rank: images (or whole groups) are drawn, the same for all entries, and ranked again.

    tables: for each entry the values of the same images in the same order, one column for each of `rule.columns`. An infinite
    PSNR makes every mean it enters infinite. ValueError for tables of different shapes or with NaN.
    """
    _check_tables(tables, rule)
    stacked = np.stack([np.asarray(table, dtype=np.float64) for table in tables.values()], axis=1)  # image, entry, column
    numbers = numbered(groups, len(stacked))
    found = [_ranked(_means(block.counts(), stacked), rule)[2] for block in blocks(numbers, draws, seed)]
    final = np.concatenate(found)  # draw, entry
    low = np.quantile(final, (1 - confidence) / 2, axis=0, method="lower")
    high = np.quantile(final, (1 + confidence) / 2, axis=0, method="higher")
    first = (final == 1).mean(axis=0)
    return {entry: RankInterval(int(low[k]), int(high[k]), float(first[k])) for k, entry in enumerate(tables)}


def failures_as_zero(column: str, values: Sequence[float], failed: Sequence[bool]) -> Float[np.ndarray, " images"]:
    """The values of one column with 0 for every failed image, which only PSNR and SSIM allow.

    ValueError for a failed image in another column, where 0 may be the best value there is, and for any other NaN.
    """
    array = np.array(values, dtype=np.float64)
    lost = np.asarray(failed, dtype=bool)
    if lost.any() and column not in AS_ZERO:
        raise ValueError(f"{int(lost.sum())} images failed, and nothing says what {column} they get; rank by PSNR and SSIM")
    array[lost] = 0.0
    if np.isnan(array).any():
        raise ValueError(f"{int(np.isnan(array).sum())} images have no {column}; it cannot be averaged over all images")
    return array


def missing_column(name: str, columns: Iterable[str]) -> str:
    """What to say where an entry lacks a column of the rule."""
    return f"there is no {name} to rank by; {nearest(name, columns)}"


def _value(entry: str, row: Mapping[str, float], column: Column) -> float:
    value = row.get(column.name)
    if value is None or np.isnan(value):
        raise ValueError(f"{entry}: {missing_column(column.name, row)}")
    return float(value)


def _ranked(values: Float[np.ndarray, "draws entries columns"], rule: Rule) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks in each column, the rule's sums, and the final ranks (ties shared) of every draw."""
    weights = np.array([column.weight for column in rule.columns])
    signs = np.array([1.0 if column.higher_is_better else -1.0 for column in rule.columns])
    method = "min" if rule.ties == "shared" else "average"
    values = np.round(values, DIGITS)
    ranks = stats.rankdata(-signs * values, method=method, axis=1)
    scores = np.round(ranks @ weights if rule.by == "rank" else values @ (weights * signs), DIGITS)
    final = stats.rankdata(scores if rule.by == "rank" else -scores, method="min", axis=1)
    return ranks, scores, final


def _means(
    counts: np.ndarray, stacked: Float[np.ndarray, "images entries columns"]
) -> Float[np.ndarray, "draws entries columns"]:
    infinite: Bool[np.ndarray, "images entries columns"] = np.isinf(stacked)
    flat = np.where(infinite, 0.0, stacked).reshape(len(stacked), -1)
    means = counts @ flat / counts.sum(axis=1, keepdims=True)
    if infinite.any():  # 0 x infinity would be NaN for every draw without that image
        means[counts @ infinite.reshape(len(stacked), -1) > 0] = np.inf
    return means.reshape(len(counts), *stacked.shape[1:])


def _check_tables(tables: Mapping[str, Table], rule: Rule) -> None:
    shapes = {entry: np.shape(table) for entry, table in tables.items()}
    wrong = [entry for entry, shape in shapes.items() if len(shape) != 2 or shape != next(iter(shapes.values()))]
    if not tables or wrong or next(iter(shapes.values()))[1] != len(rule.columns):
        raise ValueError(f"each entry needs (images, {len(rule.columns)} columns) over the same images, got {shapes}")
    for entry, table in tables.items():
        if np.isnan(table).any():
            raise ValueError(f"{entry} has images without a value; see failures_as_zero")
