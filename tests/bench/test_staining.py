"""The bench as a user runs it: small, whole, with one system that fails, and again."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chromogen.bench import staining
from chromogen.bench.plan import Budget, Plan
from chromogen.bench.table import _add_balance
from chromogen.cli import main
from chromogen.data.images import read_image
from chromogen.evaluate.pixels.likeness import psnr
from chromogen.phantom.tissue.folder import write_phantoms
from chromogen.phantom.tissue.phantom import Phantom


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for split, seed in (("train", 0), ("test", 50)):
        write_phantoms(folder / split, Phantom(size_px=64), pairs=4, seed=seed)
    return folder


def words(data: Path, out: Path) -> list[str]:
    return [
        "bench", "staining", "--data", str(data), "--budget", "3", "--out", str(out), "--crop-px", "48", "--batch-size", "1",
        "--narrow", "16", "--methods", "pix2pix", "pyramid_pix2pix",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    out = tmp_path_factory.mktemp("out") / "bench"
    return main(words(data, out)), out


def test_one_failure_does_not_stop_the_rest_and_is_told(finished: tuple[int, Path]) -> None:
    code, out = finished
    table = (out / "table.md").read_text(encoding="utf-8")
    assert code == 1  # crops of 48 px do not suit a U-Net of depth 5
    assert "- pix2pix: data.crop_px is 48" in table and "| pyramid_pix2pix | pairs |" in table
    assert "3 steps each, batches of 1 crops of 48 px, widths divided by 16, seed 0" in table


def test_the_table_holds_every_test_image_and_every_control(finished: tuple[int, Path]) -> None:
    _, out = finished
    with (out / "per_image.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    systems = [row["system"] for row in rows]
    assert len(rows) == 4 * (1 + len(staining.CONTROLS))
    assert all(systems.count(name) == 4 for name in ["pyramid_pix2pix", *(f"control: {name}" for name in staining.CONTROLS)])
    target = read_image(sorted((out / "test" / "IHC").iterdir())[0])
    flat = np.broadcast_to(np.rint(target.mean(axis=(0, 1))).astype(np.uint8), target.shape)
    found = next(row for row in rows if row["system"] == "control: constant")
    assert float(found["psnr"]) == pytest.approx(psnr(flat, target))
    cost = json.loads((out / "pyramid_pix2pix" / "result.json").read_text(encoding="utf-8"))
    assert cost["steps"] == 3 and cost["parameters"] > cost["parameters_of_the_translator"] > 0


def test_the_picture_has_a_row_a_system_and_a_column_a_class(finished: tuple[int, Path]) -> None:
    picture = np.asarray(Image.open(finished[1] / "picture.jpg"))
    assert picture.shape[0] == 22 + 3 * 195 and picture.shape[1] == 150 + 4 * 195
    he = read_image(sorted((finished[1] / "test" / "HE").iterdir())[0])
    assert np.abs(picture[22 : 22 + 64, 150 : 150 + 64].astype(int) - he).mean() < 6  # a JPEG of it


def test_the_same_command_does_not_train_again(
    finished: tuple[int, Path], data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = finished
    started: list[str] = []
    whole = staining._started

    def seen(system: str, *rest: object) -> "subprocess.Popen[bytes]":
        started.append(system)
        return whole(system, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(staining, "_started", seen)
    before = (out / "pyramid_pix2pix" / "result.json").stat().st_mtime_ns
    assert main(words(data, out)) == 1
    assert started == ["pix2pix"] and (out / "pyramid_pix2pix" / "result.json").stat().st_mtime_ns == before
    assert "1 of 2 systems are done already" in capsys.readouterr().err


def test_another_plan_needs_another_folder(finished: tuple[int, Path], data: Path) -> None:
    plan = Plan(data, Budget(4, "steps"), crop_px=48, batch_size=1, narrow=16)
    with pytest.raises(ValueError, match="another budget"):
        staining.bench(plan, ["pix2pix"], finished[1], 1, print)


def test_an_unknown_system_is_named_before_anything_is_written(data: Path, tmp_path: Path) -> None:
    plan = Plan(data, Budget(4, "steps"))
    with pytest.raises(ValueError, match="did you mean"):
        staining.bench(plan, ["pix2pixx"], tmp_path / "out", 1, print)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_system_ends_the_bench_with_130(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(system: str, out: Path, jobs: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(130)"])

    monkeypatch.setattr(staining, "_started", stopped)
    assert main(words(data, tmp_path / "out")) == 130


def test_balance_counts_the_systems_beaten_in_families_that_have_numbers() -> None:
    nan = float("nan")
    good = {"psnr": 20.0, "ssim": 0.6, "blur": 0.1, "within": 0.5, "wasserstein": 0.01, "tile_dice": 0.8, "violations": 0}
    soft = {"psnr": 22.0, "ssim": 0.7, "blur": 1.6, "within": 0.1, "wasserstein": 0.05, "tile_dice": 0.9, "violations": 0}
    rows = [good | {"level_accuracy": nan, "nuclei": nan}, soft | {"level_accuracy": nan, "nuclei": nan}]
    _add_balance(rows)
    # fidelity 0 and 1, detail 1 and 0, two of three of DAB, order shared; neither accuracy nor nuclei are known
    assert [row["balance"] for row in rows] == pytest.approx([(0 + 1 + 2 / 3 + 0.5) / 4, (1 + 0 + 1 / 3 + 0.5) / 4])
    for row, accuracy, nuclei in zip(rows, (0.8, 0.2), (nan, 0.4), strict=True):
        row |= {"level_accuracy": accuracy, "nuclei": nuclei}
    _add_balance(rows)
    assert [row["balance"] for row in rows] == pytest.approx([(0 + 1 + 2 / 3 + 0.75 + 0) / 5, (1 + 0 + 1 / 3 + 0.25 + 1) / 5])


def test_what_was_scored_otherwise_is_scored_again_and_not_trained_again(finished: tuple[int, Path], data: Path) -> None:
    out = finished[1]
    trained = (out / "pyramid_pix2pix" / "run" / "last.safetensors").stat().st_mtime_ns
    assert main([*words(data, out), "--mpp", "0.5"]) == 1
    assert (out / "pyramid_pix2pix" / "run" / "last.safetensors").stat().st_mtime_ns == trained
    with (out / "table.csv").open(newline="", encoding="utf-8") as handle:
        assert any(row["nuclei"] for row in csv.DictReader(handle))
