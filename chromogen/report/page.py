"""One self-contained HTML page made of everything that lies under a folder: scores, trainings, stained images.

Nothing comes from the network: the page can be mailed, printed and opened in ten years. Its one inline script is the swipe, and
the page works without it.
"""

from collections.abc import Callable
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from chromogen.files import written_whole
from chromogen.report.evaluation import evaluation_section
from chromogen.report.markup import Content, Html, tag
from chromogen.report.section import Section, found_path, notice, read_record
from chromogen.report.stained import stained_section
from chromogen.report.synthetic import set_section, use_section
from chromogen.report.training import training_section

FOREIGN = (TypeError, AttributeError, IndexError, OverflowError)  # what files of another make lead to

BANNER = "Research use only. Not for diagnosis. A virtual stain is a model's prediction, not a measurement of HER2."


def write_report(folder: Path, out: Path, title: str) -> None:
    """Write the page `out` from every evaluation, stained folder, made set, study and training at any depth under `folder`.

    A stained folder that an evaluation scored is shown there only. What cannot be read is listed at the end with the reason.
    Raises ValueError when there is nothing to show.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; name one that holds evaluations, runs or stained images")
    sections, unread = _sections(folder)
    if not sections and not unread:
        raise ValueError(
            f"nothing under {folder} can be reported: no metrics.json with per_image.csv, no run.json with log.jsonl, "
            "no translation.json, no synthesis.json; run chromogen evaluate, train, translate or synthesize first"
        )
    with written_whole(out) as partial:
        partial.write_text(_page(title, sections, unread), encoding="utf-8")


def _sections(folder: Path) -> tuple[list[Section], list[tuple[str, str]]]:
    evaluations = [path.parent for path in sorted(folder.rglob("metrics.json")) if (path.parent / "per_image.csv").is_file()]
    scored = {found.resolve() for one in evaluations if (found := _predictions_of(one))}
    stained = [path.parent for path in sorted(folder.rglob("translation.json")) if path.parent.resolve() not in scored]
    sets = [path.parent for path in sorted(folder.rglob("synthesis.json")) if (path.parent / "audit.json").is_file()]
    studies = [path.parent for path in sorted(folder.rglob("utility.json"))]
    runs = [path.parent for path in sorted(folder.rglob("run.json")) if (path.parent / "log.jsonl").is_file()]
    made: list[Section] = []
    unread: list[tuple[str, str]] = []
    kinds: tuple[tuple[list[Path], Callable[[Path, str], Section]], ...] = (
        (evaluations, evaluation_section),
        (stained, stained_section),
        (sets, set_section),
        (studies, use_section),
        (runs, training_section),
    )
    for places, section in kinds:
        for place in places:
            name = folder.resolve().name if place == folder else place.relative_to(folder).as_posix()
            try:
                made.append(section(place, name))
            except KeyError as error:
                unread.append((name, f"was not written by this version of chromogen: {error} is missing"))
            except FOREIGN as error:
                unread.append((name, f"was not written by chromogen: {error}"))
            except (ValueError, OSError) as error:
                unread.append((name, str(error)))
    return made, unread


def _predictions_of(evaluation: Path) -> Path | None:
    """The folder that an evaluation scored; None where its metrics.json cannot be read, which its section will say."""
    try:
        return found_path(read_record(evaluation / "metrics.json")["prediction"], evaluation)
    except (ValueError, OSError, KeyError, *FOREIGN):
        return None


def _page(title: str, sections: list[Section], unread: list[tuple[str, str]]) -> str:
    style = Html(resources.files("chromogen.report").joinpath("page.css").read_text(encoding="utf-8"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", style),
    )
    contents = [
        tag("li", tag("a", section.heading, href=f"#part-{k}"), tag("span", section.summary))
        for k, section in enumerate(sections)
    ]
    parts = [
        tag("article", tag("h2", section.heading), tag("p", section.summary, class_="lead"), section.body, id=f"part-{k}")
        for k, section in enumerate(sections)
    ]
    body: list[Content] = [
        tag("p", BANNER, class_="banner", role="note"),
        tag("header", tag("h1", title), tag("nav", tag("ul", contents), aria_label="Contents"), class_="top"),
        tag("main", parts, notice("Could not be shown", unread)),
        tag("footer", tag("p", f"Written by chromogen {version('chromogen')}. {BANNER}")),
    ]
    return "<!DOCTYPE html>\n" + tag("html", head, tag("body", body), lang="en") + "\n"
