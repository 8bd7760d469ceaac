"""Entries ranked: evaluations of one protocol over one set of images, or a table of means, with what is sure about it."""

import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chromogen.data.names import comparable
from chromogen.evaluate import ranking, statistics
from chromogen.evaluate.ranking import Place, RankInterval, Rule
from chromogen.evaluate.statistics import Comparison
from chromogen.tables import pointed, read_table

NAME_HEADINGS = ("entry", "name", "team", "system")
TEXTS = {*NAME_HEADINGS, "slide", "profile", "status", "reason"}
SAME_TARGET = ("dab_target", "blurred_target_psnr")  # measured on the real image alone, so equal for every entry
DEPENDENCE = "images count as independent here; patches of one slide are not: name the slides with --slides"
Progress = Callable[[int, int, str], None]  # (comparisons done, comparisons expected, entry)


@dataclass(frozen=True)
class Entry:
    """One thing to rank: its row of means, and the rows of its images where they are known (by name, failures included)."""

    name: str
    profile: str  # empty: not stated
    row: Mapping[str, float]
    images: Mapping[str, Mapping[str, str]] | None = None

    @property
    def failed(self) -> list[str]:
        return [name for name, image in (self.images or {}).items() if image["status"] != "ok"]


@dataclass(frozen=True)
class Leaderboard:
    """A ranking with what is known of its certainty; `intervals` and `against_leader` are empty without per-image values.

    against_leader: by entry and column; None where a value is infinite. holm: the permutation p values of all of these,
    corrected for their number.
    """

    rule: Rule
    profile: str
    images: int
    entries: dict[str, Entry]
    places: list[Place]
    intervals: dict[str, RankInterval]
    against_leader: dict[tuple[str, str], Comparison | None]
    holm: dict[tuple[str, str], float]
    notes: tuple[str, ...]


def leaderboard(
    entries: Sequence[Entry], rule: Rule, slides: Path | None = None, seed: int = 0, progress: Progress | None = None
) -> Leaderboard:
    """Rank entries of one protocol over one set of images; anything else is a ValueError that says what differs."""
    profile = _one_protocol(entries)
    by_name = {entry.name: entry for entry in entries}
    places = ranking.rank({entry.name: entry.row for entry in entries}, rule)
    notes = [
        f"{entry.name}: {len(entry.failed)} of {len(entry.images or {})} images failed and count as 0"
        for entry in entries
        if entry.failed
    ]
    names = _one_set(entries)
    if names is None:
        notes.append("tables of means hold no images, so there are no intervals and no tests")
        return Leaderboard(rule, profile, 0, by_name, places, {}, {}, {}, tuple(notes))
    groups = None if slides is None else _slides(slides, names)
    notes += [DEPENDENCE] if groups is None else []
    tables = {
        entry.name: np.stack([_column(entry, column.name, names) for column in rule.columns], axis=1) for entry in entries
    }
    intervals = ranking.rank_intervals(tables, rule, groups, seed=seed)
    found = _against(places[0].entry, [place.entry for place in places[1:]], tables, rule, groups, seed, progress)
    known = [key for key, comparison in found.items() if comparison is not None]
    corrected = statistics.holm([comparison.permutation_p for comparison in found.values() if comparison is not None])
    notes += dict.fromkeys(comparison.difference.note for comparison in found.values() if comparison)
    if len(known) < len(found):
        notes.append("an infinite PSNR (an image identical to its target) has no mean difference, so those tests are missing")
    shown = tuple(note for note in notes if note)
    return Leaderboard(
        rule, profile, len(names), by_name, places, intervals, found, dict(zip(known, corrected, strict=True)), shown
    )


def read_entries(paths: Sequence[Path], rule: Rule) -> list[Entry]:
    """The entries of evaluation folders and of CSV tables, in the order named."""
    if not paths:
        raise ValueError("name the entries: chromogen rank EVALUATION EVALUATION..., or chromogen rank TABLE.csv")
    names = _folder_names([path for path in paths if path.is_dir()])
    entries: list[Entry] = []
    for path in paths:
        entries += [_from_folder(path, names[path], rule)] if path.is_dir() else _from_table(path)
    twice = sorted({entry.name for entry in entries if sum(other.name == entry.name for other in entries) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is there more than once; name every entry once")
    return entries


def _from_folder(folder: Path, name: str, rule: Rule) -> Entry:
    table = folder / "per_image.csv"
    for file in (folder / "metrics.json", table):
        if not file.is_file():
            raise ValueError(f"{folder} holds no {file.name}; name a folder that `chromogen evaluate` wrote")
    rows = _records(table)
    if not rows or not {"name", "status"} <= rows[0].keys():
        raise ValueError(f"{table} needs a row an image and the columns name and status; run `chromogen evaluate` again")
    images = {row["name"]: row for row in rows}
    bare = Entry(name, _protocol(folder / "metrics.json"), {}, images)
    means = {column.name: float(_column(bare, column.name, list(images)).mean()) for column in rule.columns}
    return Entry(name, bare.profile, means, images)


def _protocol(file: Path) -> str:
    try:
        metrics = json.loads(file.read_text(encoding="utf-8"))
        return str(metrics.get("profile_id") or metrics["profile"])
    except (ValueError, KeyError, AttributeError):
        raise ValueError(f"{file} names no scoring profile; run `chromogen evaluate` again") from None


def _from_table(path: Path) -> list[Entry]:
    """One entry a row; every other column that holds numbers is a measure."""
    rows = _records(path)
    heading = next((name for name in NAME_HEADINGS if rows and name in rows[0]), None)
    if heading is None or "target_file" in rows[0]:
        raise ValueError(
            f"{path} is no table of entries: it needs a row an entry and the columns entry, psnr, ssim "
            "(for an evaluation name its folder instead)"
        )
    entries = []
    for row in rows:
        numbers = {name: _number(text) for name, text in row.items() if name != heading}
        known = {name: value for name, value in numbers.items() if not math.isnan(value)}
        entries.append(Entry(row[heading], row.get("profile", ""), known))
    return entries


def _column(entry: Entry, column: str, names: Sequence[str]) -> np.ndarray:
    """One measure of the named images, failures as zero."""
    images = entry.images or {}
    first = next(iter(images.values()))
    if column not in first:
        numeric = [name for name, text in first.items() if not math.isnan(_number(text))]
        raise ValueError(f"{entry.name}: {ranking.missing_column(column, numeric)}")
    values = [_number(images[name][column]) for name in names]
    try:
        return ranking.failures_as_zero(column, values, [images[name]["status"] != "ok" for name in names])
    except ValueError as error:
        raise ValueError(f"{entry.name}: {error}") from None


def _one_protocol(entries: Sequence[Entry]) -> str:
    by_profile: dict[str, list[str]] = {}
    for entry in entries:
        by_profile.setdefault(entry.profile, []).append(entry.name)
    if len(by_profile) > 1:
        parts = [f"{', '.join(names)} by {profile or 'a protocol not stated'}" for profile, names in by_profile.items()]
        raise ValueError(f"these were scored by different protocols and cannot be ranked together: {'; '.join(parts)}")
    return next(iter(by_profile))


def _one_set(entries: Sequence[Entry]) -> list[str] | None:
    """The names of the images that every entry was scored on, or None where none is known."""
    with_images = [entry for entry in entries if entry.images is not None]
    if not with_images:
        return None
    if len(with_images) < len(entries):
        unknown = [entry.name for entry in entries if entry.images is None]
        raise ValueError(f"nothing says on which images {', '.join(unknown)} was scored; rank folders and tables separately")
    first = with_images[0]
    mine = first.images or {}
    for other in with_images[1:]:
        theirs = other.images or {}
        for one, missing in ((other, sorted(mine.keys() - theirs)), (first, sorted(theirs.keys() - mine))):
            if missing:
                more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
                raise ValueError(
                    f"{first.name} and {other.name} were scored on different images: {one.name} lacks "
                    f"{', '.join(missing[:3])}{more}; score both against the same target folder"
                )
        for name in mine:
            pairs = [(_number(mine[name].get(key, "")), _number(theirs[name].get(key, ""))) for key in SAME_TARGET]
            if any(abs(a - b) > 1e-6 for a, b in pairs if math.isfinite(a) and math.isfinite(b)):
                raise ValueError(f"the real image {name} is not the same for {first.name} and {other.name}")
    return list(mine)


def _slides(path: Path, names: Sequence[str]) -> list[str]:
    rows = _records(path)
    if not rows or not {"name", "slide"} <= rows[0].keys():
        raise ValueError(f"{path} needs the columns name and slide")
    slide = {comparable(row["name"]): row["slide"] for row in rows}
    missing = [name for name in names if not slide.get(comparable(name))]
    if missing:
        raise ValueError(f"{path} names no slide for {len(missing)} images, {missing[0]} among them")
    return [slide[comparable(name)] for name in names]


def _records(path: Path) -> list[dict[str, str]]:
    """Rows by heading in small letters, numbers with a decimal point."""
    table = read_table(path)
    rows = table.records(casefold=True)
    for number, row in zip(table.numbers, rows, strict=True):
        for heading in row.keys() - TEXTS:
            if re.fullmatch(r"[+-]?[\d.]*,[\d.,]*(e[+-]?\d+)?", row[heading], re.IGNORECASE):
                try:
                    row[heading] = pointed(row[heading], table.comma)
                except ValueError as error:
                    raise ValueError(f"{path}, line {number}, {heading}: {error}") from None
    return rows


def _against(
    leader: str,
    others: Sequence[str],
    tables: Mapping[str, np.ndarray],
    rule: Rule,
    groups: list[str] | None,
    seed: int,
    progress: Progress | None,
) -> dict[tuple[str, str], Comparison | None]:
    """Each entry less the leader, in each column."""
    found: dict[tuple[str, str], Comparison | None] = {}
    workers = min(4, os.cpu_count() or 1)
    keys = [(entry, column) for entry in others for column in range(len(rule.columns))]
    for done, (entry, column) in enumerate(keys, start=1):
        mine, best = tables[entry][:, column], tables[leader][:, column]
        finite = bool(np.isfinite(mine).all() and np.isfinite(best).all())
        comparison = statistics.compare(mine, best, groups=groups, seed=seed, workers=workers) if finite else None
        found[entry, rule.columns[column].name] = comparison
        if progress:
            progress(done, len(keys), entry)
    return found


def _folder_names(folders: Sequence[Path]) -> dict[Path, str]:
    """The last part of each path, or as much of its end as tells the folders apart."""
    parts = {folder: folder.resolve().parts for folder in folders}
    for length in range(1, max((len(part) for part in parts.values()), default=0) + 1):
        names = {folder: "/".join(part[-length:]) for folder, part in parts.items()}
        if len(set(names.values())) == len(names):
            return names
    return {folder: str(folder) for folder in folders}


def _number(text: str) -> float:
    """A cell as a number; NaN where it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
