"""Real against virtual stain: does a strong case come out strong, a weak one weak?"""

from collections.abc import Mapping, Sequence
from typing import Any

from chromogen.judge.table import number
from chromogen.report.figures import agreement
from chromogen.report.markup import Content, tag


def calibration(staining: dict[str, Any], groups: Mapping[str, Sequence[tuple[float, float]]]) -> Content:
    """The chart of mean DAB, (real, virtual) of each image by group, and the fitted line in words.

    staining: that part of a `metrics.json`; nothing is shown where no staining was measured.
    """
    if not any(groups.values()):
        return []
    line, pearson = staining.get("calibration", {}), staining.get("pearson", {})
    sentences = ["Each mark is an image: to the right, the mean DAB of the real one; upwards, that of the virtual one."]
    fit = None
    if line.get("slope") is not None:
        fit = (float(line["slope"]), float(line["intercept"]))
        sentences.append(
            f"Fitted line: virtual = {number(line['intercept'], 3)} + {number(line['slope'], 2)} times the real, "
            f"r2 {number(line['r2'], 2)}. Perfect is slope 1 and intercept 0; a slope below 1 "
            "makes strong cases too weak beside weak ones."
        )
    if pearson:
        sentences.append(
            f"Pearson's r of virtual against real: {number(pearson['overall'], 2)} over all images, "
            f"{number(pearson['within'], 2)} within classes, where guessing the class earns nothing."
        )
    orders = [("Virtual", staining.get("ordering_prediction")), ("Real", staining.get("ordering_target"))]
    means = [(name, order["class_means"]) for name, order in orders if order and order.get("class_means")]
    sentences += [
        f"{name} class means: {', '.join(f'{level} {number(value, 3)}' for level, value in row.items())}."
        for name, row in means
    ]
    chart = agreement(groups, "mean DAB, real", "mean DAB, virtual", fit)
    words = tag("div", (tag("p", sentence) for sentence in sentences))
    return [tag("h3", "Calibration of the stain"), tag("div", words, chart, class_="beside")]
