"""The folder an organiser builds the evaluation container from: templates filled in, and an example to try it on."""

import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import requires, version
from importlib.resources import files
from pathlib import Path

from PIL import Image

from chromogen.challenge.candidates import JOBS_FILE
from chromogen.challenge.scoring import check_profile, under
from chromogen.checkpoint import RESEARCH_USE
from chromogen.data.images import is_clutter
from chromogen.files import write_json, written_whole
from chromogen.levels import LEVELS
from chromogen.phantom.tissue.phantom import Phantom, draw
from chromogen.tensors import Uint8Image

RENAMED = {"dockerignore": ".dockerignore"}  # packaging passes over hidden files
EXAMPLE_SUFFIXES = (".png", ".tiff", ".png")  # of the jobs that deliver; the last job delivers nothing
EXAMPLE_PATH = "images/virtual-ihc"
_SLUG = re.compile(r"[a-z0-9-]*")
_PLACE = re.compile(r"@([A-Z_]+)@")


@dataclass(frozen=True)
class Challenge:
    """What differs between challenges: the protocol, and which sockets hold the test image and the prediction."""

    profile: str = "bci2022"
    input_slug: str = ""
    output_slug: str = ""

    def __post_init__(self) -> None:
        check_profile(self.profile)
        for name in ("input_slug", "output_slug"):
            if not _SLUG.fullmatch(getattr(self, name)):
                raise ValueError(f"{name} is {getattr(self, name)!r}; a slug has small letters, digits and hyphens")


def write_folder(folder: Path, challenge: Challenge, example: bool = False) -> None:
    """Write everything the evaluation container is built from. ValueError when `folder` is there and not empty."""
    if folder.exists() and (not folder.is_dir() or any(not is_clutter(path) for path in folder.iterdir())):
        raise ValueError(f"{folder} is not empty; choose a new folder")
    values = _values(challenge)
    for template in files("chromogen.challenge").joinpath("template").iterdir():
        path = folder / RENAMED.get(template.name, template.name)
        with written_whole(path) as partial:
            partial.write_text(_filled(template.read_text(encoding="utf-8"), values), encoding="utf-8", newline="\n")
        if path.suffix == ".sh":
            path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    with written_whole(folder / "constraints.txt") as partial:
        partial.write_text("".join(f"{name}=={found}\n" for name, found in pinned().items()), encoding="utf-8")
    for name in ("ground_truth", "wheels"):
        (folder / name).mkdir(exist_ok=True)
    if example:
        _write_example(folder / "example", challenge)


def pinned() -> dict[str, str]:
    """The versions installed here of what chromogen needs, by name; builds for one device count as their version."""
    needed = [text for text in requires("chromogen") or [] if "extra ==" not in text]
    names = sorted(re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] for text in needed)
    return {name: version(name).partition("+")[0] for name in names}


def _values(challenge: Challenge) -> dict[str, str]:
    """What stands for @NAME@ in the templates."""
    return {
        "PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
        "VERSION": version("chromogen"),
        "WHEEL": f"chromogen-{version('chromogen')}-py3-none-any.whl",
        "TORCH": pinned()["torch"],
        "PROFILE": challenge.profile,
        "INPUT_SLUG": challenge.input_slug,
        "OUTPUT_SLUG": challenge.output_slug,
        "SSIM_KEY": under("ssim_failures_as_zero", challenge.profile),
        "PSNR_KEY": under("psnr_failures_as_zero", challenge.profile),
        "IDENTICAL_KEY": under("identical", challenge.profile),
        "NOTICE": RESEARCH_USE,
    }


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: values[place[1]], text)


def _write_example(folder: Path, challenge: Challenge) -> None:
    """Four jobs on phantom tissue whose "prediction" is the H&E itself, unchanged; the last one delivered nothing."""
    jobs = []
    for level, name in enumerate(LEVELS):
        pair = draw(Phantom(size_px=128), level, seed=level)
        stem, key = f"phantom-{level:05d}_test_{name}", f"job-{level}"
        _save(folder / "ground_truth" / f"{stem}.png", pair.ihc)
        output = folder / "input" / key / "output" / EXAMPLE_PATH
        output.mkdir(parents=True)
        if level < len(EXAMPLE_SUFFIXES):
            _save(output / f"prediction{EXAMPLE_SUFFIXES[level]}", pair.he)
        jobs.append(
            {
                "pk": key,
                "inputs": [{"interface": {"slug": challenge.input_slug or "he"}, "image": {"name": f"{stem}.png"}}],
                "outputs": [{"interface": {"slug": challenge.output_slug or "virtual-ihc", "relative_path": EXAMPLE_PATH}}],
            }
        )
    write_json(folder / "input" / JOBS_FILE, jobs)


def _save(path: Path, image: Uint8Image) -> None:
    with written_whole(path) as partial:
        Image.fromarray(image).save(partial, format="TIFF" if path.suffix == ".tiff" else "PNG")
