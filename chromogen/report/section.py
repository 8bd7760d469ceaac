"""What every section of the report page is made of."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chromogen.report.markup import Content, Html, tag


@dataclass(frozen=True)
class Section:
    heading: str
    summary: str  # one sentence, for the list at the top of the page too
    body: Content


def notice(heading: str, items: Sequence[tuple[str, str]]) -> Content:
    """A marked list of file names, each with a reason or nothing; empty when there are none."""
    if not items:
        return []
    lines = [tag("li", tag("code", name), f": {reason}" if reason else "") for name, reason in items]
    return tag("div", tag("p", tag("b", f"{heading} ({len(items)})")), tag("ul", lines), class_="notice")


def origin(command: str, versions: Mapping[str, str], remark: str) -> Html:
    """The command and the versions that made what a section shows."""
    parts: list[Content] = [tag("p", remark)] if remark else []
    if command:
        parts.append(tag("p", "Made by ", tag("code", command)))
    if versions:
        parts.append(tag("p", "With " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."))
    return tag("div", parts, class_="origin")


def read_record(path: Path) -> dict[str, Any]:
    """A JSON object from a file that a command left; ValueError where it is damaged or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # the latter from thousands of nested brackets
        raise ValueError(f"{path} is not readable JSON ({error}); make it again") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object; it was not written by chromogen")
    return value


def found_path(given: str, beside: Path) -> Path:
    """A path as a command was given it: from here, or from beside the folder that records it, moved along with it."""
    last = Path(given).name
    candidates = [Path(given), beside / given, beside / last, beside.parent / last]
    return next((path for path in candidates if path.exists()), candidates[0])


def inside(folder: Path, name: str) -> Path:
    """The file `name` in `folder` or below. ValueError for any other place: a record must not bring in files from elsewhere."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or Path(part).name != part or "\\" in part for part in parts):
        raise ValueError(f"{name!r} is not the plain name of a file in {folder}; the record was not written by chromogen")
    return folder / name


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
