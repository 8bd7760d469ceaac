"""Distances between the set of virtual and the set of real images: one row an extractor, never one number without its name."""

import re
from typing import Any

from chromogen.judge.table import number
from chromogen.report.markup import Content, tag

MEASURES = {"fid": "FID", "kid": "KID", **{name: name for name in ("precision", "recall", "density", "coverage")}}


def by_extractor(distribution: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """`{"fid[a]": 1, "fid[b]": 2}` as `{"a": {"fid": 1}, "b": {"fid": 2}}`."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in distribution.items():
        if named := re.fullmatch(r"([^\[]+)\[(.+)\]", key):
            found.setdefault(named[2], {})[named[1]] = value
    return found


def distances(distribution: dict[str, Any]) -> Content:
    """A table of every extractor's measures, each above its floor: the same measure between halves of the real images."""
    found = by_extractor(distribution)
    if not found:
        return []
    rows, notes = [], []
    for extractor, values in found.items():
        cells = [tag("td", _measured(values, name), tag("span", _floor(values, name), class_="interval")) for name in MEASURES]
        rows.append(tag("tr", tag("th", extractor, scope="row"), cells))
        said = [str(values[word]) for word in ("images", "note") if values.get(word)]
        notes += [tag("p", tag("b", extractor), f": {'. '.join(said)}.", class_="quiet")] if said else []
    heads = ["Features of", *MEASURES.values()]
    head = tag("thead", tag("tr", (tag("th", text, scope="col") for text in heads)))
    caption = tag("caption", "Virtual against real, as sets. Values of different extractors cannot be compared.")
    note = (
        "Lower is nearer for FID and KID, higher for the others. The floor is the same measure between two random halves "
        "of the real images: what a perfect system would score on so few."
    )
    return [
        tag("h3", "Distances between the sets of images"),
        tag("div", tag("table", caption, head, tag("tbody", rows)), class_="scroll"),
        notes,
        tag("p", note, class_="quiet"),
    ]


def _measured(values: dict[str, Any], name: str) -> str:
    text = _figures(values.get(name))
    return text if values.get(f"{name}_std") is None else f"{text} \N{PLUS-MINUS SIGN} {_figures(values[f'{name}_std'])}"


def _floor(values: dict[str, Any], name: str) -> str:
    return f"floor {_figures(values[f'{name}_floor'])}" if f"{name}_floor" in values else ""


def _figures(value: float | str | None) -> str:
    """Three figures, since a KID may be 0.002 and an FID 2000; a dash where there is no number."""
    return number(value, 0) if value is None or isinstance(value, str) or abs(value) >= 1000 else f"{value:.3g}"
