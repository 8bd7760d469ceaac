"""Wavelet pix2pix: pix2pix whose generator looks at Haar bands of the H&E (team vivek23, BCI challenge, 6th place).

Zhu et al., "Breast Cancer Immunohistochemical Image Generation: a Benchmark Dataset and Challenge Review", 2023,
arXiv:2305.03546, section "vivek23": four wavelet bands, a 7x7 convolution with 64 filters of stride 1, instance norm, ReLU, a
ResNet18 encoder with 9 residual blocks, two transposed convolutions; a discriminator of five 4x4 convolutions of stride 2 on
(source, target); cross-entropy GAN + 100 L1 (equations 19 and 20).

Deviations from the source
- The encoder is not pretrained on ImageNet: it starts from N(0, 0.02) like everything else.
- Equation 20 puts the factor lambda, 100 by the text, on the discriminator's term for made images. We read it as a misprint and
  take 1: with 100, a discriminator that calls everything made is nearly the best there is. `literal` is the equation.
- Evaluation uses no dropout and running statistics in batch norms.

Where the source contradicts itself or is silent (ours)
- Four bands come from one channel: grey values by ITU-R BT.601; `colour` takes the bands of R, G and B, twelve in all. They are
  brought back to full size bilinearly, so that the first convolution of stride 1 gives features of full size.
- ResNet18 has 8 residual blocks, not 9, and halves more often than two transposed convolutions can bring back: the encoder is
  ResNet18's first three stages (64, 128 and 256 channels, two halvings) with 3 blocks each instead of 2.
- The random z of G(i, z) is pix2pix's: dropout of 0.5, inside the blocks of the last stage.
- Transposed convolutions are 4x4, the first with instance norm and ReLU; the discriminator has 64, 128, 256, 512 filters.
- The order of updates, Adam 2e-4 (0.5, 0.999), constant for half of the run and then linearly to 0; 256 px crops, batch 1, 200
  epochs: all of pix2pix.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from chromogen.losses import adversarial, reconstruction
from chromogen.method import Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.blocks import Norm, started
from chromogen.nets.wavelet_resnet import Bands, StridedDiscriminator, WaveletResnetGenerator
from chromogen.tensors import Batch, SignedImages


@dataclass(frozen=True)
class WaveletPix2pix:
    width: int = 64
    blocks: int = 3  # residual blocks in each of three stages: nine
    bands: Bands = "grey"
    edge_norm: Norm = "instance"  # of the first convolution and the decoder; the residual blocks have batch norm
    dropout: float = 0.5
    discriminator_width: int = 64
    discriminator_layers: int = 5  # each halves: crops are at least 2 ** this
    weight_gan: float = 1.0
    weight_l1: float = 100.0
    weight_fake: float = 1.0  # lambda of equation 20, where 100 is printed
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 512 and 1 <= self.blocks <= 32 and 1 <= self.discriminator_width <= 512):
            raise ValueError(f"wavelet_pix2pix: widths are 1-512 and blocks 1-32, got {self}")
        if not 2 <= self.discriminator_layers <= 8:
            raise ValueError(f"wavelet_pix2pix: discriminator_layers is 2-8, got {self.discriminator_layers}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"wavelet_pix2pix: dropout is a probability below 1, got {self.dropout}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def tiling(self) -> Tiling:
        reach_px = WaveletResnetGenerator.reach_px(self.blocks)
        return Tiling(multiple_px=4, context_px=reach_px, whole_image=self.edge_norm == "instance")

    def networks(self) -> nn.ModuleDict:
        generator = WaveletResnetGenerator(self.width, self.blocks, self.bands, self.edge_norm, self.dropout)
        discriminator = StridedDiscriminator(6, self.discriminator_width, self.discriminator_layers)
        return nn.ModuleDict({"generator": started(generator, "batch"), "discriminator": started(discriminator, "batch")})

    def players(self) -> dict[str, Player]:
        return {name: Player((name,), self.optimizer, self.schedule) for name in ("discriminator", "generator")}

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        source, target = batch["source"], batch["target"]
        gan = adversarial.cross_entropy
        fake = nets["generator"](source)

        real_pair, fake_pair = torch.cat([source, target], 1), torch.cat([source, fake], 1)
        yield {
            "discriminator": {  # equation 20
                "real": gan(nets["discriminator"](real_pair), real=True),
                "fake": self.weight_fake * gan(nets["discriminator"](fake_pair.detach()), real=False),
            }
        }
        yield {
            "generator": {  # equation 19
                "gan": self.weight_gan * gan(nets["discriminator"](fake_pair), real=True),
                "l1": self.weight_l1 * reconstruction.absolute(fake, target),
            }
        }

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        return nets["generator"](source)


SOURCE = Source("Wavelet pix2pix, team vivek23 of the BCI challenge, in Zhu et al., 2023, arXiv:2305.03546", 2023, "pairs")
PRACTICE = Practice(crop_px=256, batch_size=1, epochs=200)
METHOD = WaveletPix2pix()
VARIANTS = {"colour": WaveletPix2pix(bands="colour"), "literal": WaveletPix2pix(weight_fake=100.0)}
