"""Small charts as inline SVG. Colours and fonts come from page.css, so they follow light, dark and print.

Classes differ by shape as well as by colour, and their colours by lightness, so that charts can be read in grey.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chromogen.report.markup import Content, Html, tag
from chromogen.report.section import counted

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 18, 34
DRAWN_POINTS = 240  # more than the chart has pixels to tell apart
SQUARE = 320  # pixels of a chart whose two axes mean the same
SHAPES = (
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",  # circle
    "m-3.6-3.6h7.2v7.2h-7.2z",  # square
    "m0-5l4.7 8.4h-9.4z",  # triangle
    "m0-5.4l5.4 5.4-5.4 5.4-5.4-5.4z",  # diamond
    "m-3.8-3.8l7.6 7.6m0-7.6l-7.6 7.6",  # cross
)
LARGEST = 1e300  # beyond it, differences and sums of a few points may be infinite


@dataclass(frozen=True)
class Axes:
    """Data ranges and where they fall on the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]
    height: int = HEIGHT

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), self.height - BOTTOM - up * (self.height - TOP - BOTTOM)


def curve(points: Points, across: str, heading: str) -> Html:
    """One quantity over one axis, with its last value in the caption.

    Points that are not finite, or above LARGEST, are not drawn, but counted.
    """
    finite = [point for point in points if _finite(point)]
    lost = f", {len(points) - len(finite)} values not finite" if len(finite) < len(points) else ""
    if not finite:
        return tag("figure", tag("figcaption", tag("b", heading), " no finite value"), class_="chart")
    axes = Axes(padded([x for x, _ in finite], pad=0), padded([y for _, y in finite], pad=0.06))
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (axes.place(*point) for point in _thinned(finite)))
    first, last = finite[0][1], finite[-1][1]
    label = f"{heading} over {across}: from {first:.4g} to {last:.4g} in {len(points)} values"
    chart = drawing(label, frame(axes, across), tag("polyline", points=places, class_="curve"))
    return tag(
        "figure",
        tag("figcaption", tag("b", heading), f" {first:.3g} \N{RIGHTWARDS ARROW} {last:.3g}{lost}"),
        chart,
        class_="chart",
    )


def agreement(groups: Mapping[str, Points], across: str, up: str, line: tuple[float, float] | None = None) -> Html:
    """Predicted (up) against real (across) values, one shape and colour a group, with the line on which they agree.

    `line`, slope and intercept of a fit, is drawn as far as the real values reach and no further.
    """
    finite = {name: [point for point in group if _finite(point)] for name, group in groups.items()}
    points = [point for group in finite.values() for point in group]
    real = [x for x, _ in points] or [0.0]
    ends = [] if line is None else [(x, line[1] + line[0] * x) for x in (min(real), max(real))]
    both = padded([0.0, *(value for point in [*points, *ends] for value in point)], pad=0.06)
    axes = Axes(both, both, SQUARE)
    (x1, y1), (x2, y2) = axes.place(both[0], both[0]), axes.place(both[1], both[1])
    drawn = [*frame(axes, across), tag("text", up, x=LEFT, y=TOP - 4, class_="axis")]
    drawn.append(tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="agree"))
    key = []
    for k, (name, group) in enumerate(finite.items()):
        if group:
            drawn.append(tag("path", d=_marks([axes.place(*point) for point in group], k), class_=f"mark-{k} dots"))
            key.append(_key(name, "M7 7" + SHAPES[k % len(SHAPES)], f"mark-{k}"))
    key.append(_key("equal", "M0 7h14", "agree"))
    if ends:
        (x1, y1), (x2, y2) = (axes.place(*end) for end in ends)
        drawn.append(tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="fit"))
        key.append(_key("fitted", "M0 7h14", "fit"))
    label = f"{counted(len(points), 'image')}: {up} against {across}, with the line on which they agree"
    chart = drawing(label, drawn, height=SQUARE)
    return tag("figure", chart, tag("figcaption", tag("ul", key, class_="key")), class_="chart")


def _finite(point: tuple[float, float]) -> bool:
    return all(abs(value) < LARGEST for value in point)


def _marks(places: Points, group: int) -> str:
    """All marks of a group as one path: a thousand images are a thousand short strings, not a thousand elements."""
    return "".join(f"M{x:.1f} {y:.1f}{SHAPES[group % len(SHAPES)]}" for x, y in places)


def _key(name: str, path: str, class_: str) -> Html:
    sign = tag("svg", tag("path", d=path, class_=class_), viewBox="0 0 14 14", aria_hidden="true")
    return tag("li", sign, name)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) inside [low, high], about `about` of them."""
    raw = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def padded(values: Sequence[float], pad: float) -> tuple[float, float]:
    """From the lowest value to the highest with a share of room, never empty; a lower end of 0 stays 0."""
    low, high = min(values), max(values)
    room = (high - low) * pad or (0.5 * abs(high) or 1.0) * (high == low)
    return low - room * (low != 0), high + room


def _thinned(points: Points) -> Points:
    """At most DRAWN_POINTS points, each the mean of its neighbours."""
    size = math.ceil(len(points) / DRAWN_POINTS)
    groups = [points[k : k + size] for k in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def drawing(label: str, *content: Content, height: int = HEIGHT) -> Html:
    """A picture of WIDTH x `height` units that says in words what it shows."""
    return tag("svg", *content, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=label)


def frame(axes: Axes, across: str, up: bool = True) -> list[Html]:
    """Grid, ticks and the name of the horizontal axis; `up`: with ticks on the vertical one."""
    parts, foot = [], axes.height - BOTTOM
    for value in ticks(*axes.y) if up else []:
        _, y = axes.place(axes.x[0], value)
        parts.append(tag("line", x1=LEFT, y1=y, x2=WIDTH - RIGHT, y2=y, class_="grid"))
        parts.append(tag("text", f"{value:.4g}", x=LEFT - 6, y=y + 4, class_="axis end"))
    for value in ticks(*axes.x):
        x, _ = axes.place(value, axes.y[0])
        parts.append(tag("text", f"{value:,.6g}", x=x, y=foot + 15, class_="axis middle"))
    parts.append(tag("text", across, x=WIDTH - RIGHT, y=axes.height - 4, class_="axis end"))
    return parts
