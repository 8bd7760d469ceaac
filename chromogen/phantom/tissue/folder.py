"""Phantom pairs as files, in the BCI layout, for people and programs that read folders."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from chromogen.config import to_fields
from chromogen.files import write_json, written_whole
from chromogen.levels import LEVELS
from chromogen.phantom.tissue.phantom import Phantom, draw


def write_phantoms(
    folder: Path, phantom: Phantom, pairs: int, seed: int, progress: Callable[[float, int, str], None] | None = None
) -> None:
    """Draw `pairs` pairs, the HER2 levels in turn, as HE/phantom-00000_test_0.png and the same in IHC/, and phantom.json.

    Pair k has seed `seed + k`. ValueError when the folder already holds images, so that two sets are never mixed.
    """
    if pairs < 1:
        raise ValueError(f"the number of pairs must be at least 1, got {pairs}")
    if (folder / "HE").exists() or (folder / "IHC").exists():
        raise ValueError(f"{folder} already holds HE/ or IHC/; choose an empty folder with -o")
    for index in range(pairs):
        level = index % len(LEVELS)
        pair = draw(phantom, level, seed + index)
        name = f"phantom-{index:05d}_test_{LEVELS[level]}.png"
        for stain, image in (("HE", pair.he), ("IHC", pair.ihc)):
            with written_whole(folder / stain / name) as partial:
                Image.fromarray(image).save(partial, format="PNG")
        if progress is not None:
            progress(index + 1, pairs, name)
    write_json(folder / "phantom.json", {"seed": seed, "pairs": pairs, "phantom": to_fields(phantom)})
