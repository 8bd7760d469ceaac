"""CycleGAN: translation both ways, learnt without pairs (Zhu et al., ICCV 2017, arXiv:1703.10593).

Two ResNet-9 generators with instance norm and two unconditional 70x70 PatchGANs. Least-squares GAN both ways (equation 1 with
the losses of section 4), 10 x L1 after a round trip (equation 2), and 0.5 x 10 x L1 on images that are of the wanted stain
already (the identity loss of section 5.2). Discriminators see a pool of 50 made images. Adam 2e-4 (0.5, 0.999), batch 1.

Deviations from the published code
- The learning rate falls at every step, not once an epoch: constant for the first half of the run, then linearly to 0.
- A generator takes source and target in one pass. With statistics of each image alone this changes no number; hence no batch
  norm here.
- A batch's made images enter the pool in one call, and the draws are PyTorch's.

Ours
- Crops of 256 px are cut from the full-size image; the published code shrinks images to 286 px first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from chromogen.losses import adversarial, reconstruction
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.blocks import started
from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.generators import ResnetGenerator, Upsampling
from chromogen.nets.pool import ImagePool
from chromogen.published import Published, Reading, Shapes, resnet_layout
from chromogen.tensors import Batch, SignedImages


@dataclass(frozen=True)
class CycleGAN:
    width: int = 64
    blocks: int = 9
    norm: Literal["instance", "none"] = "instance"
    upsampling: Upsampling = "transposed"
    discriminator_width: int = 64
    discriminator_layers: int = 3
    pool_images: int = 50  # made images remembered for each discriminator; 0: it sees the newest only
    weight_gan: float = 1.0
    weight_cycle: float = 10.0
    weight_identity: float = 5.0  # the published 0.5 is in units of weight_cycle; 0 saves the pass
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 512 and 0 <= self.blocks <= 32 and 1 <= self.discriminator_width <= 512):
            raise ValueError(f"cyclegan: widths are 1-512 and blocks 0-32, got {self}")
        if not (1 <= self.discriminator_layers <= 8 and 0 <= self.pool_images <= 10_000):
            raise ValueError(f"cyclegan: discriminator_layers is 1-8 and pool_images 0-10000, got {self}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("to_target",)

    @property
    def tiling(self) -> Tiling:
        reach_px = ResnetGenerator.reach_px(self.blocks)
        return Tiling(multiple_px=4, context_px=reach_px, whole_image=self.norm == "instance")

    def networks(self) -> nn.ModuleDict:
        nets: dict[str, nn.Module] = {}
        for domain in ("target", "source"):
            generator = ResnetGenerator(self.width, self.blocks, self.norm, upsampling=self.upsampling)
            discriminator = PatchDiscriminator(3, self.discriminator_width, self.discriminator_layers, self.norm)
            nets[f"to_{domain}"] = started(generator, self.norm)
            nets[f"discriminator_{domain}"] = started(discriminator, self.norm)
            nets[f"pool_{domain}"] = ImagePool(self.pool_images)
        return nn.ModuleDict(nets)

    def players(self) -> dict[str, Player]:
        judges = ("discriminator_target", "pool_target", "discriminator_source", "pool_source")
        return {
            "generators": Player(("to_target", "to_source"), self.optimizer, self.schedule),
            "discriminators": Player(judges, self.optimizer, self.schedule),
        }

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        source, target = batch["source"], batch["target"]
        fake_target, same_target = self._made(nets["to_target"], source, target)
        fake_source, same_source = self._made(nets["to_source"], target, source)

        losses: Losses = {
            "gan_target": self.weight_gan * adversarial.least_squares(nets["discriminator_target"](fake_target), real=True),
            "gan_source": self.weight_gan * adversarial.least_squares(nets["discriminator_source"](fake_source), real=True),
            "cycle_source": self.weight_cycle * reconstruction.absolute(nets["to_source"](fake_target), source),
            "cycle_target": self.weight_cycle * reconstruction.absolute(nets["to_target"](fake_source), target),
        }
        if self.weight_identity:
            losses["identity_target"] = self.weight_identity * reconstruction.absolute(same_target, target)
            losses["identity_source"] = self.weight_identity * reconstruction.absolute(same_source, source)
        yield {"generators": losses}

        losses = {}
        for domain, real, fake in (("target", target, fake_target), ("source", source, fake_source)):
            discriminator, shown = nets[f"discriminator_{domain}"], nets[f"pool_{domain}"](fake)
            losses[f"real_{domain}"] = 0.5 * adversarial.least_squares(discriminator(real), real=True)
            losses[f"fake_{domain}"] = 0.5 * adversarial.least_squares(discriminator(shown), real=False)
        yield {"discriminators": losses}

    def _made(self, generator: nn.Module, images: SignedImages, same: SignedImages) -> tuple[SignedImages, SignedImages]:
        """The translations of `images`, and, where the identity loss asks for them, of images already of that stain."""
        if not self.weight_identity:
            return generator(images), same
        made, kept = generator(torch.cat([images, same])).chunk(2)
        return made, kept

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        return nets["to_target"](source)


def published_reading(preset: CycleGAN, shapes: Shapes) -> Reading:
    """One generator of the authors' code: G_A makes stain B of stain A, G_B the other way round."""
    found = resnet_layout(shapes)
    if (found.downsampling, found.upsampling) != ("strided", "transposed"):
        raise ValueError("it blurs or resizes where a CycleGAN has strided and transposed convolutions")
    norm = found.norms.norm
    if norm == "batch":
        raise ValueError("it has batch norms, and a cyclegan here has instance norms or none")
    note = "Which way it stains, its weights do not tell; in its code G_A makes stain B of stain A, and G_B A of B."
    reading = found.reading(replace(preset, width=found.width, blocks=found.blocks, norm=norm), "to_target")
    return replace(reading, notes=(*reading.notes, note))


PUBLISHED = Published("junyanz/pytorch-CycleGAN-and-pix2pix (cycle_gan)", published_reading)
SOURCE = Source("CycleGAN, Zhu et al., ICCV 2017, arXiv:1703.10593", 2017, "unpaired")
PRACTICE = Practice(crop_px=256, batch_size=1, epochs=200, unpaired=True)
METHOD = CycleGAN()
VARIANTS = {"no-identity": CycleGAN(weight_identity=0.0)}  # equation 3 alone
