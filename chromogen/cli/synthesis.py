"""`chromogen synthesize`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.progress import Progress

from chromogen.cli.console import FINE, err_console, out_console


def synthesize(
    model: Path,
    out: Path,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 100,
    seed: int = 0,
    format: Literal["png", "nnunet", "classes", "coco"] = "png",
    lesions: Literal["real", "blobs"] = "real",
    batch: int = 8,
    device: str = "auto",
) -> int:
    """Make an audited, labelled data set with a trained chain.

    Args:
        model: the folder that `chromogen train` made from a chain's recipe.
        out: the new folder; a started one is completed.
        n: how many cases to keep; copies of training cases are quarantined and counted apart.
        seed: the same seed makes the same files (on a CPU).
        format: png: images and masks; nnunet: NIfTI as nnU-Net reads it; classes: a folder a class; coco: boxes in JSON.
        lesions: real: those of training cases, turned, moved and shrunk; blobs: smooth outlines that nobody has.
        batch: cases drawn together; another number makes other cases.
        device: auto, cpu or cuda.
    """
    from chromogen.devices import pick_device
    from chromogen.synthesize.folder import Synthesis
    from chromogen.synthesize.folder import synthesize as make
    from chromogen.synthesize.labelling import Labelling
    from chromogen.synthesize.parts import load_parts
    from chromogen.train.chain import read_chain

    wanted = Synthesis(count=n, seed=seed, layout=format, batch=batch, labelling=Labelling(lesions=lesions))
    parts = load_parts(model, pick_device(device))
    real = read_chain(model)["fields"]["cases"]["root"]
    with Progress(console=err_console, transient=True) as bar:
        task = bar.add_task("synthesizing", total=n)
        outcome = make(
            parts,
            wanted,
            out,
            real,
            shlex.join(["chromogen", *sys.argv[1:]]),
            lambda done, of: bar.update(task, completed=done),
        )
    out_console.print(
        f"{outcome.kept} cases in {out}, {outcome.quarantined} quarantined as copies; read {out}/data_sheet.md, look at "
        f"{out}/overview.png",
        soft_wrap=True,
    )
    return FINE
