"""What a method's file says of weights that others trained: which code they come from, and which of its names is which of ours.

Names are read together with shapes, since these tell the fields: widths, blocks, norms, forms of sampling. Spectral norm is
spoken of in the names of PyTorch's first form: `weight_orig`, `weight_u`, `weight_v`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Literal

import torch
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]  # of a state dict of theirs, by name
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of a norm, beside its weights


@dataclass(frozen=True)
class Made:
    """A weight of ours that is computed from weights of theirs, or from none."""

    names: tuple[str, ...]
    make: Callable[..., Tensor]


@dataclass(frozen=True)
class Reading:
    """How one state dict becomes the released networks of `method`.

    modules: a module of ours ("generator.0"), and the one of theirs ("model.1") whose weights have the same last names. made:
    our weights that come about otherwise. idle: names of theirs that change no picture and may be there. constants: what
    buffers of theirs must hold, if they are there. zero_biases: theirs has none where ours has. notes: sentences for the card.
    """

    method: Any
    modules: Mapping[str, str]
    made: Mapping[str, Made] = field(default_factory=dict)
    idle: frozenset[str] = frozenset()
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    zero_biases: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Published:
    """The code whose weights a method takes; each such method's file holds one as PUBLISHED.

    read: from the preset and the shapes of a state dict, with the fields that these tell; ValueError, in one sentence, when it
    is of another network. licence: of the weights that the authors gave away. target_stain: what they make, where all make one.
    """

    code: str
    read: Callable[[Any, Shapes], Reading]
    licence: str = "not stated"
    target_stain: str = "unknown"


def has_weight(shapes: Shapes, module: str) -> bool:
    """Whether a module of theirs holds a weight, plain or under spectral norm."""
    return weight_shape(shapes, module) is not None


def weight_shape(shapes: Shapes, module: str) -> tuple[int, ...] | None:
    """The shape of a module's weight, plain or under spectral norm; None when it has none."""
    return shapes.get(f"{module}.weight", shapes.get(f"{module}.weight_orig"))


@dataclass(frozen=True)
class Norms:
    """What stands behind convolutions, all of one kind, and what follows for a `Reading`; statistics: of batch norms."""

    norm: Literal["batch", "instance", "none"]
    statistics: Literal["running", "image"]
    made: Mapping[str, Made]
    idle: frozenset[str]
    notes: tuple[str, ...]


def norms_of(shapes: Shapes, convolutions: Mapping[str, str]) -> Norms:
    """Read the norms right behind `convolutions`: names of ours of the norms, and of theirs of the convolutions.

    Batch norms have weights, and the code gives only instance norms a biased convolution. A batch norm that keeps no running
    statistics, and an instance norm with weights, take those of each image. A bias before a batch norm moves into its mean; one
    before statistics of the image is subtracted again, so it is idle, as are the running statistics of instance norms that
    PyTorch before 0.4 wrote and the published code throws away.
    """
    theirs = {ours: _next(convolution) for ours, convolution in convolutions.items()}
    first, first_norm = next(iter(convolutions.values())), next(iter(theirs.values()))
    biases = {f"{convolution}.bias" for convolution in convolutions.values()}
    if f"{first_norm}.weight" not in shapes:
        norm: Literal["instance", "none"] = "instance" if f"{first}.bias" in shapes else "none"
        written = {f"{name}.{last}" for name in theirs.values() for last in STATISTICS}
        return Norms(norm, "running", {}, frozenset(biases | written) if norm == "instance" else frozenset(), ())
    made: dict[str, Made] = {}
    if any(name.endswith(".running_mean") for name in shapes):
        for ours, convolution in convolutions.items():
            if f"{convolution}.bias" in shapes:
                made[f"{ours}.running_mean"] = Made((f"{theirs[ours]}.running_mean", f"{convolution}.bias"), torch.sub)
        return Norms("batch", "running", made, frozenset(), ())
    for ours, name in theirs.items():
        channels = shapes.get(f"{name}.weight", (0,))
        made |= {f"{ours}.running_mean": Made((), partial(torch.zeros, channels))}
        made |= {f"{ours}.running_var": Made((), partial(torch.ones, channels))}
    note = "Its norms hold no running statistics, so they take those of each image."
    return Norms("batch", "image", made, frozenset(biases), (note,))


def _next(layer: str) -> str:
    """The name of the layer behind one in the same sequence."""
    head, _, number = layer.rpartition(".")
    return f"{head}.{int(number) + 1}"


@dataclass(frozen=True)
class ResnetLayout:
    """The ResNet generator of pix2pix, CycleGAN, CUT and their heirs, as the names and shapes of a state dict tell it.

    modules: their names by ours, which begin with the number of a layer ("9.body.0"). made, constants: see `Reading`.
    """

    width: int
    blocks: int
    norms: Norms
    dropout: bool
    downsampling: Literal["strided", "blurred"]
    upsampling: Literal["transposed", "bilinear"]
    spectral: bool
    modules: Mapping[str, str]
    made: Mapping[str, Made]
    constants: Mapping[str, Tensor]

    def reading(self, method: Any, network: str) -> Reading:
        """For the one released network of `method`."""
        modules = {f"{network}.{ours}": theirs for ours, theirs in self.modules.items()}
        made = {f"{network}.{ours}": one for ours, one in self.made.items()}
        norms = self.norms
        return Reading(method, modules, made, norms.idle, self.constants, norms.norm == "none", norms.notes)


def resnet_layout(shapes: Shapes, ours_drop: bool = False) -> ResnetLayout:
    """Read the layers off their numbers in `model`; ValueError when this is no such generator.

    `ours_drop`: where their blocks have a dropout, ours have one too, and the layers behind it another number.
    """
    first = weight_shape(shapes, "model.1")
    if first is None or len(first) != 4 or first[1:] != (3, 7, 7):
        raise ValueError("it does not begin with a 7x7 convolution of 3 channels (model.1.weight), as a ResNet generator does")
    blurred = not has_weight(shapes, "model.7")
    start = 12 if blurred else 10
    blocks = next(number for number in count() if not has_weight(shapes, f"model.{start + number}.conv_block.1"))
    dropout = blocks > 0 and not has_weight(shapes, f"model.{start}.conv_block.5")
    up = start + blocks
    bilinear = not has_weight(shapes, f"model.{up}")
    ups = (up + 1, up + 5) if bilinear else (up, up + 3)
    downs = (4, 8) if blurred else (4, 7)
    last = ups[1] + 4
    for number in (*downs, *ups, last):
        if not has_weight(shapes, f"model.{number}"):
            raise ValueError(f"it has no convolution model.{number}, where a ResNet generator of {blocks} blocks has one")

    modules: dict[str, str] = {}
    before_norms: dict[str, str] = {}
    for number in (1, *downs, *ups):
        modules |= {f"{number - 1}": f"model.{number}", f"{number}": f"model.{number + 1}"}
        before_norms[f"{number}"] = f"model.{number}"
    for number in range(start, up):
        for ours, theirs in ((0, 1), (4 if dropout and ours_drop else 3, 6 if dropout else 5)):
            for step in (0, 1):
                modules[f"{number - 1}.body.{ours + step}"] = f"model.{number}.conv_block.{theirs + step}"
            before_norms[f"{number - 1}.body.{ours + 1}"] = f"model.{number}.conv_block.{theirs}"
    modules[f"{last - 2}"] = f"model.{last}"
    blurs = [number + 3 for number in downs] if blurred else []
    constants = {f"model.{number}.filt": binomial_filter(3) for number in blurs}
    constants |= {f"model.{number - 1}.filt": 4 * binomial_filter(4) for number in ups if bilinear}
    norms = norms_of(shapes, before_norms)
    filters = {f"{number - 1}.kernel": Made((), partial(binomial_filter, 3)) for number in blurs}
    return ResnetLayout(
        first[0],
        blocks,
        norms,
        dropout,
        "blurred" if blurred else "strided",
        "bilinear" if bilinear else "transposed",
        "model.1.weight_orig" in shapes and "model.1.weight_v" in shapes,
        modules,
        {**filters, **norms.made},
        constants,
    )


def binomial_filter(taps: int) -> Tensor:
    """(1, 1, taps, taps) of binomial numbers that add up to 1, as CUT's changes of size have them (3 or 4 taps)."""
    row = torch.tensor({3: [1.0, 2.0, 1.0], 4: [1.0, 3.0, 3.0, 1.0]}[taps])
    row = row / row.sum()
    return torch.outer(row, row)[None, None]
