"""What the published systems teach together, and the physics of staining; our own method.

A grader reads the HER2 level from the H&E. A ResNet generator without norms is steered by what the grader believes, locally,
and paints densities of haematoxylin, DAB and glass, which become colours by the law of Lambert and Beer. Its loss: L1 at full
size and on octaves (Liu et al. 2022; Li et al. 2023); the DAB density in boxes and of the whole image; the nuclei of the H&E,
which alone tell where cells are when sections do not match; a least-squares conditional GAN.

Learned from
- PyramidPix2pix and ASP: sections do not match pixel by pixel, so that much of the agreement is asked for at coarse scales.
- BCIStainer and the users' complaint that all levels come out alike: grade the H&E, and stain by the grade. The true level
  trains the graders alone, and a grader that learned an image's level by heart would hand it on: so the patients (or slides;
  where names tell none, the pairs) are in two folds, each grader learns from one, and in training an image is graded by the one
  that never saw its fold. A new image gets their mean. So the generator learns with grades as doubtful as those it will meet
  (benchmarks/grades.py measures it; `in-sample` is one grader, which learns from the images it grades).
- Instance norm makes tiles disagree and batch norm hides the brightness of the glass: no norms (docs/decisions/0005). The
  level is read in a window, not from the whole image, so that slides can be cut into tiles.
- A network that may paint any colour paints fringes wherever it is unsure; two stains and grey leave it none to paint.

Every weight here is ours; docs/results/README.md has the rows that decided.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from chromogen.losses import adversarial, density, levels, reconstruction, structure
from chromogen.losses.adversarial import Scalar
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.blocks import started
from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.level_aware import LEVELS, LevelAwareGenerator, LevelGrader, LevelGraders, LevelMap
from chromogen.tensors import Batch, SignedImages


@dataclass(frozen=True)
class Chromogen:
    width: int = 64
    blocks: int = 9
    stained: bool = True  # False: any colour, by a tanh
    graded: bool = True  # False: no grader; every place may be of any level
    grader_width: int = 32
    grader_folds: int = 2  # graders, none of which learns from its own fold of the groups; 1: one that learns from all
    level_window: int = 5  # positions, 16 px apart, over which evidence of the level is averaged
    discriminator_width: int = 64
    discriminator_layers: int = 3
    weight_gan: float = 20.0  # 0: no discriminator at all
    weight_l1: float = 40.0
    weight_octaves: tuple[float, ...] = (20.0, 20.0, 20.0)  # at 1/2, 1/4, 1/8 of the size
    weight_density: float = 100.0
    density_boxes_px: tuple[int, ...] = (4, 16)
    weight_amount: float = 100.0  # of the mean density of a whole image; at 2000 the first steps end in black
    weight_nuclei: float = 10.0
    nuclei_window_px: int = 16
    optimizer: Optimizer = Optimizer(lr=3e-4)
    grader_optimizer: Optimizer = Optimizer(lr=1e-3)
    schedule: Schedule = Schedule(warmup=0.05, decay_start=0.5)

    def __post_init__(self) -> None:
        widths = (self.width, self.grader_width, self.discriminator_width)
        if not (all(1 <= width <= 512 for width in widths) and 0 <= self.blocks <= 32):
            raise ValueError(f"chromogen: widths are 1-512 and blocks 0-32, got {self}")
        if not 1 <= self.grader_folds <= 8:
            raise ValueError(f"chromogen: grader_folds is 1-8, got {self.grader_folds}")
        if not (1 <= self.discriminator_layers <= 8 and len(self.weight_octaves) <= 8):
            raise ValueError(f"chromogen: discriminator_layers is 1-8 and octaves are at most 8, got {self}")
        if not (1 <= self.level_window <= 31 and self.level_window % 2):
            raise ValueError(f"chromogen: level_window is an odd number from 1 to 31, got {self.level_window}")
        if not self.density_boxes_px or min(self.density_boxes_px) < 1:
            raise ValueError(f"chromogen: density_boxes_px holds sizes of at least 1 px, got {self.density_boxes_px}")
        if self.nuclei_window_px < 4:
            raise ValueError(f"chromogen: nuclei_window_px is at least 4, got {self.nuclei_window_px}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("grader", "generator") if self.graded else ("generator",)

    @property
    def tiling(self) -> Tiling:
        # what is graded steers the first block, whose output travels on through all of them
        reach_px = LevelAwareGenerator.reach_px(self.blocks) + LevelGrader.reach_px(self.level_window)
        return Tiling(multiple_px=16, context_px=reach_px)

    def networks(self) -> nn.ModuleDict:
        generator = LevelAwareGenerator(self.width, self.blocks, self.stained)
        nets = nn.ModuleDict({"generator": generator})
        if self.graded:
            nets["grader"] = LevelGraders(self.grader_folds, self.grader_width, self.level_window)
        if self.weight_gan:
            discriminator = PatchDiscriminator(6, self.discriminator_width, self.discriminator_layers, "none")
            nets["discriminator"] = started(discriminator, "none")
        return nets

    def players(self) -> dict[str, Player]:
        names = ("discriminator", "generator") if self.weight_gan else ("generator",)
        players = {name: Player((name,), self.optimizer, self.schedule) for name in names}
        return players | ({"grader": Player(("grader",), self.grader_optimizer, self.schedule)} if self.graded else {})

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        source, target = batch["source"], batch["target"]
        believed, fold = self.training_level_map(nets, source, batch["group"] if "group" in batch else batch["index"])
        fake = nets["generator"](source, believed)

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
        losses["nuclei"] = self.weight_nuclei * structure.nuclei(fake, source, self.nuclei_window_px)
        yield {"generator": losses}

        if self.graded:  # last, so that no loss of this step has seen a grade that the true level moved
            yield {"grader": {"level": self._graders_loss(nets["grader"](source), batch["level"], fold)}}

    def _graders_loss(self, logits: Float[Tensor, "graders batch levels h w"], level: Tensor, fold: Tensor) -> Scalar:
        """Mean over graders of the cross-entropy of the images that are not of its own fold."""
        losses = []
        for number, grade in enumerate(logits.mean(dim=(3, 4))):
            lent = level if self.grader_folds == 1 else torch.where(fold == number, -1, level)
            losses.append(levels.cross_entropy(grade, lent))
        return torch.stack(losses).mean()

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        return nets["generator"](source, self.level_map(nets, source))

    def level_map(self, nets: nn.ModuleDict, source: SignedImages) -> LevelMap:
        """What the graders believe of the HER2 level: probabilities of the four levels at every sixteenth pixel, their mean."""
        if self.graded:
            return nets["grader"](source).softmax(dim=2).mean(dim=0)
        count, _, height, width = source.shape
        return source.new_full((count, LEVELS, height // 16, width // 16), 1 / LEVELS)

    def training_level_map(self, nets: nn.ModuleDict, source: SignedImages, group: Tensor) -> tuple[LevelMap, Tensor]:
        """What the generator is told of images that train, each by the grader that never learns from its group; the folds."""
        fold = folds(group, self.grader_folds)
        if not self.graded:
            return self.level_map(nets, source), fold
        with torch.no_grad():
            return nets["grader"](source)[fold, torch.arange(len(fold), device=fold.device)].softmax(dim=1), fold


def folds(group: Int64[Tensor, " batch"], count: int) -> Int64[Tensor, " batch"]:
    """The fold of each group, by a hash of its number: sets are often sorted by level, and every fold needs all levels."""
    return (group * 2654435761 % 2**32 * count) >> 32  # 2^32 over the golden ratio: neighbours of any stride are spread


SOURCE = Source("Chromogen: what the published systems teach together; unpublished", 2026, "pairs + HER2 level")
PRACTICE = Practice(crop_px=512, batch_size=4, epochs=100, flip_only=False, class_balanced=True, ema=0.999)
METHOD = Chromogen()
VARIANTS = {
    "fidelity": replace(METHOD, weight_gan=0.0),
    "adversarial": replace(METHOD, weight_gan=60.0),
    "free-colours": replace(METHOD, stained=False),
    "no-nuclei": replace(METHOD, weight_nuclei=0.0),
    "no-density": replace(METHOD, weight_density=0.0, weight_amount=0.0),
    "in-sample": replace(METHOD, grader_folds=1),
    "no-grade": replace(METHOD, graded=False),
    "narrow": replace(METHOD, width=32, blocks=6, grader_width=16, discriminator_width=32),
}
