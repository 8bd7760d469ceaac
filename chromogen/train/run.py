"""A run: one value that repeats a training. A recipe is a function that returns one."""

import dataclasses
import importlib.util
import inspect
import json
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from chromogen import methods
from chromogen.config import nearest, to_fields
from chromogen.data.pairs import Data
from chromogen.method import Method

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True)
class Loop:
    """How long, how often, how exactly."""

    steps: int = 10_000
    batch_size: int = 2  # images in one micro-batch of one process
    accumulate: int = 1  # micro-batches averaged into one update
    precision: Precision = "auto"  # auto: bf16 where the device computes it fast, else fp32
    recompute: bool = False  # less memory for more time: activations are computed again in the backward pass
    ema: float = 0.0  # decay of the exponential moving average that translates; 0: none
    seed: int = 0
    workers: int = 0  # processes that read and augment images
    log_every: int = 50
    save_every: int = 500
    validate_every: int = 500
    validation_images: int = 16
    validation_px: int = 512  # centre crop of a validation image, at most
    select: str = "balanced"  # the rule that picks best.safetensors; see chromogen.train.validation.RULES

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "batch_size",
            "accumulate",
            "log_every",
            "save_every",
            "validate_every",
            "validation_images",
            "validation_px",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"loop.{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 <= self.ema < 1.0:
            raise ValueError(f"loop.ema is a decay in [0, 1), got {self.ema}")


@dataclass(frozen=True)
class Run:
    """Everything that decides the weights a training ends with."""

    method: Method
    data: Data
    loop: Loop
    title: str = "unnamed model"
    start_from: str | None = None  # a model (name, file or run folder) whose weights the translating networks begin with

    def fields(self) -> dict[str, Any]:
        """The run as JSON values, with the method's name, for run.json."""
        return {"method_name": methods.name_of(self.method), **to_fields(self)}  # type: ignore[dict-item]


def load_recipe(name: str) -> Run:
    """The Run of `recipes/bci.py:pyramid_pix2pix`: a Python file, a colon, a function in it that needs no arguments."""
    file, _, function = name.rpartition(":")  # from the right: a Windows path has a colon of its own
    path = Path(file)
    if not path.is_file():
        raise ValueError(f"no recipe file {file!r}; write e.g. recipes/bci.py:pyramid_pix2pix")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    public = (item for item in inspect.getmembers(module, inspect.isfunction) if not item[0].startswith("_"))
    recipes = {key: value for key, value in public if value.__module__ == path.stem and not _needs_arguments(value)}
    if function not in recipes:
        raise ValueError(f"{file} has no recipe {function!r}; {nearest(function, recipes)}")
    run = recipes[function]()
    if not isinstance(run, Run):
        raise ValueError(f"{name} returned {type(run).__name__}, not a chromogen.train.run.Run")
    return run


def _needs_arguments(function: Callable[..., Any]) -> bool:
    return any(parameter.default is parameter.empty for parameter in inspect.signature(function).parameters.values())


def changed_from_flags(run: Run, flags: Sequence[str], program: str) -> Run:
    """The run with fields changed as on a command line: `--method.weight-l1 50 --loop.steps 1000`. `--help` lists them all."""
    concrete = {name: type(getattr(run, name)) for name in ("method", "data")}  # flags of this method, not of all
    hints = typing.get_type_hints(Run) | concrete
    shape = dataclasses.make_dataclass("Run", [(f.name, hints[f.name]) for f in dataclasses.fields(run)], frozen=True)
    default = shape(**{f.name: getattr(run, f.name) for f in dataclasses.fields(run)})
    changed = tyro.cli(shape, default=default, args=list(flags), prog=program, description="Fields of this recipe's run.")
    return Run(**{f.name: getattr(changed, f.name) for f in dataclasses.fields(Run)})


def shown(run: Run) -> str:
    """The resolved run as readable JSON."""
    return json.dumps(run.fields(), indent=2, ensure_ascii=False)
