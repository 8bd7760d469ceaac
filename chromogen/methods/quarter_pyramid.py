"""PyramidPix2pix at a quarter of the size: the blur that won a challenge (team arpitdec5, BCI challenge, 1st place).

Zhu et al., "Breast Cancer Immunohistochemical Image Generation: a Benchmark Dataset and Challenge Review", 2023,
arXiv:2305.03546, section "arpitdec5": images of 1024 px are brought down to 256 px, PyramidPix2pix (Liu et al., CVPRW 2022)
learns there, and what it makes is brought up again; a tenth of the training pairs, the worst by HistoQC, stays out. It had the
highest SSIM of the challenge, and the review itself calls its images blurred and unrelated to the truth: we keep it as the
control that shows what PSNR and SSIM pay for. What no 4x4 square holds, it cannot draw.

Objective: cross-entropy GAN + 25 L1 + 25 L1 on each of three octaves, all on small images; Adam 2e-4 (0.5, 0.999).

Deviations from the source
- The quality filter is `drop_worst` of the data (chromogen/data/pairs/quality.py), our measures in the place of HistoQC's.
- Evaluation uses running batch-norm statistics and no dropout; the learning rate falls at every step, not once an epoch.

Ours, where the source is silent: both ways of resizing are Pillow's bicubic, clipped to the range; weights, networks, batch 2
and 200 epochs are those of PyramidPix2pix's code; whole images, mirrored half of the time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from chromogen.losses import adversarial, reconstruction
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.blocks import Norm, started
from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.generators import ResnetGenerator
from chromogen.tensors import Batch, SignedImages


@dataclass(frozen=True)
class QuarterPyramid:
    reduction: int = 4  # of both sides, before anything is learnt
    width: int = 64
    blocks: int = 9
    norm: Norm = "batch"
    dropout: float = 0.5
    discriminator_width: int = 64
    discriminator_layers: int = 3
    weight_gan: float = 1.0
    weight_l1: float = 25.0
    weight_octaves: tuple[float, ...] = (25.0, 25.0, 25.0)  # at 1/2, 1/4, 1/8 of the small size
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        if not 1 <= self.reduction <= 16:
            raise ValueError(f"quarter_pyramid: reduction is 1-16 (1 keeps the size), got {self.reduction}")
        if not (1 <= self.width <= 512 and 0 <= self.blocks <= 32 and 1 <= self.discriminator_width <= 512):
            raise ValueError(f"quarter_pyramid: widths are 1-512 and blocks 0-32, got {self}")
        if not (1 <= self.discriminator_layers <= 8 and len(self.weight_octaves) <= 8):
            raise ValueError(f"quarter_pyramid: discriminator_layers is 1-8 and octaves are at most 8, got {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"quarter_pyramid: dropout is a probability below 1, got {self.dropout}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def tiling(self) -> Tiling:
        reach_px = self.reduction * (ResnetGenerator.reach_px(self.blocks) + 4)  # each bicubic kernel: 2 small px to each side
        return Tiling(multiple_px=4 * self.reduction, context_px=reach_px, whole_image=self.norm == "instance")

    def networks(self) -> nn.ModuleDict:
        generator = ResnetGenerator(self.width, self.blocks, self.norm, self.dropout)
        discriminator = PatchDiscriminator(6, self.discriminator_width, self.discriminator_layers, self.norm)
        return nn.ModuleDict({"generator": started(generator, self.norm), "discriminator": started(discriminator, self.norm)})

    def players(self) -> dict[str, Player]:
        return {name: Player((name,), self.optimizer, self.schedule) for name in ("discriminator", "generator")}

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        source, target = self._small(batch["source"]), self._small(batch["target"])
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
        return _resized(nets["generator"](self._small(source)), source.shape[-2], source.shape[-1])

    def _small(self, images: SignedImages) -> SignedImages:
        return _resized(images, images.shape[-2] // self.reduction, images.shape[-1] // self.reduction)


def _resized(images: SignedImages, height: int, width: int) -> SignedImages:
    """Bicubic as Pillow's: a = -0.5, the kernel widened when shrinking; what overshoots the range is clipped."""
    return F.interpolate(images, size=(height, width), mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)


SOURCE = Source(
    "Quarter-size PyramidPix2pix, team arpitdec5 of the BCI challenge, in Zhu et al., 2023, arXiv:2305.03546", 2023, "pairs"
)
# All of a BCI image, so that the networks see the 256 px they saw in the challenge.
PRACTICE = Practice(crop_px=1024, batch_size=2, epochs=200, drop_worst=0.1)
METHOD = QuarterPyramid()
VARIANTS: dict[str, QuarterPyramid] = {}
