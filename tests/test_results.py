"""What docs/results/README.md says beside the tables it speaks of. The tables are read here once more, by other means."""

import csv
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGE = (RESULTS / "README.md").read_text(encoding="utf-8")
SENTENCES = " ".join(PAGE.split())
CONTROLS = ("constant", "training-mean", "source", "blurred-source", "blurred-target")


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def column(table: str, name: str, systems: bool = True) -> dict[str, float]:
    """A column of a bench by system, with or without the controls."""
    with (RESULTS / f"{table}.csv").open(encoding="utf-8", newline="") as handle:
        return {
            row["system"]: float(row[name]) for row in csv.DictReader(handle) if (row["system"] not in CONTROLS) or not systems
        }


def darkness(table: str) -> dict[str, list[float]]:
    """Mean DAB of the images of each level, 0 to 3+, by system."""
    with (RESULTS / f"{table}-per-image.csv").open(encoding="utf-8", newline="") as handle:
        images = list(csv.DictReader(handle))
    found = {}
    for system in {image["system"].removeprefix("control: ") for image in images} - set(CONTROLS):
        of = [
            [float(i["dab"]) for i in images if i["system"] == system and i["level"] == level]
            for level in ("0", "1+", "2+", "3+")
        ]
        found[system] = [sum(values) / len(values) for values in of]
    return found


def beaten(table: str, name: str) -> tuple[int, int]:
    """(systems that the mean colour of the training targets beats, systems)."""
    flat = column(table, name, systems=False)["training-mean"]
    found = column(table, name)
    return sum(value < flat for value in found.values()), len(found)


def test_every_number_of_the_page_is_that_of_its_table() -> None:
    claims = script("claims")
    assert claims.faults(PAGE, claims.rows("claims.csv")) == [], "run .venv/bin/python scripts/claims.py"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text.replace("(0.384)", "(0.385)"), "no sentence says .*0.384"),
        (lambda text: text.replace("## Our own method", "## Our own method\nIt reaches 99.5 dB."), "where 99.5 is from"),
    ],
)
def test_a_number_that_no_table_holds_is_noticed(change: Callable[[str], str], sentence: str) -> None:
    claims = script("claims")
    assert re.search(sentence, "\n".join(claims.faults(change(PAGE), claims.rows("claims.csv"))))


def test_a_table_that_changed_is_noticed() -> None:
    claims = script("claims")
    moved = [{**row, "column": "psnr"} if row["column"] == "ssim" else row for row in claims.rows("claims.csv")]
    assert any("phantom-displaced.csv has 18.899" in fault for fault in claims.faults(PAGE, moved))


def test_what_one_flat_colour_beats() -> None:
    assert "higher SSIM (0.384) than all 25 systems and a higher PSNR (18.90 dB) than 16 of them" in SENTENCES
    assert (beaten("phantom-displaced", "ssim"), beaten("phantom-displaced", "psnr")) == ((25, 25), (16, 25))
    assert "higher SSIM (0.370) than all 25 and a higher PSNR (16.58 dB) than 20" in SENTENCES
    assert (beaten("bci-two-left-out", "ssim"), beaten("bci-two-left-out", "psnr")) == ((25, 25), (20, 25))


def test_superlatives_of_the_benches() -> None:
    ssim, blurred = column("phantom-displaced", "ssim"), column("phantom-displaced", "blurred")
    best = sorted(ssim, key=ssim.__getitem__)[-2:]
    assert set(best) == {"unet:fixed", "pyramid_pix2pix:smooth"} and all(blurred[system] == 100 for system in best)
    psnr, nuclei = column("phantom-displaced", "psnr"), column("phantom-displaced", "nuclei")
    assert max(psnr, key=psnr.__getitem__) == "unet:fixed"
    assert set(sorted(nuclei, key=nuclei.__getitem__)[-3:]) == {"cut", "asp", "cyclegan"}
    read = column("phantom-displaced", "level_accuracy")
    assert {round(read[system] * 40) for system in ("cut", "asp", "cyclegan")} == {10, 11}
    assert sorted(read, key=read.__getitem__)[-3:] == ["bcistainer", "performer_unet:fast", "attention_pyramid:pooled"]
    read = column("phantom-aligned", "level_accuracy")
    assert {system for system in read if read[system] == max(read.values())} == {
        "bcistainer",
        "chromogen",
        "chromogen:free-colours",
    }
    balance = column("phantom-aligned", "balance")
    assert (
        max(balance, key=balance.__getitem__) == "chromogen" and sum(system.startswith("chromogen") for system in balance) == 6
    )
    balance = column("phantom-displaced", "balance")
    assert sorted(balance, key=balance.__getitem__)[-2:] == ["chromogen", "bcistainer"]
    psnr, ssim = column("bci-two-left-out", "psnr"), column("bci-two-left-out", "ssim")
    assert (max(psnr, key=psnr.__getitem__), max(ssim, key=ssim.__getitem__)) == ("pix2pix", "bcistainer")
    read = column("phantom-attention", "level_accuracy")
    assert (round(read["attention_pyramid"] * 8), round(read["pyramid_pix2pix"] * 8)) == (1, 5)


def test_order_of_the_levels() -> None:
    aligned, displaced = (column(table, "violations") for table in ("phantom-aligned", "phantom-displaced"))
    assert [system for system in displaced if displaced[system] == 0] == ["performer_unet:fast"]
    orderly = [system for system in aligned if aligned[system] == 0]
    assert len(orderly) == 5 and aligned["performer_unet:fast"] > 0
    dark = darkness("phantom-displaced")
    assert len(dark) == 25 and sum(levels[2] > levels[3] for levels in dark.values()) == 23
    dark, real = darkness("phantom-aligned"), (0.028, 0.170)  # the last row of the table's second half
    assert all(max(dark[system]) - min(dark[system]) < (real[1] - real[0]) / 6 for system in orderly)


def test_the_variance_scan_and_the_sets_are_read_right() -> None:
    scan = PAGE.split("## The variance penalty's weight")[1].split("##")[0]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in scan.splitlines() if re.match(r"\| \d", line)]
    diversity, dab = ([float(row[at]) for row in cells] for at in (5, 6))
    assert max(diversity) == diversity[0] == 0.92 and min(diversity) == diversity[-1] and min(dab) == dab[-1]
    lines = [line for line in PAGE.splitlines() if line.startswith("| [") and "(set-" in line]
    assert len(lines) == 6
    for line in lines:
        sheet = (RESULTS / re.findall(r"\((set-\w+\.md)\)", line)[0]).read_text(encoding="utf-8")
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        assert f"Copies: {cells[3]} (" in sheet and f"Nearer to a training case than to a stranger: {cells[4]} (" in sheet, line
        numbers = re.findall(r"\d\.\d\d", cells[2])
        assert all(f" {number}" in sheet.split("## Does it repeat")[0] for number in numbers), line


def test_the_table_across_data_sets_is_what_its_script_prints() -> None:
    assert script("across").table(sorted(RESULTS.glob("synthesis-*.csv"))) in PAGE


def test_ranks_of_the_chain() -> None:
    for measure, rank in (("kid[efficientnet-lite0]", 5), ("fid[efficientnet-lite0]", 2)):
        found = {name: value for name, value in column("synthesis-xray", measure).items() if not name.startswith("control")}
        assert len(found) == 7 and sorted(found, key=found.__getitem__)[rank - 1] == "chain:xray"
    precision = column("synthesis-xray", "precision[efficientnet-lite0]")
    assert [name for name in precision if precision[name] > 0 and not name.startswith("control")] == ["chain:xray"]
