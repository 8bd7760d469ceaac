"""What a method's file says of weights that others trained: which code they come from, and which of its names is which of ours.

Names are read together with shapes, since these tell the fields: widths, blocks, norms, forms of sampling. Spectral norm is
spoken of in the names of PyTorch's first form: `weight_orig`, `weight_u`, `weight_v`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

import torch
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]  # of a state dict of theirs, by name


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
    buffers of theirs must hold, if they are there. zero_biases: theirs has none where ours has.
    """

    method: Any
    modules: Mapping[str, str]
    made: Mapping[str, Made] = field(default_factory=dict)
    idle: frozenset[str] = frozenset()
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    zero_biases: bool = False


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


def norm_behind(shapes: Shapes, convolution: str, norm: str) -> Literal["batch", "instance", "none"]:
    """Which norm stands behind a convolution: batch norms have weights, and the code gives only instance norms a biased one."""
    if f"{norm}.weight" in shapes:
        return "batch"
    return "instance" if f"{convolution}.bias" in shapes else "none"


@dataclass(frozen=True)
class ResnetLayout:
    """The ResNet generator of pix2pix, CycleGAN, CUT and their heirs, as the names and shapes of a state dict tell it.

    modules: their names by ours, which begin with the number of a layer ("9.body.0"). idle, constants, filters: see `Reading`;
    filters are our weights of the same meaning.
    """

    width: int
    blocks: int
    norm: Literal["batch", "instance", "none"]
    dropout: bool
    downsampling: Literal["strided", "blurred"]
    upsampling: Literal["transposed", "bilinear"]
    spectral: bool
    modules: Mapping[str, str]
    idle: frozenset[str]
    constants: Mapping[str, Tensor]
    filters: Mapping[str, Made]

    def reading(self, method: Any, network: str) -> Reading:
        """For the one released network of `method`."""
        modules = {f"{network}.{ours}": theirs for ours, theirs in self.modules.items()}
        filters = {f"{network}.{ours}": made for ours, made in self.filters.items()}
        return Reading(method, modules, filters, self.idle, self.constants, zero_biases=self.norm == "none")


def resnet_layout(shapes: Shapes, ours_drop: bool = False) -> ResnetLayout:
    """Read the layers off their numbers in `model`; ValueError when this is no such generator.

    `ours_drop`: where their blocks have a dropout, ours have one too, and the layers behind it another number.
    """
    first = weight_shape(shapes, "model.1")
    if first is None or len(first) != 4 or first[1:] != (3, 7, 7):
        raise ValueError("it does not begin with a 7x7 convolution of 3 channels (model.1.weight), as a ResNet generator does")
    norm = norm_behind(shapes, "model.1", "model.2")
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
    before_norms = []
    for number in (1, *downs, *ups):
        modules |= {f"{number - 1}": f"model.{number}", f"{number}": f"model.{number + 1}"}
        before_norms.append(f"model.{number}")
    for number in range(start, up):
        for ours, theirs in ((0, 1), (4 if dropout and ours_drop else 3, 6 if dropout else 5)):
            for step in (0, 1):
                modules[f"{number - 1}.body.{ours + step}"] = f"model.{number}.conv_block.{theirs + step}"
            before_norms.append(f"model.{number}.conv_block.{theirs}")
    modules[f"{last - 2}"] = f"model.{last}"
    blurs = [number + 3 for number in downs] if blurred else []
    constants = {f"model.{number}.filt": binomial_filter(3) for number in blurs}
    constants |= {f"model.{number - 1}.filt": 4 * binomial_filter(4) for number in ups if bilinear}
    return ResnetLayout(
        first[0],
        blocks,
        norm,
        dropout,
        "blurred" if blurred else "strided",
        "bilinear" if bilinear else "transposed",
        "model.1.weight_orig" in shapes and "model.1.weight_v" in shapes,
        modules,
        idle_behind(before_norms) if norm == "instance" else frozenset(),
        constants,
        {f"{number - 1}.kernel": Made((), lambda: binomial_filter(3)) for number in blurs},
    )


def idle_behind(convolutions: list[str]) -> frozenset[str]:
    """Names that an instance norm right behind a convolution makes idle: the bias before, which it subtracts, and the running
    statistics that PyTorch before 0.4 wrote and that the published code throws away."""
    norms = [f"{head}.{int(number) + 1}" for head, _, number in (name.rpartition(".") for name in convolutions)]
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return frozenset([f"{name}.bias" for name in convolutions] + [f"{norm}.{last}" for norm in norms for last in statistics])


def binomial_filter(taps: int) -> Tensor:
    """(1, 1, taps, taps) of binomial numbers that add up to 1, as CUT's changes of size have them (3 or 4 taps)."""
    row = torch.tensor({3: [1.0, 2.0, 1.0], 4: [1.0, 3.0, 3.0, 1.0]}[taps])
    row = row / row.sum()
    return torch.outer(row, row)[None, None]
