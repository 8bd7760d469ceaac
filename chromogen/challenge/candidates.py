"""What was handed in: for each prediction the name of its test image, the file, or the reason why there is none.

Two shapes are read. Jobs: `predictions.json`, as the platform writes it after running an algorithm on each test image, and a
folder of outputs for each job. Files: images called like the test images, in a folder or in one zip archive.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from chromogen.challenge.mha import SUFFIX as MHA
from chromogen.challenge.scoring import stem_of_prediction
from chromogen.data.images import SUFFIXES, is_clutter, natural_order
from chromogen.data.pairs.submission import opened, stepped_into
from chromogen.judge.files import shown

JOBS_FILE = "predictions.json"
MAX_JOBS_BYTES = 64 * 2**20
READABLE = (*SUFFIXES, MHA)


@dataclass(frozen=True)
class Candidate:
    """One prediction. `name` is its test image's, without extension ("" where a job does not say); `reason` why no file."""

    name: str
    path: Path | None
    job: str = ""  # the platform's key of the job
    reason: str = ""


@dataclass(frozen=True)
class Sockets:
    """Which of a job's inputs names the test image and which output is scored, by slug; "" is the only image there is."""

    input: str = ""
    output: str = ""


@dataclass(frozen=True)
class HandedIn:
    """All predictions, what was ignored, and the folder that error messages are relative to."""

    folder: Path
    candidates: tuple[Candidate, ...]
    ignored: tuple[str, ...] = ()


@contextmanager
def handed_in(folder: Path, sockets: Sockets) -> Iterator[HandedIn]:
    """Read the input folder: jobs where `predictions.json` is, else one zip archive, else a folder of images.

    ValueError: no folder, a damaged predictions.json, a refused archive, or no image at all. What is wrong with one job or
    one file is a `reason` of its candidate.
    """
    if not folder.is_dir():
        raise ValueError(f"the input folder {folder} is not there; mount the submission at it")
    if (folder / JOBS_FILE).is_file():
        jobs = _jobs(folder / JOBS_FILE)
        yield HandedIn(folder, tuple(_candidate(job, number, folder, sockets) for number, job in enumerate(jobs)))
        return
    archives = [path for path in folder.iterdir() if path.suffix.lower() == ".zip" and not is_clutter(path)]
    if len(archives) > 1:
        raise ValueError(f"{len(archives)} archives were handed in; put all images into one")
    ignored: list[str] = []
    with opened(archives[0] if archives else stepped_into(folder), on_ignored=ignored.append) as images:
        found, others = _files(images)
        if not found:
            raise ValueError("no image was handed in; hand in images called like the test images (PNG, TIFF or MHA)")
        yield HandedIn(images, found, tuple(sorted({*ignored, *others})))


def _files(folder: Path) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    """The images of a folder, and the names of everything else there."""
    inside = sorted((path for path in folder.iterdir() if not is_clutter(path)), key=natural_order)
    images = [path for path in inside if path.suffix.lower() in READABLE and not path.is_dir()]
    found = []
    for path in images:
        name, reason = stem_of_prediction(path.stem), _not_to_read(path, folder)
        found.append(Candidate(name, None if reason else path, reason=reason))
    return tuple(found), tuple(path.name for path in inside if path not in images)


def _not_to_read(path: Path, folder: Path) -> str:
    """Why `path` must not be opened: a link may lead to the answers, and reading a pipe never ends."""
    if not path.resolve().is_relative_to(folder.resolve()):
        return "the file is a link to a place outside the submission"
    return "" if path.is_file() else "it is no file, or a link that leads nowhere"


def _jobs(path: Path) -> list[Any]:
    if path.stat().st_size > MAX_JOBS_BYTES:
        raise ValueError(f"{path} has more than {MAX_JOBS_BYTES} bytes; a list of jobs is expected")
    try:
        jobs = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}); the platform writes it") from error
    if not isinstance(jobs, list) or not jobs:
        raise ValueError(f"{path} is not a list of jobs; the platform writes it")
    return jobs


def _candidate(job: Any, number: int, folder: Path, sockets: Sockets) -> Candidate:
    """The prediction of one job; nothing that is wrong with it is raised."""
    key, name = f"job {number}", ""
    try:
        if not isinstance(job, dict):
            raise ValueError("the job is not an object")
        key = _text(job, "pk")
        name = _test_image(job, sockets)
        return Candidate(name, _output_file(job, key, folder, sockets), key)
    except (ValueError, OSError) as error:
        return Candidate(name, None, key, str(error).replace(f"{folder}/", ""))


def _test_image(job: dict[str, Any], sockets: Sockets) -> str:
    values = [value for value in _values(job, "inputs") if isinstance(value.get("image"), dict)]
    return stem_of_prediction(_without_suffix(_text(_one(values, sockets.input, "input")["image"], "name")))


def _output_file(job: dict[str, Any], key: str, folder: Path, sockets: Sockets) -> Path:
    """The one image below `<pk>/output/<relative_path>/`."""
    outputs = _values(job, "outputs") if sockets.output else _image_outputs(job)
    socket = _socket(_one(outputs, sockets.output, "output"))
    where = folder / _plain(key) / "output" / _plain(_text(socket, "relative_path"))
    if not where.is_dir():
        raise ValueError("the job has no output folder; the algorithm wrote nothing there")
    files = [path for path in where.iterdir() if path.suffix.lower() in READABLE and not is_clutter(path)]
    if len(files) != 1:
        raise ValueError(f"the job's output holds {len(files)} images instead of one ({', '.join(READABLE)})")
    if reason := _not_to_read(files[0], folder):
        raise ValueError(reason)
    return files[0]


def _image_outputs(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The outputs that are images: the platform keeps those below `images/`."""
    values = _values(job, "outputs")
    images = [value for value in values if str(_socket(value).get("relative_path", "")).startswith("images/")]
    return images or values


def _values(job: dict[str, Any], key: str) -> list[dict[str, Any]]:
    values = job.get(key)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise ValueError(f"the job has no list of {key}")
    return values


def _one(values: list[dict[str, Any]], slug: str, role: str) -> dict[str, Any]:
    slugs = [str(_socket(value).get("slug", "")) for value in values]
    fitting = [value for value, own in zip(values, slugs, strict=True) if slug in ("", own)]
    if len(fitting) != 1:
        wanted = f"{slug!r} once" if slug else "one"
        raise ValueError(f"the job has the image {role}s {slugs}, and {wanted} is needed; the organiser sets the {role} slug")
    return fitting[0]


def _socket(value: dict[str, Any]) -> dict[str, Any]:
    """The platform called sockets interfaces until 2025."""
    socket = value.get("socket", value.get("interface"))
    return socket if isinstance(socket, dict) else {}


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value or shown(value) != value:
        raise ValueError(f"the job does not say its {key}, or not in Unicode")
    return value


def _plain(text: str) -> PurePosixPath:
    """`text` as a path that stays below where it is joined."""
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text or "\0" in text:
        raise ValueError(f"the job names the path {text!r}, which leads out of its folder")
    return path


def _without_suffix(name: str) -> str:
    """The name without folders and without an image extension; the dots of a level or a version stay."""
    path = PurePath(name)
    return path.stem if path.suffix.lower() in READABLE else path.name
