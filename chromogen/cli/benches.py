"""`chromogen bench staining` and `chromogen bench synthesis`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from chromogen import methods as registry
from chromogen.cli.console import FINE, SOME_FAILED, err_console, out_console


def bench_staining(
    data: Path,
    budget: str,
    output: Annotated[Path, arg(name="out", aliases=["-o"])],
    methods: tuple[str, ...] = (),
    held_out: tuple[str, ...] = (),
    resize_px: int | None = None,
    crop_px: int = 256,
    batch_size: int = 2,
    narrow: int = 1,
    seed: int = 0,
    jobs: int = 1,
    workers: int = 0,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    licence: str = "",
    mpp: float | None = None,
) -> int:
    """Train and score every system on the same pairs with the same budget; the same command continues what was interrupted.

    Args:
        data: Folder of pairs with a test split, or with --held-out.
        budget: Length of each training: 400 (steps) or 10min (as many steps as fit).
        output: Folder that receives table.md, table.csv, per_image.csv, picture.jpg and a folder a system.
        methods: Systems as `chromogen methods` names them, with variants as NAME:VARIANT; by default every method's preset.
        held_out: Names of the pairs to score, where the data has no test split; they never train.
        resize_px: Bring the shorter side of every image to this first.
        crop_px: Side of the training crops.
        batch_size: Crops in a batch.
        narrow: Divide every width of every network by this.
        seed: Of first weights, crops and order.
        jobs: Systems at a time.
        workers: Processes that read images, for each system.
        device: auto, cpu, cuda or cuda:N.
        precision: bf16 where it is fast (auto), fp32 or bf16.
        licence: Of the data, for the model cards.
        mpp: Micrometres per pixel of the test images; with it, the nuclei of the H&E are looked for in what is made.
    """
    from chromogen.bench.pictures import write_picture
    from chromogen.bench.plan import Plan, budget_from_text
    from chromogen.bench.staining import bench, repeat_command
    from chromogen.bench.table import write_table

    length = budget_from_text(budget)
    plan = Plan(data, length, held_out, resize_px, crop_px, batch_size, narrow, seed, device, precision, workers, licence, mpp)
    systems = list(dict.fromkeys(methods)) or registry.available()
    command = repeat_command(plan, systems, output)
    outcomes = bench(plan, systems, output, jobs, lambda line: err_console.print(line, soft_wrap=True), command)
    rows = write_table(output, outcomes, f"Virtual staining systems on {data.resolve().name}: {plan.title()}")
    write_picture(output, [row["system"] for row in sorted(rows, key=lambda row: -row["balance"])])
    failed = [outcome for outcome in outcomes if outcome.reason]
    for outcome in failed:
        err_console.print(f"failed: {outcome.system}: {outcome.reason}", style="red", soft_wrap=True)
    out_console.print(f"{output / 'table.md'} and {output / 'picture.jpg'}", soft_wrap=True)
    return SOME_FAILED if failed else FINE


def bench_synthesis(
    data: Path,
    output: Annotated[Path, arg(name="out", aliases=["-o"])],
    budget: int = 1000,
    count: int = 200,
    systems: tuple[str, ...] = (),
    chain: tuple[Path, ...] = (),
    ablations: Path | None = None,
    extractors: tuple[str, ...] = ("efficientnet-lite0", "radiomics"),
    reader_budget: int = 400,
    batch_size: int = 16,
    narrow: int = 1,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
) -> int:
    """Let every system make cases and score them, beside controls; the same command continues what was interrupted.

    Args:
        data: Prepared cases, or the folder of a chain, whose cases are taken.
        output: Folder that receives table.md, table.csv, picture.jpg and a folder a system.
        budget: Steps of each training.
        count: How many cases each system makes.
        systems: Methods that make whole images, with variants as NAME:VARIANT; by default all that suit the cases.
        chain: Folders of trained chains that take part, as chain:NAME of the folder.
        ablations: A trained chain whose renderer is trained anew as in rows A to F of Table 1 of the thesis; they take part.
        extractors: Of features for KID, FID and the others; the table is sorted by the first.
        reader_budget: Steps of the reader that looks for the labels of made cases.
        batch_size: Cases in a batch.
        narrow: Divide every width of every network by this.
        seed: Of first weights, order and noise.
        device: auto, cpu, cuda or cuda:N.
        precision: bf16 where it is fast (auto), fp32 or bf16.
    """
    from chromogen.bench.synthesis.ablations import train_ablations
    from chromogen.bench.synthesis.bench import bench
    from chromogen.bench.synthesis.pictures import write_picture
    from chromogen.bench.synthesis.plan import CHAIN_PREFIX, Plan, systems_for
    from chromogen.bench.synthesis.table import order_of, write_table

    chains = chain
    if ablations is not None:
        made = train_ablations(ablations, output.with_name(f"{output.name}-ablations"), device=device)
        if made is None:
            raise KeyboardInterrupt
        chains = (*chain, *made.values())
    plan = Plan(data, budget, count, batch_size, narrow, seed, device, precision, extractors, reader_budget, chains=chains)
    wanted = [*(systems or systems_for(plan.prepared())), *(f"{CHAIN_PREFIX}{path.name}" for path in chains)]
    command = shlex.join(["chromogen", *sys.argv[1:]])
    outcomes = bench(plan, list(dict.fromkeys(wanted)), output, lambda line: err_console.print(line, soft_wrap=True), command)
    rows = write_table(output, plan, outcomes)
    write_picture(output, order_of(outcomes, rows))
    failed = [outcome for outcome in outcomes if outcome.reason]
    for outcome in failed:
        err_console.print(f"failed: {outcome.system}: {outcome.reason}", style="red", soft_wrap=True)
    out_console.print(f"{output / 'table.md'} and {output / 'picture.jpg'}", soft_wrap=True)
    return SOME_FAILED if failed else FINE
