"""DCGAN: images out of noise by strided convolutions (Radford et al., ICLR 2016, arXiv:1511.06434), as a baseline of synthesis.

All modalities of a case are the planes of one image, so that they are made together; nothing else keeps them in register, and
no label comes with them. Cross-entropy GAN, Adam 2e-4 (0.5, 0.999), noise from U(-1, 1).

Deviations from the paper
- A logistic function at the end instead of tanh: images lie in [0, 1]. The critic stretches them to [-1, 1].
- Evaluation uses running batch-norm statistics: an image does not depend on those made with it.

Ours (not in the variant "paper")
- 128 px instead of 64, reached by one convolution more; the widths of common code, 64 and 64, instead of 128 and 64.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.losses import adversarial
from chromogen.losses.energy import compared
from chromogen.method import Optimizer, Player, Practice, Schedule, Source, Update
from chromogen.nets.modalities import CaseImages, beside_each_other, joined, separated
from chromogen.nets.noise_generators import NoiseCritic, NoiseGenerator, doublings
from chromogen.tensors import CaseBatch


@dataclass(frozen=True)
class DCGAN:
    size_px: int = 128
    modalities: int = 4
    channels: int = 1
    latents: int = 100
    width: int = 64  # channels of the finest features
    critic_width: int = 64
    weight_gan: float = 1.0
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()

    def __post_init__(self) -> None:
        doublings(self.size_px)
        if not (1 <= self.width <= 512 and 1 <= self.critic_width <= 512 and 1 <= self.latents <= 4096):
            raise ValueError(f"dcgan: widths are 1-512 and latents 1-4096, got {self}")
        if not (1 <= self.modalities <= 16 and self.channels in (1, 3)):
            raise ValueError(f"dcgan: 1-16 modalities of 1 or 3 channels, got {self.modalities} of {self.channels}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    def networks(self) -> nn.ModuleDict:
        planes = self.modalities * self.channels
        generator = NoiseGenerator(self.latents, planes, self.size_px, self.width)
        return nn.ModuleDict({"generator": generator, "critic": NoiseCritic(planes, self.size_px, self.critic_width)})

    def players(self) -> dict[str, Player]:
        return {name: Player((name,), self.optimizer, self.schedule) for name in ("critic", "generator")}

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        real = joined(batch["images"], self.modalities, self.channels, self.size_px)
        fake = nets["generator"](torch.rand(len(real), self.latents, device=real.device) * 2 - 1)
        yield {
            "critic": {
                "real": self.weight_gan * adversarial.cross_entropy(nets["critic"](real)[0], real=True),
                "fake": self.weight_gan * adversarial.cross_entropy(nets["critic"](fake.detach())[0], real=False),
            }
        }
        yield {"generator": {"gan": self.weight_gan * adversarial.cross_entropy(nets["critic"](fake)[0], real=True)}}

    @torch.no_grad()
    def sample(
        self, nets: nn.ModuleDict, count: int, generator: torch.Generator, category: int | None = None
    ) -> Float[Tensor, "count modality channel height width"]:
        """`count` cases in [0, 1]. Noise is drawn on the generator's own device. It knows no categories: ValueError for one."""
        if category is not None:
            raise ValueError(f"dcgan does not know categories and cannot make category {category}; acgan does")
        latents = torch.rand(count, self.latents, generator=generator, device=generator.device) * 2 - 1
        device = next(nets["generator"].parameters()).device
        return separated(nets["generator"](latents.to(device)), self.modalities)

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


SOURCE = Source("DCGAN, Radford et al., ICLR 2016, arXiv:1511.06434", 2016, "images", "synthesis")
PRACTICE = Practice(crop_px=None, batch_size=64, epochs=200, ema=0.999)
METHOD = DCGAN()
VARIANTS = {
    "paper": DCGAN(size_px=64, width=128),
    "small": DCGAN(size_px=32, width=16, critic_width=16),
}
