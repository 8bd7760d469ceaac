"""WeCREST, as team stan9 used it: both ways, with styles and HER2 levels told apart by the discriminators.

Dai, Wong & Wong, 2022, on the backbone of U-GAT-IT (Kim et al., ICLR 2020, arXiv:1907.10830), as described for the BCI
challenge (Zhu et al., 2023, arXiv:2305.03546, section V-D). No code was published; this is written from equations 14-18.
Two generators (equation 15): style adversary + HER2 class + class activation + round trip. A local and a global discriminator
for each stain (equation 18): N styles of real images and "made" (equations 16, 17), HER2 class, class activation. Pairs are
drawn by the rule Q_i (equation 14), which lives in `chromogen.data.pairs.sampling`: a recipe sets sampling="weighted".

How the equations are read
- 16 and 17: the minus sign stands before both terms, and D minimises them: -ln D(real)[Y_i] - ln D(fake)[0]. The printed term
  for G is only the negative of that, which stops teaching once D is sure. G minimises -ln D_t(G(S_i))[Y_i] instead: the image
  made of source i shall pass for the style of its own target i (the non-saturating form). Likewise from target to source.
- A style is an image: Y_i is 1 + index % `styles`. With `styles` at least the number of training pairs that is the literal
  reading; fewer are shared by hashing, and spare weights in the last layer.
- L_class: D learns levels from real images only; a made image shall be read as the level of what it was made of. Both stains
  of a pair have one level; unknown ones (-1) do not count.
- L_cam: U-GAT-IT's. For G, binary cross-entropy of telling the domains apart (x 1000) and least squares against D's own
  activation logits; for D, those.

Deviations from U-GAT-IT
- The light generator, which fits any size. Variances divide by the number of values. Spectral norms advance once for real and
  made images together. A global discriminator's map is never allowed under 1x1 px.
- Convolutions have no bias where an instance norm behind would subtract it; as in the published code, the class activation of a
  discriminator weights its maps with weights that have no spectral norm, and reads its logits with those that have.
- The identity loss of U-GAT-IT (x 10) is kept, though equation 15 lacks it; the variant `equation-15` drops it.
- The learning rate falls at every step: constant for the first half of the run, then linearly to 0 (as U-GAT-IT's).

Ours
- Weights are U-GAT-IT's 1 (adversary), 10 (cycle, identity), 1000 (activation of G), since none are given; 1 for the class.
- 64 styles. Style logits are of patches, their cross-entropy is averaged; level logits are of the image. These two heads have
  no spectral norm: a softmax over so many classes needs logits larger than it allows. Losses of local and global are added.
- Crops of 256 px from the full-size image, batch 1, 285 epochs of 3,506 pairs (U-GAT-IT's million steps), left-right mirrors.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from chromogen.losses import adversarial, levels, reconstruction, style
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.ugatit import AttentionGenerator, StyleDiscriminator, clip_rho
from chromogen.tensors import Batch, SignedImages

REACHES = ("local", "global")


@dataclass(frozen=True)
class WeCREST:
    width: int = 64
    blocks: int = 4
    discriminator_width: int = 64
    local_layers: int = 5
    global_layers: int = 7
    styles: int = 64
    weight_adversarial: float = 1.0
    weight_class: float = 1.0
    weight_cam: float = 1000.0
    weight_cam_adversarial: float = 1.0
    weight_cycle: float = 10.0
    weight_identity: float = 10.0
    optimizer: Optimizer = Optimizer(lr=1e-4, weight_decay=1e-4)
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 512 and 1 <= self.blocks <= 32 and 1 <= self.discriminator_width <= 512):
            raise ValueError(f"wecrest: widths are 1-512 and blocks 1-32, got {self}")
        if not (3 <= self.local_layers <= 8 and 3 <= self.global_layers <= 8):
            raise ValueError(f"wecrest: local_layers and global_layers are 3-8, got {self}")
        if not 1 <= self.styles <= 100_000:
            raise ValueError(f"wecrest: styles is 1-100000, got {self.styles}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("to_target",)

    @property
    def tiling(self) -> Tiling:
        return Tiling(multiple_px=4, context_px=AttentionGenerator.reach_px(self.blocks), whole_image=True)

    def networks(self) -> nn.ModuleDict:
        nets: dict[str, nn.Module] = {}
        for domain in ("target", "source"):
            nets[f"to_{domain}"] = AttentionGenerator(self.width, self.blocks)
            for reach, layers in zip(REACHES, (self.local_layers, self.global_layers), strict=True):
                nets[f"{reach}_{domain}"] = StyleDiscriminator(self.discriminator_width, layers, self.styles)
        return nn.ModuleDict(nets)

    def players(self) -> dict[str, Player]:
        judges = tuple(f"{reach}_{domain}" for reach in REACHES for domain in ("target", "source"))
        return {
            "discriminators": Player(judges, self.optimizer, self.schedule),
            "generators": Player(("to_target", "to_source"), self.optimizer, self.schedule),
        }

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        source, target, level = batch["source"], batch["target"], batch["level"]
        number = style.of_index(batch["index"], self.styles)
        # the second half of each pass is already of the wanted stain: for the activation loss and the identity loss
        made_target, cam_target = nets["to_target"](torch.cat([source, target]))
        made_source, cam_source = nets["to_source"](torch.cat([target, source]))
        (fake_target, same_target), (fake_source, same_source) = made_target.chunk(2), made_source.chunk(2)

        yield {
            "discriminators": _added(
                self._judged(nets[f"{reach}_{domain}"], real, fake.detach(), number, level)
                for domain, real, fake in (("target", target, fake_target), ("source", source, fake_source))
                for reach in REACHES
            )
        }

        losses = _added(
            self._fooled(nets[f"{reach}_{domain}"], fake, number, level)
            for domain, fake in (("target", fake_target), ("source", fake_source))
            for reach in REACHES
        )
        losses["cam"] = self.weight_cam * (_told_apart(cam_target) + _told_apart(cam_source))
        losses["cycle"] = self.weight_cycle * (
            reconstruction.absolute(nets["to_source"](fake_target)[0], source)
            + reconstruction.absolute(nets["to_target"](fake_source)[0], target)
        )
        losses["identity"] = self.weight_identity * (
            reconstruction.absolute(same_target, target) + reconstruction.absolute(same_source, source)
        )
        yield {"generators": losses}
        for name in ("to_target", "to_source"):
            clip_rho(nets[name])

    def _judged(self, judge: nn.Module, real: SignedImages, fake: SignedImages, number: Tensor, level: Tensor) -> Losses:
        """Equation 18 for one discriminator, with equation 16 or 17 as "adversarial"."""
        seen, n = judge(torch.cat([real, fake])), len(real)
        made = torch.full_like(number, style.MADE)
        adversary = style.cross_entropy(seen.style[:n], number) + style.cross_entropy(seen.style[n:], made)
        cam = adversarial.least_squares(seen.cam[:n], real=True) + adversarial.least_squares(seen.cam[n:], real=False)
        return {
            "adversarial": self.weight_adversarial * adversary,
            "class": self.weight_class * levels.cross_entropy(seen.level[:n], level),
            "cam_adversarial": self.weight_cam_adversarial * cam,
        }

    def _fooled(self, judge: nn.Module, fake: SignedImages, number: Tensor, level: Tensor) -> Losses:
        """What one discriminator adds to equation 15."""
        seen = judge(fake)
        return {
            "adversarial": self.weight_adversarial * style.cross_entropy(seen.style, number),
            "class": self.weight_class * levels.cross_entropy(seen.level, level),
            "cam_adversarial": self.weight_cam_adversarial * adversarial.least_squares(seen.cam, real=True),
        }

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        return nets["to_target"](source)[0]


def _added(parts: Iterator[Losses]) -> Losses:
    """Term by term, over the discriminators."""
    every = list(parts)
    return {term: torch.stack([part[term] for part in every]).sum() for term in every[0]}


def _told_apart(cam: Tensor) -> Tensor:
    """U-GAT-IT's L_cam of one generator: the first half of the batch is of its source domain, the second is not."""
    foreign, own = cam.chunk(2)
    return adversarial.cross_entropy(foreign, real=True) + adversarial.cross_entropy(own, real=False)


SOURCE = Source("WeCREST of team stan9, Dai et al. 2022, on U-GAT-IT, arXiv:1907.10830", 2022, "pairs + HER2 level")
PRACTICE = Practice(crop_px=256, batch_size=1, epochs=285, sampling="weighted")
METHOD = WeCREST()
VARIANTS = {"equation-15": WeCREST(weight_identity=0.0)}
