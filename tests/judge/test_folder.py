import csv
import io
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from chromogen.data.images import read_image
from chromogen.evaluate.controls import controls
from chromogen.evaluate.pixels.likeness import psnr, ssim
from chromogen.judge.folder import Scores, score_folder
from chromogen.judge.table import table
from chromogen.judge.written import write_scores
from chromogen.report.verdict import verdicts

NAMES = ["00000_test_0", "00001_test_1+", "00002_test_2+", "00003_test_3+"]


def scored(folders: Any, profile: str = "bci2022") -> Scores:
    return score_folder(folders.prediction, folders.target, folders.source, profile)


def printed(scores: Scores, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(table(scores))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("profile", "window"), [("bci2022", "uniform7"), ("gauss11", "gauss11")])
def test_means_are_means_of_the_images(folders: Any, profile: str, window: str) -> None:
    metrics = scored(folders, profile).metrics
    found = []
    for name in NAMES:
        prediction = read_image(folders.prediction / f"{name}.virtual-her2.png")
        target = read_image(folders.target / f"{name}.png")
        found.append((psnr(prediction, target), ssim(prediction, target, window)))  # type: ignore[arg-type]
    assert metrics["profile"] == profile
    assert (metrics["expected"], metrics["scored"], metrics["complete"]) == (4, 4, True)
    assert (metrics["overall"]["psnr"], metrics["overall"]["ssim"]) == pytest.approx(tuple(np.mean(found, axis=0)))
    assert metrics["overall"]["psnr_failures_as_zero"] == metrics["overall"]["psnr"]
    assert [metrics["per_class"][level]["psnr"] for level in ("0", "1+", "2+", "3+")] == pytest.approx([p for p, _ in found])


def test_controls_are_scored_on_every_target(folders: Any) -> None:
    metrics = scored(folders).metrics
    found: dict[str, list[float]] = {}
    for name in NAMES:
        target, source = read_image(folders.target / f"{name}.png"), read_image(folders.source / f"{name}.png")
        for control, image in controls(target, source).items():
            found.setdefault(control, []).append(psnr(image, target))
    assert {name: row["psnr"] for name, row in metrics["controls"].items()} == pytest.approx(
        {name: np.mean(values) for name, values in found.items()}
    )
    assert metrics["controls"]["constant"]["model_better"] == {"psnr": 4, "ssim": 4}


def test_failures_are_counted_with_a_reason_and_never_dropped(folders: Any) -> None:
    whole = scored(folders)
    missing, broken, small = (folders.prediction / f"{name}.virtual-her2.png" for name in NAMES[:3])
    missing.unlink()
    broken.write_bytes(broken.read_bytes()[:60])
    folders.save(small, np.zeros((20, 30, 3), dtype=np.uint8))
    folders.save(folders.prediction / "stranger.png", np.zeros((20, 30, 3), dtype=np.uint8))
    scores = scored(folders)
    metrics = scores.metrics
    reasons = {failure["name"]: failure["reason"] for failure in metrics["failures"]}
    assert list(reasons) == NAMES[:3]
    assert reasons[NAMES[0]] == "there is no prediction of this name"
    assert "damaged or cut short" in reasons[NAMES[1]]
    assert reasons[NAMES[2]] == "the prediction is 30x20 px, its target 40x40 px"
    assert (metrics["expected"], metrics["scored"], metrics["complete"], scores.complete) == (4, 1, False, False)
    assert metrics["extra_predictions"] == ["stranger.png"]
    last = whole.images[3].measures
    assert metrics["overall"]["psnr"] == last["psnr"]
    assert metrics["overall"]["psnr_failures_as_zero"] == pytest.approx(last["psnr"] / 4)
    assert metrics["overall"]["ssim_failures_as_zero"] == pytest.approx(last["ssim"] / 4)
    assert metrics["per_class"]["0"] | {"controls": None} == {
        "expected": 1,
        "scored": 0,
        "psnr": None,
        "ssim": None,
        "sharpness": None,
        "psnr_failures_as_zero": 0.0,
        "ssim_failures_as_zero": 0.0,
        "dab": None,
        "dab_target": None,
        "controls": None,
    }
    for name, row in metrics["controls"].items():  # the controls do not profit from what the model left out
        assert row["psnr"] == whole.metrics["controls"][name]["psnr"]
        assert row["model_better"]["psnr"] <= 1


def test_leaving_out_the_hardest_image_does_not_pay(folders: Any) -> None:
    whole = scored(folders)
    hardest = min(whole.images, key=lambda image: image.measures["psnr"])
    (folders.prediction / hardest.prediction_file).unlink()
    before, after = whole.metrics["overall"], scored(folders).metrics["overall"]
    assert after["psnr"] > before["psnr"]
    assert after["psnr_failures_as_zero"] < before["psnr"]


def test_an_unreadable_target_is_a_failure_too(folders: Any) -> None:
    (folders.target / f"{NAMES[1]}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    scores = scored(folders)
    assert [failure.name for failure in scores.failures] == [NAMES[1]]
    assert scores.failures[0].reason.startswith("its target could not be read")
    assert scores.metrics["controls"]["constant"]["scored"] == 3


def test_without_sources_the_control_row_says_so(folders: Any) -> None:
    scores = score_folder(folders.prediction, folders.target, None)
    row = scores.metrics["controls"]["source"]
    assert (row["scored"], row["psnr"], row["missing_because"]) == (0, None, ["no source folder was given"])
    assert any("no source folder was given" in line for line in verdicts(scores.metrics))
    (folders.source / f"{NAMES[0]}.png").unlink()
    row = scored(folders).metrics["controls"]["source"]
    assert (row["scored"], row["missing_because"]) == (3, ["there is no source image of this name"])


def test_an_identical_prediction_makes_an_infinite_mean_and_is_named(folders: Any) -> None:
    shutil.copy(folders.target / f"{NAMES[2]}.png", folders.prediction / f"{NAMES[2]}.virtual-her2.png")
    metrics = scored(folders).metrics
    assert metrics["identical"] == [NAMES[2]]
    assert metrics["overall"]["psnr"] == "inf"
    assert float(metrics["overall"]["psnr"]) == math.inf
    assert "∞" in printed(scored(folders))
    json.dumps(metrics, allow_nan=False)  # strict JSON


def test_plain_names_fit_and_two_of_one_name_do_not(folders: Any) -> None:
    marked = folders.prediction / f"{NAMES[0]}.virtual-her2.png"
    shutil.copy(marked, folders.prediction / f"{NAMES[0]}.png")
    assert scored(folders).failures[0].reason == (f"several files have this name: {NAMES[0]}.png, {NAMES[0]}.virtual-her2.png")
    marked.unlink()
    assert scored(folders).complete
    shutil.copy(folders.target / f"{NAMES[0]}.png", folders.target / f"{NAMES[0]}.bmp")
    with pytest.raises(ValueError, match=r"00000_test_0\.(png|bmp) and 00000_test_0\.(png|bmp) have one name"):
        scored(folders)


def test_images_smaller_than_the_window_fail_with_the_reason(folders: Any) -> None:
    for folder, mark in ((folders.prediction, ".virtual-her2"), (folders.target, ""), (folders.source, "")):
        folders.save(folder / f"{NAMES[3]}{mark}.png", np.full((9, 9, 3), 200, dtype=np.uint8))
    assert [failure.name for failure in scored(folders, "bci2022").failures] == []
    failure = scored(folders, "gauss11").failures[0]
    assert (failure.name, failure.level) == (NAMES[3], 3)
    assert "at least 11 px, got 9x9 px" in failure.reason


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"judging": "bci2021"}, "no scoring profile is called 'bci2021'; did you mean 'bci2022'"),
        ({"prediction": Path("nowhere")}, "the prediction folder nowhere is not there"),
        ({"source": Path("nowhere")}, "the source folder nowhere is not there"),
        ({"target": "empty"}, "the target folder .* holds no images"),
        ({"prediction": "strangers"}, "no image in .* has the name of a target in .*00000_test_0"),
    ],
)
def test_wrong_folders_and_profiles(folders: Any, tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    (tmp_path / "empty").mkdir()
    folders.save(tmp_path / "strangers" / "other.png", np.zeros((9, 9, 3), dtype=np.uint8))
    given = {"prediction": folders.prediction, "target": folders.target, "source": folders.source} | change
    given = {key: tmp_path / value if value in ("empty", "strangers") else value for key, value in given.items()}
    with pytest.raises(ValueError, match=sentence):
        score_folder(**given)  # type: ignore[arg-type]


def test_progress_counts_every_target(folders: Any) -> None:
    seen: list[tuple[int, int]] = []
    score_folder(folders.prediction, folders.target, None, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_files_written_repeat_the_scores(folders: Any, tmp_path: Path) -> None:
    (folders.prediction / f"{NAMES[1]}.virtual-her2.png").unlink()
    scores = scored(folders)
    write_scores(scores, tmp_path / "out" / "deep")
    assert json.loads((tmp_path / "out" / "deep" / "metrics.json").read_text(encoding="utf-8")) == scores.metrics
    with (tmp_path / "out" / "deep" / "per_image.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["name"] for row in rows] == NAMES
    assert [row["status"] for row in rows] == ["ok", "failed", "ok", "ok"]
    assert [row["level"] for row in rows] == ["0", "1+", "2+", "3+"]
    assert rows[1]["psnr"] == "" and rows[1]["reason"] == "there is no prediction of this name"
    assert float(rows[0]["psnr"]) == scores.images[0].measures["psnr"]
    assert float(rows[1]["source_ssim"]) == scores.images[1].controls["source"]["ssim"]
    assert scores.metrics["prediction"] == str(folders.prediction)
    assert scores.metrics["versions"].keys() >= {"chromogen", "numpy", "python"}


def test_the_table_always_shows_the_controls_and_fits_a_terminal(folders: Any) -> None:
    complete = printed(score_folder(folders.prediction, folders.target, None))
    assert all(f"control: {name}" in complete for name in ("constant", "source", "blurred target"))
    assert all(f"HER2 {level}" in complete for level in ("0", "1+", "2+", "3+"))
    assert "failures as zero" not in complete and "…" not in complete
    (folders.prediction / f"{NAMES[1]}.virtual-her2.png").unlink()
    incomplete = printed(scored(folders))
    assert "failures as zero" in incomplete and "3 of 4" in incomplete and "…" not in incomplete


def test_staining_follows_the_class(folders: Any) -> None:
    found = scored(folders).metrics["staining"]
    assert found["ordering_target"]["violations"] == 0
    assert found["ordering_prediction"]["pairs"] == 6
    assert found["pearson"]["overall"] > 0.9
    assert found["pearson"]["within"] is None  # one image a class


def test_verdicts_say_what_the_numbers_say(folders: Any) -> None:
    good = verdicts(scored(folders).metrics)
    assert good[0].startswith("On 4 images the predictions score ") and good[0].endswith(
        "They beat all 3 controls on both measures."
    )
    assert [line.split(" than ")[0] for line in good[1:]] == ["Better"] * 3
    for name in NAMES:
        folders.save(folders.prediction / f"{name}.virtual-her2.png", np.zeros((40, 40, 3), dtype=np.uint8))
    bad = verdicts(scored(folders).metrics)
    assert bad[0].endswith("They beat no control on both measures.")
    assert all(line.startswith("Not better than") and "higher PSNR on 0 of 4 images" in line for line in bad[1:])


def test_failures_weigh_in_the_verdict(folders: Any) -> None:
    for name in NAMES[:3]:
        (folders.prediction / f"{name}.virtual-her2.png").unlink()
    said = verdicts(scored(folders).metrics)
    assert "over the 1 that could be scored" in said[0] and "with failures as zero" in said[0]
    assert said[1].startswith("Better in SSIM only than one flat colour")
    assert "with failures as zero" in said[1] and "higher PSNR on 1 of 4 images" in said[1]


def test_a_uniform_target_is_not_comparable(folders: Any) -> None:
    """One flat colour equals it: an infinite PSNR, which says nothing of the prediction."""
    folders.save(folders.target / f"{NAMES[0]}.png", np.full((40, 40, 3), 230, dtype=np.uint8))
    said = verdicts(scored(folders).metrics)
    assert not any("inf" in line.replace("infinite", "") or "\N{INFINITY}" in line for line in said)
    assert said[1] == (
        "Not comparable with one flat colour, the mean of the real image: its mean PSNR is infinite, because a target of one "
        "uniform colour, or a copy of a target, equals it."
    )
    assert said[2].startswith("Better than the source image itself")
    assert said[0].endswith("They beat all 1 controls on both measures.")
    for name in NAMES:
        shutil.copy(folders.target / f"{NAMES[0]}.png", folders.source / f"{name}.png")
    assert verdicts(scored(folders).metrics)[0].endswith("No control can be compared with them.")
