"""Read the tensors of a PyTorch file without unpickling anything in this process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

MOST_BYTES = 4 * 2**30  # of a file; a whole training state of the published systems has under 1 GiB
SPARE_BYTES = 2**30  # of memory beside four times the file
SECONDS = 300
LONGEST_NAME = 300
CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True)
class Group:
    """Tensors that lie in one container of a file: names that lead to it, and where in the copy each tensor is."""

    path: tuple[str, ...]
    places: dict[str, str]  # name -> key in the copy
    shapes: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Opened:
    """A file's groups; `tensor` reads one of them."""

    groups: tuple[Group, ...]
    handle: Any

    def tensor(self, group: Group, name: str) -> Tensor:
        tensor: Tensor = self.handle.get_tensor(group.places[name])
        return tensor


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """The tensors of a .pth file, read by a child process with limits, or of a .safetensors file.

    ValueError, in one sentence, for a file that is no such thing, is damaged, too large, or needs more than its weights.
    """
    _check_file(path)
    with TemporaryDirectory(prefix="chromogen-") as folder:
        if _is_safetensors(path):
            copy, contents = path, None
        else:
            copy = Path(folder) / "copy.safetensors"
            contents = _read_apart(path, copy)
        try:
            with safe_open(copy, framework="pt") as handle:
                if contents is None and "chromogen" in (handle.metadata() or {}):
                    raise ValueError(f"{path} is one of chromogen's files already; use it with --model {path}")
                names = [*handle.keys()]
                given = contents or [{"path": [], "names": names}]
                groups = tuple(_group(handle, number, one, contents is None) for number, one in enumerate(given))
                _check_names(path, groups)
                yield Opened(groups, handle)
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged or cut short ({error}); copy or download it again") from error


def _group(handle: Any, number: int, given: dict[str, Any], same_names: bool) -> Group:
    names = [str(name) for name in given["names"]]
    places = {name: name if same_names else f"{number}/{index}" for index, name in enumerate(names)}
    shapes = {name: tuple(handle.get_slice(place).get_shape()) for name, place in places.items()}
    return Group(tuple(str(part) for part in given["path"]), places, shapes)


def _check_names(path: Path, groups: tuple[Group, ...]) -> None:
    """Names end up in sentences and on cards, so they must be what a terminal can show."""
    for group in groups:
        for name in (*group.path, *group.places):
            if not name.isprintable() or len(name) > LONGEST_NAME:
                raise ValueError(f"{path} holds a name that no layer has: {name[:50]!a}")


def _check_file(path: Path) -> None:
    if path.is_dir():
        found = sorted(one.name for one in path.glob("*.pt*"))[:5]
        hint = f"it holds {', '.join(found)}" if found else "it holds no .pth file"
        raise ValueError(f"{path} is a folder; name the file with the generator's weights ({hint})")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(
            f"{path} has {size / 2**30:.1f} GiB, and at most {MOST_BYTES / 2**30:.0f} are read; save the weights alone"
        )
    with path.open("rb") as handle:
        start = handle.read(200)
    if not start:
        raise ValueError(f"{path} is empty; copy or download it again")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} only points to the weights (Git LFS); fetch them with: git lfs pull")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise ValueError(f"{path} is a web page, not weights; the download wants a click or a login, so fetch it in a browser")


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as handle:
        start = handle.read(9)
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size


def _read_apart(path: Path, copy: Path) -> list[dict[str, Any]]:
    """Have the child write `copy`; the groups it found."""
    memory = 4 * path.stat().st_size + SPARE_BYTES
    numbers = [str(number) for number in (memory, SECONDS, 2 * path.stat().st_size + 2**24)]
    command = [sys.executable, "-P", str(CHILD), str(path.resolve()), str(copy), *numbers]
    single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # a thread's stack is memory too
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, env=os.environ | single, check=False)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{path} took longer than {SECONDS} s to read, and was given up") from error
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ValueError(
            f"{path} could not be read: the process that tried came to grief ({last[:200]}); it is damaged, or asks for more "
            f"than {memory / 2**30:.1f} GiB of memory or {SECONDS} s"
        ) from error
    if "refused" in answer:
        raise ValueError(f"{path} is not taken: {answer['refused']}")
    groups: list[dict[str, Any]] = answer["groups"]
    return groups


def as_weight(tensor: Tensor) -> Tensor:
    """A tensor of a file in the type that our files hold: floats as float32, counts as int64."""
    return tensor.float() if tensor.is_floating_point() else tensor.to(torch.int64)
