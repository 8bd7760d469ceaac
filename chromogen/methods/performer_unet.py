"""U-Net with linear attention and critics on three grids ("AI-based generation of breast-cancer immunohistochemistry",
report 7110 of China's 9th student contest in biomedical engineering design, 2024; web page: GrassyUnknown/BMEdesign2024).

A U-Net with a residual attention block (FAVOR+, Choromanski et al., ICLR 2021) on every skip and at the bottom; three critics
in parallel on the whole image, its 2x2 and its 4x4 tiles; Wasserstein GAN with gradient penalty; a normalised Frobenius and a
structural-similarity loss (the report's one equation). Adam 5e-6 with weight decay 1e-4, batch 2, 60 epochs.

Readings of the report
- L_NFL is the "normalized Frobenius loss" of the authors' own figure; section 2.4 calls the GAN loss cross-entropy, while
  section 2.2 and the equation say Wasserstein with gradient penalty, which we take (`bce` is the other).
- lambda L_Wasserstein is the gradient penalty, since the critics' terms stand beside it.
- "Different rates and betas" for both players come with one rate: both have it, and the betas differ.

Deviations
- The network of the web page is not the report's: softmax attention in four stages, five levels, images in [0, 1] and nothing
  to bound them (`deployed`). Its output wrapped around beyond white; ours is clipped to [-1, 1] in `translate`.
- FAVOR+ adds 1e-4 to every feature, as the published code does: without it attention of 256 channels a head is mostly noise.
- Attention enters by addition alone, as drawn; `gated` begins it at 0, as the deployed code does.

Ours, where the report is silent: weights 10 (Frobenius), 1 (similarity), 10 (penalty, as in Gulrajani et al., 2017) and 1/3 for
each critic; betas (0.5, 0.999) and, for critics, (0, 0.9); critics without norms that see the H&E tile too, two halvings deeper
on whole images than on sixteenths; the penalty on the gradient of the stained image alone; one critic update a step; 256
features, drawn anew every 1000 steps; two heads; tanh; 4 levels, as drawn; first weights; a constant rate (falling in `fast`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

import torch
from torch import Tensor, nn

from chromogen.losses import adversarial, similarity, wasserstein
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.attention_unet import deployed_unet, performer_unet
from chromogen.nets.blocks import Norm, started
from chromogen.nets.grid_critics import TileCritic, tiles
from chromogen.nets.performer import advance
from chromogen.published import Made, Published, Reading, Shapes, weight_shape
from chromogen.tensors import Batch, SignedImages


@dataclass(frozen=True)
class PerformerUNet:
    network: Literal["report", "deployed"] = "report"
    width: int = 64
    depth: int = 4  # halvings; image sizes are multiples of 2 ** depth
    norm: Norm = "batch"
    heads: int = 2
    features: int = 256  # random directions of FAVOR+; this and the next two are of the report's network only
    redraw: int = 1000  # steps after which new directions are drawn; 0: never
    gated: bool = False
    grids: tuple[int, ...] = (1, 2, 4)  # tiles a side, one critic each
    weight_grids: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)
    critic_width: int = 64
    critic_layers: int = 4  # halvings of the finest grid's tiles; a grid half as fine has one more
    conditional: bool = True
    gan: Literal["wasserstein", "cross-entropy"] = "wasserstein"
    n_critic: int = 1  # critic updates a step, on the same images
    weight_penalty: float = 10.0
    weight_frobenius: float = 10.0
    weight_similarity: float = 1.0
    optimizer: Optimizer = Optimizer(lr=5e-6, weight_decay=1e-4)
    critic_optimizer: Optimizer = Optimizer(lr=5e-6, betas=(0.0, 0.9), weight_decay=1e-4)
    schedule: Schedule = Schedule()

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 512 and 1 <= self.critic_width <= 512 and 1 <= self.heads <= 64):
            raise ValueError(f"performer_unet: widths are 1-512 and heads 1-64, got {self}")
        least = 3 if self.network == "deployed" else 1
        if not (least <= self.depth <= 8 and 1 <= self.critic_layers <= 8):
            raise ValueError(f"performer_unet: depth is {least}-8 for this network and critic_layers 1-8, got {self}")
        if self.features < 1 or self.redraw < 0 or self.n_critic < 1:
            raise ValueError(f"performer_unet: features and n_critic are at least 1 and redraw at least 0, got {self}")
        if not self.grids or min(self.grids) < 1 or len({*self.grids}) < len(self.grids):
            raise ValueError(f"performer_unet: grids are different numbers of tiles a side, at least one, got {self.grids}")
        if len(self.weight_grids) != len(self.grids):
            raise ValueError(f"performer_unet: one weight for each of {len(self.grids)} grids, got {self.weight_grids}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def tiling(self) -> Tiling:
        return Tiling(multiple_px=2**self.depth, context_px=2**self.depth, whole_image=True)

    def networks(self) -> nn.ModuleDict:
        if self.network == "deployed":
            generator = deployed_unet(self.width, self.depth, self.heads, self.norm)
        else:
            sizes = (self.width, self.depth, self.heads, self.features)
            generator = performer_unet(*sizes, self.redraw, self.gated, self.norm)
        nets = nn.ModuleDict({"generator": started(generator, self.norm)})
        for grid in self.grids:
            layers = self.critic_layers + (max(self.grids) // grid).bit_length() - 1
            nets[f"critic{grid}"] = started(TileCritic(6 if self.conditional else 3, self.critic_width, layers), "none")
        return nets

    def players(self) -> dict[str, Player]:
        critics = tuple(f"critic{grid}" for grid in self.grids)
        return {
            "critics": Player(critics, self.critic_optimizer, self.schedule),
            "generator": Player(("generator",), self.optimizer, self.schedule),
        }

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        source, target = batch["source"], batch["target"]
        fake = nets["generator"](source)
        weighted = list(zip(self.grids, self.weight_grids, strict=True))

        for _ in range(self.n_critic):
            losses: Losses = {}
            for grid, weight in weighted:
                real, made = tiles(target, grid), tiles(fake.detach(), grid)
                losses |= self._critic_losses(self._score(nets, grid, source), real, made, grid, weight)
            yield {"critics": losses}

        losses = {
            "frobenius": self.weight_frobenius * similarity.normalised_frobenius(fake, target),
            "similarity": self.weight_similarity * similarity.structural_dissimilarity(fake, target),
        }
        for grid, weight in weighted:
            scores = self._score(nets, grid, source)(tiles(fake, grid))
            convincing = wasserstein.generator(scores) if self.gan == "wasserstein" else adversarial.cross_entropy(scores, True)
            losses[f"gan{grid}"] = weight * convincing
        yield {"generator": losses}
        advance(nets["generator"])

    def _score(self, nets: nn.ModuleDict, grid: int, source: SignedImages) -> Callable[[Tensor], Tensor]:
        """What a grid's critic says of each stained tile, beside the H&E tile or alone."""
        critic, given = nets[f"critic{grid}"], tiles(source, grid)
        return lambda stained: critic(torch.cat([given, stained], dim=1) if self.conditional else stained)

    def _critic_losses(self, score: Callable[[Tensor], Tensor], real: Tensor, made: Tensor, grid: int, weight: float) -> Losses:
        if self.gan == "cross-entropy":
            told = adversarial.cross_entropy(score(real), True) + adversarial.cross_entropy(score(made), False)
            return {f"critic{grid}": weight * 0.5 * told}
        penalty = wasserstein.gradient_penalty(score, real, made)
        return {
            f"critic{grid}": weight * wasserstein.critic(score(real), score(made)),
            f"penalty{grid}": weight * self.weight_penalty * penalty,
        }

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        return nets["generator"](source).clamp(-1, 1)


def published_reading(preset: PerformerUNet, shapes: Shapes) -> Reading:
    """The network of the authors' web page; of the report's own no code and no weights are known."""
    first = weight_shape(shapes, "down1.0")
    if first is None or "attn_u1.gamma" not in shapes:
        raise ValueError("it has no down1.0 and attn_u1, as the network of the Performer U-Net's web page has")
    depth = next(number for number in count(1) if weight_shape(shapes, f"down{number}.0") is None) - 1
    modules = {"out.0": f"up{depth}", "out.1": "final_conv"}
    for stage in range(depth):
        ours = f"encoder.{stage}" + (".1" if stage == 0 else ".0" if stage >= depth - 2 else "")
        modules |= {f"{ours}.{layer}": f"down{stage + 1}.{layer}" for layer in (0, 2, 3, 5)}
        ours = f"decoder.{stage}" + (".0" if stage < 2 else "")
        if stage < depth - 1:
            modules |= {f"{ours}.{layer}": f"up{stage + 1}.{layer}" for layer in (0, 2, 3, 5, 6, 8)}
    sites = {f"encoder.{depth - 2}.1": f"attn_d{depth - 1}", f"encoder.{depth - 1}.1": f"attn_d{depth}"}
    sites |= {f"decoder.{stage}.1": f"attn_u{stage + 1}" for stage in (0, 1)}
    for site, theirs in sites.items():
        modules |= {f"{site}.body.{part}": f"{theirs}.{part}" for part in ("query", "key", "value", "out")}
    gates = {f"generator.{site}.gate": Made((f"{theirs}.gamma",), torch.clone) for site, theirs in sites.items()}
    told = replace(preset, network="deployed", width=first[0], depth=depth, norm="batch")
    return Reading(told, {f"generator.{ours}": theirs for ours, theirs in modules.items()}, gates)


PUBLISHED = Published(
    "GrassyUnknown/BMEdesign2024 (the web page's network)",
    published_reading,
    licence="non-commercial, as the BCI data set they were trained on",
    target_stain="HER2 IHC",
)
SOURCE = Source("Performer U-Net, BMEdesign2024 (entry 7110), competition report", 2024, "pairs")
PRACTICE = Practice(crop_px=512, batch_size=2, epochs=60)
METHOD = PerformerUNet()
# 60 epochs of 1,750 steps of 5e-6 move a weight by half at most; the usual rate needs a fraction of them.
FAST = replace(
    METHOD,
    optimizer=replace(METHOD.optimizer, lr=2e-4),
    critic_optimizer=replace(METHOD.critic_optimizer, lr=2e-4),
    schedule=Schedule(decay_start=0.5),
)
VARIANTS = {
    "fast": FAST,
    "deployed": replace(METHOD, network="deployed", depth=5),
    "deployed-fast": replace(FAST, network="deployed", depth=5),
    "bce": replace(METHOD, gan="cross-entropy"),
}
