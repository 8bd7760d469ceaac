"""How a measure spreads over the images of each HER2 class: one strip of bars a class, on one axis."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

from chromogen.judge.table import number
from chromogen.report.figures import BOTTOM, LARGEST, TOP, WIDTH, Axes, drawing, frame, padded
from chromogen.report.markup import Html, tag
from chromogen.report.section import counted

BINS = 28
STRIP = 40  # height of a class, of which the bars take at most BARS
BARS = 24


def distribution(groups: Mapping[str, Sequence[float]], heading: str, digits: int) -> Html:
    """A figure of the values of each group; where they stand tells the groups apart, no colour does.

    Bars are shares of their group, drawn to its own tallest bar, so that a small class can be read beside a large one. The
    line is the median. Values that are not finite are not drawn, but counted.
    """
    finite = {name: [value for value in values if abs(value) < LARGEST] for name, values in groups.items()}
    finite = {name: values for name, values in finite.items() if values}
    every = [value for values in finite.values() for value in values]
    lost = sum(map(len, groups.values())) - len(every)
    caption = tag("figcaption", tag("b", heading), f" {counted(lost, 'value')} not finite" if lost else "")
    if not every:
        return tag("figure", caption, tag("p", "no finite value", class_="absent"), class_="chart")
    height = TOP + STRIP * len(finite) + BOTTOM
    axes = Axes(padded(every, pad=0.02), (0, 1), height)
    parts = frame(axes, "", up=False)
    for row, (name, values) in enumerate(finite.items()):
        parts += _strip(axes, TOP + STRIP * (row + 1), name, values, digits)
    said = "; ".join(f"{name}: median {median(values):.{digits}f} of {len(values)}" for name, values in finite.items())
    return tag("figure", caption, drawing(f"{heading}. {said}", parts, height=height), class_="chart")


def _strip(axes: Axes, foot: float, name: str, values: Sequence[float], digits: int) -> list[Html]:
    low, high = axes.x
    counts = [0] * BINS
    for value in values:
        counts[min(BINS - 1, math.floor((value - low) / (high - low) * BINS))] += 1
    left, _ = axes.place(low, 0)
    right, _ = axes.place(high, 0)
    wide, tallest = (right - left) / BINS, max(counts)
    bars = "".join(
        f"M{left + k * wide + 0.5:.1f} {foot:.1f}v{-BARS * count / tallest:.1f}h{wide - 1:.1f}V{foot:.1f}z"
        for k, count in enumerate(counts)
        if count
    )
    middle = median(values)
    at, _ = axes.place(middle, 0)
    side = "end" if at > 0.75 * WIDTH else "start"
    return [
        tag("line", x1=left, y1=foot, x2=right, y2=foot, class_="grid"),
        tag("text", name, x=left - 6, y=foot - 12, class_="axis end"),
        tag("text", f"n {len(values)}", x=left - 6, y=foot, class_="axis end"),
        tag("path", d=bars, class_="bars"),
        tag("line", x1=at, y1=foot, x2=at, y2=foot - BARS - 9, class_="median"),
        tag("text", number(middle, digits), x=at + (3 if side == "start" else -3), y=foot - BARS - 2, class_=f"axis {side}"),
    ]
