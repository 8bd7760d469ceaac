"""CPU time to read a picture through chromogen's one door, beside Pillow alone on the same file in the same run.

    .venv/bin/python benchmarks/reading.py [--size 1024] [--rounds 40]

Phantom H&E is written as the usual files; Pillow's column is `np.asarray(Image.open(path).convert("RGB"))`, which says nothing
of what it converted. Rounds alternate, so that other work on the machine hits both; the ratio is that of the medians.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from chromogen.data.images import read_image
from chromogen.phantom.tissue.phantom import Phantom, draw


def written(folder: Path, image: np.ndarray) -> dict[str, Path]:
    """The usual kinds of files."""
    found = {"PNG": folder / "a.png", "JPEG, quality 90": folder / "a.jpg"}
    Image.fromarray(image).save(found["PNG"])
    Image.fromarray(image).save(found["JPEG, quality 90"], quality=90)
    kinds: dict[str, dict[str, Any]] = {
        "TIFF, not compressed": {},
        "TIFF, LZW": {"compression": "lzw"},
        "TIFF, LZW with predictor": {"compression": "lzw", "predictor": True},
        "TIFF, deflate with predictor": {"compression": "zlib", "predictor": True},
        "TIFF, JPEG in tiles": {"compression": "jpeg", "tile": (256, 256)},
    }
    for number, (name, options) in enumerate(kinds.items()):
        found[name] = folder / f"{number}.tif"
        tifffile.imwrite(found[name], image, photometric="rgb", **options)
    return found


def with_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def seconds(read: Callable[[Path], np.ndarray], path: Path) -> float:
    start = time.process_time()
    read(path)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=40)
    chosen = parser.parse_args()
    image = draw(Phantom(size_px=chosen.size), level=3, seed=0).he
    print("| file | chromogen, ms | Pillow, ms | ratio |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for name, path in written(Path(folder), image).items():
            if "JPEG" not in name:
                assert np.array_equal(read_image(path), with_pillow(path))
            times = [(seconds(read_image, path), seconds(with_pillow, path)) for _ in range(chosen.rounds)]
            ours, pillow = (1000 * median(column) for column in zip(*times, strict=True))
            print(f"| {name} | {ours:.1f} | {pillow:.1f} | {ours / pillow:.2f} |")


if __name__ == "__main__":
    main()
