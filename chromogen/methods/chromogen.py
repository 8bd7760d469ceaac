"""What the published systems teach together; our own method.

A ResNet generator grades the tissue while it stains it, and what it believes of the HER2 level, locally, modulates its blocks;
features of whole and half size are added back on the way up, so that nuclei stay where the source has them.
Its loss: L1 on octaves, coarse ones weighing most (Liu et al. 2022; Li et al. 2023); the DAB density in boxes and of the whole
image; local contrast at every octave, so that blur does not pay; cross-entropy of the level; a least-squares conditional GAN.

Learned from
- PyramidPix2pix and ASP: sections do not match pixel by pixel, so that agreement is asked for at coarse scales first.
- BCIStainer and the users' complaint that all levels come out alike: grade the H&E, and stain by the grade. The true level
  is used by one loss term alone; it never enters the generator, in training or later.
- Instance norm makes tiles disagree and batch norm hides the brightness of the glass: no norms (docs/decisions/0005). The
  level is read in a window, not from the whole image, so that slides can be cut into tiles.

Every weight here is ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from chromogen.losses import adversarial, contrast, density, levels, reconstruction
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.blocks import started
from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.level_aware import LevelAwareGenerator, LevelMap
from chromogen.tensors import Batch, SignedImages


@dataclass(frozen=True)
class Chromogen:
    width: int = 64
    blocks: int = 9
    level_width: int = 64
    level_window: int = 5  # positions, 16 px apart, over which evidence of the level is averaged
    discriminator_width: int = 64
    discriminator_layers: int = 3
    weight_gan: float = 5.0  # 0: no discriminator at all
    weight_l1: float = 10.0
    weight_octaves: tuple[float, ...] = (20.0, 30.0, 40.0)  # at 1/2, 1/4, 1/8 of the size
    weight_density: float = 50.0
    density_boxes_px: tuple[int, ...] = (4, 16)
    weight_amount: float = 50.0  # of the mean density of a whole image
    weight_contrast: float = 20.0
    contrast_octaves: int = 3
    contrast_window_px: int = 64
    weight_level: float = 1.0
    optimizer: Optimizer = Optimizer(lr=3e-4)
    schedule: Schedule = Schedule(warmup=0.05, decay_start=0.5)

    def __post_init__(self) -> None:
        widths = (self.width, self.level_width, self.discriminator_width)
        if not (all(1 <= width <= 512 for width in widths) and 0 <= self.blocks <= 32):
            raise ValueError(f"chromogen: widths are 1-512 and blocks 0-32, got {self}")
        if not (1 <= self.discriminator_layers <= 8 and len(self.weight_octaves) <= 8):
            raise ValueError(f"chromogen: discriminator_layers is 1-8 and octaves are at most 8, got {self}")
        if not (1 <= self.level_window <= 31 and self.level_window % 2):
            raise ValueError(f"chromogen: level_window is an odd number from 1 to 31, got {self.level_window}")
        if not self.density_boxes_px or min(self.density_boxes_px) < 1:
            raise ValueError(f"chromogen: density_boxes_px holds sizes of at least 1 px, got {self.density_boxes_px}")
        if not (1 <= self.contrast_octaves <= 5 and 16 <= self.contrast_window_px <= 1024):
            raise ValueError(f"chromogen: contrast_octaves is 1-5 and contrast_window_px 16-1024, got {self}")

    @property
    def translators(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def tiling(self) -> Tiling:
        return Tiling(multiple_px=16, context_px=LevelAwareGenerator.reach_px(self.blocks, self.level_window))

    def networks(self) -> nn.ModuleDict:
        nets = nn.ModuleDict({"generator": LevelAwareGenerator(self.width, self.blocks, self.level_width, self.level_window)})
        if self.weight_gan:
            discriminator = PatchDiscriminator(6, self.discriminator_width, self.discriminator_layers, "none")
            nets["discriminator"] = started(discriminator, "none")
        return nets

    def players(self) -> dict[str, Player]:
        names = ("discriminator", "generator") if self.weight_gan else ("generator",)
        return {name: Player((name,), self.optimizer, self.schedule) for name in names}

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        source, target = batch["source"], batch["target"]
        fake, level_map = nets["generator"](source)

        if self.weight_gan:
            real_pair, fake_pair = torch.cat([source, target], 1), torch.cat([source, fake], 1)
            yield {
                "discriminator": {
                    "real": 0.5 * adversarial.least_squares(nets["discriminator"](real_pair), real=True),
                    "fake": 0.5 * adversarial.least_squares(nets["discriminator"](fake_pair.detach()), real=False),
                }
            }
        losses: Losses = {"l1": self.weight_l1 * reconstruction.absolute(fake, target)}
        if self.weight_gan:
            losses["gan"] = self.weight_gan * adversarial.least_squares(nets["discriminator"](fake_pair), real=True)
        octaves = reconstruction.octave_absolutes(fake, target, len(self.weight_octaves))
        for number, (weight, octave) in enumerate(zip(self.weight_octaves, octaves, strict=True), start=1):
            losses[f"octave{number}"] = weight * octave
        losses["density"] = self.weight_density * density.local(fake, target, self.density_boxes_px)
        losses["amount"] = self.weight_amount * density.whole(fake, target)
        losses["contrast"] = self.weight_contrast * contrast.local(fake, target, self.contrast_octaves, self.contrast_window_px)
        losses["level"] = self.weight_level * levels.cross_entropy(level_map.mean(dim=(2, 3)), batch["level"])
        yield {"generator": losses}

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        return nets["generator"](source)[0]

    def level_map(self, nets: nn.ModuleDict, source: SignedImages) -> LevelMap:
        """What the generator believes of the HER2 level: probabilities of the four levels at every sixteenth pixel."""
        return nets["generator"](source)[1].float().softmax(dim=1)


SOURCE = Source("Chromogen: what the published systems teach together; unpublished", 2026, "pairs + HER2 level")
PRACTICE = Practice(crop_px=512, batch_size=4, epochs=100, flip_only=False, class_balanced=True, ema=0.999)
METHOD = Chromogen()
# A faint adversary, as this method first had it, and two ablations of that: docs/results/README.md has the rows that decided.
FAINT = Chromogen(weight_gan=1.0)
VARIANTS = {
    "fidelity": Chromogen(weight_gan=0.0),
    "adversarial": Chromogen(weight_gan=20.0),
    "fine": Chromogen(weight_l1=40.0, weight_octaves=(20.0, 20.0, 20.0)),
    "faint": FAINT,
    "faint-no-level": replace(FAINT, weight_level=0.0),
    "faint-no-density": replace(FAINT, weight_density=0.0, weight_amount=0.0),
    "narrow": replace(METHOD, width=32, blocks=6, level_width=32, discriminator_width=32),
}
