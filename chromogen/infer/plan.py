"""What `translate` will do, before it does it: which picture becomes which file, and which would become the same."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chromogen.data.images import SUFFIXES
from chromogen.data.inputs import Given, Inputs, find_inputs

Format = Literal["png", "tif"]
FORMATS: dict[str, Format] = {".png": "png", ".tif": "tif", ".tiff": "tif"}


@dataclass(frozen=True)
class Job:
    """One picture and the file that its stain goes into; `clash` says why it cannot, else it is empty."""

    given: Given
    output: Path
    clash: str = ""


@dataclass(frozen=True)
class Plan:
    """All jobs. folder: what receives the stains and translation.json; None where -o names the one file itself."""

    inputs: Inputs
    jobs: tuple[Job, ...]
    folder: Path | None

    @property
    def clashes(self) -> tuple[Job, ...]:
        return tuple(job for job in self.jobs if job.clash)


def planned(sources: Sequence[Path], out: Path, stain: str, subfolders: bool = False, form: Format | None = None) -> Plan:
    """Plan the stains of `sources`: into the folder `out`, or into the file `out` where it is called .png, .tif or .tiff.

    `stain` is the name of the target stain, `form` that of the files (PNG unless `out` says otherwise). Raises ValueError for
    an `out` that fits no such plan, and whatever `find_inputs` does.
    """
    suffix = out.suffix.lower()
    names_file = suffix in SUFFIXES and not out.is_dir()
    if out.exists() and not out.is_dir() and not names_file:
        raise ValueError(f"{out} is a file; -o names the folder that the virtual stains go into")
    inputs = find_inputs(sources, out.parent / "no folder" if names_file else out, subfolders)
    if not names_file:
        jobs = [Job(one, out / one.below / output_name(one.path, stain, form or "png")) for one in inputs.pictures]
        return Plan(inputs, tuple(_told_apart(jobs, out)), out)
    if suffix not in FORMATS:
        raise ValueError(f"{out}: virtual stains are written as PNG or TIFF; call it {out.stem}.png or {out.stem}.tif")
    if len(inputs.pictures) != 1:
        raise ValueError(f"{out} names one file, and {len(inputs.pictures)} pictures are to be stained; name a folder with -o")
    if form is not None and form != FORMATS[suffix]:
        raise ValueError(f"{out} and --format {form} contradict each other; leave one away")
    (one,) = inputs.pictures
    if out.exists() and out.resolve() == one.path.resolve():
        raise ValueError(f"{out} is the source itself; choose another name with -o")
    return Plan(inputs, (Job(one, out),), None)


def output_name(source: Path, stain: str, form: Format = "png") -> str:
    """`x.png` becomes `x.virtual-her2.png` for the stain "HER2 IHC"."""
    word = re.findall(r"[a-z0-9]+", stain.lower()) or ["stain"]
    return f"{source.stem}.virtual-{word[0]}.{form}"


def _told_apart(jobs: list[Job], out: Path) -> list[Job]:
    """Some file systems ignore case, and some take two spellings of one letter for one."""
    wanted = Counter(_key(job.output) for job in jobs)
    return [
        Job(
            job.given,
            job.output,
            f"several sources would all become {job.output.relative_to(out).as_posix()}; "
            "rename them or put them in different folders",
        )
        if wanted[_key(job.output)] > 1
        else job
        for job in jobs
    ]


def _key(path: Path) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()
