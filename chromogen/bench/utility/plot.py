"""A picture of a study: one line a row, one dot a seed, the mean as a bar, real cases alone as the line to pass."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from chromogen.bench.utility.study import Result
from chromogen.files import written_whole

LABEL_PX, PLOT_PX, ROW_PX, TOP_PX, BOTTOM_PX, RIGHT_PX = 300, 460, 26, 34, 34, 24
COLOURS = {"TRTR": "#444444", "TSTR": "#b2182b", "few-shot": "#d6862b", "mixed": "#2166ac", "augmented": "#4d9221"}


def write_plot(path: Path, result: Result) -> None:
    """Write a PNG, whole or not at all."""
    scores = {row.mixture.row: [one[result.score] for one in result.measures[row.mixture.row]] for row in result.rows}
    everything = [value for values in scores.values() for value in values]
    low, high = min(everything), max(everything)
    margin = 0.08 * (high - low) or 0.05
    low, high = low - margin, high + margin
    height = TOP_PX + ROW_PX * len(result.rows) + BOTTOM_PX
    canvas = Image.new("RGB", (LABEL_PX + PLOT_PX + RIGHT_PX, height), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)

    def at(value: float) -> float:
        return LABEL_PX + PLOT_PX * (value - low) / (high - low)

    pen.text((8, 9), f"{result.score} on {result.cases['test']} real test cases", "black", font)
    for value in np.linspace(low, high, 5):
        x = at(float(value))
        pen.line([(x, TOP_PX), (x, height - BOTTOM_PX)], "#e4e4e4")
        pen.text((x - 16, height - BOTTOM_PX + 8), f"{value:.3f}", "black", font)
    reference = at(result.rows[0].mean)
    pen.line([(reference, TOP_PX - 4), (reference, height - BOTTOM_PX)], COLOURS["TRTR"], 2)
    for place, row in enumerate(result.rows):
        middle = TOP_PX + ROW_PX * place + ROW_PX // 2
        colour = COLOURS[row.mixture.protocol]
        pen.text((8, middle - 8), f"{row.mixture.row}: {row.mixture}", colour, font)
        for value in scores[row.mixture.row]:
            pen.ellipse([at(value) - 4, middle - 4, at(value) + 4, middle + 4], outline=colour, width=2)
        pen.rectangle([at(row.mean) - 1, middle - 9, at(row.mean) + 1, middle + 9], colour)
    with written_whole(path) as partial:
        canvas.save(partial, format="PNG")
