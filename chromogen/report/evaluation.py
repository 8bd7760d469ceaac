"""The section of one evaluation: tables beside the controls, what they say in words, and the images."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chromogen.data.levels import LEVELS
from chromogen.report.figures import agreement
from chromogen.report.gallery import View, evenly, image_row
from chromogen.report.markup import Content, Html, tag
from chromogen.judge.table import number
from chromogen.report.section import Section, counted, found_path, inside, notice, origin, read_record
from chromogen.report.verdict import verdicts

CONTROLS = {"constant": "Flat mean colour", "source": "H&E, not translated", "blurred_target": "Real IHC, blurred"}
FEW = 20  # images below which correlations and orderings say little


def evaluation_section(folder: Path, name: str) -> Section:
    """The scores in `folder` (metrics.json and per_image.csv, as `write_scores` leaves them).

    Raises OSError, ValueError or KeyError where these files are not what `write_scores` writes.
    """
    metrics = read_record(folder / "metrics.json")
    with (folder / "per_image.csv").open(encoding="utf-8", newline="") as handle:
        images = list(csv.DictReader(handle))
    said = verdicts(metrics)
    body = [
        tag("ul", (tag("li", line) for line in said[1:]), class_="verdicts"),
        _scores(metrics),
        notice("Failures: targets without a usable prediction", [(one["name"], one["reason"]) for one in metrics["failures"]]),
        notice("Identical to the target, usually a copy of the answer", [(one, "") for one in metrics["identical"]]),
        notice("Predictions without a target, not scored", [(one, "") for one in metrics["extra_predictions"]]),
        _classes(metrics) if metrics["per_class"] else [],
        _staining(metrics, images),
        _rows(metrics, images, folder),
        _model(folder, metrics),
        origin(metrics["command"], metrics["versions"], f"Profile {metrics['profile']}: {metrics['profile_description']}"),
    ]
    return Section(f"Scores: {name}", said[0], body)


def _model(folder: Path, metrics: dict[str, Any]) -> Content:
    """Who made the predictions, where `translate` said so beside them."""
    record = found_path(metrics["prediction"], folder) / "translation.json"
    if not record.is_file():
        return []
    made = read_record(record)
    return tag("p", f"Predictions by {made['model']}, sha256 {made.get('model_sha256', 'not recorded')}.", class_="quiet")


def _scores(metrics: dict[str, Any]) -> Html:
    overall = metrics["overall"]
    rows = [_row("Virtual IHC", overall, "ours")]
    if not metrics["complete"]:
        zero = {measure: overall[f"{measure}_failures_as_zero"] for measure in ("psnr", "ssim")}
        rows.append(
            _row("Virtual IHC, failures as zero", zero | dict.fromkeys(("scored", "expected"), metrics["expected"]), "ours")
        )
    rows += [_row(f"Control: {CONTROLS.get(name, name)}", control) for name, control in metrics["controls"].items()]
    note = (
        "Means over images. Sharpness is fine detail relative to the real image: 1 is as sharp, 0 is flat. A useful prediction "
        "beats the flat colour and the untranslated H&E; the blurred real image has seen the answer."
    )
    heads = ("", "images", "PSNR, dB", "SSIM", "sharpness", "mean DAB", "DAB of real")
    return tag("div", _table(heads, rows), tag("p", note, class_="quiet"))


def _row(name: str, row: dict[str, Any], class_: str | None = None) -> Html:
    places = {"psnr": 2, "ssim": 3, "sharpness": 2, "dab": 3, "dab_target": 3}
    cells = [_count(row), *(number(row.get(key), digits) for key, digits in places.items())]
    return tag("tr", tag("th", name, scope="row"), (tag("td", cell) for cell in cells), class_=class_)


def _classes(metrics: dict[str, Any]) -> Html:
    rows = []
    for name, row in metrics["per_class"].items():
        pairs = [_pair(row), *(_pair(row["controls"][control]) for control in CONTROLS)]
        cells = [_count(row), *pairs, number(row["dab"], 3), number(row["dab_target"], 3)]
        rows.append(tag("tr", tag("th", name, scope="row"), (tag("td", cell) for cell in cells)))
    heads = ("HER2", "images", "Virtual IHC", *CONTROLS.values(), "mean DAB", "DAB of real")
    note = "PSNR in dB and SSIM. The class is the slide's, read from the target's file name, and used here only."
    return tag("div", tag("h3", "By HER2 class"), _table(heads, rows), tag("p", note, class_="quiet"))


def _table(heads: Sequence[str], rows: Sequence[Html]) -> Html:
    head = tag("thead", tag("tr", (tag("th", text, scope="col") for text in heads)))
    return tag("div", tag("table", head, tag("tbody", rows)), class_="scroll")


def _count(row: dict[str, Any]) -> str:
    return f"{row['scored']}" if row["scored"] == row["expected"] else f"{row['scored']} of {row['expected']}"


def _pair(row: dict[str, Any]) -> str:
    return f"{number(row['psnr'], 2)} / {number(row['ssim'], 3)}"


def _staining(metrics: dict[str, Any], images: Sequence[dict[str, str]]) -> Html:
    """How much stain there is, virtual against real, as a chart and in words."""
    groups: dict[str, list[tuple[float, float]]] = {level: [] for level in (*LEVELS, "")}
    for image in images:
        if image["status"] == "ok":
            groups[image["level"]].append((float(image["dab_target"]), float(image["dab"])))
    named = {f"HER2 {level}" if level else "no class": points for level, points in groups.items()}
    measured = metrics["staining"]
    ours, real, pearson = measured["ordering_prediction"], measured["ordering_target"], measured["pearson"]
    sentences = [f"Mean DAB is the {measured['dab'].removeprefix('mean ')}, averaged over the image."]
    if ours["pairs"]:
        sentences.append(
            "Averaged over the whole patch, stroma included; it is not a HER2 score. Over many patches it tends to rise from 0 "
            f"to 3+. Of {counted(ours['pairs'], 'pair')} of classes, {ours['violations']} stand in the "
            f"wrong order in the virtual images and {real['violations']} in the real ones."
        )
    sentences.append(
        f"Pearson's r of virtual against real: {number(pearson['overall'], 2)} over all images, "
        f"{number(pearson['within'], 2)} within classes, where guessing the class earns nothing."
    )
    if metrics["scored"] < FEW:
        sentences.append(f"With {counted(metrics['scored'], 'image')}, orderings and correlations say little.")
    chart = agreement(named, "mean DAB, real", "mean DAB, virtual")
    words = tag("div", tag("h3", "Amount of stain"), (tag("p", sentence) for sentence in sentences))
    return tag("div", words, chart, class_="beside")


def _rows(metrics: dict[str, Any], images: Sequence[dict[str, str]], folder: Path) -> Content:
    scored = sorted((image for image in images if image["status"] == "ok"), key=lambda image: float(image["psnr"]))
    shown = evenly(len(scored))
    folders = {
        role: None if metrics[role] is None else found_path(metrics[role], folder)
        for role in ("source", "prediction", "target")
    }
    stains = {"source": "H&E", "prediction": "virtual IHC", "target": "real IHC"}
    rows = []
    for rank in shown:
        image, views = scored[rank], []
        for role, stain in stains.items():
            root, file = folders[role], image[f"{role}_file"]
            views.append(View(stain, inside(root, file) if root and file else None, f"no {role} image was given"))
        marks = [f"HER2 {image['level']}"] if image["level"] else []
        if len(scored) > 1:
            marks += ["lowest PSNR"] * (rank == 0) + ["highest PSNR"] * (rank == len(scored) - 1)
        facts = [
            ("PSNR", f"{number(_measured(image['psnr']), 2)} dB"),
            ("SSIM", number(_measured(image["ssim"]), 3)),
            ("sharpness", number(_measured(image["sharpness"]), 2)),
            ("DAB virtual", number(_measured(image["dab"]), 3)),
            ("DAB real", number(_measured(image["dab_target"]), 3)),
        ]
        rows.append(image_row(image["name"], marks, facts, views))
    which = "All scored images" if len(shown) == len(scored) else f"{len(shown)} of {len(scored)} scored images, evenly spread"
    note = f"{which}, from the lowest PSNR to the highest. Below each image a detail at full size, where blur shows."
    return [tag("h3", "Images"), tag("p", note, class_="quiet"), rows] if rows else []


def _measured(text: str) -> float | str | None:
    return text if text == "inf" else float(text) if text else None
