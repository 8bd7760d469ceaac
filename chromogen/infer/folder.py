"""Stain a file or a folder: one PNG an image, and `translation.json`, which accounts for every file that was found."""

import errno
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chromogen.config import to_fields
from chromogen.data.images import SUFFIXES, decode_image, is_clutter, list_images
from chromogen.files import write_json
from chromogen.infer.provenance import Record, describe, read_provenance, write_png
from chromogen.infer.stainer import Stainer

REPORT = "translation.json"
COMPANIONS = (".csv", ".json", ".md", ".txt")  # what lies beside images and needs no mention
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

    `ignored` names the files of the folder that are of another kind, such as whole slides.
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

    @property
    def failed(self) -> tuple[Stained, ...]:
        return tuple(file for file in self.files if file.status == "failed")


def translate_folder(
    stainer: Stainer, source: Path, out: Path, progress: Progress | None = None, overwrite: bool = False
) -> Translation:
    """Stain the image `source`, or every image of the folder `source`, into the folder `out`.

    A file that cannot be stained, or whose stain cannot be written, is listed with the reason and the run goes on. An
    interrupted run leaves `translation.json` with what was done; the same command then keeps what is there and does the rest.
    Raises ValueError when there is nothing to stain or `out` is the source folder, and OSError, which stops the run, when the
    disk is full or must not be written to.
    """
    paths = _sources(source, out)
    outputs = {path: out / output_name(path, stainer) for path in paths}
    wanted = Counter(output.name.casefold() for output in outputs.values())  # some file systems ignore case
    done: list[Stained] = []
    try:
        for index, (path, output) in enumerate(outputs.items()):
            if wanted[output.name.casefold()] > 1:
                reason = f"several sources would all become {output.name}; rename them or put them in different folders"
                done.append(Stained(path.name, None, "failed", reason))
            else:
                done.append(_stained(stainer, path, output, overwrite, _within(progress, index, len(paths), path.name)))
            if progress is not None:
                progress(index + 1, len(paths), path.name)
    except (KeyboardInterrupt, OSError):
        with suppress(OSError):  # on a full disk the report may not fit either; the first error is the one to show
            write_json(out / REPORT, to_fields(_translation(stainer, source, done, complete=False)))
        raise
    translation = _translation(stainer, source, done, complete=True)
    write_json(out / REPORT, to_fields(translation))
    return translation


def output_name(source: Path, stainer: Stainer) -> str:
    """`x.png` becomes `x.virtual-her2.png` with a model whose target stain is "HER2 IHC"."""
    stain = re.findall(r"[a-z0-9]+", stainer.model.card.target_stain.lower()) or ["stain"]
    return f"{source.stem}.virtual-{stain[0]}.png"


def _sources(source: Path, out: Path) -> list[Path]:
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; -o names the folder that the virtual stains go into")
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ValueError(f"there is no file or folder {source}; check the path given with -i")
    if out.resolve() == source.resolve():
        raise ValueError(f"{out} is the source folder; choose another with -o, or real and virtual images get mixed up")
    if paths := list_images(source):
        return paths
    raise ValueError(f"{source} holds no PNG, JPEG, TIFF or BMP image; subfolders are not searched")


def _ignored(source: Path) -> tuple[str, ...]:
    """Names of the files in the folder `source` that are passed over because of their kind."""
    entries = sorted(source.iterdir()) if source.is_dir() else []
    known = (*SUFFIXES, *COMPANIONS)
    return tuple(
        path.name for path in entries if path.suffix.lower() not in known and not path.is_dir() and not is_clutter(path)
    )


def _stained(
    stainer: Stainer, path: Path, output: Path, overwrite: bool, tiles_done: Callable[[int, int], None] | None
) -> Stained:
    if path.is_symlink() and not path.exists():
        return Stained(
            path.name, None, "failed", f"{path} is a link to a file that is not there; restore it or remove the link"
        )
    try:
        decoded = decode_image(path)
    except (ValueError, OSError) as error:
        return Stained(path.name, None, "failed", str(error))
    record = describe(stainer, decoded.pixels)
    try:
        if output.exists() and not overwrite:
            difference = _difference(output, record)
            if not difference:
                return Stained(path.name, output.name, "kept", None, decoded.notes)
            reason = f"{output} exists and was {difference}; add --overwrite to replace it"
            return Stained(path.name, None, "failed", reason, decoded.notes)
        write_png(output, stainer(decoded.pixels, tiles_done), record)
    except ValueError as error:
        return Stained(path.name, None, "failed", str(error), decoded.notes)
    except OSError as error:
        if error.errno in HOPELESS:
            raise
        reason = f"{output} cannot be written ({error.strerror or error}); rename the source, or move what lies there"
        return Stained(path.name, None, "failed", reason, decoded.notes)
    return Stained(path.name, output.name, "ok", None, decoded.notes)


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


def _translation(stainer: Stainer, source: Path, done: list[Stained], complete: bool) -> Translation:
    model, prepared = stainer.model, stainer.prepared
    return Translation(
        str(source),
        model.name,
        model.sha256,
        prepared.precision,
        prepared.why,
        str(prepared.device),
        tuple(done),
        complete,
        _ignored(source),
    )
