"""`chromogen data check`, `chromogen data phantom` and `chromogen data anatomy`."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from chromogen.cli.console import FINE, SOME_FAILED, Output, err_console, out_console, progress
from chromogen.phantom.tissue.phantom import Phantom

PHANTOM = Phantom(size_px=512)


def check_data(folder: Positional[Path], /, layout: str = "auto") -> int:
    """What a data set holds, stained pairs or radiology cases, and what is wrong with it.

    Args:
        folder: The data set's folder, or a CSV manifest.
        layout: auto, or the layout's name if it should not be guessed.
    """
    from chromogen.data.check import check_folder

    found = check_folder(folder, layout)
    for line in found.lines():
        out_console.print(line, soft_wrap=True)
    return SOME_FAILED if found.problems else FINE


def write_phantoms(
    output: Output,
    pairs: Annotated[int, arg(aliases=["-n"])] = 16,
    seed: int = 0,
    phantom: Phantom = PHANTOM,
) -> int:
    """Draw pairs of phantom tissue into a folder in the BCI layout, as many of each HER2 level.

    Args:
        output: The folder that receives HE/ and IHC/.
        pairs: How many pairs.
        seed: The first pair's seed.
        phantom: What to draw.
    """
    from chromogen.phantom.tissue import folder as phantom_folder

    with progress("drawing") as advance:
        phantom_folder.write_phantoms(output, phantom, pairs, seed, advance)
    err_console.print(f"{pairs} pairs are in {output}")
    return FINE


def write_anatomy(
    kind: Positional[Literal["brain", "fundus", "chest", "lung-ct"]],
    /,
    output: Output,
    patients: Annotated[int, arg(aliases=["-n"])] = 20,
    slices: int = 1,
    size_px: int = 128,
    seed: int = 0,
) -> int:
    """Draw phantom patients into a folder such as users have: brains in four contrasts, fundi, chest X-rays or lung CT.

    Args:
        kind: Whose anatomy.
        output: The new folder.
        patients: How many patients.
        slices: Slices a patient, of brains and lung CT.
        size_px: Side of the images, a multiple of 16.
        seed: The same seed draws the same patients.
    """
    from chromogen.phantom import anatomy

    kinds = {"brain": anatomy.Brain, "fundus": anatomy.Fundus, "chest": anatomy.Chest, "lung-ct": anatomy.LungCT}
    with progress("drawing") as advance:
        anatomy.write_anatomy(output, kinds[kind](size_px=size_px), patients, slices, seed, advance)
    err_console.print(f"{patients} phantom patients are in {output}")
    return FINE
