"""`chromogen data check` and `chromogen data phantom`."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from chromogen.cli.console import FINE, SOME_FAILED, Output, err_console, out_console, progress
from chromogen.data.phantom import Phantom

PHANTOM = Phantom(size_px=512)


def check_data(folder: Positional[Path], /, layout: str = "auto") -> int:
    """What a data set holds, and what is wrong with it.

    Args:
        folder: The data set's folder, or a CSV manifest.
        layout: auto, or the layout's name if it should not be guessed.
    """
    from chromogen.data.check import check

    found = check(folder, layout)
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
    from chromogen.data import phantom_folder

    with progress("drawing") as advance:
        phantom_folder.write_phantoms(output, phantom, pairs, seed, advance)
    err_console.print(f"{pairs} pairs are in {output}")
    return FINE
