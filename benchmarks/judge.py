"""The judge judged: errors planted in real IHC, one at a time, in growing doses, and what every metric says of them.

    OMP_NUM_THREADS=1 python benchmarks/judge.py > judge.txt

Phantom pairs whose truth is known: 16 to judge (256 px, 0.5 um/px, four of each HER2 level), 32 others to train the reader of
levels. The prediction that has no error is the real IHC with noise of one grey level. Prints two tables as Markdown: which
metrics prefer a blurred or a flat image to the right stain of the H&E when the real IHC lies 8 px (4 um) aside, as the next
section of a block does; and which metric notices which error and falls with its dose.
"""

import io
import itertools
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from chromogen.color import H_DAB, background, combine, separate
from chromogen.data.images import read_image
from chromogen.evaluate.staining.her2.nuclei import find_nuclei, ihc_densities
from chromogen.judge.folder import score_folder
from chromogen.judge.judging import Judging
from chromogen.levels import level_from_name
from chromogen.phantom.tissue.folder import write_phantoms
from chromogen.phantom.tissue.phantom import Phantom

MPP = 0.5
TISSUE = Phantom(size_px=256, mpp=MPP, her2_signal=2.0)
IMAGES, TRAINING = 16, 32
SHARP = "the right stain"
NOTICED = 0.05  # of the way from no error to the worst value in the table

Images = dict[str, np.ndarray]
Planted = Callable[[Images, float, np.random.Generator], Images]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write_phantoms(root / "train", TISSUE, TRAINING, seed=0)
        write_phantoms(root / "test", TISSUE, IMAGES, seed=50_000)
        real = {path.name: read_image(path) for path in sorted((root / "test" / "IHC").iterdir())}
        rng = np.random.default_rng(0)
        clean = {name: noisy(image, rng) for name, image in real.items()}
        judging = Judging(
            also=("gauss11", "global", "ms-ssim", "shift-tolerant", "flow-tolerant"), mpp=MPP,
            extractors=("efficientnet-lite0", "radiomics"), training=root / "train" / "IHC", workers=os.cpu_count() or 1,
        )  # fmt: skip

        def judged(images: Images, target: Images = real) -> dict[str, float]:
            folders = [Path(tempfile.mkdtemp(dir=root)) for _ in range(2)]
            for folder, written in zip(folders, (images, target), strict=True):
                for name, image in written.items():
                    Image.fromarray(image).save(folder / name)
            return numbers(score_folder(folders[0], folders[1], root / "test" / "HE", judging).metrics)

        print(preferences(judged, clean, real))
        print(flush=True)
        base = judged(clean)
        found = {
            (error, dose): judged(plant(clean, dose, np.random.default_rng(1)))
            for error, (plant, doses) in ERRORS.items()
            for dose in doses
        }
        print(notices(base, found))


def numbers(metrics: dict[str, Any]) -> dict[str, float]:
    """Every metric of one submission as one number of which more is better."""
    overall, level, far = metrics["overall"], metrics["level"]["virtual"], metrics["distribution"]
    shares = metrics["validity"]["shares"]
    within = metrics["staining"]["pearson"]["within"]

    def value(name: str, sign: float = 1.0) -> float:
        found = overall[name]
        return math.nan if found is None else sign * float(found)

    return {
        "PSNR [bci2022]": value("psnr"),
        "SSIM [bci2022]": value("ssim"),
        "SSIM [gauss11]": value("ssim[gauss11]"),
        "SSIM [global]": value("ssim[global]"),
        "MS-SSIM": value("ssim[ms-ssim]"),
        "PSNR [shift-tolerant]": value("psnr[shift-tolerant]"),
        "SSIM [shift-tolerant]": value("ssim[shift-tolerant]"),
        "SSIM [flow-tolerant]": value("ssim[flow-tolerant]"),
        "Laplacian sharpness": -abs(math.log(max(value("sharpness"), 1e-9))),
        "blur gate: valid images": shares.get("valid", 0.0),
        "**DAB distance** (Wasserstein)": value("dab_wasserstein", -1),
        "DAB error of the mean": value("dab_error", -1),
        "DAB Jensen-Shannon": value("dab_js", -1),
        "DAB r within classes": math.nan if within is None else float(within),
        "DAB area, pixels (Dice 0.2)": value("dice_0.2"),
        "**DAB area, tiles** (Dice 0.2)": value("tile_dice_0.2"),
        "order violations": -float(metrics["staining"]["ordering_prediction"]["violations"]),
        "**HER2 accuracy** of the reader": level["accuracy"],
        "HER2 kappa of the reader": level["kappa"],
        "**nuclei kept** (F1 above chance)": value("nuclei_f1") - value("nuclei_chance"),
        "FID [efficientnet-lite0]": -far["fid[efficientnet-lite0]"],
        "KID [efficientnet-lite0]": -far["kid[efficientnet-lite0]"],
        "KID [radiomics]": -far["kid[radiomics]"],
        "coverage [efficientnet-lite0]": far["coverage[efficientnet-lite0]"],
    }


def notices(base: dict[str, float], found: dict[tuple[str, float], dict[str, float]]) -> str:
    lines = ["| metric | " + " | ".join(ERRORS) + " |", "|---" * (1 + len(ERRORS)) + "|"]
    doses = " | ".join(f"{', '.join(f'{dose:g}' for dose in doses)}" for _, doses in ERRORS.values())
    lines.append(f"| *doses* | {doses} |")
    for metric, start in base.items():
        everything = [start, *(one[metric] for one in found.values())]
        reach = start - min(value for value in everything if not math.isnan(value))
        cells = []
        for error, (_, doses_of) in ERRORS.items():
            path = [start, *(found[error, dose][metric] for dose in doses_of)]
            cells.append(mark(path, NOTICED * reach))
        lines.append(f"| {metric} | {' | '.join(cells)} |")
    return "\n".join(lines)


def mark(path: list[float], noise: float) -> str:
    """++ noticed at every step, + noticed and monotone, ~ noticed but not monotone, 0 not noticed, ! preferred to no error."""
    if any(math.isnan(value) for value in path):
        return "?"
    falls = [before - after for before, after in itertools.pairwise(path)]
    if path[0] - path[-1] < -noise:
        return "!"
    if path[0] - path[-1] <= noise:
        return "0"
    if min(falls) > 0 and path[0] - path[1] > noise:
        return "++"
    return "+" if min(falls) >= -noise else "~"


def preferences(judged: Callable[..., dict[str, float]], clean: Images, real: Images) -> str:
    """When the real IHC lies aside, as the next section does, which prediction does a metric like best?"""
    aside = shifted(real, 8, np.random.default_rng(1))
    rows = {
        SHARP: judged(clean, aside),
        "blurred, 2 px": judged(blurred(clean, 2, np.random.default_rng(1)), aside),
        "blurred, 4 px": judged(blurred(clean, 4, np.random.default_rng(1)), aside),
        "flat, in the target's mean": judged({name: flat(image) for name, image in aside.items()}, aside),
    }
    lines = ["| metric | " + " | ".join(rows) + " | prefers |", "|---" * (2 + len(rows)) + "|"]
    for metric in next(iter(rows.values())):
        values = {name: row[metric] for name, row in rows.items()}
        known = {name: -math.inf if math.isnan(value) else value for name, value in values.items()}
        best = max(known.values())
        likes = [name for name, value in known.items() if value == best]
        cells = " | ".join("-" if math.isnan(value) else f"{value:.3f}" for value in values.values())
        lines.append(f"| {metric} | {cells} | {' = '.join(likes)} |")
    return "\n".join(lines)


def noisy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(np.rint(image + rng.normal(0, 1, image.shape)), 0, 255).astype(np.uint8)


def each(change: Callable[[np.ndarray, float], np.ndarray]) -> Planted:
    return lambda images, dose, rng: {name: rounded(change(image, dose)) for name, image in images.items()}


def rounded(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def flat(image: np.ndarray) -> np.ndarray:
    return np.broadcast_to(rounded(image.mean(axis=(0, 1))), image.shape).copy()


blurred = each(lambda image, sigma: ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0)))
shifted = each(lambda image, px: np.roll(image, (int(px), int(px)), axis=(0, 1)))
paler = each(lambda image, share: (1 - share) * image + share * flat(image).astype(float))
cast = each(lambda image, loss: image * np.array([1, 1 - loss / 2, 1 - loss]))


def seams(images: Images, greys: float, rng: np.random.Generator) -> Images:
    """Tiles of 64 px, each brighter or darker as a whole."""
    made = {}
    for name, image in images.items():
        steps = rng.normal(0, greys, (-(-image.shape[0] // 64), -(-image.shape[1] // 64)))
        made[name] = rounded(image + np.kron(steps, np.ones((64, 64)))[: image.shape[0], : image.shape[1], None])
    return made


def jpeg(images: Images, loss: float, rng: np.random.Generator) -> Images:
    made = {}
    for name, image in images.items():
        memory = io.BytesIO()
        Image.fromarray(image).save(memory, format="JPEG", quality=int(100 - loss))
        made[name] = np.asarray(Image.open(memory))
    return made


def without_nuclei(images: Images, share: float, rng: np.random.Generator) -> Images:
    """The haematoxylin of a share of the nuclei brought down to what lies around them."""
    made = {}
    for name, image in images.items():
        light = background(image)
        density = separate(image / 255.0, H_DAB, light, clip=False)[..., :2]
        places = find_nuclei(ihc_densities(image), MPP)
        gone = np.zeros(image.shape[:2], dtype=bool)
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
        for y, x in places[rng.random(len(places)) < share]:
            gone |= (rows - y) ** 2 + (columns - x) ** 2 < (5 / MPP) ** 2
        density[..., 0] = np.where(gone, np.minimum(density[..., 0], np.quantile(density[..., 0], 0.2)), density[..., 0])
        made[name] = rounded(255 * combine(density, H_DAB, light))
    return made


def swapped(images: Images, share: float, rng: np.random.Generator) -> Images:
    """A share of the images shows tissue of another HER2 level."""
    names, made = list(images), dict(images)
    for name in rng.permutation(names)[: round(share * len(names))]:
        others = [other for other in names if level_from_name(other) != level_from_name(name)]
        made[str(name)] = images[str(rng.choice(others))]
    return made


def collapsed(images: Images, share: float, rng: np.random.Generator) -> Images:
    """A share of the images of 3+ shows tissue of 1+."""
    strong = [name for name in images if level_from_name(name) == 3]
    weak = [name for name in images if level_from_name(name) == 1]
    made = dict(images)
    for name, other in zip(strong[: round(share * len(strong))], weak, strict=False):
        made[name] = images[other]
    return made


ERRORS: dict[str, tuple[Planted, tuple[float, ...]]] = {
    "blur (px)": (blurred, (1, 2, 4)),
    "shift (px)": (shifted, (2, 5, 10)),
    "flat colour (share)": (paler, (0.25, 0.5, 1.0)),
    "colour cast (share)": (cast, (0.05, 0.1, 0.2)),
    "nuclei deleted (share)": (without_nuclei, (0.2, 0.5, 1.0)),
    "class swapped (share)": (swapped, (0.1, 0.3, 0.6)),
    "3+ as 1+ (share)": (collapsed, (0.3, 0.6, 1.0)),
    "seams (grey levels)": (seams, (2, 5, 10)),
    "JPEG (100 - quality)": (jpeg, (10, 40, 70)),
}


if __name__ == "__main__":
    main()
