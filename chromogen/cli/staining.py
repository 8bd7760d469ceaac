"""`chromogen translate`, `evaluate`, `report` and `interpolate`."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from chromogen import checkpoint
from chromogen.cli.console import FINE, SOME_FAILED, Output, err_console, out_console, progress, tell_conversions

if TYPE_CHECKING:
    from chromogen.infer.folder import Translation
    from chromogen.infer.plan import Plan

REPORT = "translation.json"


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
    format: Literal["png", "tif"] | None = None,
    subfolders: bool = False,
    overwrite: bool = False,
) -> int:
    """Make the virtual stain of images, or of every image in folders.

    Args:
        images: Image files, folders or quoted patterns such as "he/*.png" (the same as --input).
        input: An image file or a folder of images.
        output: The folder that receives one file an image, and translation.json; or, for one image, a .png or .tif file.
        model: A shipped model's name (see `chromogen models`), a .safetensors file or a run folder.
        device: auto, cpu, cuda or cuda:N.
        precision: auto takes bf16 where it is fast and changes a probe by less than one grey level on average.
        tile_px: Larger images are cut into overlapping tiles of this size, unless the model needs the whole image.
        batch_size: Tiles translated together.
        format: png unless -o names a file; tif is lossless too. Both keep the um per pixel that the source states.
        subfolders: Take the images of subfolders too, each into a folder of the same name.
        overwrite: Replace results that another model or another image left there.
    """
    from chromogen.infer.folder import translate_plan
    from chromogen.infer.plan import planned
    from chromogen.infer.stainer import load

    sources = [*images, *([input] if input else [])]
    if not sources:
        raise ValueError("name one image or one folder: chromogen translate he.png, or chromogen translate -i FOLDER -o FOLDER")
    stainer = load(model, device, precision, tile_px, batch_size)
    card = stainer.model.card
    plan = planned(sources, output, card.target_stain, subfolders, format)
    err_console.print(
        f"{card.title} ({stainer.model.name}); data licence: {card.data_licence}\n{checkpoint.RESEARCH_USE}",
         soft_wrap=True,
    )  # fmt: skip
    for job in plan.clashes:
        err_console.print(f"left out: {job.given.name}: {job.clash}", style="yellow", soft_wrap=True)
    with progress("translating") as advance:
        done = translate_plan(stainer, plan, advance, overwrite)
    for file in done.failed:
        err_console.print(f"failed: {file.source}: {file.reason}", style="red", soft_wrap=True)
    if done.ignored:
        err_console.print(f"not images that are read here: {', '.join(done.ignored)}", soft_wrap=True)
    tell_conversions((file.source, file.notes) for file in done.files)
    if plan.inputs.remark:
        err_console.print(plan.inputs.remark, soft_wrap=True)
    err_console.print(_where_they_are(done, plan), soft_wrap=True)
    return SOME_FAILED if done.failed else FINE


def _where_they_are(done: "Translation", plan: "Plan") -> str:
    """How many stains there are and where; never a place that does not exist."""
    good = len(done.files) - len(done.failed)
    said = f"{good} of {len(done.files)} images"
    if plan.folder is None:
        return f"{said}: {plan.jobs[0].output}" if good else f"{said}: {plan.jobs[0].output} was not written"
    return f"{said} are in {plan.folder}" if good else f"{said} were stained; {plan.folder / REPORT} says why"


def evaluate(
    pred: Path,
    target: Path,
    output: Annotated[Path, arg(name="out", aliases=["-o"])],
    source: Path | None = None,
    profile: str = "bci2022",
    also: tuple[str, ...] = (),
    mpp: float | None = None,
    features: tuple[str, ...] = (),
    training: Path | None = None,
    slides: Path | None = None,
    pixels_only: bool = False,
    workers: int | None = None,
    seed: int = 0,
) -> int:
    """Score predictions against real images, beside controls that no model should lose to.

    Args:
        pred: Folder (or .zip) of predicted images.
        target: Folder of real images; names match by stem. NAME_fake_B, NAME_real_B and NAME_real_A of others' code fit too.
        output: Folder that receives metrics.json and per_image.csv.
        source: Folder of the H&E images, for the control "H&E itself" and for the nuclei.
        profile: The named protocol of PSNR and SSIM: bci2022, gauss11, piqa9, global, shift-tolerant or flow-tolerant.
        also: Further protocols, each in columns of its own; ms-ssim too.
        mpp: Micrometres per pixel, if the files do not state it. With it, the nuclei of the H&E are looked for in the
            predictions.
        features: Extractors for FID, KID, precision, recall, density and coverage: efficientnet-lite0, radiomics,
            inception2015:FILE, ...
        training: Folder of the real IHC that models were trained on, with HER2 levels in the names: it gives the control
            "training mean" and trains the reader of HER2 levels.
        slides: CSV file with the columns name and slide; intervals are then over slides.
        pixels_only: Nothing but PSNR, SSIM and sharpness.
        workers: Processes; by default one a core. They change no number.
        seed: Of the bootstrap and of the reader's folds.
    """
    from chromogen.data.pairs.submission import opened
    from chromogen.judge.folder import score_folder
    from chromogen.judge.judging import Judging
    from chromogen.judge.table import table
    from chromogen.judge.written import write_scores

    judging = Judging(
        profile, also, not pixels_only, mpp, features, training, slides, seed=seed, workers=workers or os.cpu_count() or 1
    )
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; name a folder that receives metrics.json and per_image.csv")
    with opened(pred) as folder, progress("scoring") as advance:
        scores = replace(score_folder(folder, target, source, judging, advance), prediction=pred)
    write_scores(scores, output)
    out_console.print(table(scores))
    if scores.against_itself:
        out_console.print(f"note: {scores.against_itself}", style="yellow", soft_wrap=True)
    tell_conversions(named for image in scores.images for named in image.conversions)
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
