"""PyramidPix2pix with self-attention (Ganesh and Zhou, "Generating IHC-stained slices from HE slices", MIT report, 2024).

The objective of PyramidPix2pix (Liu et al., CVPRW 2022: cross-entropy GAN + 25 L1 + 25 L1 on each of three octaves), with
self-attention (equations 2-4) behind each down- and each up-sampling step of the ResNet-9 generator. Images of 1024 px are
resized to 512; 10 epochs at the constant rate of 2e-4, batch 2.

Deviations from the report
- It writes that a position becomes the weighted sum of the values. We add that sum to the features through a gate that begins
  at 0 (Zhang et al., SAGAN, 2019). Alone, it differs between positions only as far as their weights do, and those begin all
  but even: `literal`, which is so, makes pictures of the right colour without detail.
- Equation 1 has no sqrt(d_k), equation 4 has: we follow the latter.
- At 512 px a stored matrix of weights would be 275 GB in float32 at the last place alone. Ours is exact without storing it, but
  every pixel still meets every other: `pooled` lets each meet a sixteenth of them.
- Evaluation uses running batch-norm statistics and no dropout, as in our PyramidPix2pix; the rate falls only if asked to, since
  the 10 epochs lie within the first half of the original's 200, where it is constant.

Ours, where the report is silent: which generator (the default of the original code; it has two down- and two up-samplings), one
head, `reduction` 8 and keys without pooling; in `pooled`, squares of 4x4.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from chromogen.losses import adversarial, reconstruction
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.attention import Residual
from chromogen.nets.attention_resnet import AttentionResnetGenerator
from chromogen.nets.blocks import Norm, started
from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.generators import ResnetGenerator, Upsampling
from chromogen.tensors import Batch, SignedImages


@dataclass(frozen=True)
class AttentionPyramid:
    width: int = 64
    blocks: int = 9
    norm: Norm = "batch"
    dropout: float = 0.5
    upsampling: Upsampling = "transposed"
    heads: int = 1
    reduction: int = 8  # queries and keys have this many times fewer channels than the features
    pooled: int = 1  # side of the squares of positions whose largest keys and values stand for all
    residual: Residual = "gated"
    discriminator_width: int = 64
    discriminator_layers: int = 3
    discriminator_norm: Norm = "batch"
    weight_gan: float = 1.0
    weight_l1: float = 25.0
    weight_octaves: tuple[float, ...] = (25.0, 25.0, 25.0)  # at 1/2, 1/4, 1/8 of the size
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 512 and 0 <= self.blocks <= 32 and 1 <= self.discriminator_width <= 512):
            raise ValueError(f"attention_pyramid: widths are 1-512 and blocks 0-32, got {self}")
        if not (1 <= self.discriminator_layers <= 8 and len(self.weight_octaves) <= 8):
            raise ValueError(f"attention_pyramid: discriminator_layers is 1-8 and octaves are at most 8, got {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"attention_pyramid: dropout is a probability below 1, got {self.dropout}")
        if self.heads < 1 or self.width % self.heads:
            raise ValueError(f"attention_pyramid: heads divide the width {self.width}, got {self.heads}")
        if not (1 <= self.reduction <= 64 and 1 <= self.pooled <= 64):
            raise ValueError(f"attention_pyramid: reduction and pooled are 1-64, got {self.reduction} and {self.pooled}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def tiling(self) -> Tiling:
        """Every pixel looks at the whole image, so no image is cut."""
        return Tiling(multiple_px=4, context_px=ResnetGenerator.reach_px(self.blocks), whole_image=True)

    def networks(self) -> nn.ModuleDict:
        generator = AttentionResnetGenerator(
            self.width, self.blocks, self.norm, self.dropout, self.upsampling,
            self.heads, self.reduction, self.pooled, self.residual,
        )  # fmt: skip
        norm = self.discriminator_norm
        discriminator = PatchDiscriminator(6, self.discriminator_width, self.discriminator_layers, norm)
        return nn.ModuleDict({"generator": started(generator, self.norm), "discriminator": started(discriminator, norm)})

    def players(self) -> dict[str, Player]:
        return {name: Player((name,), self.optimizer, self.schedule) for name in ("discriminator", "generator")}

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        source, target = batch["source"], batch["target"]
        fake = nets["generator"](source)

        real_pair, fake_pair = torch.cat([source, target], 1), torch.cat([source, fake], 1)
        yield {
            "discriminator": {
                "real": 0.5 * adversarial.cross_entropy(nets["discriminator"](real_pair), real=True),
                "fake": 0.5 * adversarial.cross_entropy(nets["discriminator"](fake_pair.detach()), real=False),
            }
        }
        losses: Losses = {
            "gan": self.weight_gan * adversarial.cross_entropy(nets["discriminator"](fake_pair), real=True),
            "l1": self.weight_l1 * reconstruction.absolute(fake, target),
        }
        octaves = reconstruction.octave_absolutes(fake, target, len(self.weight_octaves))
        for number, (weight, octave) in enumerate(zip(self.weight_octaves, octaves, strict=True), start=1):
            losses[f"octave{number}"] = weight * octave
        yield {"generator": losses}

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        return nets["generator"](source)


SOURCE = Source("PyramidPix2pix with self-attention, Ganesh and Zhou, MIT report, 2024", 2024, "pairs")
PRACTICE = Practice(crop_px=512, resize_px=512, batch_size=2, epochs=10)  # whole images, made smaller
METHOD = AttentionPyramid()
VARIANTS = {"literal": AttentionPyramid(residual="none"), "pooled": AttentionPyramid(pooled=4)}
