"""PGGAN: images out of noise, first small ones, then finer and finer (Karras et al., ICLR 2018, arXiv:1710.10196).

Generator and critic begin at 4x4 px. Each further level fades in and then stays for as long (figure 2); how far the run is
decides the level. WGAN-GP with 10 times the gradient penalty and a drift term (appendix A.1), one critic update each, pixel
norm, minibatch deviation, equalised learning rates. All modalities of a case are the planes of one image.

Deviations from the paper
- A logistic function at the end of the generator, where it has none: images lie in [0, 1].
- One Adam for the whole run; the paper begins anew at each level.
- The gradient penalty is that of each image's score, which the minibatch deviation makes depend on the others, as there.
- One batch size for all levels.

Ours (not in the variant "paper")
- 128 px and 256 channels instead of 1024 px and 512; all levels are there after 60 % of the run, since one of its steps
  takes far longer at the last level: the paper's 12 M images have reached it after 85 %.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.losses import wasserstein
from chromogen.losses.energy import compared
from chromogen.method import Optimizer, Player, Practice, Schedule, Source, Update
from chromogen.nets.modalities import CaseImages, beside_each_other, joined, separated
from chromogen.nets.noise_generators import doublings, normal_latents
from chromogen.nets.progressive import ProgressiveCritic, ProgressiveGenerator, at_level, grow_to, level_at
from chromogen.tensors import CaseBatch


@dataclass(frozen=True)
class PGGAN:
    size_px: int = 128
    modalities: int = 4
    channels: int = 1
    latents: int = 512
    width: int = 256  # channels up to 32 px; half as many a level from then on
    critic_width: int = 256
    growth: float = 0.6  # share of the run after which all levels are there
    weight_penalty: float = 10.0
    weight_drift: float = 0.001
    optimizer: Optimizer = Optimizer(lr=1e-3, betas=(0.0, 0.99))
    schedule: Schedule = Schedule()

    def __post_init__(self) -> None:
        doublings(self.size_px)
        if not (1 <= self.width <= 1024 and 1 <= self.critic_width <= 1024 and 1 <= self.latents <= 4096):
            raise ValueError(f"pggan: widths are 1-1024 and latents 1-4096, got {self}")
        if not (1 <= self.modalities <= 16 and self.channels in (1, 3)):
            raise ValueError(f"pggan: 1-16 modalities of 1 or 3 channels, got {self.modalities} of {self.channels}")
        if not 0 < self.growth <= 1:
            raise ValueError(f"pggan: growth is a share of the run above 0, at most 1, got {self.growth}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def levels(self) -> int:
        """4 px, 8 px, ... size_px."""
        return doublings(self.size_px) + 1

    def networks(self) -> nn.ModuleDict:
        planes = self.modalities * self.channels
        generator = ProgressiveGenerator(self.latents, planes, self.size_px, self.width)
        return nn.ModuleDict({"generator": generator, "critic": ProgressiveCritic(planes, self.size_px, self.critic_width)})

    def players(self) -> dict[str, Player]:
        return {name: Player((name,), self.optimizer, self.schedule) for name in ("critic", "generator")}

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        level = level_at(progress, self.levels, self.growth)
        grow_to(nets["generator"], level)  # saved with the weights, so that samples are drawn at the level that was trained
        real = at_level(joined(batch["images"], self.modalities, self.channels, self.size_px), level)

        def score(images: Tensor) -> Float[Tensor, " n"]:
            return nets["critic"](images, level)

        with torch.no_grad():
            fake = nets["generator"](torch.randn(len(real), self.latents, device=real.device), level)
        on_real = score(real)
        yield {
            "critic": {
                "distance": wasserstein.critic(on_real, score(fake)),
                "penalty": self.weight_penalty * wasserstein.gradient_penalty(score, real, fake),
                "drift": self.weight_drift * on_real.square().mean(),
            }
        }
        fake = nets["generator"](torch.randn(len(real), self.latents, device=real.device), level)
        yield {"generator": {"distance": wasserstein.generator(score(fake))}}

    @torch.no_grad()
    def sample(
        self, nets: nn.ModuleDict, count: int, generator: torch.Generator, category: int | None = None
    ) -> Float[Tensor, "count modality channel height width"]:
        """`count` cases in [0, 1] of `size_px`; a generator that has not grown that far makes smaller ones, which are enlarged.

        Noise is drawn on the generator's own device. It knows no categories: ValueError for one.
        """
        if category is not None:
            raise ValueError(f"pggan does not know categories and cannot make category {category}; acgan does")
        device = next(nets["generator"].parameters()).device
        made = nets["generator"](normal_latents(count, self.latents, generator).to(device))
        times = self.size_px // made.shape[-1]
        return separated(made.repeat_interleave(times, 2).repeat_interleave(times, 3), self.modalities)

    @torch.no_grad()
    def measure(self, nets: nn.ModuleDict, batch: CaseBatch) -> dict[str, Tensor]:
        """score: minus the energy distance of as many made cases; spread: their diversity over that of the batch."""
        real = joined(batch["images"], self.modalities, self.channels, self.size_px)
        return compared(self._made_for(nets, batch).flatten(1, 2), real)

    @torch.no_grad()
    def pictures(self, nets: nn.ModuleDict, batch: CaseBatch) -> Float[Tensor, "rows 3 height width"]:
        """Made cases, their modalities side by side."""
        return beside_each_other(self._made_for(nets, batch))

    def _made_for(self, nets: nn.ModuleDict, batch: CaseBatch) -> CaseImages:
        """As many cases as in the batch, the same at every time."""
        seed = int(batch["index"].sum())
        return self.sample(nets, len(batch["index"]), torch.Generator().manual_seed(seed))


SOURCE = Source("PGGAN, Karras et al., ICLR 2018, arXiv:1710.10196", 2018, "images", "synthesis")
PRACTICE = Practice(crop_px=None, batch_size=16, epochs=400, ema=0.999)
METHOD = PGGAN()
VARIANTS = {
    "paper": PGGAN(size_px=1024, width=512, critic_width=512, growth=0.85),
    "small": PGGAN(size_px=32, latents=64, width=32, critic_width=32),
}
