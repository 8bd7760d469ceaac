"""What lies around a network's weights in a file: containers, prefixes of wrappers, moving averages, names of spectral norm."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from chromogen.foreign.pickles import Group

AVERAGED = re.compile(r"(^|[._])(g?ema|shadow\w*|averag\w*)(?=[._]|$)", re.IGNORECASE)
STATE = ("running_mean", "running_var", "num_batches_tracked", "filt")  # what a moving average of the parameters leaves out
SPECTRAL = (("parametrizations.weight.original", "weight_orig"), *((f"parametrizations.weight.0.{p}{v}", f"weight_{v}")
            for p in ("", "_") for v in "uv"))  # fmt: skip
DEEPEST = 4  # prefixes that are taken off, at most
NAMELESS = ("module", "_orig_mod")  # of DataParallel and torch.compile: prefixes that say nothing of the network


@dataclass(frozen=True)
class Candidate:
    """Weights that may be one network's: under the names they have without prefixes, each with the group that holds it."""

    label: str  # what led to them, "Gema.ema_model"; empty when they lie bare
    shapes: dict[str, tuple[int, ...]]
    origins: dict[str, tuple[Group, str]]
    notes: tuple[str, ...] = ()

    @property
    def averaged(self) -> bool:
        """Whether they are a moving average, by their labels."""
        return bool(AVERAGED.search(self.label)) and "online" not in self.label.lower()


def candidates(groups: tuple[Group, ...]) -> list[Candidate]:
    """Every set of weights in a file, with and without the prefixes that many of its names share."""
    found: list[Candidate] = []
    for group in groups:
        origins = {spectral_name(name): (group, name) for name in group.places}
        found += _unwrapped(".".join(group.path), origins, DEEPEST)
    return [_completed(one, found) for one in found]


def spectral_name(name: str) -> str:
    """The name in PyTorch's first form of spectral norm."""
    for new, old in SPECTRAL:
        if name.endswith(f".{new}"):
            return name.removesuffix(new) + old
    return name


def _unwrapped(label: str, origins: dict[str, tuple[Group, str]], depth: int) -> Iterator[Candidate]:
    shapes = {name: group.shapes[original] for name, (group, original) in origins.items()}
    yield Candidate(label, shapes, origins)
    heads = dict.fromkeys(head for head, dot, _ in (name.partition(".") for name in origins) if dot and not head.isdigit())
    for head in heads if depth else ():
        inside = {name.removeprefix(f"{head}."): origin for name, origin in origins.items() if name.startswith(f"{head}.")}
        yield from _unwrapped(label if head in NAMELESS else f"{label}.{head}".lstrip("."), inside, depth - 1)


def _completed(one: Candidate, every: list[Candidate]) -> Candidate:
    """A moving average of parameters alone, with the buffers of the network it averages."""
    if not one.averaged:
        return one
    for other in every:
        missing = other.shapes.keys() - one.shapes.keys()
        whole = one.shapes.keys() < other.shapes.keys() and not other.averaged
        if whole and missing and all(name.rpartition(".")[2] in STATE for name in missing):
            note = f"The running statistics are those of {other.label or 'the network'}, since {one.label} has none."
            shapes = one.shapes | {name: other.shapes[name] for name in missing}
            origins = one.origins | {name: other.origins[name] for name in missing}
            return replace(one, shapes=shapes, origins=origins, notes=(*one.notes, note))
    return one
