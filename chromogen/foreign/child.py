"""Run as a script, in a process of its own: read a state dict that PyTorch wrote, and write its tensors as safetensors.

It imports nothing of chromogen. A pickle can run code as it is read, so nothing of it reaches the process that asked: what
comes back is a safetensors file and one line of JSON. `torch.load(weights_only=True)` makes nothing but tensors and plain
containers; the limits of the operating system hold whatever a pickle tries beside that.
"""

import json
import pickle
import re
import sys
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors.torch import save_file

DEEPEST = 6  # containers inside one another, at most, in which tensors are looked for
MOST_CONTAINERS = 10_000  # looked into, at most: one that lies in itself, or in many others, must come to an end
MOST_TENSORS = 20_000
DAMAGED = "it is damaged or cut short, or no file of PyTorch's ({}); copy or download it again"
NEEDS_CODE = (
    "to read it, PyTorch would have to load {}, and nothing but tensors and plain containers is ever loaded here. Whoever "
    "trusts the file can save its weights alone, where its code is installed: torch.save(network.state_dict(), 'weights.pth')"
)


class RefusedError(Exception):
    """A sentence on why the file is not taken."""


def main(source: Path, target: Path, memory: int, seconds: int, most_bytes: int) -> dict[str, object]:
    """Copy the tensors of `source` to `target`; {"groups": [{"path": [...], "names": [...]}]} or {"refused": sentence}.

    The tensor `names[i]` of group g is called "g/i" in `target`. `memory` is in bytes, beside what PyTorch itself takes.
    """
    _limit(memory, seconds, most_bytes)
    try:
        check_declared_sizes(source)
        loaded = _loaded(source)
        groups = _groups(loaded)
        tensors: dict[str, torch.Tensor] = {}
        allowed = 2 * source.stat().st_size + 2**20
        for number, (_, found) in enumerate(groups):
            for index, tensor in enumerate(found.values()):
                allowed -= check_tensor(tensor)
                if allowed < 0 or len(tensors) >= MOST_TENSORS:
                    raise RefusedError("its tensors are more, or together larger, than a file of its size can hold")
                tensors[f"{number}/{index}"] = tensor.detach().contiguous().clone()
        if not tensors:
            raise RefusedError("there is no tensor with a name in it")
        save_file(tensors, target)
    except RefusedError as refusal:
        return {"refused": str(refusal)}
    except MemoryError:
        return {"refused": f"it asks for more than {memory / 2**30:.1f} GiB of memory, which no file of its size needs"}
    return {"groups": [{"path": path, "names": [*found]} for path, found in groups]}


def check_declared_sizes(source: Path) -> None:
    """Refuse a zip archive whose entries claim more bytes than the file has: torch.save never compresses."""
    if not zipfile.is_zipfile(source):
        return
    try:
        with zipfile.ZipFile(source) as archive:
            claimed = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise RefusedError(DAMAGED.format(error)) from error
    if claimed > source.stat().st_size:
        raise RefusedError(
            f"its parts claim {claimed:,} bytes, and the file has {source.stat().st_size:,}: nothing was unpacked"
        )


def check_tensor(tensor: torch.Tensor) -> int:
    """Bytes of a tensor; refused when it is not plain, or claims more values than are stored for it."""
    numeric = tensor.dtype.is_floating_point or tensor.dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta or not (numeric or tensor.dtype == torch.bool):
        raise RefusedError(f"it holds a tensor of another kind ({tensor.layout}, {tensor.dtype}) than weights are")
    claimed = tensor.numel() * tensor.element_size()
    if claimed > tensor.untyped_storage().nbytes():
        raise RefusedError(f"a tensor claims {claimed:,} bytes, of which {tensor.untyped_storage().nbytes():,} are there")
    return claimed


def _loaded(source: Path) -> object:
    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RefusedError(_told(str(error))) from error
    except RuntimeError as error:
        text = str(error)
        if "allocate memory" in text or "not enough memory" in text:
            raise MemoryError from error
        if "TorchScript" in text:
            raise RefusedError(NEEDS_CODE.format("a TorchScript program")) from error
        raise RefusedError(DAMAGED.format(_first_line(text))) from error
    except (EOFError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, AssertionError, OSError) as error:
        raise RefusedError(DAMAGED.format(_first_line(str(error)) or type(error).__name__)) from error


def _told(text: str) -> str:
    """What an UnpicklingError means for the person who has the file."""
    if wanted := re.search(r"GLOBAL ([\w.]+)|[Cc]lass:? ['\"]?(\w[\w.]*\.\w+)", text):
        return NEEDS_CODE.format(wanted[1] or wanted[2])
    if "legacy .tar" in text or "TorchScript" in text:
        return NEEDS_CODE.format("an old archive or a TorchScript program")
    tail = text.split("WeightsUnpickler error: ")[-1]
    return DAMAGED.format(_first_line(tail))


def _first_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line.split(". ")[0].rstrip(".")[:200]


def _groups(loaded: object) -> list[tuple[tuple[str, ...], dict[str, torch.Tensor]]]:
    """Every container of tensors under names, with the names that lead to it, the outer ones first."""
    found = []
    waiting: list[tuple[tuple[str, ...], object]] = [((), loaded)]
    for path, value in waiting:
        if isinstance(value, list | tuple):
            value = {str(number): part for number, part in enumerate(value) if isinstance(part, Mapping)}
        if not isinstance(value, Mapping) or len(path) > DEEPEST:
            continue
        if len(waiting) > MOST_CONTAINERS:
            raise RefusedError(f"it holds more than {MOST_CONTAINERS:,} things inside one another, which no network does")
        named = {key: part for key, part in value.items() if isinstance(key, str)}
        if tensors := {key: part for key, part in named.items() if isinstance(part, torch.Tensor)}:
            found.append((path, tensors))
        waiting += [((*path, key), part) for key, part in named.items() if isinstance(part, Mapping | list | tuple)]
    return found


def _limit(memory: int, seconds: int, most_bytes: int) -> None:
    """Of this process: address space, processor time, size of a written file, no dump. What a system lacks stays unlimited."""
    try:
        import resource
    except ImportError:  # Windows
        return
    taken = 0
    with suppress(OSError):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for kind, limit in (
        (resource.RLIMIT_AS, taken + memory if taken else resource.RLIM_INFINITY),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, most_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    sys.setrecursionlimit(500)
    answer = main(Path(sys.argv[1]), Path(sys.argv[2]), *(int(word) for word in sys.argv[3:6]))
    sys.stdout.write(json.dumps(answer))
