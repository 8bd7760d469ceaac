"""The methods that ship with the package: one file each; the folder is the registry.

A method's file defines METHOD (the preset that follows its source) and VARIANTS (other values of the same dataclass).
"""

import importlib
import pkgutil

from chromogen.config import nearest
from chromogen.method import Method


def available() -> list[str]:
    """Names of the shipped methods, read from this folder so that no list can fall behind."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Method:
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


def name_of(method: Method) -> str:
    """The registry name of a method's class; a method from elsewhere is a ValueError, since no file could name it."""
    package, _, name = type(method).__module__.rpartition(".")
    if package != __name__:
        raise ValueError(f"{type(method).__qualname__} is not one of chromogen's methods ({', '.join(available())})")
    return name
