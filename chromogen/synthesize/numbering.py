"""How the classes of a label are called and numbered in an export: names distinct, gaps kept or closed."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import UInt8

UNUSED = "unused"  # how a layout calls a number that no class has


def distinct_names(names: Sequence[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """The names with a number behind those that occur before, among them or in `taken`; nnU-Net refuses two alike."""
    seen, found = set(taken), []
    for number, name in enumerate(names):
        shown, again = name, number
        while shown in seen:
            shown, again = f"{name} {again}", again + len(names)
        seen.add(shown)
        found.append(shown)
    return tuple(found)


def numbers_in_use(classes: Sequence[str]) -> tuple[int, ...]:
    """The numbers of the classes that are called something, 0 among them: place k of the answer is what class k was before."""
    return tuple(number for number, name in enumerate(classes) if number == 0 or not name.casefold().startswith(UNUSED))


def renumbered(mask: UInt8[np.ndarray, "height width"], numbers: Sequence[int], case: str) -> UInt8[np.ndarray, "height width"]:
    """The mask with class `numbers[k]` as k. ValueError naming the case when it holds another class."""
    table = np.full(256, 255, np.uint8)
    table[list(numbers)] = np.arange(len(numbers), dtype=np.uint8)
    held = [int(number) for number in np.unique(mask) if number not in numbers]
    if held:
        raise ValueError(f"{case}: its mask holds class {held[0]}, which has no name; export it without --consecutive")
    return table[mask]
