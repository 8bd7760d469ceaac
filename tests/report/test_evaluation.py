import csv
import hashlib
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chromogen.judge.folder import score_folder
from chromogen.judge.judging import Judging
from chromogen.judge.written import write_scores
from chromogen.report.calibration import calibration
from chromogen.report.cases import ENDS, MIDDLE, chosen, ranked
from chromogen.report.confusion import matrix, readings
from chromogen.report.distances import by_extractor, distances
from chromogen.report.evaluation import LISTED, evaluation_section
from chromogen.report.findings import findings, summary
from chromogen.report.markup import Content, markup
from chromogen.report.score_tables import class_tables, pixel_table, stain_table

INTERVAL = {"estimate": 0.05, "low": 0.04, "high": 0.06, "confidence": 0.95, "images": 8, "units": 8, "note": ""}


def words(content: Content) -> str:
    """What a reader sees, one space between any two words."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", markup(content))).split())


def cells(content: Content, row: str) -> list[str]:
    """The cells of the row of that name in the first table that has one."""
    found = next(part for part in re.findall(r"<tr[^>]*>.*?</tr>", markup(content)) if f">{row}</th>" in part)
    return [words_in(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", found)]


def words_in(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def large(folders: Any) -> None:
    """Targets and sources of 64 px, large enough for the octaves, and predictions that are one flat colour."""
    rng = np.random.default_rng(0)
    for path in sorted(folders.target.iterdir()):
        image = rng.integers(60, 240, (64, 64, 3), dtype=np.uint8)
        folders.save(path, image)
        folders.save(folders.source / path.name, image[::-1])
        folders.save(folders.prediction / f"{path.stem}.virtual-her2.png", np.full_like(image, 150))


@pytest.fixture
def written(folders: Any, tmp_path: Path) -> Path:
    """An evaluation with a further profile and a gate that closes on every image."""
    large(folders)
    judging = Judging(also=("gauss11", "global"), training=None)
    write_scores(score_folder(folders.prediction, folders.target, folders.source, judging), tmp_path / "scores")
    return tmp_path / "scores"


def metrics_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "metrics.json").read_text(encoding="utf-8")))


def test_every_part_of_an_evaluation_is_there(written: Path) -> None:
    section = evaluation_section(written, "demo")
    text, metrics = words(section.body), metrics_of(written)
    assert "Flagged as blurry: 4 of 4 judged images are flagged" in text
    assert "Flagged: not sharp enough for PSNR and SSIM, or too noisy (4)" in text
    assert section.summary.startswith(f"Mean DAB is {metrics['overall']['dab_error']:.3f} OD off the real one.")
    for heading in ("Staining beside the controls", "PSNR and SSIM beside the controls", "By HER2 class", "Distributions"):
        assert heading in text
    for file in ("metrics.json", "per_image.csv"):
        assert f"{file} sha256 {hashlib.sha256((written / file).read_bytes()).hexdigest()}" in text
    assert metrics["command"] in text and f"numpy {metrics['versions']['numpy']}" in text


def test_a_profile_has_columns_of_its_own(written: Path) -> None:
    metrics = metrics_of(written)
    table = pixel_table(metrics)
    heads = re.findall(r'<th scope="col">([^<]*)</th>', markup(table))
    assert heads[2:] == [
        f"{name} [{profile}]" for profile in ("bci2022", "gauss11", "global") for name in ("PSNR, dB", "SSIM")
    ] + ["sharpness"]
    row = metrics["controls"]["source"]
    expected = [row["psnr"], row["ssim"], row["psnr[gauss11]"], row["ssim[gauss11]"], row["psnr[global]"], row["ssim[global]"]]
    assert cells(table, "Control: H&amp;E, not translated")[1:-1] == [f"{v:.{2 + k % 2}f}" for k, v in enumerate(expected)]


def test_tables_stand_beside_the_controls(written: Path) -> None:
    metrics = metrics_of(written)
    table = stain_table(metrics)
    between = metrics["intervals"]["dab_error"]
    assert (
        cells(table, "Virtual IHC")[1] == f"{metrics['overall']['dab_error']:.3f} {between['low']:.3f} to {between['high']:.3f}"
    )
    assert cells(table, "Control: real IHC, blurred")[1] == f"{metrics['controls']['blurred_target']['dab_error']:.3f}"
    assert "nuclei" not in words(table).partition("DAB is the")[0]  # no column without a value
    row = cells(class_tables(metrics), "2+")
    assert row[1] == f"{metrics['per_class']['2+']['dab_error']:.3f}"


def test_pixels_only_and_older_files_make_a_page(folders: Any, tmp_path: Path) -> None:
    write_scores(score_folder(folders.prediction, folders.target, None, Judging(staining=False)), tmp_path / "pixels")
    text = words(evaluation_section(tmp_path / "pixels", "x").body)
    assert "Staining" not in text and "from the worst SSIM to the best" in text and "Calibration" not in text
    write_scores(score_folder(folders.prediction, folders.target, None), tmp_path / "old")
    metrics = metrics_of(tmp_path / "old")
    for key in ("further_profiles", "not_measured", "validity", "distribution", "level", "intervals", "mpp"):
        del metrics[key]
    for key in ("calibration", "controls"):
        del metrics["staining"][key]
    kept = ("expected", "scored", "psnr", "ssim", "sharpness", "dab", "dab_target", "controls")
    metrics["overall"] = {key: value for key, value in metrics["overall"].items() if key in kept or key.endswith("as_zero")}
    (tmp_path / "old" / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    with (tmp_path / "old" / "per_image.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    fields = ["name", "level", "status", "reason", *kept[2:7], "prediction_file", "target_file", "source_file"]
    with (tmp_path / "old" / "per_image.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, fields, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    text = words(evaluation_section(tmp_path / "old", "x").body)
    assert "Calibration of the stain" in text and "Fitted line" not in text and "from the worst SSIM" in text
    assert "Distributions" in text and "Error of mean DAB, OD" not in text


def by_hand(**changed: Any) -> dict[str, Any]:
    """A `metrics.json` of round numbers, as far as sentences and tables read it."""
    row = {"expected": 8, "scored": 8, "psnr": 20.0, "ssim": 0.5, "sharpness": 1.0, "dab": 0.1, "dab_target": 0.2}
    control = row | {"model_better": {"psnr": 8, "ssim": 8}, "psnr": 10.0, "ssim": 0.1}
    controls = {
        "constant": control | {"meaning": "a flat colour", "dab_error": 0.01},
        "training_mean": control | {"meaning": "another flat colour", "dab_error": 0.07},
        "source": control | {"meaning": "the source", "dab_error": 0.09},
    }
    overall = row | {"dab_error": 0.05, "nuclei_f1": 0.6, "nuclei_chance": 0.2}
    overall |= {"psnr_failures_as_zero": 20.0, "ssim_failures_as_zero": 0.5}
    order = {"violations": 1, "pairs": 6, "class_means": {"0": 0.1, "3+": 0.2}}
    staining = {
        "dab": "mean optical density",
        "pearson": {"overall": 0.8, "between": 0.9, "within": 0.3},
        "calibration": {"slope": 0.5, "intercept": 0.02, "r2": 0.64},
        "ordering_prediction": order,
        "ordering_target": order | {"violations": 0},
        "controls": {"source": {"within": 0.25, "ordering": order | {"violations": 4}}},
    }
    metrics = {"profile": "bci2022", "expected": 8, "scored": 8, "complete": True, "overall": overall, "controls": controls}
    metrics |= {"per_class": {}, "staining": staining, "intervals": {"dab_error": INTERVAL}, "level": level_by_hand()}
    return metrics | {"validity": {"flag": "valid", "reasons": [], "images": []}} | changed


def level_by_hand() -> dict[str, Any]:
    numbers = {"accuracy": 0.5, "balanced_accuracy": 0.25, "kappa": 0.4, "strangeness": 0.1, "without_level": 0}
    return {
        "trained_on": 99,
        "classes": ["0", "3+"],
        "notes": ["a note"],
        "real": numbers | {"balanced_accuracy": 0.875, "kappa": 0.9, "confusion": [[3, 1], [0, 4]]},
        "virtual": numbers | {"confusion": [[2, 2], [4, 0]]},
    }


def test_findings_put_the_stain_first_and_stand_beside_the_controls() -> None:
    said = {one.topic: one.sentence for one in findings(by_hand())}
    assert next(iter(said)) == "Amount of stain" and list(said)[-1] == "PSNR and SSIM"
    assert "is 0.050 OD off that of the real one (95 % interval 0.040 to 0.060)" in said["Amount of stain"]
    assert (
        "Nearer than what has not seen the answer: the flat mean colour of the training images is 0.070 off"
        in said["Amount of stain"]
    )
    assert "r 0.30 among images of one HER2 class" in said["Within classes"] and "differ less than" in said["Within classes"]
    assert "1 of 6 in the virtual images, 0 of 6 in the real ones" in said["Order of classes"]
    assert "trained on 99 real images reads 25 % of the virtual" in said["HER2 level"] and "ceiling, 88 %" in said["HER2 level"]
    assert "F1 0.60; scattered at random, as many would reach 0.20" in said["Nuclei"]
    assert said["Blur"] == "As sharp as PSNR and SSIM need it."
    assert "H&E, not translated 10.00 dB and 0.100" in said["PSNR and SSIM"]
    assert "They beat all 3 controls" in summary(by_hand())


@pytest.mark.parametrize(("error", "nearer"), [(0.069, True), (0.07, False), (0.2, False)])
def test_the_stain_has_to_beat_what_has_not_seen_the_answer(error: float, nearer: bool) -> None:
    """The flat colour of each real image is off by 0.01 only, but it was told the answer: it does not count."""
    metrics = by_hand()
    metrics["overall"]["dab_error"] = error
    assert findings(metrics)[0].sentence.count("Nearer than") == nearer


@pytest.mark.parametrize(
    ("validity", "sentence"),
    [
        ({"flag": "blurry", "reasons": ["7 of 8"], "images": []}, "Flagged as blurry: 7 of 8. Blur raises PSNR and SSIM."),
        ({"flag": "unjudged", "reasons": ["too small"], "images": []}, "Not judged: too small."),
        ({"flag": "valid", "images": [{}, {}]}, "As sharp as PSNR and SSIM need it; 2 single images are flagged."),
    ],
)
def test_the_gate_in_words(validity: dict[str, Any], sentence: str) -> None:
    assert sentence in [one.sentence for one in findings(by_hand(validity=validity))]


def test_what_was_not_measured_is_not_mentioned() -> None:
    metrics = by_hand(staining={}, level={}, validity={})
    metrics["overall"] = {key: value for key, value in metrics["overall"].items() if "dab" not in key and "nuclei" not in key}
    assert [one.topic for one in findings(metrics)] == ["PSNR and SSIM"]
    assert stain_table(metrics) == [] and readings({}) == [] and distances({}) == []
    assert "Not read: no images" in words(readings({"missing_because": "no images"}))


def test_a_level_read_right_is_the_diagonal_over_the_row() -> None:
    row = {"expected": 4, "scored": 4, "psnr": 1.0, "ssim": 0.1, "controls": by_hand()["controls"]}
    table = class_tables(by_hand(per_class={"0": row, "3+": row}))
    assert cells(table, "0")[-2:] == ["50 %", "75 %"] and cells(table, "3+")[-2:] == ["0 %", "100 %"]


def test_confusions_are_shaded_by_share_and_framed_on_the_diagonal() -> None:
    level = level_by_hand()
    drawn = matrix(level["virtual"], level["classes"], "Virtual IHC")
    found = re.findall(r'<td class="([^"]*)">(\d+)</td>', drawn)
    assert found == [("shade-2 right", "2"), ("shade-2", "2"), ("shade-4", "4"), ("shade-0 right", "0")]
    assert drawn.count('scope="row"') == 2 and drawn.count('scope="col"') == 3 and "<caption>" in drawn
    both = words(readings(level))
    assert "Real IHC: the ceiling balanced accuracy 88 %, quadratic kappa 0.90" in both and "A note." in both


def test_distances_carry_their_extractor_and_their_floor() -> None:
    given = {
        "fid[a]": 2277.6, "fid_floor[a]": 41.97, "kid[a]": 0.00213, "kid_std[a]": 0.00051, "kid_floor[a]": -0.0001,
        "recall[a]": None, "images[a]": "4 real", "note[a]": "few images", "note[b/c]": "none could be described",
    }  # fmt: skip
    assert by_extractor(given)["b/c"] == {"note": "none could be described"}
    table = distances(given)
    assert cells(table, "a")[:2] == ["2278 floor 42", "0.00213 \N{PLUS-MINUS SIGN} 0.00051 floor -0.0001"]
    assert cells(table, "b/c") == ["\N{EN DASH}"] * 6
    assert "a : 4 real. few images." in words(table) and "b/c : none could be described." in words(table)


def test_calibration_in_words() -> None:
    text = words(calibration(by_hand()["staining"], {"HER2 0": [(0.1, 0.07)], "no class": []}))
    assert "virtual = 0.020 + 0.50 times the real, r2 0.64" in text and "Virtual class means: 0 0.100, 3+ 0.200." in text
    assert calibration({}, {"HER2 0": []}) == []


@pytest.mark.parametrize("count", [0, 1, 2 * ENDS + MIDDLE, 2 * ENDS + MIDDLE + 1, 40, 977])
def test_shown_cases_hold_both_ends_and_the_middle(count: int) -> None:
    shown = chosen(count)
    assert shown == sorted(set(shown)) and len(shown) == min(count, 2 * ENDS + MIDDLE)
    if count > 2 * ENDS + MIDDLE:
        assert shown[:ENDS] == [0, 1, 2] and shown[-ENDS:] == [count - 3, count - 2, count - 1]
        assert abs(np.mean(shown[ENDS:-ENDS]) - (count - 1) / 2) <= 0.5


def test_cases_are_ranked_by_stain_where_there_is_one() -> None:
    images = [
        {"status": "ok", "ssim": "0.9", "dab_wasserstein": "0.3"},
        {"status": "ok", "ssim": "0.1", "dab_wasserstein": "0.1"},
        {"status": "failed", "ssim": "", "dab_wasserstein": ""},
    ]
    order, by = ranked(images)
    assert by == "DAB distance" and [image["ssim"] for image in order] == ["0.9", "0.1"]
    order, by = ranked([{key: image[key] for key in ("status", "ssim")} for image in images])
    assert by == "SSIM" and [image["ssim"] for image in order] == ["0.1", "0.9"]


def test_long_lists_are_cut_and_counted(written: Path) -> None:
    metrics = metrics_of(written)
    metrics["failures"] = [{"name": f"case {k}", "reason": "gone"} for k in range(LISTED + 5)]
    metrics["not_measured"] = [{"reason": "too small", "images": 3, "first": "tiny"}]
    (written / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    text = words(evaluation_section(written, "x").body)
    assert f"usable prediction ({LISTED + 5})" in text and "and 5 more, listed in metrics.json" in text
    assert f"case {LISTED - 1} :" in text and f"case {LISTED} :" not in text
    assert "Not measured (1) tiny and 2 more : too small" in text


def test_virtual_and_real_are_swiped_and_the_source_is_not(written: Path, folders: Any) -> None:
    body = markup(evaluation_section(written, "x").body)
    boxes = re.findall(r'<div class="swipe" data-label="([^"]*)">(.*?)</section>', body)
    assert len(boxes) == 4
    for label, inside in boxes:
        assert re.findall(r'alt="([^"]*)"', inside) == [
            f"{stain} IHC of {label.partition(':')[0]}" for stain in ("virtual", "real")
        ]
    for path in folders.prediction.iterdir():
        path.unlink()
    body = markup(evaluation_section(written, "x").body)
    assert 'class="swipe"' not in body and body.count("cannot be shown") == 4
