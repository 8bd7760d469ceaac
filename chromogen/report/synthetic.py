"""The sections of a made set of labelled cases, and of a study of its use."""

from pathlib import Path
from typing import Any

from chromogen.judge.table import number
from chromogen.report.gallery import picture
from chromogen.report.markup import Content, Html, tag
from chromogen.report.section import Section, counted, notice, origin, read_record

PICTURES = (
    ("overview.png", "Made cases above three real ones: lines, then every modality with the outline of the lesion"),
    ("grid.png", "Line maps over two latent numbers"),
    ("between.png", "On the way from one latent vector to another"),
)
PICTURE_PX = 720


def set_section(folder: Path, name: str) -> Section:
    """What `chromogen synthesize` left in `folder`: synthesis.json, audit.json, data_sheet.md and its pictures.

    Raises OSError, ValueError or KeyError where these files are not what `synthesize` writes.
    """
    asked, audit = read_record(folder / "synthesis.json"), read_record(folder / "audit.json")
    kept = audit["cases"] - audit["copies"]
    summary = f"{counted(kept, 'synthetic case')}; {audit['copies']:,} more quarantined as copies."
    if "nearness" in audit:
        near = audit["nearness"]
        summary += f" Nearer to a training case than to a stranger: {number(near['share'], 2)}; 0.5 is no memorisation."
    pictures = [picture(folder / file, caption, caption, PICTURE_PX) for file, caption in PICTURES if (folder / file).is_file()]
    body: list[Content] = [
        tag("p", f"Compared with {audit['compared_with']}. {audit['note']}"),
        tag("div", pictures, class_="row three"),
        tag("details", tag("summary", "Data sheet"), tag("pre", (folder / "data_sheet.md").read_text(encoding="utf-8"))),
        origin(asked["command"], {}, ""),
    ]
    return Section(f"Synthetic cases: {name}", summary, body)


def use_section(folder: Path, name: str) -> Section:
    """What `chromogen utility` left in `folder`: utility.json and plot.png.

    Raises OSError, ValueError or KeyError where these files are not what `utility` writes.
    """
    study = read_record(folder / "utility.json")
    cases = study["cases"]
    body: list[Content] = [
        tag(
            "p",
            f"Readers of {counted(cases['train'], 'real case')} and {counted(cases['made'], 'made case')} in several mixtures, "
            f"{counted(study['reader']['steps'], 'step')} each, judged on {counted(cases['test'], 'real test case')}.",
        ),
        _rows(study),
        [picture(folder / "plot.png", "One circle a seed", "scores", PICTURE_PX)] if (folder / "plot.png").is_file() else [],
        notice("Rows that failed", [(f"row {row}", reason) for row, reason in study.get("failed", {}).items()]),
        origin(
            study["command"], {}, "Rows are those of Table 5 of Qu (2020); p: paired t test against row 1, corrected by Holm."
        ),
    ]
    return Section(f"Use of made cases: {name}", study["recommendation"], body)


def _rows(study: dict[str, Any]) -> Html:
    heading = ("row", "trained on", study["score"], "sd", "gain", "p, corrected")
    lines = [
        (
            str(row["row"]),
            row["mixture"],
            number(row["mean"], 3),
            number(row["sd"], 3),
            "" if row["row"] == 1 else number(row["gain"], 3),
            number(row["p_corrected"], 3),
        )
        for row in study["rows"]
    ]
    return tag(
        "div",
        tag(
            "table",
            tag("thead", tag("tr", (tag("th", word, scope="col") for word in heading))),
            tag("tbody", (tag("tr", (tag("td", cell) for cell in line)) for line in lines)),
        ),
        class_="scroll",
    )
