"""Frozen descriptions of images, for distances between sets of images: one file each; the folder is the registry.

`efficientnet-lite0` (weights from a package) and `radiomics` (no weights) are there at once; `inception2015:FILE`,
`resnet50:FILE` and `vgg16:FILE` read a weight file that the user has. The file of an extractor defines NEEDS_FILE and
`extractor(file)`, and `network(file)` when it is a network with stages.
"""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from chromogen.config import nearest
from chromogen.evaluate.distribution.extractors.extractor import Extractor
from chromogen.evaluate.distribution.extractors.network import FrozenNetwork

IN_OWN_UNITS = frozenset({"radiomics"})  # features that are lengths, densities and shares: compared in units of their spread


def available() -> dict[str, bool]:
    """Names of the extractors, and whether each needs a weight file; read from this folder so that no list can fall behind."""
    return {name: module.NEEDS_FILE for name, module in _modules().items()}


def extractor_named(name_or_file: str) -> Extractor:
    """The extractor called `NAME` or `NAME:FILE`; ValueError with the nearest name, or with what is wrong with the file."""
    module, file = _found(name_or_file)
    extractor: Extractor = module.extractor(file)
    return extractor


def network_named(name_or_file: str) -> FrozenNetwork:
    """The network behind an extractor, for metrics that look at its stages; ValueError for an extractor without one."""
    module, file = _found(name_or_file)
    if not hasattr(module, "network"):
        having = [name for name, one in _modules().items() if hasattr(one, "network")]
        raise ValueError(f"{name_or_file} is not a network and has no stages; {nearest(name_or_file, having)}")
    network: FrozenNetwork = module.network(file)
    return network


def _found(name_or_file: str) -> tuple[ModuleType, Path | None]:
    name, _, file = name_or_file.partition(":")
    modules = _modules()
    if name not in modules:
        raise ValueError(f"no feature extractor {name!r}; {nearest(name, modules)}")
    if modules[name].NEEDS_FILE and not file:
        raise ValueError(f"{name} needs its weights, which are not part of chromogen: write {name}:FILE")
    return modules[name], Path(file) if file else None


def _modules() -> dict[str, ModuleType]:
    loaded = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return {one.__name__.rpartition(".")[2].replace("_", "-"): one for one in loaded if hasattr(one, "NEEDS_FILE")}
