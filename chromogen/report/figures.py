"""Small charts as inline SVG. Colours and fonts come from page.css, so they follow light, dark and print."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chromogen.report.markup import Content, Html, tag
from chromogen.report.section import counted

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 18, 34
DRAWN_POINTS = 240  # more than the chart has pixels to tell apart
LARGEST = 1e300  # beyond it, differences and sums of a few points may be infinite


@dataclass(frozen=True)
class Axes:
    """Data ranges and where they fall on the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)


def curve(points: Points, across: str, heading: str) -> Html:
    """One quantity over one axis, with its last value in the caption.

    Points that are not finite, or above LARGEST, are not drawn, but counted.
    """
    finite = [point for point in points if all(abs(value) < LARGEST for value in point)]
    lost = f", {len(points) - len(finite)} values not finite" if len(finite) < len(points) else ""
    if not finite:
        return tag("figure", tag("figcaption", tag("b", heading), " no finite value"), class_="chart")
    axes = Axes(_range([x for x, _ in finite], pad=0), _range([y for _, y in finite], pad=0.06))
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in (axes.place(*point) for point in _thinned(finite)))
    first, last = finite[0][1], finite[-1][1]
    label = f"{heading} over {across}: from {first:.4g} to {last:.4g} in {len(points)} values"
    chart = _svg(label, _frame(axes, across), tag("polyline", points=places, class_="curve"))
    return tag(
        "figure",
        tag("figcaption", tag("b", heading), f" {first:.3g} \N{RIGHTWARDS ARROW} {last:.3g}{lost}"),
        chart,
        class_="chart",
    )


def agreement(groups: Mapping[str, Points], across: str, up: str) -> Html:
    """Predicted (up) against real (across) values, one colour a group, with the line on which they agree."""
    every = [value for points in groups.values() for point in points for value in point]
    both = _range([0.0, *every], pad=0.06)
    axes = Axes(both, both)
    (x1, y1), (x2, y2) = axes.place(both[0], both[0]), axes.place(both[1], both[1])
    dots = []
    for k, points in enumerate(groups.values()):
        for x, y in (axes.place(*point) for point in points):
            dots.append(tag("circle", cx=x, cy=y, r=5, class_=f"dot d{k}"))
    key = [tag("li", tag("i", class_=f"d{k}"), name) for k, (name, points) in enumerate(groups.items()) if points]
    frame = [*_frame(axes, across), tag("text", up, x=LEFT, y=TOP - 4, class_="axis")]
    diagonal = tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_="agree")
    chart = _svg(
        f"{counted(len(dots), 'image')}: {up} against {across}, with the line on which they agree", frame, diagonal, dots
    )
    return tag("figure", chart, tag("figcaption", tag("ul", key, class_="key")), class_="chart")


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) inside [low, high], about `about` of them."""
    raw = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _range(values: Sequence[float], pad: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * pad or (0.5 * abs(high) or 1.0) * (high == low)
    return low - room * (low != 0), high + room


def _thinned(points: Points) -> Points:
    """At most DRAWN_POINTS points, each the mean of its neighbours."""
    size = math.ceil(len(points) / DRAWN_POINTS)
    groups = [points[k : k + size] for k in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _svg(label: str, *content: Content) -> Html:
    return tag("svg", *content, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label)


def _frame(axes: Axes, across: str) -> list[Html]:
    parts = []
    for value in ticks(*axes.y):
        _, y = axes.place(axes.x[0], value)
        parts.append(tag("line", x1=LEFT, y1=y, x2=WIDTH - RIGHT, y2=y, class_="grid"))
        parts.append(tag("text", f"{value:.4g}", x=LEFT - 6, y=y + 4, class_="axis end"))
    for value in ticks(*axes.x):
        x, _ = axes.place(value, axes.y[0])
        parts.append(tag("text", f"{value:,.6g}", x=x, y=HEIGHT - BOTTOM + 15, class_="axis middle"))
    parts.append(tag("text", across, x=WIDTH - RIGHT, y=HEIGHT - 4, class_="axis end"))
    return parts
