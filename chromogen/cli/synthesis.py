"""`chromogen synthesize` and `chromogen utility`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.progress import Progress
from tyro.conf import Positional

from chromogen.cli.console import FINE, SOME_FAILED, err_console, out_console


def synthesize(
    model: Path,
    out: Path,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 100,
    seed: int = 0,
    format: Literal["png", "nnunet", "classes", "coco"] = "png",
    lesions: Literal["real", "blobs"] = "real",
    filters: Literal["tuned", "thesis"] = "tuned",
    consecutive: bool = False,
    batch: int = 8,
    device: str = "auto",
) -> int:
    """Make an audited, labelled data set with a trained chain.

    Args:
        model: the folder that `chromogen train` made from a chain's recipe.
        out: the new folder; a started one is completed.
        n: how many cases to keep; copies of training cases are quarantined and counted apart.
        seed: the same seed makes the same files (on a CPU).
        format: png: images and masks; nnunet: NIfTI as nnU-Net reads it; classes: a folder a class; coco: boxes, masks in JSON.
        lesions: real: those of training cases, turned, moved and shrunk; blobs: smooth outlines that nobody has.
        filters: which line maps pass. tuned: the better half by the critic; thesis: those it scores 0.55 at least. Both: also
            those whose lines enclose their organ.
        consecutive: number the classes of masks and boxes 0, 1, 2, ... without the numbers that no class has.
        batch: cases drawn together; another number makes other cases.
        device: auto, cpu or cuda.
    """
    from chromogen.devices import pick_device
    from chromogen.synthesize.drawing import THESIS, Filters
    from chromogen.synthesize.folder import synthesize as make
    from chromogen.synthesize.labelling import Labelling
    from chromogen.synthesize.maker import Synthesis
    from chromogen.synthesize.parts import load_parts
    from chromogen.train.chain import read_chain

    wanted = Synthesis(
        count=n, seed=seed, layout=format, batch=batch, consecutive=consecutive, labelling=Labelling(lesions=lesions),
        filters=THESIS if filters == "thesis" else Filters(),
    )  # fmt: skip
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


def utility(
    real: Positional[Path],
    synthetic: Positional[Path],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])],
    rows: tuple[str, ...] = (),
    seeds: int = 3,
    budget: int | None = None,
    batch_size: int = 16,
    width: int = 16,
    table: Literal[4, 5, 6, 7, 8] = 5,
    device: str = "auto",
) -> int:
    """Say whether made cases help a reader of real ones; the same command continues what was interrupted.

    Args:
        real: prepared cases with labels, or the folder of a chain, whose cases are taken; their test split judges.
        synthetic: made cases: what `chromogen synthesize` wrote, a prepared folder, or any layout of cases.
        out: folder that receives utility.json, table.md, table.csv, plot.png and a result for each row and seed.
        rows: rows of Table 5 by number, or all, or short: 1 3 7 13 19 24 25. Row 1, real cases alone, is always there.
        seeds: readers of each row; fewer than 3 decide nothing.
        budget: steps of each reader; by default 100 images for each real training case, in all.
        batch_size: cases in a batch.
        width: of the readers.
        table: 5 mixtures; 4 readers of real cases on made ones; 6 vessels; 7 image classes; 8 boxes.
        device: auto, cpu or cuda.
    """
    from chromogen.bench.utility.study import Study, rows_from_words, run
    from chromogen.bench.utility.table import write_result

    study = Study(real, synthetic, rows_from_words(rows), seeds, budget, batch_size, width, table, device)
    result = run(study, out, lambda line: err_console.print(line, soft_wrap=True))
    written = write_result(out, result, shlex.join(["chromogen", *sys.argv[1:]]))
    for row, reason in result.failed.items():
        err_console.print(f"failed: row {row}: {reason}", style="red", soft_wrap=True)
    out_console.print(f"{result.sentence}\n{written} and {out / 'plot.png'}", soft_wrap=True)
    return SOME_FAILED if result.failed else FINE
