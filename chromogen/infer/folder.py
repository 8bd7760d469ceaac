"""Stain pictures: one file an image, and `translation.json`, which accounts for every file that was found."""

import errno
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from chromogen.config import to_fields
from chromogen.data.images import decode_image
from chromogen.files import write_json
from chromogen.infer import plan as plans
from chromogen.infer.plan import Job, Plan, planned
from chromogen.infer.provenance import Record, describe, read_provenance, write_stain
from chromogen.infer.stainer import Stainer

REPORT = "translation.json"
HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)  # what would fail for every other file too

Progress = Callable[[float, int, str], None]  # images done (with the tiles of this one as a fraction), images in all, name


@dataclass(frozen=True)
class Stained:
    """What became of one source image. "kept": the output was there already, from the same pixels and the same model."""

    source: str
    output: str | None
    status: Literal["ok", "kept", "failed"]
    reason: str | None = None
    notes: tuple[str, ...] = ()  # what was converted on reading, e.g. "alpha composited on white"


@dataclass(frozen=True)
class Translation:
    """One run of `translate_folder`, as `translation.json` holds it. It is complete when no source is missing from `files`.

    `ignored` names the files of the folder that are of another kind, such as whole slides; `passed_over` the subfolders whose
    pictures were not asked for, with their number.
    """

    source: str
    model: str
    model_sha256: str
    precision: str
    precision_why: str
    device: str
    files: tuple[Stained, ...]
    complete: bool
    ignored: tuple[str, ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[Stained, ...]:
        return tuple(file for file in self.files if file.status == "failed")


def translate_folder(
    stainer: Stainer,
    source: Path | Sequence[Path],
    out: Path,
    progress: Progress | None = None,
    overwrite: bool = False,
    subfolders: bool = False,
    form: plans.Format | None = None,
) -> Translation:
    """Stain pictures, or every picture of folders, into `out`: a folder, or for one picture a .png or .tif file.

    A file that cannot be stained, or whose stain cannot be written, is listed with the reason and the run goes on. An
    interrupted run leaves `translation.json` with what was done; the same command then keeps what is there and does the rest.
    Where `out` is a file there is no `translation.json`. Raises ValueError when there is nothing to stain or `out` is the
    source folder, and OSError, which stops the run, when the disk is full or must not be written to.
    """
    sources = [source] if isinstance(source, Path) else source
    stain = stainer.model.card.target_stain
    return translate_plan(stainer, planned(sources, out, stain, subfolders, form), progress, overwrite)


def translate_plan(stainer: Stainer, plan: Plan, progress: Progress | None = None, overwrite: bool = False) -> Translation:
    """Do what is planned (see `translate_folder`)."""
    done: list[Stained] = []
    total = len(plan.jobs)
    try:
        for index, job in enumerate(plan.jobs):
            name = job.given.name
            if job.clash:
                done.append(Stained(name, None, "failed", job.clash))
            else:
                done.append(_stained(stainer, job, plan, overwrite, _within(progress, index, total, name)))
            if progress is not None:
                progress(index + 1, total, name)
    except (KeyboardInterrupt, OSError):
        with suppress(OSError):  # on a full disk the report may not fit either; the first error is the one to show
            _write_report(plan, _translation(stainer, plan, done, complete=False))
        raise
    translation = _translation(stainer, plan, done, complete=True)
    _write_report(plan, translation)
    return translation


def output_name(source: Path, stainer: Stainer) -> str:
    """`x.png` becomes `x.virtual-her2.png` with a model whose target stain is "HER2 IHC"."""
    return plans.output_name(source, stainer.model.card.target_stain)


def _write_report(plan: Plan, translation: Translation) -> None:
    if plan.folder is not None:
        write_json(plan.folder / REPORT, to_fields(translation))


def _stained(stainer: Stainer, job: Job, plan: Plan, overwrite: bool, tiles_done: Callable[[int, int], None] | None) -> Stained:
    path, name, output = job.given.path, job.given.name, job.output
    if path.is_symlink() and not path.exists():
        return Stained(name, None, "failed", f"{path} is a link to a file that is not there; restore it or remove the link")
    try:
        decoded = decode_image(path)
    except (ValueError, OSError) as error:
        return Stained(name, None, "failed", str(error))
    record = describe(stainer, decoded.pixels, decoded.mpp)
    written = output.name if plan.folder is None else output.relative_to(plan.folder).as_posix()
    try:
        if output.exists() and not overwrite:
            difference = _difference(output, record)
            if not difference:
                return Stained(name, written, "kept", None, decoded.notes)
            reason = f"{output} exists and was {difference}; add --overwrite to replace it"
            return Stained(name, None, "failed", reason, decoded.notes)
        write_stain(output, stainer(decoded.pixels, tiles_done), record, decoded.mpp)
    except ValueError as error:
        return Stained(name, None, "failed", str(error), decoded.notes)
    except OSError as error:
        if error.errno in HOPELESS:
            raise
        reason = f"{output} cannot be written ({error.strerror or error}); rename the source, or move what lies there"
        return Stained(name, None, "failed", reason, decoded.notes)
    return Stained(name, written, "ok", None, decoded.notes)


def _difference(output: Path, record: Record) -> str:
    """How the stain at `output` was made otherwise than `record` says, in words; empty where it was not."""
    try:
        found = read_provenance(output)
    except ValueError:
        return "not made by chromogen"
    words = {
        "SourceSHA256": "from other pixels",
        "ModelSHA256": f"by another model ({found.get('Model')})",
        "Precision": f"in {found.get('Precision')} instead of {record['Precision']}",
        "Software": f"with {found.get('Software')} instead of {record['Software']}",
    }
    differing = [key for key in {**record, **found} if found.get(key) != record.get(key)]
    if not differing:
        return ""
    said = [text for key, text in words.items() if key in differing] or [f"with another {key}" for key in differing]
    return f"made {', '.join(said)}"


def _within(progress: Progress | None, index: int, total: int, name: str) -> Callable[[int, int], None] | None:
    """A tile counter that moves the image counter by fractions; the last one is for writing the file."""
    if progress is None:
        return None
    return lambda tiles, of: progress(index + tiles / (of + 1), total, name)


def _translation(stainer: Stainer, plan: Plan, done: list[Stained], complete: bool) -> Translation:
    model, prepared, inputs = stainer.model, stainer.prepared, plan.inputs
    return Translation(
        str(inputs.origin),
        model.name,
        model.sha256,
        prepared.precision,
        prepared.why,
        str(prepared.device),
        tuple(done),
        complete,
        inputs.ignored,
        {name: count for name, count in inputs.passed_over},
    )
