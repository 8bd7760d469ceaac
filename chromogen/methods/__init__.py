"""The methods that ship with the package, of every task: one file each; the folder is the registry.

A method's file defines SOURCE (where it comes from), PRACTICE (how it is trained), METHOD (the preset that follows the source)
and VARIANTS (other values of the same dataclass).
"""

import dataclasses
import importlib
import pkgutil
from typing import Any, TypeVar, cast

from chromogen.config import nearest
from chromogen.method import Practice, Source, Task, Trainable

AnyMethod = TypeVar("AnyMethod")


def available(task: Task | None = None) -> list[str]:
    """Names of the shipped methods, of one task or all, read from this folder so that no list can fall behind."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return names if task is None else [name for name in names if source_of(name).task == task]


def load(name: str) -> Any:
    """The preset of a shipped method; `name:variant` picks one of its variants. ValueError names the nearest known name."""
    name, _, variant = name.partition(":")
    if name not in available():
        raise ValueError(f"no method {name!r}; {nearest(name, available())}")
    module = importlib.import_module(f"{__name__}.{name}")
    if not variant:
        return module.METHOD
    if variant not in module.VARIANTS:
        raise ValueError(f"{name} has no variant {variant!r}; {nearest(variant, module.VARIANTS)}")
    return module.VARIANTS[variant]


def variants(name: str) -> tuple[str, ...]:
    """The names of a shipped method's variants."""
    load(name)
    return tuple(importlib.import_module(f"{__name__}.{name}").VARIANTS)


def source_of(name: str) -> Source:
    """The paper behind a shipped method, its year, and what the method learns from."""
    load(name)  # a wrong name is a sentence
    source: Source = importlib.import_module(f"{__name__}.{name.partition(':')[0]}").SOURCE
    return source


def practice_of(name: str) -> Practice:
    """How a shipped method is trained."""
    load(name)
    practice: Practice = importlib.import_module(f"{__name__}.{name.partition(':')[0]}").PRACTICE
    return practice


def narrowed(method: AnyMethod, divisor: int, crop_px: int) -> AnyMethod:
    """The same method with every width divided by `divisor`, and no deeper than crops of `crop_px` allow.

    Widths are the fields called `width` or `..._width` (at least 4 remain); `depth` counts halvings. For short budgets and
    small machines: what is compared is then the ideas, at equal size, not the published networks.
    """
    if not dataclasses.is_dataclass(method):
        raise ValueError(f"{method!r} is not a dataclass, so it has no widths to divide")
    changes: dict[str, int] = {}
    for field in dataclasses.fields(method):
        value = getattr(method, field.name)
        if field.name == "width" or field.name.endswith("_width"):
            changes[field.name] = max(4, value // divisor)
        elif field.name == "depth":
            changes[field.name] = min(value, crop_px.bit_length() - 1)
    return cast(AnyMethod, dataclasses.replace(method, **changes))  # type: ignore[type-var]


def name_of(method: Trainable) -> str:
    """The registry name of a method's class; a method from elsewhere is a ValueError, since no file could name it."""
    package, _, name = type(method).__module__.rpartition(".")
    if package != __name__:
        raise ValueError(f"{type(method).__qualname__} is not one of chromogen's methods ({', '.join(available())})")
    return name
