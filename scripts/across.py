"""Prints systems of synthesis against data sets: .venv/bin/python scripts/across.py docs/results/synthesis-*.csv

A row a system, a column a data set, for each of the measures of Tables 2 and 3 of Qu (2020) as they are called here. Chains are
one system, whatever their folder is called, and so are ablations of one letter. A dash: it did not take part.
"""

import csv
import sys
from fnmatch import fnmatch
from pathlib import Path

MEASURES = {  # column of table.csv -> what it is called; "*" stands for the number of scales
    "kid[efficientnet-lite0]": "KID [efficientnet-lite0]",
    "fid[efficientnet-lite0]": "FID [efficientnet-lite0]",
    "ms-ssim-*[fake-fake]": "MS-SSIM made-made",
    "ms-ssim-*[real-fake]": "MS-SSIM real-made",
}


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return {name_of(row["system"], path.stem): row for row in csv.DictReader(handle)}


def name_of(system: str, data: str) -> str:
    kind, _, name = system.partition(":")
    if kind != "chain":
        return system
    return "chain" if name == data.removeprefix("synthesis-") else f"chain, ablation {name}"


def value(row: dict[str, str], measure: str) -> str:
    found = next((row[column] for column in row if fnmatch(column, measure.replace("[", "[[]", 1))), "")
    return f"{float(found):.3f}" if found not in ("", "nan") else "\N{EN DASH}"


def table(paths: list[Path]) -> str:
    tables = {path.stem.removeprefix("synthesis-"): rows_of(path) for path in paths}
    systems = list(dict.fromkeys(system for found in tables.values() for system in found))
    heading = [f"{name}: {data}" for name in MEASURES.values() for data in tables]
    lines = [["system", *heading], ["---", *["---:"] * len(heading)]]
    for system in systems:
        lines.append([system, *(value(found.get(system, {}), measure) for measure in MEASURES for found in tables.values())])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(table([Path(path) for path in sys.argv[1:]]))
