"""SSD: boxes with classes from one pass over an image (Liu et al., ECCV 2016). Boxes are x0, y0, x1, y1 in px."""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.nets.readers import FeatureNorm, convolution
from chromogen.tensors import UnitImages

Shapes = Literal["wide", "balanced"]
Spacing = Literal["area", "ratio"]
Boxes = Float[Tensor, "boxes 4"]
MAPS, LEAST_PX = 6, 32


class BoxReading(NamedTuple):
    """What SSD says of each default box: how to move it and, as logits, what is in it (0: nothing)."""

    offsets: Float[Tensor, "batch boxes 4"]  # encoded, see chromogen.losses.detection
    scores: Float[Tensor, "batch boxes classes"]
    default_boxes: Boxes


class DefaultBoxes:
    """Boxes of fixed sizes around every cell of every map: what a detector moves and names.

    One scale a map. `ratio`: sides from `smallest` to `largest` of the image's shorter side, each the same times the one
    before. `area`: areas in equal steps from `smallest` to `largest` of the square on that side; the smallest box then has a
    side of 0.22 where `ratio` has 0.05. `wide`: width over height is 1, 1.25, 2, 3 and, with six boxes a cell, 1/2 and 1/3.
    `balanced`, as in SSD: 1, 1 half-way (by ratio) to the next scale, 2, 1/2 and, with six, 3, 1/3. The first and the last
    two maps have four boxes a cell, the others six.
    """

    def __init__(self, strides: tuple[int, ...], shapes: Shapes, spacing: Spacing, smallest: float, largest: float) -> None:
        self.strides, self.shapes = strides, shapes
        self.per_cell = [4 if number == 0 or number >= len(strides) - 2 else 6 for number in range(len(strides))]
        gaps = max(1, len(strides) - 1)
        if spacing == "area":
            self.scales = [math.sqrt(smallest + (largest - smallest) * k / gaps) for k in range(len(strides) + 1)]
        else:
            self.scales = [smallest * (largest / smallest) ** (k / gaps) for k in range(len(strides) + 1)]

    def sizes(self, number: int) -> list[tuple[float, float]]:
        """Width and height of the boxes around a cell of one map, in shares of the image's shorter side."""
        scale, half_way = self.scales[number], math.sqrt(self.scales[number] * self.scales[number + 1])
        ratios = (1.0, 1.25, 2.0, 3.0, 1 / 2, 1 / 3) if self.shapes == "wide" else (1.0, 2.0, 1 / 2, 3.0, 1 / 3)
        found = [(scale * math.sqrt(ratio), scale / math.sqrt(ratio)) for ratio in ratios]
        if self.shapes == "balanced":
            found.insert(1, (half_way, half_way))
        return found[: self.per_cell[number]]

    def of(self, height: int, width: int, device: torch.device) -> Boxes:
        """All boxes of an image, in the order map, row, column, size. They may reach beyond the image."""
        made = []
        for number, stride in enumerate(self.strides):
            y = (torch.arange(-(-height // stride), device=device) + 0.5) * stride
            x = (torch.arange(-(-width // stride), device=device) + 0.5) * stride
            centres = torch.stack([*torch.meshgrid(x, y, indexing="xy")], -1)[:, :, None]
            half = torch.tensor(self.sizes(number), device=device) * (min(height, width) / 2)
            made.append(torch.cat([centres - half, centres + half], -1).flatten(0, 2))
        return torch.cat(made)


def maps_of(size_px: int) -> tuple[int, int]:
    """Of images of that shorter side: how often they are halved before the first map, and how many maps there are."""
    first = 3 if size_px >= 256 else 2
    return first, min(MAPS, int(math.log2(size_px / 2 ** (first + 1))) + 1)


class SSD(nn.Module):
    """Maps of up to six sizes, each halved from the one before, say what is in the default boxes around their cells.

    The trunk is VGG16's 13 convolutions with norms and average pooling; behind it a 1x1 and a 3x3 convolution a map. The first
    map has cells of 8 px, of 4 px for images below 256 px, the last one at least 2x2 cells: at 512 px 64, 32, 16, 8, 4 and 2
    a side. `size_px` is the image's shorter side; from 32 px.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        width: int,
        size_px: int,
        norm: FeatureNorm = "group",
        shapes: Shapes = "balanced",
        spacing: Spacing = "ratio",
        smallest: float = 0.05,
        largest: float = 0.9,
    ) -> None:
        super().__init__()
        if size_px < LEAST_PX:
            raise ValueError(f"a detector reads images from {LEAST_PX} px, got {size_px} px")
        self.first, maps = maps_of(size_px)
        self.boxes = DefaultBoxes(tuple(2 ** (self.first + k) for k in range(maps)), shapes, spacing, smallest, largest)
        self.classes = classes
        self.pool = nn.AvgPool2d(2, ceil_mode=True)
        f, stages = width, []
        plan = [(2, f), (2, 2 * f), (3, 4 * f), (3, 8 * f), (3, 8 * f)]
        for number in range(self.first + maps):
            if number < len(plan):
                count, outputs = plan[number]
                layers = [convolution(channels if k == 0 else outputs, outputs, norm=norm) for k in range(count)]
            else:
                outputs = 8 * f
                layers = [convolution(channels, 4 * f, 1, norm=norm), convolution(4 * f, outputs, norm=norm)]
            stages.append(nn.Sequential(*layers))
            channels = outputs
        self.stages = nn.ModuleList(stages)
        self.heads = nn.ModuleList(
            nn.Conv2d(plan[min(self.first + k, 4)][1], count * (4 + 1 + classes), 3, padding=1)
            for k, count in enumerate(self.boxes.per_cell)
        )

    def forward(self, images: UnitImages) -> BoxReading:
        height, width = images.shape[-2:]
        if min(height, width) <= self.boxes.strides[-1]:
            least = self.boxes.strides[-1] + 1
            raise ValueError(f"this detector's last map needs images from {least} px a side; got {width}x{height} px")
        said, x = [], images
        for number, stage in enumerate(self.stages):
            x = stage(self.pool(x) if number else x)
            if number >= self.first:
                cells = self.heads[number - self.first](x).float().permute(0, 2, 3, 1)
                said.append(cells.reshape(len(images), -1, 4 + 1 + self.classes))
        offsets, scores = torch.cat(said, 1).split([4, 1 + self.classes], dim=2)
        return BoxReading(offsets, scores, self.boxes.of(height, width, images.device))
