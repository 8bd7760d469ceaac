"""`chromogen her2`: files for every image, a bad one among them, and reading again without images."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tyro
from PIL import Image

from chromogen.cli.her2 import her2
from chromogen.data.images import read_image
from chromogen.phantom.tissue.phantom import Phantom, draw
from chromogen.report.readouts import load_cells


def run(*words: object) -> int:
    commands = {"her2": her2, "other": lambda: 0}
    config = (tyro.conf.OmitArgPrefixes,)
    return tyro.extras.subcommand_cli_from_dict(commands, args=["her2", *map(str, words)], config=config)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two phantoms, a damaged file, a blank slide and what an operating system leaves."""
    where = tmp_path_factory.mktemp("ihc")
    for level in (0, 3):
        Image.fromarray(draw(Phantom(size_px=256), level, 42).ihc).save(where / f"field {level}.png")
    Image.fromarray(np.full((100, 100, 3), 240, np.uint8)).save(where / "blank.png")
    (where / "cut.png").write_bytes((where / "field 0.png").read_bytes()[:2000])
    (where / "Thumbs.db").write_bytes(b"x")
    return where


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("read")
    assert run("-i", folder, "-o", where, "--mpp", 0.5) == 1  # one failed
    return where


def test_every_image_is_accounted_for(out: Path) -> None:
    rows = {row["image"]: row for row in table(out / "summary.csv")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "field 0.png": "ok",
        "field 3.png": "ok",
        "blank.png": "abstain",
        "cut.png": "failed",
    }
    assert [rows[f"field {level}.png"]["class"] for level in (0, 3)] == ["0", "3+"]
    assert rows["blank.png"]["class"] == "" and "no tissue" in rows["blank.png"]["reasons"]
    assert "damaged or cut short" in rows["cut.png"]["reasons"]
    assert not list(out.glob("cut*"))


def test_the_files_of_one_image_agree(out: Path) -> None:
    record = json.loads((out / "field 3.her2.json").read_text(encoding="utf-8"))
    assert record["her2"]["class"] == "3+" and record["her2"]["basis"] == "IHC" and record["mpp"] == 0.5
    assert "Research use only" in record["intended_use"]
    rows = table(out / "field 3.cells.csv")
    features = json.loads((out / "field 3.geojson").read_text(encoding="utf-8"))["features"]
    names = [feature["properties"]["classification"]["name"] for feature in features]
    assert names == [row["class"] for row in rows] and len(rows) == record["cells"]["count"] > 100
    assert set(names) <= {"Negative", "1+", "2+", "3+"} and names.count("3+") / len(names) * 100 == pytest.approx(
        record["cells"]["percent"]["3+"], abs=0.01
    )
    for feature, row in zip(features, rows, strict=True):
        assert feature["properties"]["objectType"] == "detection"
        ring = np.array(feature["geometry"]["coordinates"][0])
        assert (ring[0] == ring[-1]).all() and len(ring) >= 4
        if len(ring) == 25:
            assert np.hypot(*(ring.mean(axis=0) - (float(row["x_px"]), float(row["y_px"])))) < 12
    assert read_image(out / "field 3.rings.png").shape[1] == 1280


def test_reading_again_uses_the_saved_cells_alone(out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    before = (copy / "field 3.her2.json").read_text(encoding="utf-8")
    assert run("--reread", copy) == 0
    assert (copy / "field 3.her2.json").read_text(encoding="utf-8") == before  # the same thresholds, the same bytes
    assert not (copy / "field 3.rings.png").exists()  # a picture of other classes would lie
    assert run("--reread", copy, "--intense-od", 2.5) == 0
    record = json.loads((copy / "field 3.her2.json").read_text(encoding="utf-8"))
    assert record["her2"]["class"] == "2+" and record["thresholds"]["intense_od"] == 2.5
    assert {row["class"] for row in table(copy / "field 3.cells.csv")} <= {"Negative", "1+", "2+"}


def test_a_broken_measurement_does_not_stop_the_others(out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    (copy / "field 0.cells.npz").write_bytes(b"PK\x03\x04 nothing")
    np.savez(copy / "other.cells.npz", about=np.array("{}"))
    assert run("--reread", copy) == 1
    status = {row["image"]: row["status"] for row in table(copy / "summary.csv")}
    assert status["field 3.png"] == "ok" and status["field 0.cells.npz"] == status["other.cells.npz"] == "failed"
    with pytest.raises(ValueError, match="not a measurement"):
        load_cells(copy / "field 0.cells.npz")


def test_nothing_is_replaced_silently(folder: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (out / "field 0.her2.json").stat().st_mtime_ns
    assert run(folder / "field 0.png", "-o", out, "--mpp", 0.5, "--weak-od", 0.05) == 1
    assert "add --overwrite" in capsys.readouterr().err
    assert (out / "field 0.her2.json").stat().st_mtime_ns == before


def test_a_resolution_that_was_not_given_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(folder / "field 3.png", "-o", tmp_path, "--basis", "virtual") == 0
    said = capsys.readouterr()
    assert "0.5 um per pixel was assumed" in said.out and "Research use only" in said.err and "virtual IHC" in said.out
    record = json.loads((tmp_path / "field 3.her2.json").read_text(encoding="utf-8"))
    assert record["status"] == "review" and record["her2"]["basis"] == "virtual IHC"
    run("--reread", tmp_path)
    assert json.loads((tmp_path / "field 3.her2.json").read_text(encoding="utf-8")) == record


def test_um_per_pixel_of_the_file_is_used_and_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Image.open(folder / "field 3.png") as image:
        image.save(tmp_path / "stated.png", dpi=(50_800, 50_800))
    assert run(tmp_path / "*.png", "-o", tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "assumed" not in said.out and "0.5 um per pixel, as the file states: stated.png" in said.err
    assert json.loads((tmp_path / "out" / "stated.her2.json").read_text(encoding="utf-8"))["mpp"] == pytest.approx(0.5)
    assert run(tmp_path / "stated.png", "-o", tmp_path / "other", "--mpp", 0.25) == 0
    assert "the file states 0.5 um per pixel, --mpp 0.25 was used" in capsys.readouterr().err


def test_several_images_and_subfolders(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a/1.png", "b/1.png", "0.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "blank.png", tmp_path / "in" / name)
    assert run(tmp_path / "in", "-o", tmp_path / "flat") == 0
    assert "2 pictures in subfolders were passed over (a, b); add --subfolders" in capsys.readouterr().err
    assert run(tmp_path / "in", "-o", tmp_path / "deep", "--subfolders") == 0
    assert (tmp_path / "deep" / "b" / "1.her2.json").is_file()
    assert [row["image"] for row in table(tmp_path / "deep" / "summary.csv")] == ["0.png", "a/1.png", "b/1.png"]
    assert run("--reread", tmp_path / "deep") == 0
    assert [row["image"] for row in table(tmp_path / "deep" / "summary.csv")] == ["0.png", "a/1.png", "b/1.png"]
    assert run(tmp_path / "in" / "a", tmp_path / "in" / "b", "-o", tmp_path / "clash") == 1
    assert "left out: a/1.png: several images would all become 1.her2.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "name one image or one folder"),
        (("-i", "nowhere"), "there is no file or folder nowhere"),
        (("--reread", "."), "holds no NAME.cells.npz"),
        (("x.png", "--reread", "."), "--reread takes no images"),
    ],
)
def test_mistakes_are_named(words: tuple[str, ...], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        run(*words)


STRANGERS = {
    "he.png": lambda: draw(Phantom(size_px=192), 2, 1).he,
    "grey.png": lambda: np.asarray(Image.fromarray(draw(Phantom(size_px=192), 3, 1).ihc).convert("L").convert("RGB")),
    "black.png": lambda: np.zeros((90, 90, 3), np.uint8),
    "brown.png": lambda: np.full((90, 90, 3), (120, 70, 30), np.uint8),
    "noise.png": lambda: np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8),
}


def test_what_is_no_h_dab_image_is_said_everywhere_in_the_same_words(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "read"
    pictures.mkdir()
    for name, make in STRANGERS.items():
        Image.fromarray(make()).save(pictures / name)
    shutil.copy(folder / "field 0.png", pictures)
    assert run("-i", pictures, "-o", out, "--mpp", 0.5) == 1
    said = capsys.readouterr()
    rows = {row["image"]: row for row in table(out / "summary.csv")}
    assert rows["field 0.png"]["status"] == "ok" and "1 of 6 images are read" in said.err
    for name in STRANGERS:
        row, record = rows[name], json.loads((out / name).with_suffix(".her2.json").read_text(encoding="utf-8"))
        assert record["status"] == row["status"] == "no H-DAB image", name
        assert (
            f"no H-DAB image: {name}" in said.err
            and f"{name}: No pattern is predicted: no H-DAB image: it looks like" in said.out
        )
        assert record["her2"]["words"] == f"No pattern is predicted: {record['reasons'][0]}." in said.out
        assert row["reasons"] == record["reasons"][0]
        assert said.out.count(record["reasons"][0]) == len([r for r in rows.values() if r["reasons"] == row["reasons"]])
        numbers = [row["class"], row["prob_0"], row["percent_positive"], row["h_score_cell"], row["h_score_pixel"]]
        assert numbers == [""] * 5 and row["cells"] == "0", name
        assert record["her2"]["class"] is None and record["dab"]["h_score_pixel"] is None
        assert record["dab"]["white"] is None  # nothing was measured
    capsys.readouterr()
    assert run("--reread", out) == 1  # what it is was measured, and is known without the image
    assert "no H-DAB image: grey.png" in capsys.readouterr().err
