"""ASP: Adaptive Supervised PatchNCE for pairs that do not quite agree (Li et al., MICCAI 2023, arXiv:2303.06193).

CUT without identity: least-squares GAN + 10 PatchNCE against the source + 10 PatchNCE against the true target, where late in
training every patch counts by how well its pair agrees + 10 L1 over a Gaussian pyramid, coarse levels first. ResNet-6
generator and PatchGAN of 5 halvings, 32 filters, both with spectral norm; Adam 2e-4 (0.5, 0.999), batch 1, crops of 512 px.
Weights, widths and schedules are those of the authors' code (its launcher for MIST).

Deviations from the published code
- The first features compared are the image, not the image with its mirrored margin; a convolution behind an up-sampling step
  mirrors its border instead of adding zeros (`upsampled_padding="zeros"` adds them, and imported weights have that).
- Features of the source are taken from the pass that makes the image, the same places serve both contrasts, and the
  discriminator sees real and made images in one pass (so that its power iteration takes one step there, not two).
- Trust in the pairs and the learning rate fall at every step, not once an epoch. Patches that all disagree get weights of 0
  where the code divides by 0.
- The code draws pairs with replacement, so that an epoch leaves out a third of them; ours sees each pair once an epoch.
- Convolutions have no bias where an instance norm behind would subtract it.
- Convolutions under spectral norm begin with PyTorch's own weights, as they do in the published code, whose small first weights
  never reach what is stored.

Ours: nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import nn

from chromogen.losses import adversarial, contrastive, pyramid
from chromogen.method import Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.antialias import Downsampling
from chromogen.nets.blocks import Padding, spectral_started, without_idle_biases, xavier_started
from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.generators import ResnetGenerator, Upsampling
from chromogen.nets.patches import PatchHead, at_places, drawn_places
from chromogen.published import Published, Reading, Shapes, resnet_layout
from chromogen.tensors import Batch, SignedImages


@dataclass(frozen=True)
class ASP:
    width: int = 64
    blocks: int = 6
    downsampling: Downsampling = "blurred"  # of both networks
    upsampling: Upsampling = "bilinear"
    upsampled_padding: Padding = "reflect"  # of the convolutions behind bilinear steps; the published code adds zeros
    spectral: bool = True  # spectral norm in both networks
    discriminator_width: int = 32
    discriminator_layers: int = 5
    head_width: int = 256
    patches: int = 256  # compared in each layer of each image
    temperature: float = 0.07
    trusted_share: float = 0.75  # of the run, in which all pairs count alike; behind it, agreement comes to decide
    weight_gan: float = 1.0
    weight_nce: float = 10.0
    weight_asp: float = 10.0
    weight_pyramid: float = 10.0
    weight_levels: tuple[float, ...] = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)  # from full size to 1/32 of it
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule(decay_start=0.75)

    def __post_init__(self) -> None:
        widths = (self.width, self.discriminator_width, self.head_width)
        if not (all(1 <= width <= 512 for width in widths) and 1 <= self.blocks <= 32):
            raise ValueError(f"asp: widths are 1-512 and blocks 1-32, got {self}")
        if not (1 <= self.discriminator_layers <= 8 and self.patches >= 2 and self.temperature > 0):
            raise ValueError(f"asp: discriminator_layers is 1-8, patches at least 2, temperature above 0, got {self}")
        if not (0 <= self.trusted_share < 1 and 1 <= len(self.weight_levels) <= 9):
            raise ValueError(f"asp: trusted_share is a share of the run below 1 and levels are 1-9, got {self}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def tiling(self) -> Tiling:
        reach_px = ResnetGenerator.reach_px(self.blocks, self.downsampling)
        return Tiling(multiple_px=4, context_px=reach_px, whole_image=True)  # instance norms

    def networks(self) -> nn.ModuleDict:
        sizes = (self.upsampling, self.downsampling, self.upsampled_padding)
        generator = ResnetGenerator(self.width, self.blocks, "instance", 0.0, *sizes)
        head = PatchHead(generator.channels(generator.contrast_taps), self.head_width)
        width, layers = self.discriminator_width, self.discriminator_layers
        discriminator = PatchDiscriminator(3, width, layers, "instance", self.downsampling)
        start = spectral_started if self.spectral else xavier_started
        return nn.ModuleDict(
            {
                "generator": start(without_idle_biases(generator)),
                "head": xavier_started(head),
                "discriminator": start(without_idle_biases(discriminator)),
            }
        )

    def players(self) -> dict[str, Player]:
        owned = {"discriminator": ("discriminator",), "generator": ("generator", "head")}
        return {name: Player(networks, self.optimizer, self.schedule) for name, networks in owned.items()}

    def trust(self, progress: float) -> float:
        """In the pairs, in [0, 1]: 1 for the trusted share of the run, then linearly to 0."""
        return min(1.0, (1 - progress) / (1 - self.trusted_share))

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

        on_real, on_fake = discriminator(torch.cat([target, fake.detach()])).chunk(2)
        yield {
            "discriminator": {
                "real": 0.5 * adversarial.least_squares(on_real, real=True),
                "fake": 0.5 * adversarial.least_squares(on_fake, real=False),
            }
        }

        query = nets["head"](at_places(generator.features(fake, taps), places))
        with torch.no_grad():
            source_key, target_key = nets["head"](source_keys), nets["head"](target_keys)
        trust = self.trust(progress)
        nce = [contrastive.patch_nce(q, k, self.temperature) for q, k in zip(query, source_key, strict=True)]
        asp = [contrastive.adaptive_patch_nce(q, k, trust, self.temperature) for q, k in zip(query, target_key, strict=True)]
        levels = pyramid.binomial_absolutes(fake, target, len(self.weight_levels))
        weighted = [weight * level for weight, level in zip(self.weight_levels, levels, strict=True)]
        yield {
            "generator": {
                "gan": self.weight_gan * adversarial.least_squares(discriminator(fake), real=True),
                "nce": self.weight_nce * torch.stack(nce).mean(),
                "asp": self.weight_asp * torch.stack(asp).mean(),
                "pyramid": self.weight_pyramid * torch.stack(weighted).mean(),
            }
        }

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        return nets["generator"](source)


def published_reading(preset: ASP, shapes: Shapes) -> Reading:
    """A generator of the authors' code, which adds zeros behind its up-sampling."""
    found = resnet_layout(shapes)
    if found.norms.norm != "instance":
        raise ValueError(f"its norm is {found.norms.norm!r}, and asp here has instance norms")
    told = replace(
        preset,
        width=found.width,
        blocks=found.blocks,
        downsampling=found.downsampling,
        upsampling=found.upsampling,
        upsampled_padding="zeros",
        spectral=found.spectral,
    )
    return found.reading(told, "generator")


PUBLISHED = Published("lifangda01/AdaptiveSupervisedPatchNCE", published_reading)
SOURCE = Source("Adaptive Supervised PatchNCE (ASP), Li et al., MICCAI 2023, arXiv:2303.06193", 2023, "pairs")
PRACTICE = Practice(crop_px=512, batch_size=1, epochs=40)
METHOD = ASP()
VARIANTS: dict[str, ASP] = {}
