"""The command `chromogen`. Exit codes: 0 fine, 1 some items failed (they are listed), 2 usage, 130 interrupted (resumable)."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, Protocol

import torch
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tyro.conf import Positional, arg

import chromogen
from chromogen import checkpoint
from chromogen import methods as registry
from chromogen.data.phantom import Phantom

ABOUT = """One kind of tissue image from another. Research use only; not for diagnosis.

To train: chromogen train RECIPE --out RUN. To look at a data set or draw phantoms: chromogen data. To compare systems:
chromogen bench staining."""
TRAIN_HELP = (
    "chromogen train recipes/bci.py:pyramid_pix2pix --out RUN trains; --resume continues; --device picks cpu or cuda; --show "
    "prints the resolved run; chromogen train RECIPE --help lists every field that can be changed"
)
FINE, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

out_console = Console(markup=False, highlight=False)  # names of files are not markup
err_console = Console(stderr=True, markup=False, highlight=False)

PHANTOM = Phantom(size_px=512)

Output = Annotated[Path, arg(aliases=["-o"])]


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line; every expected error becomes one sentence on stderr."""
    words = list(sys.argv[1:] if words is None else words)
    try:
        return _dispatch(words)
    except ValueError as error:
        return _fail(str(error), USAGE)
    except FileNotFoundError as error:
        return _fail(f"there is no {error.filename}" if error.filename else str(error), USAGE)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}", SOME_FAILED)
    except torch.OutOfMemoryError:
        return _fail(
            "the GPU's memory is full; lower loop.batch-size or data.crop-px, or --tile-px when translating", SOME_FAILED
        )
    except FloatingPointError as error:
        return _fail(str(error), SOME_FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command continues (a training: with --resume)", INTERRUPTED)


def _dispatch(words: list[str]) -> int:
    if words in (["--version"], ["version"]):
        out_console.print(f"chromogen {chromogen.__version__}")
        return FINE
    if words[:1] == ["train"]:
        return train(words[1:])
    if words[:1] == ["bench"]:
        return _subcommands(BENCH_COMMANDS, "chromogen bench", words[1:], "Compare systems under equal conditions.")
    if words[:1] == ["data"]:
        return _subcommands(DATA_COMMANDS, "chromogen data", words[1:], "Look at data, or make some.")
    return _subcommands(COMMANDS, "chromogen", words, ABOUT)


def _subcommands(commands: dict[str, Callable[..., int]], program: str, words: list[str], about: str) -> int:
    config = (tyro.conf.OmitArgPrefixes,)
    code: int = tyro.extras.subcommand_cli_from_dict(
        commands, prog=program, args=words or ["--help"], description=about, config=config
    )
    return code


def train(words: list[str]) -> int:
    """Train the run of a recipe: `chromogen train recipes/bci.py:pyramid_pix2pix --out RUN [--resume] [--any.field VALUE]`."""
    if words in (["-h"], ["--help"]):
        out_console.print(TRAIN_HELP)
        return FINE
    if not words or words[0].startswith("-"):
        raise ValueError(f"say which recipe. {TRAIN_HELP}")
    from chromogen.train.loop import train as train_run
    from chromogen.train.run import changed_from_flags, load_recipe, shown

    recipe, flags = words[0], words[1:]
    own, fields = _own_flags(flags, {"--out": True, "-o": True, "--device": True, "--resume": False, "--show": False})
    run = changed_from_flags(
        load_recipe(recipe), fields, f"chromogen train {recipe} --out RUN [--resume] [--show] [--device cpu]"
    )
    if "--show" in own:
        out_console.print(shown(run), soft_wrap=True)
        return FINE
    out = own.get("--out", own.get("-o"))
    if out is None:
        raise ValueError("say where the run goes: --out RUN")
    command = shlex.join(["chromogen", "train", *words])
    outcome = train_run(run, Path(out), resume="--resume" in own, device=own.get("--device", "auto"), command=command)
    first = os.environ.get("RANK", "0") == "0"  # of several processes, one speaks
    if outcome.interrupted:
        again = command if "--resume" in own else f"{command} --resume"
        return _fail(f"stopped after step {outcome.step}, saved; continue with: {again}" if first else "", INTERRUPTED)
    told = f"done: {out}/best.safetensors; look at {out}/samples, or: chromogen report {out} -o report.html"
    if first:
        err_console.print(told, soft_wrap=True)
    return FINE


def translate(
    images: Positional[tuple[Path, ...]] = (),
    /,
    input: Annotated[Path | None, arg(aliases=["-i"])] = None,
    output: Output = Path("stained"),
    model: str = checkpoint.DEFAULT_MODEL,
    device: str = "auto",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    tile_px: int = 1024,
    batch_size: int = 1,
    overwrite: bool = False,
) -> int:
    """Make the virtual stain of images, or of every image in a folder.

    Args:
        images: Image files or folders (the same as --input).
        input: An image file or a folder of images.
        output: The folder that receives one PNG an image, and translation.json.
        model: A shipped model's name (see `chromogen models`), a .safetensors file or a run folder.
        device: auto, cpu, cuda or cuda:N.
        precision: auto takes bf16 where it is fast and changes a probe by less than one grey level on average.
        tile_px: Larger images are cut into overlapping tiles of this size, unless the model needs the whole image.
        batch_size: Tiles translated together.
        overwrite: Replace results that another model or another image left there.
    """
    from chromogen.infer.folder import translate_folder
    from chromogen.infer.stainer import load

    sources = [*images, *([input] if input else [])]
    if len(sources) != 1:
        raise ValueError("name one image or one folder: chromogen translate he.png, or chromogen translate -i FOLDER -o FOLDER")
    stainer = load(model, device, precision, tile_px, batch_size)
    card = stainer.model.card
    err_console.print(
        f"{card.title} ({stainer.model.name}); data licence: {card.data_licence}\n{checkpoint.RESEARCH_USE}",
         soft_wrap=True,
    )  # fmt: skip
    with _progress("translating") as advance:
        done = translate_folder(stainer, sources[0], output, advance, overwrite)
    for file in done.failed:
        err_console.print(f"failed: {file.source}: {file.reason}", style="red", soft_wrap=True)
    if done.ignored:
        err_console.print(f"not images that are read here: {', '.join(done.ignored)}", soft_wrap=True)
    good = len(done.files) - len(done.failed)
    err_console.print(f"{good} of {len(done.files)} images are in {output}")
    return SOME_FAILED if done.failed else FINE


def evaluate(
    pred: Path,
    target: Path,
    output: Annotated[Path, arg(name="out", aliases=["-o"])],
    source: Path | None = None,
    profile: str = "bci2022",
) -> int:
    """Score predictions against real images, beside three controls that no model should lose to.

    Args:
        pred: Folder of predicted images.
        target: Folder of real images; names match by stem.
        output: Folder that receives metrics.json and per_image.csv.
        source: Folder of the H&E images, for the control "H&E itself".
        profile: The named protocol: bci2022 or gauss11.
    """
    from chromogen.report.scoring import score_folder, write_scores

    with _progress("scoring") as advance:
        scores = score_folder(pred, target, source, profile, advance)
    write_scores(scores, output)
    out_console.print(scores.table())
    for failure in scores.failures:
        err_console.print(f"failed: {failure.name}: {failure.reason}", style="red", soft_wrap=True)
    return FINE if scores.complete else SOME_FAILED


def report(folder: Positional[Path], /, output: Output = Path("report.html"), title: str = "Virtual staining") -> int:
    """One self-contained page of every evaluation, translation and run found under a folder.

    Args:
        folder: Where to look.
        output: The page to write.
        title: Its heading.
    """
    from chromogen.report.page import write_report

    write_report(folder, output, title)
    out_console.print(f"{output}", soft_wrap=True)
    return FINE


def interpolate(
    fidelity: Positional[str],
    adversarial: Positional[str],
    /,
    output: Output,
    share: float = 0.5,
) -> int:
    """A model between two of one architecture: less blur the nearer to the second, fewer inventions the nearer to the first.

    Args:
        fidelity: A model (name, file or run folder) trained for small errors.
        adversarial: One trained on from it, for lifelike pictures.
        output: The .safetensors file to write.
        share: Of the second in every weight, from 0 to 1.
    """
    if output.suffix != checkpoint.SUFFIX:
        raise ValueError(f"{output} must end in {checkpoint.SUFFIX}")
    between = checkpoint.interpolated(checkpoint.load_model(fidelity), checkpoint.load_model(adversarial), share)
    checkpoint.save_model(output, between.method, between.nets, between.card)
    out_console.print(f"{output}: {between.card.title}, {share:g} of the second", soft_wrap=True)
    return FINE


def list_models() -> int:
    """The models inside the package, with what they were trained on."""
    for name in checkpoint.shipped():
        card = checkpoint.load_model(name).card
        out_console.print(f"{name}: {card.title}\n  data: {card.data}\n  licence: {card.data_licence}")
    return FINE


def list_methods(markdown: bool = False) -> int:
    """The methods that ship with the package: paper, year, what each learns from, and its variants.

    Args:
        markdown: Print the table of README.md.
    """
    if markdown:
        out_console.print("| method | paper | year | learns from | variants |\n|---|---|---|---|---|", soft_wrap=True)
    for name in registry.available():
        source, variants = registry.source_of(name), registry.variants(name)
        if markdown:
            cells = (f"`{name}`", source.paper, str(source.year), source.supervision, ", ".join(f"`{v}`" for v in variants))
            out_console.print(f"| {' | '.join(cells)} |", soft_wrap=True)
            continue
        others = f"\n  variants: {', '.join(f'{name}:{variant}' for variant in variants)}" if variants else ""
        line = f"{name} ({source.year}): {source.paper}\n  learns from: {source.supervision}{others}"
        out_console.print(line, soft_wrap=True)
    return FINE


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
    """
    from chromogen.bench.pictures import write_picture
    from chromogen.bench.plan import Plan, budget_from_text
    from chromogen.bench.staining import bench, repeat_command
    from chromogen.bench.table import write_table

    length = budget_from_text(budget)
    plan = Plan(data, length, held_out, resize_px, crop_px, batch_size, narrow, seed, device, precision, workers, licence)
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

    with _progress("drawing") as advance:
        phantom_folder.write_phantoms(output, phantom, pairs, seed, advance)
    err_console.print(f"{pairs} pairs are in {output}")
    return FINE


COMMANDS: dict[str, Callable[..., int]] = {
    "translate": translate,
    "evaluate": evaluate,
    "report": report,
    "interpolate": interpolate,
    "models": list_models,
    "methods": list_methods,
}
DATA_COMMANDS: dict[str, Callable[..., int]] = {"check": check_data, "phantom": write_phantoms}


BENCH_COMMANDS: dict[str, Callable[..., int]] = {"staining": bench_staining}


class _Advance(Protocol):
    def __call__(self, done: float, total: int, item: str = "") -> None: ...


def _own_flags(words: list[str], known: dict[str, bool]) -> tuple[dict[str, str], list[str]]:
    """Split the flags that belong to the command (True: takes a value) from those that name fields of the run."""
    own: dict[str, str] = {}
    rest: list[str] = []
    remaining = iter(words)
    for word in remaining:
        flag, equals, value = word.partition("=")
        if flag not in known:
            rest.append(word)
        elif not known[flag]:
            own[flag] = ""
        else:
            own[flag] = value if equals else next(remaining, "")
            if not own[flag]:
                raise ValueError(f"{flag} needs a value")
    return own, rest


@contextmanager
def _progress(label: str) -> Iterator["_Advance"]:
    """A bar on a terminal, nothing in a file."""
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), *times, TextColumn("{task.fields[item]}", markup=False))
    with Progress(*columns, console=err_console, disable=not err_console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=None, item="")

        def advance(done: float, total: int, item: str = "") -> None:
            bar.update(task, completed=done, total=total, item=item)

        yield advance


def _fail(sentence: str, code: int) -> int:
    if not sentence:
        return code
    err_console.print(
        f"chromogen: {sentence}",
        style="red" if code != INTERRUPTED else "yellow",
        soft_wrap=True,
    )
    return code
