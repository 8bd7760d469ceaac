"""Does the level reader notice wrong stain? Real test images with planted errors; prints a Markdown table.

    OMP_NUM_THREADS=1 python benchmarks/level_reader.py          # 320 phantoms of 256 px: about a minute on one free core
    OMP_NUM_THREADS=1 python benchmarks/level_reader.py --train TRAIN/IHC --test TEST/IHC

Without folders, phantoms are drawn. With them, names carry the levels as those of BCI do. The reader learns from the training
images; every row below the first shows it the test images after one change. Wrong stain must lower the numbers and blur must
not raise them; light and JPEG, which leave the stain as it is, should move them little. strangeness: share of the features that
lie beyond all training images.
"""

import argparse
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from chromogen.color import H_E_DAB, background, combine, separate
from chromogen.data.images import list_images, read_image
from chromogen.evaluate.controls import constant
from chromogen.evaluate.staining.level_reader.features import features
from chromogen.evaluate.staining.level_reader.reader import LevelReader, Reading, reading
from chromogen.evaluate.staining.level_reader.training import content_hash, train
from chromogen.levels import level_from_name
from chromogen.phantom.tissue.phantom import Phantom, draw
from chromogen.tensors import Uint8Image

Images = list[Uint8Image]
Levels = list[int]
TRAIN_PHANTOMS, TEST_PHANTOMS, TEST_SEED = 256, 40, 100_000
TABLE = "| {:30} | {:>8} | {:>8} | {:>8} | {:>11} |"


def phantoms(count: int, seed: int, stain_spread: float) -> tuple[Images, Levels]:
    phantom = Phantom(size_px=256, mpp=1.0, stain_spread=stain_spread)
    levels = [k % 4 for k in range(count)]
    return [draw(phantom, level, seed + k).ihc for k, level in enumerate(levels)], levels


def from_folder(folder: Path) -> tuple[Images, Levels]:
    paths = [path for path in list_images(folder) if level_from_name(path.name) is not None]
    return [read_image(path) for path in paths], [int(level_from_name(path.name) or 0) for path in paths]


def blurred(sigma_px: float) -> Callable[[Uint8Image], Uint8Image]:
    return lambda image: np.rint(ndimage.gaussian_filter(image.astype(np.float32), (sigma_px, sigma_px, 0))).astype(np.uint8)


def cast(channel: int) -> Callable[[Uint8Image], Uint8Image]:
    factors = np.where(np.arange(3) == channel, 0.9, 1.0)
    return lambda image: np.rint(image * factors).astype(np.uint8)


def paler(image: Uint8Image) -> Uint8Image:
    """Half the DAB, everything else as it was."""
    white = background(image)
    amounts = separate(image / 255.0, H_E_DAB, white, clip=False)
    amounts[..., 2] -= 0.5 * np.maximum(amounts[..., 2], 0)
    return np.rint(255 * np.clip(combine(amounts, H_E_DAB, white), 0, 1)).astype(np.uint8)


def bgr(image: Uint8Image) -> Uint8Image:
    return np.ascontiguousarray(image[..., ::-1])


def jpeg(quality: int) -> Callable[[Uint8Image], Uint8Image]:
    def saved(image: Uint8Image) -> Uint8Image:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer).convert("RGB"))

    return saved


def instead(images: Images, levels: Levels, shown: dict[int, int]) -> Images:
    """Each image of a level in `shown` replaced by one of the level named there, in turn."""
    of = {level: [image for image, one in zip(images, levels, strict=True) if one == level] for level in set(levels)}
    missing = set(shown.values()) - set(of)
    if missing:
        raise SystemExit(f"no test images of level {', '.join(map(str, sorted(missing)))} to plant")
    return [of[shown[one]][k % len(of[shown[one]])] if one in shown else images[k] for k, one in enumerate(levels)]


def planted(images: Images, levels: Levels) -> dict[str, Images]:
    changes: dict[str, Callable[[Uint8Image], Uint8Image]] = {f"blurred, sigma {s} px": blurred(s) for s in (1, 2, 4)}
    changes |= {"one flat colour, its own mean": constant}
    changes |= {"half the DAB": paler, "red and blue exchanged": bgr}
    changes |= {f"{name} x 0.9": cast(k) for k, name in enumerate(("red", "green", "blue"))}
    changes |= {f"JPEG, quality {quality}": jpeg(quality) for quality in (90, 50, 20)}
    made = {name: [change(image) for image in images] for name, change in changes.items()}
    made["all classes swapped (0-3, 1-2)"] = instead(images, levels, {0: 3, 1: 2, 2: 1, 3: 0})
    made["3+ shows 1+"] = instead(images, levels, {3: 1})
    made["every image shows 3+"] = instead(images, levels, dict.fromkeys(range(3), 3))
    made["every image shows 1+"] = instead(images, levels, dict.fromkeys((0, 2, 3), 1))
    return made


def measured(images: Sequence[Uint8Image]) -> np.ndarray:
    return np.stack([features(image) for image in images])


def print_row(name: str, found: Reading) -> None:
    numbers = [f"{value:.3f}" for value in (found.accuracy, found.balanced_accuracy, found.kappa, found.strangeness)]
    print(TABLE.format(name, *numbers), flush=True)


def print_reader(reader: LevelReader, seconds: float) -> None:
    learned = ", ".join(f"{count} of {level}" for level, count in zip(reader.levels, reader.images, strict=True))
    print(f"trained on {learned}; {1000 * seconds:.0f} ms of CPU an image; {'; '.join(reader.notes)}\n")
    print(TABLE.format("", "accuracy", "balanced", "kappa", "strangeness"))
    print("|---" * 5 + "|")
    table = reader.out_of_fold
    if table is not None:
        cells = [f"{value:.3f}" for value in (table.accuracy, table.balanced_accuracy, table.kappa("quadratic"))]
        print(TABLE.format(f"training, cross-validated by {reader.folds_by}", *cells, ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, help="real IHC to learn from; levels in the names")
    parser.add_argument("--test", type=Path, help="other real IHC")
    parser.add_argument(
        "--stain-spread", type=float, default=0.1, help="how unequally slides of phantoms are stained; above 0.3 levels overlap"
    )
    chosen = parser.parse_args()
    if (chosen.train is None) != (chosen.test is None):
        parser.error("give both --train and --test, or neither")
    images, levels = phantoms(TRAIN_PHANTOMS, 0, chosen.stain_spread) if chosen.train is None else from_folder(chosen.train)
    test, test_levels = (
        phantoms(TEST_PHANTOMS, TEST_SEED, chosen.stain_spread) if chosen.test is None else from_folder(chosen.test)
    )

    began = time.process_time()
    rows = measured(images)
    seconds = (time.process_time() - began) / len(images)
    hashes = [[content_hash(image) for image in some] for some in (images, test)]
    reader = train(rows, levels, contents=hashes[0], test_contents=hashes[1])
    print_reader(reader, seconds)
    ceiling = reading(reader, measured(test), test_levels)
    print_row("real test images: the ceiling", ceiling)
    for name, changed in planted(test, test_levels).items():
        print_row(name, reading(reader, measured(changed), test_levels))
    print(f"\nreal test images, read (column) against real (row) level:\n{ceiling.confusion.counts}")


if __name__ == "__main__":
    main()
