"""What `chromogen.kind` calls pictures whose kind is known: `python benchmarks/kinds.py [../shared/data] [--fields 8]`.

Real pictures of the folder, whole and in tiles of 256 px, phantoms of every level, and what scikit-image and scikit-learn
carry. A tile of a stained picture may be blank. Prints a row for each set, the mistakes, and the time.
"""

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import skimage
import sklearn

from chromogen.data.images import list_images, read_image
from chromogen.kind import NAMES, kind_of
from chromogen.phantom.tissue.phantom import Phantom, draw
from chromogen.tensors import Uint8Image

TILE_PX = 256
LUNG = "registration"


def stains(data: Path) -> Iterator[tuple[str, str, str, Uint8Image]]:
    """(true kind, set, name, picture) of real H&E and IHC."""
    for folder in ("bci_dev", "mist_dev"):
        for stain, true in (("HE", "he"), ("IHC", "ihc")):
            for path in list_images(data / folder / stain):
                yield true, f"{folder}/{stain}", path.name, read_image(path)
    for path in list_images(data / "ihc_nuclei"):
        if path.suffix == ".png" and "truth" not in path.name:
            yield "ihc", "ihc_nuclei", path.name, read_image(path)
    for path in sorted((data / LUNG).rglob("*.jpg")):
        true = "he" if "he" in path.stem.lower().replace("_", "-").split("-") else "ihc"
        yield true, f"{LUNG} ({true})", path.name, read_image(path)
    for name in ("OS-1-he.png", "pen_marks/tcga-green-pen.png", "pen_marks/tcga-red-pen.png"):
        yield "he", "slides", name, read_image(data / "slides" / name)


def drawn(fields: int) -> Iterator[tuple[str, str, str, Uint8Image]]:
    for seed in range(fields):
        for level in range(4):
            pair = draw(
                Phantom(size_px=384, white_spread=0.3 * (seed % 2), jpeg_quality=80 if seed % 3 == 2 else None), level, seed
            )
            yield "he", "phantom H&E", f"{level}/{seed}", pair.he
            yield "ihc", "phantom IHC", f"{level}/{seed}", pair.ihc


def strangers(data: Path) -> Iterator[tuple[str, str, str, Uint8Image]]:
    folders = [data / "retina", data / "xray" / "test" / "NORMAL", data / "brightfield_fluorescence" / "test_B"]
    folders += [Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images"]
    for folder in folders:
        for path in list_images(folder) or sorted(folder.rglob("*.jpg")):
            if path.stem != "ihc" and "multipage" not in path.stem:
                yield "neither", folder.name, path.name, read_image(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?", default=Path("../shared/data"))
    parser.add_argument("--fields", type=int, default=8)
    asked = parser.parse_args()
    table: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    mistakes, seconds = [], []
    pictures = (
        [stains(asked.data), drawn(asked.fields), strangers(asked.data)] if asked.data.is_dir() else [drawn(asked.fields)]
    )
    for true, folder, name, picture in (one for source in pictures for one in source):
        sides = [range(0, side - TILE_PX + 1, TILE_PX) for side in picture.shape[:2]]
        tiled = true != "neither" and not folder.startswith("phantom")
        tiles = [picture[y : y + TILE_PX, x : x + TILE_PX] for y in sides[0] for x in sides[1]] if tiled else []
        for part, of in [(picture, folder), *((tile, f"{folder}, tiles") for tile in tiles)]:
            start = time.perf_counter()
            kind = kind_of(np.ascontiguousarray(part))
            seconds.append(time.perf_counter() - start)
            table[true, of][kind.name] += 1
            right = (
                kind.name not in ("he", "ihc") if true == "neither" else kind.name in (true, "blank" if of != folder else true)
            )
            if not right:
                mistakes.append(f"{of}, {name}: {kind.words} ({kind.reason})")
    print(f"{'':9s}{'':28s}" + "".join(f"{name:>7s}" for name in NAMES))
    for (true, folder), counts in table.items():
        print(f"{true:9s}{folder:28s}" + "".join(f"{counts[name]:7d}" for name in NAMES))
    print(*(mistakes or ["no mistake"]), sep="\n")
    print(f"{len(seconds)} pictures, median {1000 * np.median(seconds):.0f} ms")


if __name__ == "__main__":
    main()
