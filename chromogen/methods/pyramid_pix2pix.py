"""PyramidPix2pix: pix2pix with L1 on every octave of a Gaussian pyramid (Liu et al., "BCI", CVPRW 2022, arXiv:2204.11425).

ResNet-9 generator, 70x70 PatchGAN on (source, target), cross-entropy GAN + 25 L1 + 25 L1 on each of three octaves
(equations 3-5; the weights are those of the authors' code), Adam 2e-4 (0.5, 0.999), batch 2.

Deviations from the published code
- Evaluation uses running batch-norm statistics and no dropout; the published test keeps both active, so that its images
  depend on chance, and shrinks 1024 px images to 320 px first. Ours stay whole. `statistics="image"` and `dropout_at_test`
  are the published test's form.
- The code trains on whole images of 1024 px unless told to crop, and its README's command crops 512 px: so does ours, which
  needs a quarter of the memory. The recipe `pyramid_pix2pix_whole` trains on whole images.
- The learning rate falls at every step, not once an epoch: constant for the first half of the run, then linearly to 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from chromogen.losses import adversarial, reconstruction
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.blocks import Norm, Statistics, repeated_noise, started
from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.generators import ResnetGenerator, Upsampling
from chromogen.published import Published, Reading, Shapes, resnet_layout
from chromogen.tensors import Batch, SignedImages


@dataclass(frozen=True)
class PyramidPix2pix:
    width: int = 64
    blocks: int = 9
    norm: Norm = "batch"
    dropout: float = 0.5
    dropout_at_test: bool = False  # when translating too, with the same noise for every image
    statistics: Statistics = "running"  # of batch norms when translating: "image" for networks scored in training form
    upsampling: Upsampling = "transposed"
    discriminator_width: int = 64
    discriminator_layers: int = 3
    discriminator_norm: Norm = "batch"
    weight_gan: float = 1.0
    weight_l1: float = 25.0
    weight_octaves: tuple[float, ...] = (25.0, 25.0, 25.0)  # at 1/2, 1/4, 1/8 of the size
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 512 and 0 <= self.blocks <= 32 and 1 <= self.discriminator_width <= 512):
            raise ValueError(f"pyramid_pix2pix: widths are 1-512 and blocks 0-32, got {self}")
        if not (1 <= self.discriminator_layers <= 8 and len(self.weight_octaves) <= 8):
            raise ValueError(f"pyramid_pix2pix: discriminator_layers is 1-8 and octaves are at most 8, got {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"pyramid_pix2pix: dropout is a probability below 1, got {self.dropout}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def tiling(self) -> Tiling:
        reach_px = ResnetGenerator.reach_px(self.blocks)
        whole_image = self.norm == "instance" or self.statistics == "image" or self.dropout_at_test
        return Tiling(multiple_px=4, context_px=reach_px, whole_image=whole_image)

    def networks(self) -> nn.ModuleDict:
        kinds: dict[str, Any] = {"statistics": self.statistics, "active_dropout": self.dropout_at_test}
        generator = ResnetGenerator(self.width, self.blocks, self.norm, self.dropout, self.upsampling, **kinds)
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
        if not self.dropout_at_test:
            return nets["generator"](source)
        made = []
        for image in source.split(1):  # so that an image does not depend on its batch
            with repeated_noise(source.device):
                made.append(nets["generator"](image))
        return torch.cat(made)


def published_reading(preset: PyramidPix2pix, shapes: Shapes) -> Reading:
    """A generator of the authors' code; so are pix2pix's and CycleGAN's with a ResNet, of any norm."""
    found = resnet_layout(shapes, ours_drop=True)
    if (found.downsampling, found.upsampling) != ("strided", "transposed"):
        raise ValueError("it blurs or resizes where PyramidPix2pix has strided and transposed convolutions")
    dropout = (preset.dropout or 0.5) if found.dropout else 0.0
    told = replace(
        preset,
        width=found.width,
        blocks=found.blocks,
        norm=found.norms.norm,
        dropout=dropout,
        upsampling="transposed",
        statistics="image" if found.norms.statistics == "image" else preset.statistics,
    )
    return found.reading(told, "generator")


PUBLISHED = Published(
    "bupt-ai-cz/BCI (PyramidPix2pix)",
    published_reading,
    licence="non-commercial, as the BCI data set they were trained on",
    target_stain="HER2 IHC",
)
SOURCE = Source("PyramidPix2pix, Liu et al., CVPRW 2022, arXiv:2204.11425", 2022, "pairs")
PRACTICE = Practice(crop_px=512, batch_size=2, epochs=200)
METHOD = PyramidPix2pix()
# Batch norm in training hides from the generator how bright the glass of each slide is, which its evaluation form then uses;
# with slides as uneven as BCI's it learns better without (docs/decisions/0005). Bilinear steps leave no checkerboard.
# Without norms a full first step can push the output to white, where tanh has no slope left to learn from: hence the warm-up.
GENTLE = Schedule(warmup=0.05, decay_start=0.5)
SMOOTH = PyramidPix2pix(norm="none", dropout=0.0, upsampling="bilinear", optimizer=Optimizer(lr=3e-4), schedule=GENTLE)
VARIANTS = {"smooth": SMOOTH, "narrow": replace(SMOOTH, width=32, blocks=6, discriminator_width=32)}
