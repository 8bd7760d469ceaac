"""`chromogen rank`."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from rich import box
from rich.table import Table
from tyro.conf import Positional, arg

from chromogen.cli.console import FINE, err_console, out_console, progress
from chromogen.evaluate.ranking import rule_named
from chromogen.evaluate.statistics import Comparison
from chromogen.files import written_whole
from chromogen.judge.leaderboard import Leaderboard, leaderboard, read_entries

DASH, INFINITY = "\N{EN DASH}", "\N{INFINITY}"
DIGITS = {"psnr": 3, "ssim": 4}


def rank(
    entries: Positional[tuple[Path, ...]],
    /,
    rule: str = "bci2022-rank",
    output: Annotated[Path | None, arg(name="out", aliases=["-o"])] = None,
    slides: Path | None = None,
    seed: int = 0,
) -> int:
    """Who comes first, how sure that is, and by how much the others differ from the leader.

    Args:
        entries: Folders written by `chromogen evaluate`, or CSV files with a row an entry (columns entry, psnr, ssim).
        rule: bci2022-rank, seed000-score, or a weighted sum of ranks such as psnr=0.4,ssim=0.6,dab_error=-0.2 (a minus: lower
            values win).
        output: A .csv or .md file that receives the table.
        slides: CSV with the columns name and slide: which slide each image is from.
        seed: Of the bootstrap.
    """
    if output is not None and output.suffix not in (".csv", ".md"):
        raise ValueError(f"{output} must end in .csv or .md")
    chosen = rule_named(rule)
    with progress("comparing") as advance:
        board = leaderboard(read_entries(entries, chosen), chosen, slides, seed, advance)
    for title, rows in _tables(board):
        _show(title, rows)
    for note in board.notes:
        err_console.print(note, soft_wrap=True)
    if output is not None:
        with written_whole(output) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
            handle.write(_markdown(board)) if output.suffix == ".md" else csv.writer(handle).writerows(_csv_rows(board))
        err_console.print(f"written: {output}", soft_wrap=True)
    return FINE


def _tables(board: Leaderboard) -> list[tuple[str, list[list[str]]]]:
    """The ranking and the comparisons as text, headings first."""
    columns = [column.name for column in board.rule.columns]
    over = f", {board.images} images" if board.images else ""
    title = f"rule {board.rule.name}, protocol {board.profile or 'not stated'}{over}"
    measured = [heading for name in columns for heading in (name.upper(), "rank")]
    rows = [["place", *(["95 %", "first"] if board.intervals else []), "entry", *measured, "sum"]]
    for place in board.places:
        row = board.entries[place.entry].row
        sure = board.intervals.get(place.entry)
        cells = [(_shown(row[name], DIGITS.get(name, 3)), f"{place.column_ranks[name]:g}") for name in columns]
        rows.append([
            f"{place.rank}{'=' if place.tied_with else ''}",
            *([f"{sure.low}-{sure.high}", f"{100 * sure.first:.0f} %"] if sure else []),
            place.entry,
            *[part for cell in cells for part in cell],
            _shown(place.score, 4),
        ])  # fmt: skip
    tables = [(title, rows)]
    if board.against_leader:
        heading = ["entry", "measure", "difference", "95 %", "p ranks", "p signs", "Holm"]
        lines = [_comparison_row(key, comparison, board.holm) for key, comparison in board.against_leader.items()]
        about = f"each less {board.places[0].entry}: signed-rank and sign-flip test, these corrected for {len(board.holm)}"
        tables.append((about, [heading, *lines]))
    return tables


def _comparison_row(key: tuple[str, str], comparison: Comparison | None, holm: Mapping[tuple[str, str], float]) -> list[str]:
    entry, column = key
    if comparison is None:
        return [entry, column, *[DASH] * 5]
    digits, found = DIGITS.get(column, 3), comparison.difference
    span = f"{_shown(found.low, digits, True)}, {_shown(found.high, digits, True)}"
    p_values = [_p(value) for value in (comparison.wilcoxon_p, comparison.permutation_p, holm[key])]
    return [entry, column, _shown(found.estimate, digits, True), span, *p_values]


def _show(title: str, rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in rows[0]:
        text = heading in ("entry", "measure")  # long names fold; numbers never lose a digit
        table.add_column(heading, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    out_console.print(table)


def _markdown(board: Leaderboard) -> str:
    parts = []
    for title, rows in _tables(board):
        ruled = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in ruled]
        parts.append("\n".join([f"**{title}**", "", *lines]))
    parts += [board.rule.description, *board.notes]
    return "\n\n".join(parts) + "\n"


def _csv_rows(board: Leaderboard) -> list[list[Any]]:
    """One row an entry, every number in full."""
    columns = [column.name for column in board.rule.columns]
    heading = [
        "place",
        "entry",
        "protocol",
        "rule",
        "score",
        "tied_with",
        "failed_images",
        "rank_low",
        "rank_high",
        "share_first",
    ]
    heading += [f"{name}{ending}" for name in columns for ending in ("", "_rank")]
    against = ("difference", "low", "high", "p_signed_rank", "p_sign_flip", "p_holm")
    heading += [f"{name}_{ending}" for name in columns for ending in against]
    rows: list[list[Any]] = [heading]
    for place in board.places:
        entry, sure = board.entries[place.entry], board.intervals.get(place.entry)
        row: list[Any] = [place.rank, place.entry, board.profile, board.rule.name, place.score, " ".join(place.tied_with)]
        row += [len(entry.failed), *([sure.low, sure.high, sure.first] if sure else [""] * 3)]
        for name in columns:
            row += [entry.row[name], place.column_ranks[name]]
        for name in columns:
            found = board.against_leader.get((place.entry, name))
            difference = found.difference if found else None
            row += [difference.estimate, difference.low, difference.high] if difference else [""] * 3
            row += [found.wilcoxon_p, found.permutation_p, board.holm[place.entry, name]] if found else [""] * 3
        rows.append(row)
    return rows


def _shown(value: float, digits: int, signed: bool = False) -> str:
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return INFINITY
    return f"{value:{'+' if signed else ''}.{digits}f}"


def _p(value: float) -> str:
    if math.isnan(value):
        return DASH
    return "<0.001" if value < 0.001 else f"{value:.3f}"
