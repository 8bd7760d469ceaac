"""WGAN-GP: images out of noise, taught by a distance (Gulrajani et al., NeurIPS 2017, arXiv:1704.00028; algorithm 1).

The critic is trained five times for each time the generator is: score of made images less that of real ones, plus 10 times the
gradient penalty. All modalities of a case are the planes of one image.

Deviations from the paper
- The five updates of the critic see the same real images, each with fresh noise; algorithm 1 draws new ones each time.
- In the tables after Qu's thesis it stands for WGAN: Table 2 there has weights clipped (Arjovsky et al., 2017), no penalty.
- A logistic function at the end instead of tanh: images lie in [0, 1]. The critic stretches them to [-1, 1].

Ours (not in the variant "paper")
- Layer norm in the critic, which section 4 recommends where batch norm may not be; betas (0, 0.9) and rate are algorithm 1's.
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
from chromogen.nets.noise_generators import CriticNorm, NoiseCritic, NoiseGenerator, doublings, normal_latents
from chromogen.tensors import CaseBatch


@dataclass(frozen=True)
class WGANGP:
    size_px: int = 128
    modalities: int = 4
    channels: int = 1
    latents: int = 128
    width: int = 64
    critic_width: int = 64
    critic_norm: CriticNorm = "layer"
    critic_updates: int = 5  # for each of the generator
    weight_penalty: float = 10.0
    optimizer: Optimizer = Optimizer(lr=1e-4, betas=(0.0, 0.9))
    schedule: Schedule = Schedule()

    def __post_init__(self) -> None:
        doublings(self.size_px)
        if not (1 <= self.width <= 512 and 1 <= self.critic_width <= 512 and 1 <= self.latents <= 4096):
            raise ValueError(f"wgan_gp: widths are 1-512 and latents 1-4096, got {self}")
        if not (1 <= self.modalities <= 16 and self.channels in (1, 3)):
            raise ValueError(f"wgan_gp: 1-16 modalities of 1 or 3 channels, got {self.modalities} of {self.channels}")
        if self.critic_norm == "batch":
            raise ValueError(
                "wgan_gp: batch norm mixes images, and the gradient penalty is each image's own; use layer or none"
            )
        if self.critic_updates < 1:
            raise ValueError(f"wgan_gp: critic_updates is at least 1, got {self.critic_updates}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    def networks(self) -> nn.ModuleDict:
        planes = self.modalities * self.channels
        generator = NoiseGenerator(self.latents, planes, self.size_px, self.width)
        critic = NoiseCritic(planes, self.size_px, self.critic_width, self.critic_norm, offset=False)
        return nn.ModuleDict({"generator": generator, "critic": critic})

    def players(self) -> dict[str, Player]:
        return {name: Player((name,), self.optimizer, self.schedule) for name in ("critic", "generator")}

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        real = joined(batch["images"], self.modalities, self.channels, self.size_px)

        def score(images: Tensor) -> Float[Tensor, " n"]:
            return nets["critic"](images)[0]

        for _ in range(self.critic_updates):
            with torch.no_grad():
                fake = nets["generator"](torch.randn(len(real), self.latents, device=real.device))
            yield {
                "critic": {
                    "distance": wasserstein.critic(score(real), score(fake)),
                    "penalty": self.weight_penalty * wasserstein.gradient_penalty(score, real, fake),
                }
            }
        fake = nets["generator"](torch.randn(len(real), self.latents, device=real.device))
        yield {"generator": {"distance": wasserstein.generator(score(fake))}}

    @torch.no_grad()
    def sample(
        self, nets: nn.ModuleDict, count: int, generator: torch.Generator, category: int | None = None
    ) -> Float[Tensor, "count modality channel height width"]:
        """`count` cases in [0, 1]. Noise is drawn on the generator's own device. It knows no categories: ValueError for one."""
        if category is not None:
            raise ValueError(f"wgan_gp does not know categories and cannot make category {category}; acgan does")
        device = next(nets["generator"].parameters()).device
        return separated(nets["generator"](normal_latents(count, self.latents, generator).to(device)), self.modalities)

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


SOURCE = Source("WGAN-GP, Gulrajani et al., NeurIPS 2017, arXiv:1704.00028", 2017, "images", "synthesis")
PRACTICE = Practice(crop_px=None, batch_size=64, epochs=200, ema=0.999)
METHOD = WGANGP()
VARIANTS = {
    "paper": WGANGP(size_px=64, critic_norm="none"),
    "small": WGANGP(size_px=32, width=16, critic_width=16),
}
