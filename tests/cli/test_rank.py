"""`chromogen rank` as people type it."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from chromogen import cli
from chromogen.cli.rank import rank as rank_command

TABLE_II = """Team,PSNR,SSIM
Just4Fun,22.929,0.559
arpitdec5,19.736,0.574
guanxianchao,19.560,0.497
lifangda02,17.927,0.555
stan9,17.959,0.543
vivek23,15.271,0.493
"""


@pytest.fixture(autouse=True)
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.COMMANDS, "rank", rank_command)
    monkeypatch.setenv("COLUMNS", "200")


def evaluation(
    folder: Path,
    psnr: np.ndarray,
    ssim: np.ndarray,
    profile: str = "bci2022",
    failed: tuple[int, ...] = (),
    first: int = 0,
    real: float = 30.0,
) -> str:
    """The two files of an evaluation, as far as ranking reads them."""
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"profile": profile}))
    with (folder / "per_image.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["name", "status", "psnr", "ssim", "sharpness", "blurred_target_psnr", "target_file"])
        for k, (a, b) in enumerate(zip(psnr, ssim, strict=True)):
            cells = ["failed", "", "", ""] if k in failed else ["ok", a, b, 0.9]
            writer.writerow([f"{first + k:03d}", *cells, real + k, f"{first + k:03d}.png"])
    return str(folder)


@pytest.fixture
def two(tmp_path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """A good and a worse entry on 40 images, and their PSNRs."""
    rng = np.random.default_rng(0)
    good, worse = rng.normal(22, 1, 40), rng.normal(21, 1, 40)
    folders = [
        evaluation(tmp_path / "worse", worse, rng.normal(0.5, 0.01, 40)),
        evaluation(tmp_path / "good", good, rng.normal(0.6, 0.01, 40)),
    ]
    return folders, good, worse


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main(["rank", *words])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_challenge_table_is_ranked_as_in_the_paper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "table.csv").write_text("\ufeff" + TABLE_II, encoding="utf-8")
    code, out, err = run([str(tmp_path / "table.csv"), "--out", str(tmp_path / "board.csv")], capsys)
    order = ["arpitdec5", "Just4Fun", "lifangda02", "stan9", "guanxianchao", "vivek23"]
    assert code == cli.FINE and sorted(order, key=out.index) == order
    assert "protocol not stated" in out and "no intervals" in err
    with (tmp_path / "board.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["place"], row["entry"]) for row in rows] == [(str(k + 1), name) for k, name in enumerate(order)]
    assert [float(row["score"]) for row in rows] == pytest.approx([1.4, 1.6, 3.8, 4.0, 4.2, 6.0])
    _, out, _ = run([str(tmp_path / "table.csv"), "--rule", "seed000-score"], capsys)
    assert out.index("Just4Fun") < out.index("arpitdec5")


def test_evaluations_are_ranked_with_intervals_and_tests(
    two: tuple[list[str], np.ndarray, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders, good, worse = two
    code, out, err = run([*folders, "--out", str(tmp_path / "board.csv")], capsys)
    assert code == cli.FINE and "bci2022, 40 images" in out and "1-1" in out and "100 %" in out
    assert "count as independent" in err
    with (tmp_path / "board.csv").open(newline="") as handle:
        first, second = csv.DictReader(handle)
    assert (first["entry"], second["entry"], first["psnr_difference"]) == ("good", "worse", "")
    assert float(second["psnr"]) == pytest.approx(worse.mean())
    assert float(second["psnr_difference"]) == pytest.approx((worse - good).mean())
    assert float(second["psnr_low"]) < float(second["psnr_difference"]) < float(second["psnr_high"]) < 0
    assert float(second["psnr_p_signed_rank"]) == pytest.approx(stats.wilcoxon(worse - good).pvalue)
    flips = sorted(float(second[f"{name}_p_sign_flip"]) for name in ("psnr", "ssim"))
    corrected = sorted(float(second[f"{name}_p_holm"]) for name in ("psnr", "ssim"))
    assert corrected == pytest.approx([2 * flips[0], max(2 * flips[0], flips[1])])


def test_markdown_holds_both_tables_and_the_notes(
    two: tuple[list[str], np.ndarray, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*two[0], "-o", str(tmp_path / "board.md")], capsys)[0] == cli.FINE
    text = (tmp_path / "board.md").read_text()
    assert text.count("\n| --- |") == 2 and "| 1 | 1-1 | 100 % | good |" in text and "each less good" in text
    assert "equation 4" in text and "count as independent" in text


def test_failed_images_count_as_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ones = np.ones(10)
    folders = [
        evaluation(tmp_path / "leaves_out", 25 * ones, 0.6 * ones, failed=(3, 4)),
        evaluation(tmp_path / "complete", 22 * ones, 0.55 * ones),
    ]
    _, out, err = run([*folders, "-o", str(tmp_path / "b.csv")], capsys)
    assert out.index("complete") < out.index("leaves_out") and "leaves_out: 2 of 10 images failed and count as 0" in err
    with (tmp_path / "b.csv").open(newline="") as handle:
        rows = {row["entry"]: row for row in csv.DictReader(handle)}
    assert float(rows["leaves_out"]["psnr"]) == pytest.approx(20.0) and rows["leaves_out"]["failed_images"] == "2"
    assert float(rows["leaves_out"]["ssim"]) == pytest.approx(0.48)
    assert "nothing says what sharpness they get" in run([*folders, "--rule", "sharpness=1"], capsys)[2]


def test_slides_are_read_and_used(
    two: tuple[list[str], np.ndarray, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{k:03d},slide{k // 10}" for k in range(40)]
    (tmp_path / "slides.csv").write_text("\n".join(["name,slide", *lines]))
    code, _, err = run([*two[0], "--slides", str(tmp_path / "slides.csv")], capsys)
    assert code == cli.FINE and "only 4 groups" in err and "too few for any test" in err and "independent" not in err
    (tmp_path / "slides.csv").write_text("\n".join(["name,slide", *lines[:-1]]))
    code, _, err = run([*two[0], "--slides", str(tmp_path / "slides.csv")], capsys)
    assert code == cli.USAGE and "names no slide for 1 images, 039 among them" in err
    (tmp_path / "slides.csv").write_text("image,slide\n1,2\n")
    assert "needs the columns name and slide" in run([*two[0], "--slides", str(tmp_path / "slides.csv")], capsys)[2]


def test_an_infinite_psnr_is_ranked_but_not_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    psnr = np.array([math.inf, *np.full(9, 20.0)])
    folders = [
        evaluation(tmp_path / "copy", psnr, np.linspace(0.6, 0.7, 10)),
        evaluation(tmp_path / "other", np.full(10, 25.0), np.full(10, 0.5)),
    ]
    code, out, err = run([*folders, "-o", str(tmp_path / "b.csv")], capsys)
    assert code == cli.FINE and "\N{INFINITY}" in out and "an infinite PSNR" in err
    with (tmp_path / "b.csv").open(newline="") as handle:
        _, second = csv.DictReader(handle)
    assert second["psnr_difference"] == "" and float(second["ssim_p_holm"]) == float(second["ssim_p_sign_flip"])


def test_folders_of_one_name_are_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat = np.full(3, 20.0)
    folders = [evaluation(tmp_path / name / "scores", flat, flat / 40) for name in ("cut", "asp")]
    _, out, _ = run(folders, capsys)
    assert (
        str(tmp_path) not in out and "cut/scores" in out and "asp/scores" in out and out.count("1=") == 2
    )  # equal entries share the first place


def test_real_evaluations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for k in range(3):
        target = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        for name, noise in (("target", 0), ("near", 5), ("far", 60)):
            (tmp_path / name).mkdir(exist_ok=True)
            changed = np.clip(target.astype(int) + rng.integers(-noise, noise + 1, target.shape), 0, 255).astype(np.uint8)
            Image.fromarray(changed).save(tmp_path / name / f"{k}.png")
    for name in ("near", "far"):
        words = ["--pred", str(tmp_path / name), "--target", str(tmp_path / "target"), "--out", str(tmp_path / "e" / name)]
        assert cli.main(["evaluate", *words]) == cli.FINE
    capsys.readouterr()
    code, out, err = run([str(tmp_path / "e" / "far"), str(tmp_path / "e" / "near")], capsys)
    assert code == cli.FINE and out.index("near") < out.index("far") and "only 3 images" in err


def test_what_cannot_be_ranked_together_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat = np.full(6, 20.0)
    a = evaluation(tmp_path / "a", flat, flat / 40)
    gauss = evaluation(tmp_path / "gauss", flat, flat / 40, profile="gauss11")
    fewer = evaluation(tmp_path / "fewer", flat[:4], flat[:4] / 40)
    shifted = evaluation(tmp_path / "shifted", flat, flat / 40, first=1)
    other_real = evaluation(tmp_path / "other", flat, flat / 40, real=31.0)
    means = tmp_path / "means.csv"
    means.write_text("entry,psnr,ssim,profile\nx,20,0.5,bci2022\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "void.csv").write_text("")
    (tmp_path / "ragged.csv").write_text("entry,psnr,ssim\nx,20\n")
    (tmp_path / "twice.csv").write_text("name,psnr,ssim\nx,20,0.5\nx,21,0.5\n")
    (tmp_path / "lacks.csv").write_text("name,psnr,ssim\nx,20,\n")
    (tmp_path / "mixed.csv").write_text("name,psnr,ssim,profile\nx,20,0.5,bci2022\ny,21,0.5,gauss11\n")
    broken = evaluation(tmp_path / "broken", flat, flat / 40)
    (tmp_path / "broken" / "metrics.json").write_text("{")
    for words, sentence in [
        ([a, gauss], "different protocols and cannot be ranked together: a by bci2022; gauss by gauss11"),
        ([str(tmp_path / "mixed.csv")], "x by bci2022; y by gauss11"),
        ([a, fewer], "scored on different images: fewer lacks 004, 005"),
        ([fewer, a], "scored on different images: fewer lacks 004, 005"),
        ([a, shifted], "shifted lacks 000"),
        ([a, other_real], "the real image 000 is not the same for a and other"),
        ([a, str(means)], "nothing says on which images x was scored"),
        ([a, a], "a is there more than once"),
        ([str(tmp_path / "twice.csv")], "x is there more than once"),
        ([str(tmp_path / "lacks.csv")], "x: there is no ssim to rank by"),
        ([a, "--rule", "dice=1"], "a: there is no dice to rank by"),
        ([a, "--rule", "bci2022-rang"], "did you mean 'bci2022-rank'"),
        ([a, "--out", "board.html"], "must end in .csv or .md"),
        ([str(tmp_path / "empty")], "holds no metrics.json"),
        ([str(tmp_path / "a" / "per_image.csv")], "for an evaluation name its folder instead"),
        ([str(tmp_path / "void.csv")], "is empty"),
        ([str(tmp_path / "ragged.csv")], "row 2: 2 cells under 3 headings"),
        ([str(tmp_path / "nowhere.csv")], "there is no"),
        ([broken], "names no scoring profile"),
    ]:
        code, out, err = run(words, capsys)
        assert (code, out) == (cli.USAGE, ""), words
        assert sentence in err and "Traceback" not in err, (words, err)
