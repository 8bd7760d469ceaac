"""`chromogen her2`."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from chromogen import checkpoint
from chromogen.cli.console import FINE, SOME_FAILED, Output, err_console, out_console, progress
from chromogen.evaluate.staining.her2.guideline import Thresholds

THRESHOLDS = Thresholds()


def her2(
    images: Positional[tuple[Path, ...]] = (),
    /,
    input: Annotated[Path | None, arg(aliases=["-i"])] = None,
    output: Output = Path("her2"),
    mpp: float | None = None,
    basis: Literal["ihc", "virtual"] = "ihc",
    thresholds: Thresholds = THRESHOLDS,
    reread: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Read the HER2 pattern of IHC images, real or virtual: cells, membranes, percentages, and how sure.

    Args:
        images: An image file or a folder (the same as --input).
        input: An image file or a folder of images.
        output: The folder that receives the read-out, cells, QuPath detections and picture of every image, and summary.csv.
        mpp: um per pixel. Without it 0.5 is assumed, and every image is to be reviewed.
        basis: ihc for a stained slide, virtual for a model's prediction of one.
        thresholds: Where the classes of cells part.
        reread: A folder this command wrote: read its cells again with these thresholds, without the images.
        overwrite: Replace read-outs that are there.
    """
    from chromogen.report.readouts import SUMMARY, read_images
    from chromogen.report.readouts import reread as read_again

    sources = [*images, *([input] if input else [])]
    err_console.print(checkpoint.RESEARCH_USE, soft_wrap=True)
    if reread is not None:
        if sources:
            raise ValueError("--reread takes no images: it reads the cells that were saved in its folder")
        output = reread
        with progress("reading again") as advance:
            outcomes = read_again(output, thresholds, advance)
    else:
        if len(sources) != 1:
            raise ValueError("name one image or one folder: chromogen her2 -i FOLDER -o FOLDER --mpp 0.46")
        with progress("reading") as advance:
            outcomes = read_images(sources[0], output, mpp, thresholds, basis, overwrite, advance)
    for outcome in outcomes:
        if outcome.readout is not None:
            out_console.print(f"{outcome.image}: {outcome.readout.words}", soft_wrap=True)
            for reason in outcome.readout.reasons:
                out_console.print(f"  {reason}", soft_wrap=True)
    failed = [outcome for outcome in outcomes if outcome.readout is None]
    for outcome in failed:
        err_console.print(f"failed: {outcome.image}: {outcome.reason}", style="red", soft_wrap=True)
    err_console.print(f"{len(outcomes) - len(failed)} of {len(outcomes)} images are read; see {output / SUMMARY}")
    return SOME_FAILED if failed else FINE
