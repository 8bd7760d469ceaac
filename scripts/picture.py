"""The README's picture: phantom H&E of the four HER2 levels, what the embedded model makes of it, and the true IHC.

python scripts/picture.py docs/picture.jpg
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import chromogen
from chromogen.files import written_whole
from chromogen.phantom.tissue.phantom import Phantom, draw

SEEDS = (900_101, 900_105, 900_110, 900_115)  # training draws 64-bit seeds, so that it met these is as good as impossible


def main(path: Path) -> None:
    stain = chromogen.load()
    pairs = [draw(Phantom(size_px=256, her2_signal=2.0), level, seed) for level, seed in enumerate(SEEDS)]
    rows = [[pair.he for pair in pairs], [stain(pair.he) for pair in pairs], [pair.ihc for pair in pairs]]
    grid = np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
    with written_whole(path) as partial:
        Image.fromarray(grid).save(partial, format="JPEG", quality=92)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
