"""`chromogen her2`."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from chromogen import checkpoint
from chromogen.cli.console import FINE, SOME_FAILED, Output, err_console, out_console, progress, tell_conversions
from chromogen.evaluate.staining.her2.guideline import Thresholds
from chromogen.evaluate.staining.her2.readout import NO_H_DAB

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
    subfolders: bool = False,
    overwrite: bool = False,
) -> int:
    """Read the HER2 pattern of IHC images, real or virtual: cells, membranes, percentages, and how sure.

    What is no H-DAB image (H&E, grey, fluorescence, a photograph) gets no pattern; it is listed, and the exit code is 1.

    Args:
        images: Image files, folders or quoted patterns such as "ihc/*.png" (the same as --input).
        input: An image file or a folder of images.
        output: The folder that receives the read-out, cells, QuPath detections and picture of every image, and summary.csv.
        mpp: um per pixel. Without it what the file states is taken; where it states nothing 0.5 is assumed, and the image is
            to be reviewed.
        basis: ihc for a stained slide, virtual for a model's prediction of one.
        thresholds: Where the classes of cells part.
        reread: A folder this command wrote: read its cells again with these thresholds, without the images.
        subfolders: Take the images of subfolders too, each into a folder of the same name.
        overwrite: Replace read-outs that are there.
    """
    from chromogen.report.readouts import SUMMARY, clashing, inputs_of, read_inputs
    from chromogen.report.readouts import reread as read_again

    remark = ""
    sources = [*images, *([input] if input else [])]
    err_console.print(checkpoint.RESEARCH_USE, soft_wrap=True)
    if reread is not None:
        if sources:
            raise ValueError("--reread takes no images: it reads the cells that were saved in its folder")
        output = reread
        with progress("reading again") as advance:
            outcomes = read_again(output, thresholds, advance)
    else:
        if not sources:
            raise ValueError("name one image or one folder: chromogen her2 -i FOLDER -o FOLDER --mpp 0.46")
        inputs = inputs_of(sources, output, subfolders)
        remark = inputs.remark
        for name, reason in clashing(inputs).items():
            err_console.print(f"left out: {name}: {reason}", style="yellow", soft_wrap=True)
        if inputs.ignored:
            err_console.print(f"not images that are read here: {', '.join(inputs.ignored)}", soft_wrap=True)
        with progress("reading") as advance:
            outcomes = read_inputs(inputs, output, mpp, thresholds, basis, overwrite, advance)
    for outcome in outcomes:
        if outcome.readout is not None:
            out_console.print(f"{outcome.image}: {outcome.readout.words}", soft_wrap=True)
            for reason in outcome.readout.unsaid:
                out_console.print(f"  {reason}", soft_wrap=True)
    failed = [outcome for outcome in outcomes if outcome.readout is None]
    for outcome in failed:
        err_console.print(f"failed: {outcome.image}: {outcome.reason}", style="red", soft_wrap=True)
    strangers = [outcome.image for outcome in outcomes if outcome.readout is not None and outcome.readout.status == NO_H_DAB]
    for image in strangers:
        err_console.print(f"{NO_H_DAB}: {image}", style="red", soft_wrap=True)
    tell_conversions((outcome.image, outcome.notes) for outcome in outcomes)
    if remark:
        err_console.print(remark, soft_wrap=True)
    read = len(outcomes) - len(failed) - len(strangers)
    err_console.print(f"{read} of {len(outcomes)} images are read; see {output / SUMMARY}")
    return SOME_FAILED if failed or strangers else FINE
