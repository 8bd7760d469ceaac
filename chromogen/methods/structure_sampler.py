"""Line maps out of noise: stages C to E of Qu's multimodal synthesis (Sun Yat-sen University, 2020).

An autoencoder of line maps whose vectors a critic D_z makes normally distributed (equations 7 to 9), and whose decoder a critic
D_s makes draw, from a normal vector, what passes for a line map (equations 10 and 11). The frozen organ reader "organ" says
where a drawn map has its background: no line may lie there. There is no divergence term: this is an adversarial autoencoder.

Deviations from the thesis
- Its m is the background, 1 - organ. Equation 7 takes the organ of the case, as the author's code, not the one read off the
  lines, which has the same meaning.
- The author's code updates critics and makers from one forward pass; here the critics come first.
- The decoder draws one plane of probabilities; the author's draws two and takes one.
- Line maps may be drawn larger than the cases are (512 px of 240 in the chain `thesis`, where the text has one size); the organ
  reader is asked at the size it was trained at, that of the cases.
- Critics are those of the author's code; section 4.2.2: encoder and critics are VGG11, adapted.

Ours (not in the variant "thesis")
- Weights of the author's code instead of ones, with its absolute difference and moments; learning rates for batches of 16.
  With 1 for its 0.1 of the first term of equation 11 the decoder draws as many lines as there are, the same blot each time.
- D_z is an MLP, since a vector has no neighbourhoods; 256 numbers a vector at 256 px instead of 4096 at 512 px.
- Noise is moved to the mean and covariance of the vectors encoded lately before it is decoded: D_z never makes them quite
  normal, and where no vector lies the decoder draws one map for all noise (Ghosh et al., ICLR 2020, fit a density afterwards).
- The variant "kl": a divergence term in the place of D_z.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.losses import adversarial, reconstruction, synthesis
from chromogen.method import Losses, Optimizer, Player, Practice, Schedule, Source, Update
from chromogen.nets.line_codec import LatentCritic, Latents, LineDecoder, LineEncoder, halvings, resized
from chromogen.nets.patch_critic import CriticStyle, PatchCritic
from chromogen.tensors import CaseBatch, full_precision

Lines = Float[Tensor, "batch 1 height width"]
ALIKE = 0.1  # of the real maps' difference, under which drawn ones are called alike


@dataclass(frozen=True)
class StructureSampler:
    """A weight of 0 takes its term away. The critic of lines is always trained: it also sorts what is drawn later."""

    size_px: int = 256  # line maps are drawn at this size, whatever the cases' own
    latents: int = 256
    width: int = 64
    critic_width: int = 64
    latent_critic_width: int = 512  # of the MLP's hidden layers
    latent_critic: Literal["mlp", "conv"] = "mlp"
    critic_style: CriticStyle = "leaky"
    weight_squared: float = 25.0
    weight_absolute: float = 10.0
    weight_background: float = 1.0  # of both background terms
    weight_latent_critic: float = 10.0
    weight_encoder: float = 0.001  # of equation (9)
    weight_moments: float = 0.001
    weight_divergence: float = 0.0
    weight_line_critic: float = 25.0
    weight_decoder: float = 0.1  # of the first term of equation (11)
    prior: Literal["fitted", "normal"] = "fitted"  # what is decoded: noise moved to where encoded vectors lie, or as it comes
    optimizer: Optimizer = Optimizer(lr=1e-3)
    critic_optimizer: Optimizer = Optimizer(lr=5e-4)
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        halvings(self.size_px)  # a size without a network is a sentence
        if self.size_px % 16 or self.size_px < 32:
            raise ValueError(f"structure_sampler: size_px is a multiple of 16, from 32, got {self.size_px}")
        if not (1 <= self.width <= 512 and 1 <= self.critic_width <= 512 and 1 <= self.latents <= 16384):
            raise ValueError(f"structure_sampler: widths are 1-512 and latents 1-16384, got {self}")
        if self.weight_squared == self.weight_absolute == 0:
            raise ValueError("structure_sampler: without weight_squared and weight_absolute nothing asks for the lines back")

    @property
    def released(self) -> tuple[str, ...]:
        return ("decoder", "line_critic")

    @property
    def needs(self) -> tuple[str, ...]:
        """The frozen networks a step asks."""
        return ("organ",) if self.weight_background and self._draws else ()

    @property
    def _draws(self) -> bool:
        """Whether a step draws maps from noise: without a critic of lines only the reconstruction teaches the decoder."""
        return self.weight_decoder > 0

    @property
    def _encodes_against_critic(self) -> bool:
        return self.weight_encoder > 0

    def networks(self) -> nn.ModuleDict:
        width = self.latent_critic_width if self.latent_critic == "mlp" else self.critic_width
        nets: dict[str, nn.Module] = {
            "encoder": LineEncoder(self.size_px, self.latents, self.width),
            "decoder": LineDecoder(self.size_px, self.latents, self.width, fitted=self.prior == "fitted"),
            "line_critic": PatchCritic(1, self.critic_width, style=self.critic_style),
        }
        if self._encodes_against_critic:
            nets["latent_critic"] = LatentCritic(self.latents, width, self.latent_critic)
        return nn.ModuleDict(nets)

    def players(self) -> dict[str, Player]:
        critics = ("latent_critic", "line_critic") if self._encodes_against_critic else ("line_critic",)
        return {
            "critics": Player(critics, self.critic_optimizer, self.schedule),
            "codec": Player(("encoder", "decoder"), self.optimizer, self.schedule),
        }

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        lines = resized(batch["lines"], self.size_px, self.size_px)
        organ = resized(batch["organ"], self.size_px, self.size_px)
        mean, logvar = nets["encoder"](lines)
        noise = torch.randn_like(mean)
        with full_precision(mean):
            encoded = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
        if self.prior == "fitted":
            _decoder(nets).observe(encoded.detach())
        drawn = _decoder(nets).of_normal(noise)

        gan, losses = adversarial.least_squares, Losses()
        losses["line_real"] = self.weight_line_critic * gan(nets["line_critic"](lines)[0], real=True)  # (10)
        losses["line_made"] = self.weight_line_critic * gan(nets["line_critic"](drawn.detach())[0], real=False)
        if self._encodes_against_critic:
            losses["latent_real"] = self.weight_latent_critic * gan(nets["latent_critic"](noise), real=True)  # (8)
            losses["latent_made"] = self.weight_latent_critic * gan(nets["latent_critic"](encoded.detach()), real=False)
        yield {"critics": losses}
        yield {
            "codec": self._reconstruction(nets["decoder"](encoded), lines, organ)
            | self._towards_normal(nets, encoded, mean, logvar)
            | self._towards_lines(nets, drawn, batch["organ"])
        }

    def _reconstruction(self, made: Lines, lines: Lines, organ: Lines) -> Losses:
        """Equation (7); it trains encoder and decoder."""
        losses = Losses()
        if self.weight_squared:
            losses["squared"] = self.weight_squared * synthesis.squared(made, lines)
        if self.weight_absolute:
            losses["absolute"] = self.weight_absolute * reconstruction.absolute(made, lines)
        if self.weight_background:
            losses["background"] = self.weight_background * synthesis.outside(made, organ)
        return losses

    def _towards_normal(self, nets: nn.ModuleDict, encoded: Latents, mean: Latents, logvar: Latents) -> Losses:
        """Equation (9); only the encoder can do anything about it."""
        losses = Losses()
        if self._encodes_against_critic:
            losses["encoder"] = self.weight_encoder * adversarial.least_squares(nets["latent_critic"](encoded), real=True)
        if self.weight_moments:
            losses["moments"] = self.weight_moments * synthesis.moments(mean, logvar)
        if self.weight_divergence:
            losses["divergence"] = self.weight_divergence * synthesis.divergence(mean, logvar)
        return losses

    def _towards_lines(self, nets: nn.ModuleDict, drawn: Lines, of_cases: Lines) -> Losses:
        """Equation (11); only the decoder can do anything about it, for the organ reader is frozen."""
        if not self._draws:
            return Losses()
        losses = {"decoder": self.weight_decoder * adversarial.least_squares(nets["line_critic"](drawn)[0], real=True)}
        if self.weight_background:
            losses["drawn_background"] = self.weight_background * synthesis.outside(drawn, self._organ(nets, drawn, of_cases))
        return losses

    def _organ(self, nets: nn.ModuleDict, drawn: Lines, of_cases: Lines) -> Lines:
        """The organ read off drawn lines, asked at the size of the cases, which its reader knows."""
        height, width = of_cases.shape[-2:]
        return resized(nets["organ"](resized(drawn, height, width)), *drawn.shape[-2:])

    def latents_from(self, count: int, generator: torch.Generator) -> Latents:
        """`count` normal vectors, drawn on the generator's own device."""
        return torch.randn(count, self.latents, generator=generator, device=generator.device)

    def latent_grid(self, side: int, generator: torch.Generator) -> Latents:
        """side * side vectors that differ in two numbers, row by row; the others are drawn once.

        The two run through the quantiles 1 / (2 side), 3 / (2 side), ... of the normal distribution, as for figure 15.
        """
        quantiles = (torch.arange(side, dtype=torch.float64) + 0.5) / side
        steps = torch.special.ndtri(quantiles).float().to(generator.device)
        grid = self.latents_from(1, generator).repeat(side * side, 1)
        grid[:, 0], grid[:, 1] = steps.repeat_interleave(side), steps.repeat(side)
        return grid

    def between(self, first: Latents, second: Latents, steps: int) -> Float[Tensor, "steps batch latents"]:
        """`steps` vectors from one to the other, both included, on the great circle (Shoemake, SIGGRAPH 1985).

        The straight way would pass near the middle of the distribution, where hardly any vector lies.
        """
        cosine = torch.cosine_similarity(first, second, dim=1)[:, None].clamp(-1, 1)
        angle = cosine.arccos().clamp(1e-4, torch.pi - 1e-4)
        shares = torch.linspace(0, 1, steps, device=first.device)[:, None, None]
        return (((1 - shares) * angle).sin() * first + (shares * angle).sin() * second) / angle.sin()

    @torch.no_grad()
    def decode(self, nets: nn.ModuleDict, latents: Latents) -> Float[Tensor, "count 1 height width"]:
        """Line maps of latent vectors, as probabilities."""
        return _decoder(nets).of_normal(latents.to(next(nets["decoder"].parameters()).device))

    @torch.no_grad()
    def sample_lines(
        self, nets: nn.ModuleDict, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "count 1 height width"], Float[Tensor, " count"]]:
        """Line maps of fresh vectors as probabilities, and the critic's mean score of each (1: real)."""
        drawn = self.decode(nets, self.latents_from(count, generator))
        return drawn, nets["line_critic"](drawn)[0].mean(dim=(1, 2, 3))

    @torch.no_grad()
    def measure(self, nets: nn.ModuleDict, batch: CaseBatch) -> dict[str, Tensor]:
        """score: mean Dice of the lines given back (from the mean vector). Then how normal the vectors are, and how drawn maps
        compare with the batch's: share of lines, mean difference of two maps, brightness outside the organ read off them."""
        lines = resized(batch["lines"], self.size_px, self.size_px)
        mean, logvar = nets["encoder"](lines)
        drawn, scores = self.sample_lines(nets, max(len(lines), 2), torch.Generator().manual_seed(0))
        found = {
            "score": synthesis.hard_dice(nets["decoder"](mean), lines).mean(),
            "latent_mean": mean.mean(),
            "latent_deviation": (mean.var(unbiased=False) + logvar.exp().mean()).sqrt(),  # of the mixture of all vectors
            "critic": scores.mean(),
            "line_share_ratio": drawn.mean() / lines.mean().clamp(min=1e-6),
            "difference_ratio": _difference(drawn) / _difference(lines).clamp(min=1e-6),
        }
        if "organ" in nets:
            found["outside"] = synthesis.outside(drawn, (self._organ(nets, drawn, batch["organ"]) > 0.5).float())
        return found

    def alarms(self, scores: Mapping[str, float]) -> list[str]:
        """Of a decoder that draws one map for all noise."""
        ratio = scores.get("difference_ratio", math.inf)
        if ratio >= ALIKE:
            return []
        return [
            f"two drawn line maps differ by {ratio:.2f} of what two real ones do: they are all alike; take prior='fitted', a "
            "smaller weight_decoder, or more steps"
        ]

    @torch.no_grad()
    def pictures(self, nets: nn.ModuleDict, batch: CaseBatch) -> Float[Tensor, "rows 3 height width"]:
        """Lines, the same given back, and a map drawn from noise, side by side."""
        lines = resized(batch["lines"], self.size_px, self.size_px)
        given_back = nets["decoder"](nets["encoder"](lines)[0])
        drawn, _ = self.sample_lines(nets, len(lines), torch.Generator().manual_seed(0))
        return torch.cat([lines, given_back, drawn], dim=-1).expand(-1, 3, -1, -1)


def _decoder(nets: nn.ModuleDict) -> LineDecoder:
    return cast(LineDecoder, nets["decoder"])


def _difference(lines: Lines) -> Tensor:
    """Mean absolute difference of each map and the next one of the batch."""
    return (lines - lines.roll(1, dims=0)).abs().mean()


SOURCE = Source(
    "Synthesis of Multimodal Medical Images Based on GAN, Qu, thesis, Sun Yat-sen University", 2020, "line maps", "synthesis"
)
PRACTICE = Practice(crop_px=None, batch_size=16, epochs=200)
METHOD = StructureSampler()
_ONES = StructureSampler(
    prior="normal",
    weight_squared=1.0,
    weight_absolute=0.0,
    weight_latent_critic=1.0,
    weight_encoder=1.0,
    weight_moments=0.0,
    weight_line_critic=1.0,
    weight_decoder=1.0,
    size_px=512,
    latents=4096,
    latent_critic="conv",
    critic_style="thesis",
    optimizer=Optimizer(lr=1e-5),
    critic_optimizer=Optimizer(lr=1e-5),
    schedule=Schedule(),
)
VARIANTS = {
    "thesis": _ONES,
    "kl": StructureSampler(weight_encoder=0.0, weight_moments=0.0, weight_divergence=0.01),
    "autoencoder": StructureSampler(weight_decoder=0.0),  # nothing judges what is drawn from noise
    "no-background": StructureSampler(weight_background=0.0),
}
