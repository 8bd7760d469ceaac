"""Checks the numbers that docs/results/README.md quotes against the tables: .venv/bin/python scripts/claims.py

`docs/results/claims.csv` says of each quoted number where it comes from: the phrase as it stands on the page, the
number in square brackets; the table (a CSV file beside the page), its row (the value of its first column) and its
column. `COLUMN*40` is a share as a count; `COLUMN@LEVEL` the mean over the images of a HER2 level in a table of
images. Where no table holds a number the row names the command or the test that prints it. A decimal in the page's
sentences without a row is an error, and so is a row that no sentence has.
"""

import csv
import re
import sys
from pathlib import Path
from statistics import fmean

RESULTS = Path(__file__).parents[1] / "docs" / "results"
NUMBER = re.compile(r"(?<![\w.-])-?\d+\.\d+(?![\w.]*\w)")


def rows(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def value(table: str, row: str, column: str) -> float:
    """The number that a table holds. ValueError where it holds none."""
    column, _, times = column.partition("*")
    column, _, level = column.partition("@")
    found = [one for one in rows(f"{table}.csv") if next(iter(one.values())) == row and (not level or one["level"] == level)]
    if not found or column not in found[0]:
        raise ValueError(f"claims.csv: {table}.csv has no {column} of {row}{f' at level {level}' if level else ''}")
    return fmean(float(one[column]) for one in found) * float(times or 1)


def prose(text: str) -> str:
    """The sentences of a page on one line: no blocks of code, tables, headings or addresses of links."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not line.startswith(("|", "#"))]
    return " ".join(re.sub(r"\]\([^)]*\)", "]", "\n".join(lines)).split())


def faults(page: str, claims: list[dict[str, str]]) -> list[str]:
    """What is wrong with a page and its claims, in sentences; empty where every number is that of its table."""
    text, wrong, sourced = prose(page), [], set()
    for claim in claims:
        before, told, after = re.fullmatch(r"(.*)\[(.*)\](.*)", claim["quoted"]).groups()  # type: ignore[union-attr]
        places = [place.start() for place in re.finditer(re.escape(before + told + after), text)]
        if not places:
            wrong.append(f"no sentence says {before + told + after!r}")
        sourced |= {place + len(before) for place in places}
        decimals = len(told.partition(".")[2])
        if claim["column"]:
            held = f"{value(claim['table'], claim['row'], claim['column']):.{decimals}f}"
            if float(held) != float(told):
                wrong.append(f"{before + told + after!r}: {claim['table']}.csv has {held}")
    code = [place.span() for place in re.finditer(r"`[^`]*`", text)]
    for number in NUMBER.finditer(text):
        quoted = any(begin < number.start() < end for begin, end in code)
        if number.start() not in sourced and not quoted:
            around = text[max(0, number.start() - 50) : number.end() + 20]
            wrong.append(f"claims.csv does not say where {number[0]} is from: ...{around}...")
    return wrong


if __name__ == "__main__":
    found = faults((RESULTS / "README.md").read_text(encoding="utf-8"), rows("claims.csv"))
    sys.stdout.write("\n".join([*found, f"{len(rows('claims.csv'))} numbers looked up, {len(found)} faults"]) + "\n")
    sys.exit(bool(found))
