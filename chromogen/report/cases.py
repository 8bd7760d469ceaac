"""The worst, some middling and the best images of an evaluation, with the divider between virtual and real."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from chromogen.judge.table import number
from chromogen.report.gallery import View, image_row
from chromogen.report.markup import Content, tag
from chromogen.report.section import inside

ENDS, MIDDLE = 3, 2  # images shown from either end, and from the middle
STAINS = {"source": "H&E", "prediction": "virtual IHC", "target": "real IHC"}
FACTS = (
    ("dab_wasserstein", "DAB distance", 3),
    ("dab", "DAB virtual", 3),
    ("dab_target", "DAB real", 3),
    ("nuclei_f1", "nuclei F1", 2),
    ("psnr", "PSNR", 2),
    ("ssim", "SSIM", 3),
    ("sharpness", "sharpness", 2),
)
UNITS = {"psnr": " dB"}
Image = Mapping[str, str]


def ranked(images: Sequence[Image]) -> tuple[list[Image], str]:
    """Scored images from the worst to the best, and by what: DAB distance where it was measured, else SSIM."""
    scored = [image for image in images if image["status"] == "ok"]
    if any(value(image, "dab_wasserstein") is not None for image in scored):
        known = [image for image in scored if value(image, "dab_wasserstein") is not None]
        return sorted(known, key=lambda image: -float(image["dab_wasserstein"])), "DAB distance"
    return sorted(scored, key=lambda image: float(image["ssim"])), "SSIM"


def chosen(count: int) -> list[int]:
    """Which of `count` ranked images are shown: both ends and the middle; all where these overlap."""
    if count <= 2 * ENDS + MIDDLE:
        return list(range(count))
    first = (count - MIDDLE) // 2
    return [*range(ENDS), *range(first, first + MIDDLE), *range(count - ENDS, count)]


def cases(images: Sequence[Image], folders: Mapping[str, Path | None]) -> Content:
    """Rows of H&E, virtual and real IHC. folders: where the images of each role lie, None where none were given."""
    order, by = ranked(images)
    if not order:
        return []
    shown, rows = chosen(len(order)), []
    for rank in shown:
        image, views = order[rank], []
        for role, stain in STAINS.items():
            root, file = folders[role], image[f"{role}_file"]
            views.append(View(stain, inside(root, file) if root and file else None, f"no {role} image was given"))
        marks = [_place(rank, len(order)), *([f"HER2 {image['level']}"] if image["level"] else [])]
        facts = [
            (heading, number(found, digits) + UNITS.get(key, ""))
            for key, heading, digits in FACTS
            if (found := value(image, key)) is not None
        ]
        rows.append(image_row(image["name"], marks, facts, views, swipe=True))
    which = f"All {len(order)} scored images" if len(shown) == len(order) else f"{len(shown)} of {len(order)} scored images"
    note = (
        f"{which}, from the worst {by} to the best. Where scripts run, drag the divider, or focus it and press the arrow keys: "
        "left of it is the virtual stain, right of it the real one. Below each image a detail, where blur shows."
    )
    return [tag("h3", "Worst and best images"), tag("p", note, class_="quiet"), rows]


def value(image: Image, key: str) -> float | str | None:
    """A cell of per_image.csv as `metrics.json` would have it; None where the column or the value is missing."""
    text = image.get(key) or ""
    return text if text == "inf" else float(text) if text and not math.isnan(float(text)) else None


def _place(rank: int, count: int) -> str:
    if rank == 0 and count > 1:
        return "worst"
    return "best" if rank == count - 1 and count > 1 else f"rank {rank + 1} of {count}"
