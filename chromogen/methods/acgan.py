"""ACGAN: images of a class out of noise, and a critic that names the class (Odena et al., ICML 2017, arXiv:1610.09585).

The generator is told a category by one number each beside its noise. The critic says made or real, L_S, and which category,
L_C. All modalities of a case are the planes of one image. Needs cases with a category; those of unknown category (-1) teach
L_S alone.

Deviations from the paper
- A logistic function at the end instead of tanh: images lie in [0, 1]. The critic stretches them to [-1, 1].
- Evaluation uses running batch-norm statistics: an image does not depend on those made with it.
- The critic has no noise at its input and no minibatch discrimination; dropout of 0.5 it has in the variant "paper" only.

Ours (not in the variant "paper")
- The critic learns categories from real images alone. When it is also asked to name those of made images, as L_C says, it is
  rewarded for helping the generator, and categories drift towards caricatures.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from chromogen.losses import adversarial, classification
from chromogen.losses.energy import compared
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Update
from chromogen.nets.modalities import CaseImages, beside_each_other, joined, separated
from chromogen.nets.noise_generators import NoiseCritic, NoiseGenerator, doublings, normal_latents
from chromogen.tensors import CaseBatch


@dataclass(frozen=True)
class ACGAN:
    size_px: int = 128
    modalities: int = 1
    channels: int = 1
    categories: int = 3
    latents: int = 100
    width: int = 64
    critic_width: int = 64
    dropout: float = 0.0  # in the critic
    class_of_made: bool = False  # whether the critic is to name the categories of made images too
    weight_gan: float = 1.0
    weight_class: float = 1.0
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()

    def __post_init__(self) -> None:
        doublings(self.size_px)
        if not (1 <= self.width <= 512 and 1 <= self.critic_width <= 512 and 1 <= self.latents <= 4096):
            raise ValueError(f"acgan: widths are 1-512 and latents 1-4096, got {self}")
        if not (1 <= self.modalities <= 16 and self.channels in (1, 3) and self.categories >= 2):
            raise ValueError(f"acgan: 1-16 modalities of 1 or 3 channels and 2 categories or more, got {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"acgan: dropout is a probability below 1, got {self.dropout}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    def networks(self) -> nn.ModuleDict:
        planes = self.modalities * self.channels
        generator = NoiseGenerator(self.latents + self.categories, planes, self.size_px, self.width)
        critic = NoiseCritic(planes, self.size_px, self.critic_width, "batch", self.categories, self.dropout)
        return nn.ModuleDict({"generator": generator, "critic": critic})

    def players(self) -> dict[str, Player]:
        return {name: Player((name,), self.optimizer, self.schedule) for name in ("critic", "generator")}

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        real, category = joined(batch["images"], self.modalities, self.channels, self.size_px), self._category(batch)
        wanted = torch.randint(self.categories, (len(real),), device=real.device)
        fake = nets["generator"](self._told(torch.randn(len(real), self.latents, device=real.device), wanted))

        (on_real, told_real), (on_fake, told_fake) = nets["critic"](real), nets["critic"](fake.detach())
        losses: Losses = {
            "real": self.weight_gan * adversarial.cross_entropy(on_real, real=True),
            "fake": self.weight_gan * adversarial.cross_entropy(on_fake, real=False),
            "class": self.weight_class * classification.cross_entropy(told_real, category),
        }
        if self.class_of_made:
            losses["class_of_made"] = self.weight_class * classification.cross_entropy(told_fake, wanted)
        yield {"critic": losses}
        on_fake, told_fake = nets["critic"](fake)
        yield {
            "generator": {
                "gan": self.weight_gan * adversarial.cross_entropy(on_fake, real=True),
                "class": self.weight_class * classification.cross_entropy(told_fake, wanted),
            }
        }

    @torch.no_grad()
    def sample(
        self, nets: nn.ModuleDict, count: int, generator: torch.Generator, category: int | None = None
    ) -> Float[Tensor, "count modality channel height width"]:
        """`count` cases in [0, 1] of one category; None draws each one's. Draws are made on the generator's own device."""
        if category is not None and not 0 <= category < self.categories:
            raise ValueError(f"acgan: categories are 0-{self.categories - 1}, got {category}")
        latents = normal_latents(count, self.latents, generator)
        wanted = torch.randint(self.categories, (count,), generator=generator, device=generator.device)
        if category is not None:
            wanted = torch.full_like(wanted, category)
        return self._made(nets, self._told(latents, wanted))

    @torch.no_grad()
    def measure(self, nets: nn.ModuleDict, batch: CaseBatch) -> dict[str, Tensor]:
        """score: minus the energy distance of as many made cases of the same categories; spread: their relative diversity."""
        real = joined(batch["images"], self.modalities, self.channels, self.size_px)
        return compared(self._made_for(nets, batch).flatten(1, 2), real)

    @torch.no_grad()
    def pictures(self, nets: nn.ModuleDict, batch: CaseBatch) -> Float[Tensor, "rows 3 height width"]:
        """Made cases of the batch's categories, their modalities side by side."""
        return beside_each_other(self._made_for(nets, batch))

    def _category(self, batch: CaseBatch) -> Int64[Tensor, " batch"]:
        if "category" not in batch:
            raise ValueError("acgan makes images of a category, and these cases have none; use dcgan, or label the cases")
        category = batch["category"]
        if int(category.max()) >= self.categories:
            raise ValueError(f"acgan: a case is of category {int(category.max())}; set `categories` to at least one more")
        return category

    def _told(self, latents: Tensor, category: Tensor) -> Float[Tensor, "batch latents+categories"]:
        return torch.cat([latents, F.one_hot(category, self.categories).to(latents.dtype)], dim=1)

    def _made(self, nets: nn.ModuleDict, told: Tensor) -> CaseImages:
        device = next(nets["generator"].parameters()).device
        return separated(nets["generator"](told.to(device)), self.modalities)

    def _made_for(self, nets: nn.ModuleDict, batch: CaseBatch) -> CaseImages:
        """A case for each of the batch, the same at every time; one of unknown category is made as of category 0."""
        category = self._category(batch).clamp(min=0).cpu()
        latents = normal_latents(len(category), self.latents, torch.Generator().manual_seed(int(batch["index"].sum())))
        return self._made(nets, self._told(latents, category))


SOURCE = Source("ACGAN, Odena et al., ICML 2017, arXiv:1610.09585", 2017, "images + category", "synthesis")
PRACTICE = Practice(crop_px=None, batch_size=64, epochs=200, ema=0.999)
METHOD = ACGAN()
VARIANTS = {
    "paper": ACGAN(dropout=0.5, class_of_made=True),
    "small": ACGAN(size_px=32, width=16, critic_width=16),
}
