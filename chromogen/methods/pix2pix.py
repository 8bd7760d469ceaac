"""pix2pix: conditional adversarial translation (Isola et al., CVPR 2017, arXiv:1611.07004).

U-Net 256, 70x70 PatchGAN on (source, target), cross-entropy GAN + 100 L1 (equation 4), Adam 2e-4 (0.5, 0.999).

Deviations from the published code
- Evaluation uses running batch-norm statistics and no dropout. The paper keeps both "training" forms at test time
  (section 3.4), which makes an image depend on its batch and on chance: `statistics="image"` and `dropout_at_test` do.
- The code resizes every image to 286 px before it crops 256 px; ours crops from the image at its own size, so that um per pixel
  stay those of the files. The recipe `pix2pix_resized` does as the code.
- The learning rate falls at every step, not once an epoch: constant for the first half of the run, then linearly to 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from chromogen.losses import adversarial, reconstruction
from chromogen.method import Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.blocks import Norm, Statistics, repeated_noise, started
from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.generators import UNetGenerator
from chromogen.published import Published, Reading, Shapes, norms_of, weight_shape
from chromogen.tensors import Batch, SignedImages

GAN = {"cross-entropy": adversarial.cross_entropy, "least-squares": adversarial.least_squares}


@dataclass(frozen=True)
class Pix2pix:
    width: int = 64
    depth: int = 8  # halvings; image sizes are multiples of 2 ** depth
    norm: Norm = "batch"
    dropout: float = 0.5
    dropout_at_test: bool = False  # when translating too, with the same noise for every image
    statistics: Statistics = "running"  # of batch norms when translating: "image" for networks scored in training form
    discriminator_width: int = 64
    discriminator_layers: int = 3
    gan: Literal["cross-entropy", "least-squares"] = "cross-entropy"
    weight_gan: float = 1.0
    weight_l1: float = 100.0
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 512 and 2 <= self.depth <= 10 and 1 <= self.discriminator_width <= 512):
            raise ValueError(f"pix2pix: widths are 1-512 and depth 2-10, got {self}")
        if not 1 <= self.discriminator_layers <= 8:
            raise ValueError(f"pix2pix: discriminator_layers is 1-8, got {self.discriminator_layers}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"pix2pix: dropout is a probability below 1, got {self.dropout}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def tiling(self) -> Tiling:
        whole_image = self.norm == "instance" or self.statistics == "image" or self.dropout_at_test
        return Tiling(multiple_px=2**self.depth, context_px=2 ** (self.depth - 1), whole_image=whole_image)

    def networks(self) -> nn.ModuleDict:
        noise = self.dropout_at_test
        generator = UNetGenerator(self.width, self.depth, self.norm, self.dropout, self.statistics, noise)
        discriminator = PatchDiscriminator(6, self.discriminator_width, self.discriminator_layers, self.norm)
        return nn.ModuleDict({"generator": started(generator, self.norm), "discriminator": started(discriminator, self.norm)})

    def players(self) -> dict[str, Player]:
        return {name: Player((name,), self.optimizer, self.schedule) for name in ("discriminator", "generator")}

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        source, target = batch["source"], batch["target"]
        gan = GAN[self.gan]
        fake = nets["generator"](source)

        real_pair, fake_pair = torch.cat([source, target], 1), torch.cat([source, fake], 1)
        yield {
            "discriminator": {
                "real": 0.5 * gan(nets["discriminator"](real_pair), real=True),
                "fake": 0.5 * gan(nets["discriminator"](fake_pair.detach()), real=False),
            }
        }
        yield {
            "generator": {
                "gan": self.weight_gan * gan(nets["discriminator"](fake_pair), real=True),
                "l1": self.weight_l1 * reconstruction.absolute(fake, target),
            }
        }

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        if not self.dropout_at_test:
            return nets["generator"](source)
        made = []
        for image in source.split(1):  # so that an image does not depend on its batch
            with repeated_noise(source.device):
                made.append(nets["generator"](image))
        return torch.cat(made)


def published_reading(preset: Pix2pix, shapes: Shapes) -> Reading:
    """A U-Net of the authors' code, whose blocks lie one in the other: the block inside is layer 1 of the outermost, else 3."""
    first = weight_shape(shapes, "model.model.0")
    if first is None or len(first) != 4 or first[1:] != (3, 4, 4):
        raise ValueError("it does not begin with a 4x4 convolution of 3 channels (model.model.0.weight), as a U-Net does")
    scales = ["model.model", "model.model.1.model"]
    while weight_shape(shapes, f"{scales[-1]}.3.model.1") is not None:
        scales.append(f"{scales[-1]}.3.model")
    depth = len(scales)
    modules = {"generator.down.0": f"{scales[0]}.0", "generator.out.1": f"{scales[0]}.3"}
    before_norms: dict[str, str] = {}
    for scale in range(1, depth):
        block, innermost = scales[scale], scale == depth - 1
        up = 3 if innermost else 5
        ours = f"generator.up.{depth - 1 - scale}"
        modules |= {f"generator.down.{scale}.1": f"{block}.1", f"{ours}.1": f"{block}.{up}", f"{ours}.2": f"{block}.{up + 1}"}
        before_norms[f"{ours}.2"] = f"{block}.{up}"
        if not innermost:
            modules[f"generator.down.{scale}.2"] = f"{block}.2"
            before_norms[f"generator.down.{scale}.2"] = f"{block}.1"
    norms = norms_of(shapes, before_norms)
    statistics = "image" if norms.statistics == "image" else preset.statistics
    told = replace(preset, width=first[0], depth=depth, norm=norms.norm, statistics=statistics)
    return Reading(told, modules, norms.made, norms.idle, zero_biases=norms.norm == "none", notes=norms.notes)


PUBLISHED = Published("junyanz/pytorch-CycleGAN-and-pix2pix (pix2pix)", published_reading)
SOURCE = Source("pix2pix, Isola et al., CVPR 2017, arXiv:1611.07004", 2017, "pairs")
PRACTICE = Practice(crop_px=256, batch_size=1, epochs=200)
METHOD = Pix2pix()
VARIANTS = {"lsgan": Pix2pix(gan="least-squares")}
