"""CUT with pairs, as team lifangda02 had it in the BCI challenge: its loss says what a pair does not get exactly right.

Zhu et al., "Breast Cancer Immunohistochemical Image Generation: a Benchmark Dataset and Challenge Review", 2023,
arXiv:2305.03546, section "lifangda02". CUT's GAN + 10 PatchNCE against the source + 10 PatchNCE against the true target, a
reconstruction that pairs of neighbouring sections can follow + 2 cross-entropy of the HER2 level, which the discriminator
reads beside its verdict + 20 L1 on the octaves of PyramidPix2pix (equation 13). ResNet-9 generator.

Deviations from the source
- Table I says that the entry used no HER2 level, equation 13 and the text that it did: `class_head=False` follows the table.

Ours, because the source is silent and no code was published
- Everything of the networks, the sampling and the optimiser is CUT's (widths, anti-aliasing, 256 patches, temperature 0.07,
  least squares, Adam 2e-4), without identity and mirroring. The same places serve both contrasts.
- The discriminator learns levels from real targets, the generator is judged on made ones, both with weight 2; the level of an
  image is the mean over the discriminator's patches, of which each gives one logit a level.
- Three octaves of weight 20 each, and no L1 at full size. Crops of 512 px and 30 + 10 epochs, as the authors' ASP has them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from chromogen.losses import adversarial, contrastive, levels, reconstruction
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.antialias import Downsampling
from chromogen.nets.blocks import without_idle_biases, xavier_started
from chromogen.nets.discriminators import PatchDiscriminator, read_classes
from chromogen.nets.generators import ResnetGenerator, Upsampling
from chromogen.nets.patches import PatchHead, at_places, drawn_places
from chromogen.tensors import Batch, SignedImages

LEVELS = 4


@dataclass(frozen=True)
class PairedCUT:
    width: int = 64
    blocks: int = 9
    downsampling: Downsampling = "blurred"  # of both networks
    upsampling: Upsampling = "bilinear"
    discriminator_width: int = 64
    discriminator_layers: int = 3
    class_head: bool = True  # the discriminator also reads the HER2 level
    head_width: int = 256
    patches: int = 256  # compared in each layer of each image
    temperature: float = 0.07
    weight_gan: float = 1.0
    weight_nce: float = 10.0
    weight_paired: float = 10.0
    weight_level: float = 2.0
    weight_octaves: tuple[float, ...] = (20.0, 20.0, 20.0)  # at 1/2, 1/4, 1/8 of the size
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule(decay_start=0.75)

    def __post_init__(self) -> None:
        widths = (self.width, self.discriminator_width, self.head_width)
        if not (all(1 <= width <= 512 for width in widths) and 1 <= self.blocks <= 32):
            raise ValueError(f"paired_cut: widths are 1-512 and blocks 1-32, got {self}")
        if not (1 <= self.discriminator_layers <= 8 and self.patches >= 2 and self.temperature > 0):
            raise ValueError(f"paired_cut: discriminator_layers is 1-8, patches at least 2, temperature above 0, got {self}")
        if len(self.weight_octaves) > 8:
            raise ValueError(f"paired_cut: octaves are at most 8, got {len(self.weight_octaves)}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def tiling(self) -> Tiling:
        reach_px = ResnetGenerator.reach_px(self.blocks, self.downsampling)
        return Tiling(multiple_px=4, context_px=reach_px, whole_image=True)  # instance norms

    def networks(self) -> nn.ModuleDict:
        generator = ResnetGenerator(self.width, self.blocks, "instance", 0.0, self.upsampling, self.downsampling)
        width, layers, classes = self.discriminator_width, self.discriminator_layers, LEVELS if self.class_head else 0
        made = {
            "generator": generator,
            "head": PatchHead(generator.channels(generator.contrast_taps), self.head_width),
            "discriminator": PatchDiscriminator(3, width, layers, "instance", self.downsampling, classes),
        }
        return nn.ModuleDict({name: xavier_started(without_idle_biases(network)) for name, network in made.items()})

    def players(self) -> dict[str, Player]:
        owned = {"discriminator": ("discriminator",), "generator": ("generator", "head")}
        return {name: Player(networks, self.optimizer, self.schedule) for name, networks in owned.items()}

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        source, target = batch["source"], batch["target"]
        generator, discriminator = cast(ResnetGenerator, nets["generator"]), nets["discriminator"]
        taps = generator.contrast_taps
        fake, features = generator(source, taps)
        places = drawn_places(features, self.patches)
        source_keys = [vectors.detach() for vectors in at_places(features, places)]
        del features  # the largest tensors of all
        with torch.no_grad():
            target_keys = at_places(generator.features(target, taps), places)

        verdicts, readings = read_classes(discriminator(torch.cat([target, fake.detach()])))
        on_real, on_fake = verdicts.chunk(2)
        losses: Losses = {
            "real": 0.5 * adversarial.least_squares(on_real, real=True),
            "fake": 0.5 * adversarial.least_squares(on_fake, real=False),
        }
        if self.class_head:
            losses["level"] = self.weight_level * levels.cross_entropy(readings[: len(target)], batch["level"])
        yield {"discriminator": losses}

        verdict, reading = read_classes(discriminator(fake))
        query = nets["head"](at_places(generator.features(fake, taps), places))
        with torch.no_grad():
            source_key, target_key = nets["head"](source_keys), nets["head"](target_keys)
        losses = {
            "gan": self.weight_gan * adversarial.least_squares(verdict, real=True),
            "nce": self.weight_nce * self._contrast(query, source_key),
            "paired": self.weight_paired * self._contrast(query, target_key),
        }
        if self.class_head:
            losses["level"] = self.weight_level * levels.cross_entropy(reading, batch["level"])
        octaves = reconstruction.octave_absolutes(fake, target, len(self.weight_octaves))
        for number, (weight, octave) in enumerate(zip(self.weight_octaves, octaves, strict=True), start=1):
            losses[f"octave{number}"] = weight * octave
        yield {"generator": losses}

    def _contrast(self, query: list[Tensor], key: list[Tensor]) -> adversarial.Scalar:
        """PatchNCE, mean over layers."""
        return torch.stack([contrastive.patch_nce(q, k, self.temperature) for q, k in zip(query, key, strict=True)]).mean()

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        return nets["generator"](source)


SOURCE = Source("CUT with pairs, team lifangda02, BCI challenge, arXiv:2305.03546", 2022, "pairs + HER2 level")
PRACTICE = Practice(crop_px=512, batch_size=1, epochs=40)
METHOD = PairedCUT()
VARIANTS = {"no-level": PairedCUT(class_head=False)}
