"""Rows of images: source, virtual and real beside each other, whole and in detail."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chromogen.data.images import read_image
from chromogen.report.markup import Content, Html, tag
from chromogen.report.pictures import OVERVIEW_PX, data_uri, detail, detail_corner, overview
from chromogen.report.swipe import swiped
from chromogen.tensors import Uint8Image

SHOWN_ROWS = 12


@dataclass(frozen=True)
class View:
    """One image of a row. `path` None: there is none, for the reason given."""

    stain: str
    path: Path | None
    reason: str = ""


def image_row(
    name: str, marks: Sequence[str], facts: Sequence[tuple[str, str]], views: Sequence[View], swipe: bool = False
) -> Html:
    """One row: a heading with marks and numbers, the images whole, and below them the same detail of each at full size.

    swipe: the last two views get a divider between them, where both can be shown and are of one size.

    The detail lies where the last readable image has most structure; an image of another size shows none, because the same
    place in it is not the same tissue. An image that cannot be read leaves its reason.
    """
    read = [_read(view) for view in views]
    images = [image for image in read if not isinstance(image, str)]
    corner = detail_corner(images[-1]) if images else None
    figures: list[Html] = []
    for view, image in zip(views, read, strict=True):
        if isinstance(image, str):
            figures.append(tag("figure", tag("p", image, class_="absent"), tag("figcaption", view.stain)))
            continue
        parts = [_img(overview(image), f"{view.stain} of {name}")]
        if corner is not None and image.shape == images[-1].shape:
            parts.append(_img(detail(image, corner), f"{view.stain} of {name}, a detail at full size", "detail"))
        figures.append(tag("figure", tag("div", parts, class_="views"), tag("figcaption", view.stain)))
    shapes = [None if isinstance(image, str) else image.shape for image in read]
    if swipe and shapes[-1] is not None and shapes[-2] == shapes[-1]:
        figures[-2:] = [swiped(name, *figures[-2:])]
    heading = [tag("h4", name), (tag("span", mark, class_="mark") for mark in marks)]
    numbers = tag("dl", (tag("div", tag("dt", term), tag("dd", value)) for term, value in facts))
    columns = "row three" if len(views) == 3 else "row two"
    return tag("section", tag("header", heading, numbers), tag("div", figures, class_=columns), class_="case")


def picture(path: Path, caption: str, alt: str, longest_px: int = OVERVIEW_PX) -> Html:
    """One captioned image from a file, or the reason why it cannot be shown."""
    image = _read(View(caption, path))
    shown = tag("p", image, class_="absent") if isinstance(image, str) else _img(overview(image, longest_px), alt)
    return tag("figure", shown, tag("figcaption", caption))


def evenly(count: int) -> list[int]:
    """Which of `count` ranked rows are shown: all, or SHOWN_ROWS spread evenly with the first and the last among them."""
    if count <= SHOWN_ROWS:
        return list(range(count))
    return [round(k * (count - 1) / (SHOWN_ROWS - 1)) for k in range(SHOWN_ROWS)]


def _read(view: View) -> Uint8Image | str:
    if view.path is None:
        return view.reason
    try:
        return read_image(view.path)
    except (ValueError, OSError) as error:
        return f"cannot be shown: {error}"


def _img(image: Uint8Image, alt: str, class_: str | None = None) -> Content:
    height, width = image.shape[:2]
    return tag("img", src=data_uri(image), alt=alt, width=width, height=height, class_=class_)
