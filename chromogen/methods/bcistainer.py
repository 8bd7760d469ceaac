"""BCIStainer: staining under the HER2 level that the generator reads off the H&E (team Just4Fun, BCI challenge, 2nd place).

Zhu et al., "Breast Cancer Immunohistochemical Image Generation: a Benchmark Dataset and Challenge Review", 2023,
arXiv:2305.03546, section "Just4Fun": 5 generalised focal loss of the level (equations 5-7) + 1 cosine distance between what a
comparator sees in the made and in the real image (8) + 10 L1 at full and 1/8 size (9) + 1 (1 - SSIM) (10) + 1 GAN at full and
half size (11). Weights, widths and schedules are those of the authors' code for the entry they submitted (its exp3).

Paper and code differ: equations 5-7 take the mean over all classes, the code's focal loss reads the true class alone, which is
3.7 times as much for even probabilities. The weight of 5 is the code's, and so is our loss; `every-class` is the equations'.

Deviations from the published code
- The submitted images are means over 7 of the 8 views of a square (`averaged`): +0.4 dB, from blur. Ours are single views.
- The style encoder and the comparator pad with zeros, not mirrored; `style_padding="reflect"` mirrors in the style encoder, and
  imported weights have that. Where nothing is left to mirror, a line is repeated, so that any multiple of 8 px can be stained.
- The discriminators are the 70x70 PatchGAN of pix2pix: zeros at the borders, a bias and no norm in the first layer. The code's
  have the same 4x4 convolutions, but mirror the borders of all except the last, and a batch norm stands behind the first too.
- The code never sets the comparator's gradients to zero, so that each of its steps follows the sum of all before; ours follows
  its own batch.
- Images are rounded to uint8, not truncated; training crops are turned and mirrored, but neither warped nor resized.

Ours: nothing beside that the comparator is trained in the first third of the run (50 of 150 epochs) whatever its length.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from chromogen.losses import levels, reconstruction, similarity
from chromogen.losses.adversarial import Scalar
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.blocks import Padding, started
from chromogen.nets.comparator import Comparator
from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.stainer import LEVELS, Modulation, StyledGenerator
from chromogen.published import Made, Published, Reading, Shapes, weight_shape
from chromogen.tensors import Batch, SignedImages

FOCAL = {"every-class": levels.generalised_focal, "true-class": levels.focal}
# Quarter turns, and whether the image is mirrored left-right before: the 7 published views, then the one they leave out
VIEWS = ((0, False), (1, False), (2, False), (3, False), (0, True), (2, True), (1, True), (3, True))


@dataclass(frozen=True)
class BCIStainer:
    width: int = 32
    blocks: int = 9
    depth: int = 10  # training images of 2 ** depth px: style encoder and comparator halve them to 8 px, at least once
    modulation: Modulation = "weights"  # of the residual blocks by the style
    attention: bool = True  # SimAM in every residual block
    style_padding: Padding = "zeros"  # around the style encoder's images; the published code mirrors them
    dropout: float = 0.2  # before the linear heads that read a level
    discriminator_width: int = 32
    discriminator_layers: int = 3
    comparator_width: int = 32
    comparator_share: float = 1 / 3  # of the run: until then the comparator learns, from then on it is frozen and compares
    focal: Literal["true-class", "every-class"] = "true-class"
    alpha: tuple[float, ...] = (0.5, 0.2, 0.2, 0.1)  # weights of the levels 0, 1+, 2+, 3+
    gamma: float = 2.0
    label_smoothing: float = 0.1  # discriminators aim at random numbers up to this far from 0 and 1
    ssim_window_px: int = 9
    ssim_sigma: float = 2.375
    weight_level: float = 5.0
    weight_mae: float = 10.0
    weight_ssim: float = 1.0
    weight_gan: float = 1.0
    weight_cosine: float = 1.0
    averaged_views: int = 1  # of the 8 turned and mirrored views of an image, whose translations are averaged
    optimizer: Optimizer = Optimizer(lr=1e-3, betas=(0.5, 0.9), weight_decay=0.05, decoupled=True)
    schedule: Schedule = Schedule(warmup=1 / 3, decay_start=1 / 3, shape="cosine")
    comparator_optimizer: Optimizer = Optimizer(lr=1e-4, betas=(0.9, 0.99), weight_decay=0.01, decoupled=True)

    def __post_init__(self) -> None:
        widths = (self.width, self.discriminator_width, self.comparator_width)
        if not (all(1 <= width <= 512 for width in widths) and 0 <= self.blocks <= 32 and 4 <= self.depth <= 14):
            raise ValueError(f"bcistainer: widths are 1-512, blocks 0-32 and depth 4-14, got {self}")
        if not (1 <= self.discriminator_layers <= 8 and 1 <= self.averaged_views <= len(VIEWS)):
            raise ValueError(f"bcistainer: discriminator_layers and averaged_views are 1-8, got {self}")
        if not (0 <= self.dropout < 1 and 0 <= self.label_smoothing < 0.5 and 0 <= self.comparator_share <= 1):
            raise ValueError(f"bcistainer: dropout is below 1, label_smoothing below 0.5, comparator_share 0-1, got {self}")
        if len(self.alpha) != LEVELS:
            raise ValueError(f"bcistainer: alpha holds one weight for each of {LEVELS} levels, got {self.alpha}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def tiling(self) -> Tiling:
        return Tiling(multiple_px=8, context_px=StyledGenerator.reach_px(self.blocks), whole_image=True)

    def networks(self) -> nn.ModuleDict:
        style_layers = max(1, self.depth - 6)
        kinds = (self.modulation, self.attention, self.dropout, self.style_padding)
        generator = StyledGenerator(self.width, self.blocks, style_layers, *kinds)
        nets: dict[str, nn.Module] = {
            "generator": generator,
            "comparator": Comparator(self.comparator_width, self.depth - 3, self.dropout),
            "full_size": PatchDiscriminator(3, self.discriminator_width, self.discriminator_layers),
            "half_size": PatchDiscriminator(3, self.discriminator_width, self.discriminator_layers),
        }
        return nn.ModuleDict({name: started(net, "batch") for name, net in nets.items()})

    def players(self) -> dict[str, Player]:
        return {
            "comparator": Player(("comparator",), self.comparator_optimizer),
            "discriminator": Player(("full_size", "half_size"), self.optimizer, self.schedule),
            "generator": Player(("generator",), self.optimizer, self.schedule),
        }

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        source, target, level = batch["source"], batch["target"], batch["level"]
        focal, comparator, learning = FOCAL[self.focal], nets["comparator"], progress < self.comparator_share
        fake, low, logits = nets["generator"](source)

        comparator.train(learning)  # frozen means its batch statistics too
        if learning:
            yield {"comparator": {"level": focal(comparator(target)[0], level, self.alpha, self.gamma)}}

        yield {
            "discriminator": {
                "real": 0.5 * self._judged(nets, target, real=True),
                "fake": 0.5 * self._judged(nets, fake.detach(), real=False),
            }
        }
        low_target = F.interpolate(target, size=low.shape[-2:], mode="bilinear", align_corners=True)
        losses: Losses = {
            "level": self.weight_level * focal(logits, level, self.alpha, self.gamma),
            "mae": self.weight_mae * reconstruction.absolute(fake, target),
            "mae_low": self.weight_mae * reconstruction.absolute(low, low_target),
            "ssim": self.weight_ssim * similarity.structural_dissimilarity(fake, target, self.ssim_window_px, self.ssim_sigma),
            "gan": self.weight_gan * self._judged(nets, fake, real=True),
        }
        if not learning:
            with torch.no_grad():
                features = comparator(target)[1]
            losses["cosine"] = self.weight_cosine * levels.cosine_distance(comparator(fake)[1], features)
        yield {"generator": losses}

    def _judged(self, nets: nn.ModuleDict, images: SignedImages, real: bool) -> Scalar:
        """Mean (D(x) - t)^2 over patches and both sizes; t is drawn from [0.9, 1] for real, from [0, 0.1] for made."""
        half = F.interpolate(images, scale_factor=0.5, mode="bilinear", align_corners=True)
        errors = []
        for logits in (nets["full_size"](images).float(), nets["half_size"](half).float()):
            slack = self.label_smoothing * torch.rand_like(logits)
            aim = 1 - slack if real else slack
            errors.append((logits - aim).square().mean())
        return 0.5 * (errors[0] + errors[1])

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        total = torch.zeros_like(source)
        for turns, mirrored in VIEWS[: self.averaged_views]:
            view = torch.rot90(source.flip(3) if mirrored else source, turns, (2, 3))
            made = torch.rot90(nets["generator"](view)[0], -turns, (2, 3))
            total = total + (made.flip(3) if mirrored else made)
        return total / self.averaged_views


def published_reading(preset: BCIStainer, shapes: Shapes) -> Reading:
    """The authors' generator "basic". Nothing in its weights tells whether SimAM is on: the preset or variant says."""
    first = weight_shape(shapes, "inconv.conv.1")
    if first is None or "inconv.conv.2.weight" not in shapes:
        raise ValueError("it has no inconv.conv.1 with a batch norm behind, as BCIStainer's generator has")
    if "mask_outconv.1.weight" in shapes:
        raise ValueError("it is the variant CAHR of BCIStainer, which merges a crop into the whole image; there is none here")
    blocks, layers = (
        len({name.split(".")[1] for name in shapes if name.startswith(f"{part}.")}) for part in ("decoder1", "encoder2")
    )
    adain = "decoder1.0.style1.linear.weight" in shapes
    told = replace(
        preset,
        width=first[0],
        blocks=blocks,
        depth=layers + 6,
        modulation="adain" if adain else "weights",
        style_padding="reflect",
    )
    stages = [("inconv", 1), *((f"encoder1.{number}", 1) for number in range(3))]
    modules = {"grade.1": "classify_head.1" if "classify_head.1.weight" in shapes else "classify_head.0"}
    modules |= {"low.0": "lowres_outconv.1", "decoder.9": "highres_outconv.1"}
    for part, found in (
        ("encoder", stages),
        ("style_encoder", [(f"encoder2.{number}", 1) for number in range(layers)]),
        ("decoder", [(f"decoder2.{number}", 0) for number in range(3)]),
    ):
        for number, (stage, convolution) in enumerate(found):
            modules[f"{part}.{3 * number}"] = f"{stage}.conv.{convolution}"
            modules[f"{part}.{3 * number + 1}"] = f"{stage}.conv.{convolution + 1}"
    made: dict[str, Made] = {}
    for block in range(blocks):
        for number in (0, 1):
            ours, theirs = f"blocks.{block}", f"decoder1.{block}"
            if adain:
                modules[f"{ours}.convs.{number}"] = f"{theirs}.conv{number + 1}"
                modules[f"{ours}.norms.{number}.linear"] = f"{theirs}.style{number + 1}.linear"
                continue
            modules[f"{ours}.convs.{number}.scale"] = f"{theirs}.style{number + 1}"
            weight = f"{theirs}.conv{number + 1}.0.weight.data"
            made[f"generator.{ours}.convs.{number}.conv.weight"] = Made((weight,), equalised)
            if f"{theirs}.style1.weight" not in shapes:  # the code's style_linear=False: the style itself is the scale
                channels = 8 * first[0]
                made[f"generator.{ours}.convs.{number}.scale.weight"] = Made((), partial(torch.eye, channels))
                made[f"generator.{ours}.convs.{number}.scale.bias"] = Made((), partial(torch.zeros, channels))
    note = f"SimAM is {'on' if told.attention else 'off'}, which was said, since no weight tells it."
    return Reading(told, {f"generator.{ours}": theirs for ours, theirs in modules.items()}, made, notes=(note,))


def equalised(weight: torch.Tensor) -> torch.Tensor:
    """What the authors' code computes with: the stored weight divided by the root of its inputs' number."""
    return weight / math.sqrt(weight[0].numel())


PUBLISHED = Published(
    "quqixun/BCIStainer (basic)",
    published_reading,
    licence="non-commercial, as the BCI data set they were trained on",
    target_stain="HER2 IHC",
)
SOURCE = Source(
    "BCIStainer, team Just4Fun of the BCI challenge, in Zhu et al., 2023, arXiv:2305.03546", 2023, "pairs + HER2 level"
)
PRACTICE = Practice(crop_px=1024, batch_size=8, epochs=150, flip_only=False, ema=0.99)
METHOD = BCIStainer()
VARIANTS = {
    "mod": BCIStainer(attention=False),
    "adain": BCIStainer(modulation="adain", attention=False),
    "adain-simam": BCIStainer(modulation="adain"),
    "every-class": BCIStainer(focal="every-class"),
    "averaged": replace(METHOD, averaged_views=7),
}
