"""CUT and FastCUT: contrastive unpaired translation (Park et al., ECCV 2020, arXiv:2007.15651).

ResNet-9 generator with anti-aliased changes of size, 70x70 PatchGAN on the target alone, least-squares GAN + PatchNCE: a patch
of the made image should be recognisable among the patches of its source, seen through the generator's own encoder (equations 2
and 3). CUT adds the same for targets sent through the generator, each with weight 1/2 as in the authors' code (equation 5 has
1); `fast` drops that, weighs PatchNCE 10 and shows the generator mirrored images that must still match the unmirrored source.
Adam 2e-4 (0.5, 0.999), batch 1.

Deviations from the published code
- The first features compared are the image, not the image with its mirrored margin; a convolution behind an up-sampling step
  mirrors its border instead of adding zeros (`upsampled_padding="zeros"` adds them, and imported weights have that).
- Features of the source are taken from the pass that makes the image, places are drawn once for PatchNCE and its identity
  form, and the discriminator sees real and made images in one pass: fewer passes, and in expectation the same losses.
- Each image of a batch is mirrored by its own coin; a batch of 1 knows no difference.
- Convolutions have no bias where an instance norm behind would subtract it; the head, which sees two of them before the norm,
  has its own.
- The learning rate falls at every step, not once an epoch, and `fast` has its 150 + 50 epochs as 3/4 + 1/4 of the run.

Ours: training on crops of BCI as they are (CUT shrinks natural images to 286 px first).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from chromogen.losses import adversarial, contrastive
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.antialias import Downsampling
from chromogen.nets.blocks import Padding, without_idle_biases, xavier_started
from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.generators import ResnetGenerator, Upsampling
from chromogen.nets.patches import PatchHead, at_places, drawn_places, mirrored_places
from chromogen.published import Published, Reading, Shapes, resnet_layout
from chromogen.tensors import Batch, SignedImages


@dataclass(frozen=True)
class CUT:
    width: int = 64
    blocks: int = 9
    downsampling: Downsampling = "blurred"  # of both networks
    upsampling: Upsampling = "bilinear"
    upsampled_padding: Padding = "reflect"  # of the convolutions behind bilinear steps; the published code adds zeros
    discriminator_width: int = 64
    discriminator_layers: int = 3
    head_width: int = 256
    patches: int = 256  # compared in each layer of each image
    temperature: float = 0.07
    identity: bool = True  # a target image, too, should keep its patches
    mirror: bool = False  # show the generator half of the images mirrored, and compare with the unmirrored ones
    weight_gan: float = 1.0
    weight_nce: float = 1.0
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        widths = (self.width, self.discriminator_width, self.head_width)
        if not (all(1 <= width <= 512 for width in widths) and 1 <= self.blocks <= 32):
            raise ValueError(f"cut: widths are 1-512 and blocks 1-32, got {self}")
        if not (1 <= self.discriminator_layers <= 8 and self.patches >= 2 and self.temperature > 0):
            raise ValueError(f"cut: discriminator_layers is 1-8, patches at least 2, temperature above 0, got {self}")

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
        width, layers = self.discriminator_width, self.discriminator_layers
        made = {
            "generator": generator,
            "head": PatchHead(generator.channels(generator.contrast_taps), self.head_width),
            "discriminator": PatchDiscriminator(3, width, layers, "instance", self.downsampling),
        }
        return nn.ModuleDict({name: xavier_started(without_idle_biases(network)) for name, network in made.items()})

    def players(self) -> dict[str, Player]:
        owned = {"discriminator": ("discriminator",), "generator": ("generator", "head")}
        return {name: Player(networks, self.optimizer, self.schedule) for name, networks in owned.items()}

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        source, target = batch["source"], batch["target"]
        generator, images = cast(ResnetGenerator, nets["generator"]), len(source)
        taps = generator.contrast_taps
        given = torch.cat([source, target]) if self.identity else source

        if self.mirror:
            mirrored = torch.rand(len(given), device=given.device) < 0.5
            made = generator(torch.where(mirrored.view(-1, 1, 1, 1), given.flip(3), given))
            with torch.no_grad():
                features = generator.features(given, taps)
        else:
            made, features = generator(given, taps)
        fake = made[:images]
        places = drawn_places(features, self.patches)
        seen_at = mirrored_places(places, features, mirrored) if self.mirror else places
        keys = [vectors.detach() for vectors in at_places(features, places)]
        del features  # the largest tensors of all

        on_real, on_fake = nets["discriminator"](torch.cat([target, fake.detach()])).chunk(2)
        yield {
            "discriminator": {
                "real": 0.5 * adversarial.least_squares(on_real, real=True),
                "fake": 0.5 * adversarial.least_squares(on_fake, real=False),
            }
        }

        query = nets["head"](at_places(generator.features(made, taps), seen_at))
        with torch.no_grad():
            key = nets["head"](keys)
        losses: Losses = {"gan": self.weight_gan * adversarial.least_squares(nets["discriminator"](fake), real=True)}
        weight = self.weight_nce * (0.5 if self.identity else 1.0)
        losses["nce"] = weight * self._contrast(query, key, slice(0, images))
        if self.identity:
            losses["identity"] = weight * self._contrast(query, key, slice(images, None))
        yield {"generator": losses}

    def _contrast(self, query: list[Tensor], key: list[Tensor], images: slice) -> adversarial.Scalar:
        """PatchNCE of those images, mean over layers."""
        layers = [contrastive.patch_nce(q[images], k[images], self.temperature) for q, k in zip(query, key, strict=True)]
        return torch.stack(layers).mean()

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        return nets["generator"](source)


def published_reading(preset: CUT, shapes: Shapes) -> Reading:
    """A generator of the authors' code, which adds zeros behind its up-sampling."""
    found = resnet_layout(shapes)
    if found.norms.norm != "instance":
        raise ValueError(f"its norm is {found.norms.norm!r}, and cut here has instance norms")
    told = replace(
        preset,
        width=found.width,
        blocks=found.blocks,
        downsampling=found.downsampling,
        upsampling=found.upsampling,
        upsampled_padding="zeros",
    )
    return found.reading(told, "generator")


PUBLISHED = Published("taesungp/contrastive-unpaired-translation", published_reading)
SOURCE = Source("CUT, Park et al., ECCV 2020, arXiv:2007.15651", 2020, "unpaired")
PRACTICE = Practice(crop_px=256, batch_size=1, epochs=400, unpaired=True)
METHOD = CUT()
VARIANTS = {"fast": CUT(identity=False, mirror=True, weight_nce=10.0, schedule=Schedule(decay_start=0.75))}
