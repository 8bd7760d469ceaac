"""Registered images of every modality, from lines and a label: Qu's multimodal synthesis (Sun Yat-sen University, 2020).

Lines with weak noise between them (equation 12) and the planes of a label go through one U-Net that is told the modality. A
critic says made or real, and which modality (equations 13 and 14). A frozen reader of real images must find the label in what
was drawn (15), and a frozen translator must turn each modality into the others (16). Equation 18, drawing a case's own images
from its own lines and label, may come first (`pretrain_until`). Table 1's ablations are five switches, its rows variants.

Deviations from the thesis
- Its m is the background, 1 - organ.
- The layer that sees the modality's planes has no instance norm, which would subtract them, nor has the sigmoid one in front.
- Critic first, then renderer; the author's code updates both at once.
- A label that fits nowhere in the organ is left out; the author's code keeps it after 100 draws.
- Drawn line maps are rounded to 0 and 1, as those of cases are and as `chromogen synthesize` does; the equations feed G_s(z).
- The critic is that of the author's code, patches of 16 px; section 4.3: VGG11, adapted.
- The frozen reader "thesis" of masks and of classes gives squares, equation 15 as printed (see there).

Ours (not in the variant "thesis")
- The registration loss begins late and trusts the critic: its weight is multiplied by min(1, (progress - a) / (b - a)), a and b
  being `registration_from` and `registration_until`, and by how far the share of drawn images whose modality the critic
  recognises lies between chance and 0.9. From the first step on, the cheapest answer to it is to draw all modalities alike;
  should they become alike later, the critic is lost and the loss lets go.
- Classes by cross-entropy, learned from real images alone; the modality turns gains and shifts ("film").
- The reader's own loss; a label moves until it lies in the organ.
- Weights of the author's code for masks, with its agreement term. Boxes and classes weigh 5 as masks do; that code has 1 and
  0.5, the text, as the variant "thesis", 1 for everything. The recipes set that of the GAN to 1.
- `weight_rehearsal` (0 but in recipes) keeps equation 18 beside the others to the end.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.losses import adversarial, synthesis
from chromogen.losses.reading import Form, reading_loss
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Update
from chromogen.nets.line_codec import LineDecoder, resized
from chromogen.nets.modality_unet import Condition, LabelledUNet
from chromogen.nets.patch_critic import CriticStyle, PatchCritic
from chromogen.structure import labels
from chromogen.structure.fusion import HIGH, LOW, fused
from chromogen.structure.placement import Placement
from chromogen.structure.relabelling import relabelled
from chromogen.tensors import CaseBatch, UnitImages

CLASS = {"cross-entropy": synthesis.cross_entropy, "index": synthesis.index_squared}
ALIKE = 0.1  # of the real contrast between modalities, under which drawn ones are called alike
SURE = 0.9  # of the modality of drawn images: from here on the registration loss has its full weight
Plane = Float[Tensor, "batch 1 height width"]
Planes = Float[Tensor, "batch planes height width"]


@dataclass(frozen=True)
class Renderer:
    sides_px: ClassVar[tuple[int, int]] = (16, 32)  # of images: multiples of the first, from the second
    modalities: int = 4
    channels: int = 1
    label: labels.LabelKind = "segmentation"
    classes: int = 2  # of the label, 0 (nothing) included; one plane each
    width: int = 64
    critic_width: int = 64
    condition: Condition = "film"
    critic_style: CriticStyle = "leaky"
    class_loss: Literal["cross-entropy", "index"] = "cross-entropy"
    class_of_made: bool = False  # the last term of equation (13)
    lines_from: Literal["batch", "sampler"] = "batch"  # "sampler": the frozen "decoder" draws them, "organ" finds their organ
    round_lines: bool = True
    structure: bool = True  # the five switches of table 1; False: noise in the place of lines
    mask_filter: bool = True  # labels lie in the organ
    noise: bool = True
    registration: bool = True
    lesion: bool = True
    placement: Placement = Placement()  # how the labels of other cases are varied and moved
    noise_low: float = LOW
    noise_high: float = HIGH
    pairs: Literal["all", "ring"] = "all"  # whose registration a step asks for; "ring": each modality with one other
    registration_from: float = 0.3  # progress
    registration_until: float = 0.6
    pretrain_until: float = 0.0  # progress
    form: Form = "native"  # of the reader's loss
    class_weights: tuple[float, ...] = ()  # of the form "squares"; () counts each class once
    weight_real: float = 5.0
    weight_made: float = 3.0
    weight_gan: float = 3.0
    weight_class: float = 5.0
    weight_lesion: float = 5.0
    weight_registration: float = 20.0
    weight_agreement: float = 5.0  # multiplied as the registration loss is
    weight_pretrain: float = 5.0
    weight_pretrain_outside: float = 5.0
    weight_rehearsal: float = 0.0  # of equation (18), on the batch's own lines and labels, after pre-training
    optimizer: Optimizer = Optimizer(lr=5e-4)
    critic_optimizer: Optimizer = Optimizer(lr=2.5e-4)
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        if not (1 <= self.modalities <= 16 and self.channels in (1, 3)):
            raise ValueError(f"renderer: 1-16 modalities of 1 or 3 channels, got {self.modalities} of {self.channels}")
        if not (1 <= self.width <= 512 and 1 <= self.critic_width <= 512):
            raise ValueError(f"renderer: widths are 1-512, got {self.width} and {self.critic_width}")
        if self.label != "none" and self.classes < 2:
            raise ValueError(f"renderer: a label has 2 classes or more, nothing included, got {self.classes}; or label='none'")
        if self.pairs == "ring" and self.weight_agreement and self.modalities > 2:
            raise ValueError("renderer: agreement compares all pairs; with pairs='ring' set weight_agreement=0")
        if not 0 <= self.registration_from <= self.registration_until <= 1:
            raise ValueError(
                "renderer: registration_from and registration_until are shares of the run, the first not the larger"
            )
        if not 0 <= self.pretrain_until <= 1:
            raise ValueError(f"renderer: pretrain_until is a share of the run in [0, 1], got {self.pretrain_until}")
        if self.class_weights and len(self.class_weights) != self.classes:
            raise ValueError(f"renderer: class_weights names {len(self.class_weights)} classes, the label has {self.classes}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("renderer",)

    @property
    def needs(self) -> tuple[str, ...]:
        """The frozen networks a step asks."""
        drawing = ("decoder", "organ") if self.lines_from == "sampler" and self.structure else ()
        return drawing + (("reader",) if self._reads else ()) + (("translator",) if self._registers else ())

    @property
    def planes(self) -> int:
        """Of the label."""
        return 0 if self.label == "none" else self.classes

    @property
    def _reads(self) -> bool:
        return self.lesion and self.label != "none"

    @property
    def _registers(self) -> bool:
        return self.registration and self.modalities > 1

    def networks(self) -> nn.ModuleDict:
        classes = (self.modalities if self.class_loss == "cross-entropy" else 1) if self.modalities > 1 else 0
        renderer = LabelledUNet(self.planes, self.channels, self.modalities, self.width, self.condition)
        critic = PatchCritic(self.channels, self.critic_width, classes, style=self.critic_style)
        return nn.ModuleDict({"renderer": renderer, "critic": critic})

    def players(self) -> dict[str, Player]:
        return {
            "critic": Player(("critic",), self.critic_optimizer, self.schedule),
            "renderer": Player(("renderer",), self.optimizer, self.schedule),
        }

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        images = list(batch["images"].unbind(1))
        chance = torch.default_generator
        if progress < self.pretrain_until:
            drawn = self._drawn(nets, batch["lines"], batch["organ"], self._planes_of(batch), chance)
            yield {"renderer": self._pretraining_losses(drawn, images, batch["organ"])}
            return
        lines, organ = self._lines_and_organ(nets, batch)
        wanted = self._relabelled(batch, organ)
        drawn = self._drawn(nets, lines, organ, self._planes_of(wanted), chance)
        yield {"critic": self._critic_losses(nets["critic"], images, drawn)}
        losses, recognised = self._gan_losses(nets["critic"], drawn)
        if self._reads:
            losses["lesion"] = self.weight_lesion * self._lesion(nets, drawn, wanted)  # (15)
        if self._registers:
            losses |= self._registration_losses(nets, drawn, self._trust(progress, recognised))
        if self.weight_rehearsal:
            # the critic alone teaches a short training to forget what it drew before
            own = self._drawn(nets, batch["lines"], batch["organ"], self._planes_of(batch), chance)
            again = self._pretraining_losses(own, images, batch["organ"])
            losses |= {f"rehearsal_{name}": self.weight_rehearsal * loss for name, loss in again.items()}
        yield {"renderer": losses}  # (17)

    def _lines_and_organ(self, nets: nn.ModuleDict, batch: CaseBatch) -> tuple[Plane, Plane]:
        """What to draw from: the batch's own, or what the frozen sampler draws, at the size of the batch's images."""
        if self.lines_from == "batch" or not self.structure:
            return batch["lines"], batch["organ"]
        count, _, height, width = batch["lines"].shape
        with torch.no_grad():
            decoder = cast(LineDecoder, nets["decoder"])
            lines = decoder.of_normal(torch.randn(count, decoder.latents).to(batch["lines"]))
            lines = resized(lines, height, width)  # first, for the reader of organs was trained at the size of the cases
            lines = (lines > 0.5).float() if self.round_lines else lines
            organ = (nets["organ"](lines) > 0.5).float()
        return lines, organ

    def _relabelled(self, batch: CaseBatch, organ: Plane) -> CaseBatch:
        """The batch with the labels of other cases, in the organ if `mask_filter`."""
        rng = np.random.default_rng(int(torch.randint(2**31, (1,))))
        return relabelled(batch, self.label, organ, rng, self.placement, self.mask_filter)

    def _planes_of(self, batch: CaseBatch) -> Planes:
        return labels.planes(batch, self.label, self.classes)

    def _drawn(
        self, nets: nn.ModuleDict, lines: Plane, organ: Plane, label: Planes, chance: torch.Generator
    ) -> list[UnitImages]:
        """x_g,i of every modality i."""
        if not self.structure:
            start = torch.randn(lines.shape, generator=chance, device=chance.device).to(lines)
        elif self.noise:
            start = fused(lines, organ, chance, self.noise_low, self.noise_high)  # (12)
        else:
            start = lines
        return list(nets["renderer"](start, label).unbind(1))

    def _critic_losses(self, critic: nn.Module, images: list[UnitImages], drawn: list[UnitImages]) -> Losses:
        """Equation (13)."""
        losses = _zeros(images[0], "real", "made", *(["class"] if self.modalities > 1 else []))
        for i, (image, made) in enumerate(zip(images, drawn, strict=True)):
            score, told = critic(image)
            made_score, made_told = critic(made.detach())
            losses["real"] = losses["real"] + self.weight_real * adversarial.least_squares(score, real=True)
            losses["made"] = losses["made"] + self.weight_made * adversarial.least_squares(made_score, real=False)
            if told is not None:
                losses["class"] = losses["class"] + self.weight_class * CLASS[self.class_loss](told, i)
                if self.class_of_made:
                    losses["class"] = losses["class"] + self.weight_class * CLASS[self.class_loss](made_told, i)
        return losses

    def _gan_losses(self, critic: nn.Module, drawn: list[UnitImages]) -> tuple[Losses, Tensor]:
        """Equation (14), and the share of drawn images whose modality the critic recognises (1 if there is only one)."""
        losses = _zeros(drawn[0], "gan", *(["class"] if self.modalities > 1 else []))
        recognised = [torch.ones_like(drawn[0][:1, 0, 0, 0])]
        for i, made in enumerate(drawn):
            score, told = critic(made)
            losses["gan"] = losses["gan"] + self.weight_gan * adversarial.least_squares(score, real=True)
            if told is not None:
                losses["class"] = losses["class"] + self.weight_class * CLASS[self.class_loss](told, i)
                recognised = [*(recognised if i else []), synthesis.told_apart(told, i)]
        return losses, torch.cat(recognised).mean()

    def _lesion(self, nets: nn.ModuleDict, drawn: list[UnitImages], wanted: CaseBatch) -> Tensor:
        """Equation (15): what the reader of real images finds in the drawn ones, against what was asked for."""
        found = [reading_loss(nets["reader"](made, i), wanted, self.form, self.class_weights) for i, made in enumerate(drawn)]
        return torch.stack(found).sum()

    def _registration_losses(self, nets: nn.ModuleDict, drawn: list[UnitImages], trust: Tensor) -> Losses:
        """Equation (16), and ours: two translations into one modality agree."""
        if float(trust) == 0:  # the translations cost more than all else
            return _zeros(drawn[0], "registration")
        ring = synthesis.ring(self.modalities) if self.pairs == "ring" else None
        translated = self._translated(nets, drawn, ring)
        losses = {"registration": self.weight_registration * trust * synthesis.registration(drawn, translated)}
        if self.weight_agreement and self.modalities > 2:
            losses["agreement"] = self.weight_agreement * trust * synthesis.agreement(translated, self.modalities)
        return losses

    def _translated(
        self, nets: nn.ModuleDict, drawn: list[UnitImages], pairs: list[tuple[int, int]] | None = None
    ) -> dict[tuple[int, int], UnitImages]:
        return {(j, i): nets["translator"](drawn[j], i) for j, i in pairs or synthesis.ordered_pairs(self.modalities)}

    def _trust(self, progress: float, recognised: Tensor) -> Tensor:
        """The factor in [0, 1] of the registration loss; always 1 where it works from the first step on."""
        if self.registration_until == 0:
            return torch.ones_like(recognised)
        span = self.registration_until - self.registration_from
        late = (progress - self.registration_from) / span if span else float(progress >= self.registration_from)
        chance = 1 / self.modalities
        return min(1.0, max(0.0, late)) * ((recognised - chance) / (SURE - chance)).clamp(0, 1)

    def _pretraining_losses(self, drawn: list[UnitImages], images: list[UnitImages], organ: Plane) -> Losses:
        """Equation (18): the case's own images from its own lines and label."""
        losses = _zeros(images[0], "squared", "outside")
        for made, image in zip(drawn, images, strict=True):
            losses["squared"] = losses["squared"] + self.weight_pretrain * synthesis.squared(made, image)
            outside = synthesis.outside_difference(made, image, organ)
            losses["outside"] = losses["outside"] + self.weight_pretrain_outside * outside
        return losses

    @torch.no_grad()
    def render(
        self, nets: nn.ModuleDict, lines: Plane, organ: Plane, label: Planes, generator: torch.Generator
    ) -> Float[Tensor, "batch modality channel height width"]:
        """All modalities of one drawing, in [0, 1]; `label` holds planes as `chromogen.structure.labels` makes them."""
        return torch.stack(self._drawn(nets, lines, organ, label, generator), dim=1)

    @torch.no_grad()
    def measure(self, nets: nn.ModuleDict, batch: CaseBatch) -> dict[str, Tensor]:
        """score: how well the reader finds the labels of cases drawn anew from their own lines (see `_agreement`); without a
        reader or labels, minus the squared distance from the cases' own images.

        contrast_ratio: how much two modalities of one drawing differ, against real ones; near 0 they have become alike.
        registration: squared difference of a drawn modality and another one translated into it.
        """
        images = list(batch["images"].unbind(1))
        drawn = self._anew(nets, batch)
        pairs = zip(drawn, images, strict=True)
        found = {"squared_error": torch.stack([synthesis.squared(made, image) for made, image in pairs]).mean()}
        found["score"] = -found["squared_error"]
        if self.modalities > 1:
            found["contrast_ratio"] = synthesis.contrast(drawn) / synthesis.contrast(images).clamp(min=1e-6)
        if "translator" in nets and self.modalities > 1:
            pairs_of_modalities = self.modalities * (self.modalities - 1)
            found["registration"] = synthesis.registration(drawn, self._translated(nets, drawn)) / pairs_of_modalities
        if "reader" in nets and self.label != "none":
            found["score"] = self._agreement(nets, drawn, batch)
        return found

    def _agreement(self, nets: nn.ModuleDict, drawn: list[UnitImages], batch: CaseBatch) -> Tensor:
        """Mean over modalities of: Dice of mask and reading, over cases with a lesion; share of right classes; or minus the
        detector's loss."""
        found = []
        for i, made in enumerate(drawn):
            read = nets["reader"](made, i)
            if self.label == "segmentation":
                wanted = (batch["mask"] > 0).float()
                shown = wanted.flatten(1).any(dim=1)
                dice = synthesis.hard_dice((read.argmax(dim=1) > 0).float(), wanted)
                found.append(dice[shown].mean() if bool(shown.any()) else dice.mean())
            elif self.label == "category":
                known = batch["category"] >= 0
                found.append(((read.argmax(dim=1) == batch["category"]) & known).float().sum() / known.sum().clamp(min=1))
            else:
                found.append(-reading_loss(read, batch))
        return torch.stack(found).mean()

    def _anew(self, nets: nn.ModuleDict, batch: CaseBatch) -> list[UnitImages]:
        """Drawings from the cases' own lines and labels, with the same noise at every call."""
        chance = torch.Generator().manual_seed(0)
        return self._drawn(nets, batch["lines"], batch["organ"], self._planes_of(batch), chance)

    def alarms(self, scores: Mapping[str, float]) -> list[str]:
        """Of modalities that have become alike: the cheapest answer to the registration loss."""
        ratio = scores.get("contrast_ratio", math.inf)
        if ratio >= ALIKE:
            return []
        return [
            f"the modalities of one drawing differ by {ratio:.2f} of what real ones do: they are becoming alike; let the "
            "registration loss begin later (registration_from) or weigh less (weight_registration), or train the critic longer"
        ]

    @torch.no_grad()
    def pictures(self, nets: nn.ModuleDict, batch: CaseBatch) -> Float[Tensor, "rows 3 height width"]:
        """Lines, all modalities as drawn, then the real ones; the label's border is not shown."""
        images = batch["images"].unbind(1)
        return torch.cat([one.expand(-1, 3, -1, -1) for one in (batch["lines"], *self._anew(nets, batch), *images)], dim=-1)


def _zeros(like: Tensor, *names: str) -> Losses:
    return dict.fromkeys(names, like.new_zeros((), dtype=torch.float32))


SOURCE = Source(
    "Synthesis of Multimodal Medical Images Based on GAN, Qu, thesis, Sun Yat-sen University",
    2020,
    "organs + labels",
    "synthesis",
)
PRACTICE = Practice(crop_px=None, batch_size=8, epochs=200)
METHOD = Renderer()
_THESIS = Renderer(
    condition="bottleneck",
    critic_style="thesis",
    class_loss="index",
    class_of_made=True,
    lines_from="sampler",
    placement=Placement(push_px=0),
    registration_from=0.0,
    registration_until=0.0,
    form="squares",
    weight_real=1.0,
    weight_made=1.0,
    weight_gan=1.0,
    weight_class=1.0,
    weight_lesion=1.0,
    weight_registration=1.0,
    weight_agreement=0.0,
    weight_pretrain=1.0,
    weight_pretrain_outside=1.0,
    optimizer=Optimizer(lr=1e-5),
    critic_optimizer=Optimizer(lr=1e-5),
    schedule=Schedule(),
)


def _ablation(row: str) -> Renderer:
    """A row of table 1, its columns in order."""
    structure, mask_filter, noise, registration, lesion = (digit == "1" for digit in row)
    return Renderer(structure=structure, mask_filter=mask_filter, noise=noise, registration=registration, lesion=lesion)


VARIANTS = {
    "thesis": _THESIS,
    "sampled": Renderer(lines_from="sampler"),
    "pretrain": Renderer(pretrain_until=0.3),
    "single": Renderer(modalities=1),
    "ablation-a": _ablation("00000"),
    "ablation-b": _ablation("10001"),
    "ablation-c": _ablation("11000"),
    "ablation-d": _ablation("11100"),
    "ablation-e": _ablation("11110"),
    "ablation-f": _ablation("11111"),
}
