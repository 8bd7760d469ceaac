"""From one modality to another: the translator of Qu's multimodal synthesis (Sun Yat-sen University, 2020, section 4.4).

One U-Net G_t is told the modality to make; a critic D_t says made or real, and which modality. A round trip through each other
modality gives an image back (equation 19). No pairs are needed: nothing compares a translation with the true image of its
modality. Frozen, it says later whether drawn modalities are in register.

Deviations from the thesis
- Equation 21 asks for class i of an image that is to be of modality j: taken as j, an obvious slip.
- The author's code shows its critic only real images (both its terms are of x); here it sees translations.
- No instance norm in front of the sigmoid, nor behind the layer that sees the modality's planes: it would subtract them.
- Critic first, then translator; the author's code updates both at once.
- The critic is that of the author's code, patches of 16 px; section 4.4: VGG11, adapted.

Ours (not in the variant "thesis")
- Classes by cross-entropy: as a number to regress they would have an order, T1 < T2 < FLAIR. The critic is taught them on real
  images only, as in the author's code: with equation 20's last term it is rewarded for helping the translator.
- Weights of the author's code. Its agreement term, that translations of two modalities of one place into a third be alike,
  needs cases in register; "unpaired" shuffles each modality among the cases and does without.
- The modality turns gains and shifts on the way back up ("film"), where contrasts can be turned.
- The variant "paired" compares with the true image, where cases are in register.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.losses import adversarial, synthesis
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Update
from chromogen.nets.modality_unet import Condition, ModalityUNet
from chromogen.nets.patch_critic import CriticStyle, PatchCritic
from chromogen.tensors import CaseBatch, UnitImages

CLASS = {"cross-entropy": synthesis.cross_entropy, "index": synthesis.index_squared}


@dataclass(frozen=True)
class ModalityTranslator:
    sides_px: ClassVar[tuple[int, int]] = (16, 32)  # of images: multiples of the first, from the second
    modalities: int = 4
    channels: int = 1
    width: int = 64
    critic_width: int = 64
    condition: Condition = "film"
    critic_style: CriticStyle = "leaky"
    class_loss: Literal["cross-entropy", "index"] = "cross-entropy"
    class_of_made: bool = False  # the last term of equation (20)
    pairs: Literal["all", "ring"] = "all"  # in a step; "ring": each modality into one other, another at every step
    registered: bool = True  # False: each modality is shuffled among the cases of a batch, as if no two were of one patient
    weight_real: float = 5.0
    weight_made: float = 3.0
    weight_gan: float = 3.0
    weight_class: float = 5.0
    weight_cycle: float = 20.0
    weight_agreement: float = 5.0
    weight_pair: float = 0.0
    optimizer: Optimizer = Optimizer(lr=5e-4)
    critic_optimizer: Optimizer = Optimizer(lr=2.5e-4)
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        if not (2 <= self.modalities <= 16 and self.channels in (1, 3)):
            raise ValueError(f"modality_translator: 2-16 modalities of 1 or 3 channels, got {self.modalities}, {self.channels}")
        if not (1 <= self.width <= 512 and 1 <= self.critic_width <= 512):
            raise ValueError(f"modality_translator: widths are 1-512, got {self}")
        if self.pairs == "ring" and self.weight_agreement and self.modalities > 2:
            raise ValueError("modality_translator: agreement compares all pairs; with pairs='ring' set weight_agreement=0")
        if not self.registered and (self.weight_agreement or self.weight_pair):
            raise ValueError(
                "modality_translator: agreement and pairs compare images of one place; with registered=False set "
                "weight_agreement=0 and weight_pair=0"
            )

    @property
    def released(self) -> tuple[str, ...]:
        return ("translator",)

    def networks(self) -> nn.ModuleDict:
        classes = self.modalities if self.class_loss == "cross-entropy" else 1
        translator = ModalityUNet(self.channels, self.channels, self.modalities, self.width, self.condition)
        critic = PatchCritic(self.channels, self.critic_width, classes, style=self.critic_style)
        return nn.ModuleDict({"translator": translator, "critic": critic})

    def players(self) -> dict[str, Player]:
        return {
            "critic": Player(("critic",), self.critic_optimizer, self.schedule),
            "translator": Player(("translator",), self.optimizer, self.schedule),
        }

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        images = list(self._shuffled(batch["images"]).unbind(1))
        pairs = synthesis.ring(self.modalities) if self.pairs == "ring" else synthesis.ordered_pairs(self.modalities)
        made = self._translated(nets, images, pairs)
        yield {"critic": self._critic_losses(nets["critic"], images, made)}
        yield {"translator": self._translator_losses(nets, images, made)}

    def _shuffled(self, images: Float[Tensor, "batch modality c h w"]) -> Float[Tensor, "batch modality c h w"]:
        if self.registered:
            return images
        orders = [torch.randperm(len(images)).to(images.device) for _ in range(self.modalities)]
        return torch.stack([images[order, i] for i, order in enumerate(orders)], dim=1)

    def _translated(
        self, nets: nn.ModuleDict, images: list[UnitImages], pairs: Iterable[tuple[int, int]] | None = None
    ) -> dict[tuple[int, int], UnitImages]:
        """x_t,i,j of the ordered pairs (i, j), by default of all."""
        return {(i, j): nets["translator"](images[i], j) for i, j in pairs or synthesis.ordered_pairs(self.modalities)}

    def _share(self, made: dict[tuple[int, int], UnitImages]) -> float:
        """The pairs that are there count for all."""
        return len(made) / (self.modalities * (self.modalities - 1))

    def _critic_losses(self, critic: nn.Module, images: list[UnitImages], made: dict[tuple[int, int], UnitImages]) -> Losses:
        """Equation (20)."""
        losses, share = dict.fromkeys(("real", "made", "class"), images[0].new_zeros(())), self._share(made)
        for i, image in enumerate(images):
            score, told = critic(image)
            losses["real"] = losses["real"] + self.weight_real * adversarial.least_squares(score, real=True)
            losses["class"] = losses["class"] + self.weight_class * CLASS[self.class_loss](told, i)
        for (_, j), image in made.items():
            score, told = critic(image.detach())
            losses["made"] = losses["made"] + self.weight_made / share * adversarial.least_squares(score, real=False)
            if self.class_of_made:
                losses["class"] = losses["class"] + self.weight_class / share * CLASS[self.class_loss](told, j)
        return losses

    def _translator_losses(
        self, nets: nn.ModuleDict, images: list[UnitImages], made: dict[tuple[int, int], UnitImages]
    ) -> Losses:
        """Equations (19) and (21), and ours."""
        losses, share = dict.fromkeys(("gan", "class", "cycle"), images[0].new_zeros(())), self._share(made)
        for (i, j), image in made.items():
            score, told = nets["critic"](image)
            losses["gan"] = losses["gan"] + self.weight_gan / share * adversarial.least_squares(score, real=True)
            losses["class"] = losses["class"] + self.weight_class / share * CLASS[self.class_loss](told, j)
            back = nets["translator"](image, i)
            losses["cycle"] = losses["cycle"] + self.weight_cycle / share * synthesis.squared(back, images[i])  # (19)
        if self.weight_agreement and self.modalities > 2:
            losses["agreement"] = self.weight_agreement * synthesis.agreement(made, self.modalities)
        if self.weight_pair:
            losses["pair"] = self.weight_pair * synthesis.registration(images, made)
        return losses

    @torch.no_grad()
    def measure(self, nets: nn.ModuleDict, batch: CaseBatch) -> dict[str, Tensor]:
        """score: minus the squared error of translations, as a share of that of doing nothing (-1). Cases are in register."""
        images = list(batch["images"].unbind(1))
        nothing = synthesis.registration(images, {(i, j): images[i] for i, j in synthesis.ordered_pairs(self.modalities)})
        error = synthesis.registration(images, self._translated(nets, images))
        pairs = self.modalities * (self.modalities - 1)
        return {"score": -error / nothing.clamp(min=1e-8), "squared_error": error / pairs, "of_doing_nothing": nothing / pairs}

    @torch.no_grad()
    def pictures(self, nets: nn.ModuleDict, batch: CaseBatch) -> Float[Tensor, "rows 3 height width"]:
        """For each case and modality: the image, then its translations into each modality (its own place shows the image)."""
        images = list(batch["images"].unbind(1))
        made = self._translated(nets, images)
        rows = []
        for i, image in enumerate(images):
            rows.append(torch.cat([image, *(image if i == j else made[i, j] for j in range(self.modalities))], dim=-1))
        return torch.stack(rows, dim=1).flatten(0, 1).expand(-1, 3, -1, -1)


SOURCE = Source(
    "Synthesis of Multimodal Medical Images Based on GAN, Qu, thesis, Sun Yat-sen University", 2020, "modalities", "synthesis"
)
PRACTICE = Practice(crop_px=None, batch_size=8, epochs=200)
METHOD = ModalityTranslator()
VARIANTS = {
    "thesis": ModalityTranslator(
        condition="bottleneck",
        critic_style="thesis",
        class_loss="index",
        class_of_made=True,
        registered=False,
        weight_real=1.0,
        weight_made=1.0,
        weight_gan=1.0,
        weight_class=1.0,
        weight_cycle=1.0,
        weight_agreement=0.0,
        optimizer=Optimizer(lr=1e-5),
        critic_optimizer=Optimizer(lr=1e-5),
        schedule=Schedule(),
    ),
    "unpaired": ModalityTranslator(registered=False, weight_agreement=0.0),
    "paired": ModalityTranslator(weight_pair=20.0),
}
