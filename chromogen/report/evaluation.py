"""The section of one evaluation: what it says in words, tables beside the controls, charts, and the images."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chromogen.levels import LEVELS
from chromogen.report.calibration import calibration
from chromogen.report.cases import cases, value
from chromogen.report.confusion import readings
from chromogen.report.distances import by_extractor, distances
from chromogen.report.distributions import distribution
from chromogen.report.findings import findings, summary
from chromogen.report.markup import Content, Html, tag
from chromogen.report.score_tables import class_tables, pixel_table, stain_table
from chromogen.report.section import Section, found_path, origin, read_record
from chromogen.report.swipe import script
from chromogen.report.verdict import verdicts
from chromogen.tables import read_table

LISTED = 6  # names in a notice; the rest is counted
SPREADS = (
    ("dab_error", "Error of mean DAB, OD", 3),
    ("nuclei_f1", "Nuclei kept, F1", 2),
    ("psnr", "PSNR, dB", 1),
    ("ssim", "SSIM", 2),
)

Image = Mapping[str, str]


def evaluation_section(folder: Path, name: str) -> Section:
    """The scores in `folder` (metrics.json and per_image.csv, as `write_scores` leaves them).

    Raises OSError, ValueError or KeyError where these files are not what `write_scores` writes.
    """
    metrics = read_record(folder / "metrics.json")
    images = read_table(folder / "per_image.csv").records()
    roles = ("source", "prediction", "target")
    folders = {role: None if metrics[role] is None else found_path(metrics[role], folder) for role in roles}
    body = [
        _headline(metrics),
        _notices(metrics),
        stain_table(metrics),
        pixel_table(metrics),
        tag("ul", (tag("li", line) for line in verdicts(metrics)[1:]), class_="verdicts"),
        class_tables(metrics),
        calibration(metrics.get("staining", {}), _stains(images)),
        _spreads(metrics, images),
        readings(metrics.get("level", {})),
        distances(metrics.get("distribution", {})),
        cases(images, folders),
        _provenance(folder, metrics),
        origin(metrics["command"], metrics["versions"], ""),
        script(),
    ]
    return Section(f"Scores: {name}", summary(metrics), body)


def _headline(metrics: dict[str, Any]) -> Html:
    flag = metrics.get("validity", {}).get("flag")
    found = findings(metrics)
    rows = [tag("div", tag("dt", one.topic), tag("dd", one.sentence)) for one in found]
    return tag("dl", rows, class_="headline flagged" if flag in ("blurry", "noisy") else "headline")


def _notices(metrics: dict[str, Any]) -> list[Content]:
    """What went wrong or looks wrong, image by image."""
    flagged = metrics.get("validity", {}).get("images", [])
    unmeasured = [
        (one["first"] + (f" and {one['images'] - 1:,} more" if one["images"] > 1 else ""), one["reason"])
        for one in metrics.get("not_measured", [])
    ]
    return [
        _listed("Failures: targets without a usable prediction", [(one["name"], one["reason"]) for one in metrics["failures"]]),
        _listed("Identical to the target, usually a copy of the answer", [(one, "") for one in metrics["identical"]]),
        _listed("Predictions without a target, not scored", [(one, "") for one in metrics["extra_predictions"]]),
        _listed(
            "Flagged: not sharp enough for PSNR and SSIM, or too noisy",
            [(one["name"], f"{one['flag']}: {'; '.join(one['reasons'])}") for one in flagged],
        ),
        _listed("Not measured", unmeasured),
    ]


def _listed(heading: str, items: Sequence[tuple[str, str]]) -> Content:
    """Like `section.notice`, with no more than LISTED items; the rest is counted, since a page is no log."""
    if not items:
        return []
    lines = [tag("li", tag("code", name), f": {reason}" if reason else "") for name, reason in items[:LISTED]]
    if len(items) > LISTED:
        lines.append(tag("li", f"and {len(items) - LISTED:,} more, listed in metrics.json"))
    return tag("div", tag("p", tag("b", f"{heading} ({len(items)})")), tag("ul", lines), class_="notice")


def _by_class(images: Sequence[Image]) -> dict[str, list[Image]]:
    groups: dict[str, list[Image]] = {level: [] for level in (*LEVELS, "")}
    for image in images:
        if image["status"] == "ok":
            groups[image["level"]].append(image)
    return groups


def _stains(images: Sequence[Image]) -> dict[str, list[tuple[float, float]]]:
    """(real, virtual) mean DAB of every image that has both, by class."""
    found = {}
    for level, members in _by_class(images).items():
        pairs = [(value(image, "dab_target"), value(image, "dab")) for image in members]
        points = [(float(real), float(made)) for real, made in pairs if real is not None and made is not None]
        found[f"HER2 {level}" if level else "no class"] = points
    return found


def _spreads(metrics: dict[str, Any], images: Sequence[Image]) -> Content:
    groups = {level or "none": members for level, members in _by_class(images).items() if members}
    charts = []
    for key, heading, digits in SPREADS:
        values = {
            level: [float(found) for image in row if (found := value(image, key)) is not None] for level, row in groups.items()
        }
        if any(values.values()):
            charts.append(distribution(values, heading, digits))
    if not charts:
        return []
    note = (
        "Every scored image, by HER2 class (n: images). Bars show how many images fall where, each class to its own tallest "
        f"bar; the line is the median. PSNR and SSIM by profile {metrics['profile']}."
    )
    return [tag("h3", "Distributions"), tag("p", note, class_="quiet"), tag("div", charts, class_="charts spreads")]


def _provenance(folder: Path, metrics: dict[str, Any]) -> Html:
    """What was measured by which rules, and fingerprints of everything that has one."""
    facts = [(f"Profile {metrics['profile']}", metrics["profile_description"])]
    facts += [(f"Profile {name}", text) for name, text in metrics.get("further_profiles", {}).items()]
    record = found_path(metrics["prediction"], folder) / "translation.json"
    if record.is_file():
        made = read_record(record)
        facts.append(("Predictions by", f"{made['model']}, sha256 {made.get('model_sha256', 'not recorded')}"))
    for name, words in by_extractor(metrics.get("distribution", {})).items():
        weights = f"sha256 of its weights {words['sha256']}" if "sha256" in words else "no weight file"
        facts.append((f"Features of {name}", "; ".join([weights, *filter(None, [words.get("preprocessing")])])))
    if metrics.get("mpp") is not None:
        facts.append(("Size of a pixel", f"{metrics['mpp']:g} µm"))
    elif metrics.get("mpp_from_files"):
        facts.append(
            ("Size of a pixel", ", ".join(f"{mpp:g}" for mpp in metrics["mpp_from_files"]) + " µm, as the files state")
        )
    for file in ("metrics.json", "per_image.csv"):
        facts.append((file, f"sha256 {hashlib.sha256((folder / file).read_bytes()).hexdigest()}"))
    rows = [tag("tr", tag("th", term, scope="row"), tag("td", text)) for term, text in facts]
    return tag("div", tag("h3", "Where these numbers come from"), tag("table", tag("tbody", rows), class_="facts"))
