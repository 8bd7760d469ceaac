"""Recipes: functions that return a `Run` or a `Chain`, found by file and name, changed by flags."""

import dataclasses
import importlib.util
import inspect
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro

from chromogen.config import nearest
from chromogen.train.chain import Chain, Stage
from chromogen.train.run import Run

PHANTOM = "phantom.json"  # what `chromogen data phantom` and `chromogen data anatomy` leave in their folders
PHANTOMS_NEED_NONE = "none needed: drawn by Chromogen, no patient's image"


def load_recipe(name: str) -> Run | Chain:
    """What `recipes/bci.py:pyramid_pix2pix` returns: a Python file, a colon, a function in it that needs no arguments."""
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
    if not isinstance(run, Run | Chain):
        raise ValueError(f"{name} returned {type(run).__name__}, not a Run or a Chain of chromogen.train")
    return run


def _needs_arguments(function: Callable[..., Any]) -> bool:
    return any(parameter.default is parameter.empty for parameter in inspect.signature(function).parameters.values())


def changed_from_flags(recipe: Run | Chain, flags: Sequence[str], program: str) -> Run | Chain:
    """The recipe with fields changed as on a command line: `--method.weight-l1 50 --loop.steps 1000`, or of a chain
    `--stages.renderer.loop.steps 1000`. `--help` lists them all."""
    default = _shaped(recipe)
    changed = tyro.cli(type(default), default=default, args=list(flags), prog=program, description="Fields of this recipe.")
    run = typing.cast(Run | Chain, _of_shape(type(recipe), changed, recipe))
    return _with_own_claims(recipe, run, flags)


def _with_own_claims(recipe: Run | Chain, run: Run | Chain, flags: Sequence[str]) -> Run | Chain:
    """`run`, unless the recipe's licence and title would be said of another folder's images: then a ValueError asks for theirs.

    Another folder is one of another name. Phantoms need no licence, and it is said of them.
    """
    where = "cases" if isinstance(recipe, Chain) else "data"
    before, after = getattr(recipe, where), getattr(run, where)
    licence = getattr(before, "licence", "")
    if not licence or not hasattr(before, "root"):
        return run
    old, new = (Path(str(value.root)).expanduser() for value in (before, after))
    if new.resolve().name.casefold() == old.name.casefold():
        return run
    given = {flag.partition("=")[0] for flag in flags}
    missing = [f'{flag} "..."' for flag in ("--title", f"--{where}.licence") if flag not in given]
    if not missing:
        return run
    if (new / PHANTOM).is_file():
        if PHANTOMS_NEED_NONE in licence or "phantom" in licence:
            return run
        own = after.licence if f"--{where}.licence" in given else PHANTOMS_NEED_NONE
        claims: Any = {where: dataclasses.replace(after, licence=own)}
        return dataclasses.replace(run, **claims, title=run.title if "--title" in given else f"{recipe.title}, but phantoms")
    raise ValueError(
        f"{new} is another folder than {old}, of which the recipe says {recipe.title!r} and {licence!r}; these words go into "
        f"the model's card, so say what these images are and what their licence allows: {' '.join(missing)}"
    )


def _shaped(value: Any) -> Any:
    """The same value as a dataclass whose hints are the concrete types: flags of this method, not of all there are."""
    kept = [field.name for field in dataclasses.fields(value)]
    values = {name: getattr(value, name) for name in kept}
    hints = typing.get_type_hints(type(value))
    for name, inner in values.items():
        if isinstance(inner, Mapping) and all(isinstance(one, Stage) for one in inner.values()):
            stages = {stage: _shaped(one) for stage, one in inner.items()}
            shape = dataclasses.make_dataclass("Stages", [(stage, type(one)) for stage, one in stages.items()], frozen=True)
            values[name], hints[name] = shape(**stages), shape
        elif name in ("method", "data"):
            hints[name] = type(inner)
    shape = dataclasses.make_dataclass(type(value).__name__, [(name, hints[name]) for name in kept], frozen=True)
    return shape(**values)


def _of_shape(kind: type, shaped: Any, like: Any) -> Any:
    values = {field.name: getattr(shaped, field.name) for field in dataclasses.fields(kind)}
    for name, inner in values.items():
        before = getattr(like, name)
        if isinstance(before, Mapping) and all(isinstance(one, Stage) for one in before.values()):
            values[name] = {stage: _of_shape(Stage, getattr(inner, stage), one) for stage, one in before.items()}
    return kind(**values)


def shown(recipe: Run | Chain) -> str:
    """The resolved recipe as readable JSON."""
    return json.dumps(recipe.fields(), indent=2, ensure_ascii=False)
