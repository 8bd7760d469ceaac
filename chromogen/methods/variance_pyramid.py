"""PyramidPix2pix with a penalty on lost variety (Rehmat et al., "A Variance-Penalized GAN", 2025, arXiv:2506.18371).

The objective of PyramidPix2pix (Liu et al., CVPRW 2022: cross-entropy GAN + 25 L1 + 25 L1 on each of three octaves) and a term
against stains that all look alike: for each pixel, how far the variance over the generated batch is from that over the real
one (figure 4). A batch of one has no variance and gives no signal; one of a single HER2 level gives little. So batches hold 4
images, the four levels in turn (`class_balanced` of the data).

Only the abstract and the captions could be read
- Figure 3 speaks of "input images" where figure 4 says "real": we compare with the real IHC, not with the H&E.
- Weight, range, batch and length are not in them. Ours: the weight, so that the term begins near a tenth of the L1 pyramid
  (values in [-1, 1]), batches of 4, population variance, levels in turn; crop, epochs and all else as PyramidPix2pix.
  `weight-0.1` ... `weight-100` are a scan; benchmarks/variance_scan.py runs it.

Deviations from the published code of PyramidPix2pix, as in ours: evaluation uses running batch-norm statistics and no dropout;
the rate falls at every step of the second half, not once an epoch. `smooth` is without norm (docs/decisions/0005).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from chromogen.losses import adversarial, reconstruction
from chromogen.losses.variance import batch_variance
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.blocks import Norm, started
from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.generators import ResnetGenerator, Upsampling
from chromogen.tensors import Batch, SignedImages


@dataclass(frozen=True)
class VariancePyramid:
    width: int = 64
    blocks: int = 9
    norm: Norm = "batch"
    dropout: float = 0.5
    upsampling: Upsampling = "transposed"
    discriminator_width: int = 64
    discriminator_layers: int = 3
    discriminator_norm: Norm = "batch"
    weight_gan: float = 1.0
    weight_l1: float = 25.0
    weight_octaves: tuple[float, ...] = (25.0, 25.0, 25.0)  # at 1/2, 1/4, 1/8 of the size
    weight_variance: float = 80.0
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 512 and 0 <= self.blocks <= 32 and 1 <= self.discriminator_width <= 512):
            raise ValueError(f"variance_pyramid: widths are 1-512 and blocks 0-32, got {self}")
        if not (1 <= self.discriminator_layers <= 8 and len(self.weight_octaves) <= 8):
            raise ValueError(f"variance_pyramid: discriminator_layers is 1-8 and octaves are at most 8, got {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"variance_pyramid: dropout is a probability below 1, got {self.dropout}")
        if self.weight_variance < 0:
            raise ValueError(f"variance_pyramid: weight_variance is 0 or more, got {self.weight_variance}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def tiling(self) -> Tiling:
        reach_px = ResnetGenerator.reach_px(self.blocks)
        return Tiling(multiple_px=4, context_px=reach_px, whole_image=self.norm == "instance")

    def networks(self) -> nn.ModuleDict:
        generator = ResnetGenerator(self.width, self.blocks, self.norm, self.dropout, self.upsampling)
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
        losses["variance"] = self.weight_variance * batch_variance(fake, target)
        yield {"generator": losses}

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        return nets["generator"](source)


SOURCE = Source("Variance-penalised PyramidPix2pix, Rehmat et al., 2025, arXiv:2506.18371", 2025, "pairs, drawn by HER2 level")
PRACTICE = Practice(crop_px=512, batch_size=4, epochs=200, class_balanced=True)
METHOD = VariancePyramid()
GENTLE = Schedule(warmup=0.05, decay_start=0.5)
SMOOTH = VariancePyramid(norm="none", dropout=0.0, upsampling="bilinear", optimizer=Optimizer(lr=3e-4), schedule=GENTLE)
VARIANTS = {f"weight-{weight:g}": VariancePyramid(weight_variance=weight) for weight in (0.1, 1.0, 10.0, 100.0)}
VARIANTS |= {"smooth": SMOOTH}
