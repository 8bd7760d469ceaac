"""SkrGAN: first a sketch out of noise, then an image from the sketch (Zhang et al., MICCAI 2019, arXiv:1908.04346).

A sketch is what Sobel responses, a low pass and closing and opening leave of an image. A generator learns to draw sketches from
noise, a U-Net to render an image from the negative of a sketch: adversarial loss plus the absolute difference to the image
that the sketch was taken from. The renderer is only ever taught on sketches of real images, and sees drawn ones afterwards.
Written from the paper's description; no code was published. All modalities of a case are rendered together, as the planes
of one image.

How the description is read
- Weights of the two terms of the renderer are pix2pix's, 1 and 100; sizes of filters are 3x3.
- The sketch is that of one modality, `sketch_of`; the paper has one modality only.
- Critics are DCGAN's and pix2pix's; the comparison in Qu's thesis, SkrGAN*, has VGG11, adapted.

Ours
- The variant "lines" takes the cases' line maps for sketches, as the comparison in Qu's thesis does: input 1 - s, no noise
  between lines, no label, no registration loss, no training before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from chromogen.losses import adversarial, reconstruction
from chromogen.losses.energy import compared
from chromogen.method import Optimizer, Player, Practice, Schedule, Source, Update
from chromogen.nets.discriminators import PatchDiscriminator
from chromogen.nets.modalities import CaseImages, beside_each_other, joined, separated
from chromogen.nets.modality_unet import ModalityUNet
from chromogen.nets.noise_generators import NoiseCritic, NoiseGenerator, doublings, normal_latents
from chromogen.structure.filters import blur3, minmax, sobel
from chromogen.tensors import CaseBatch, UnitImages

LOW_PASS_PX = 1.0  # sigma of the 3x3 Gaussian
Sketches = Float[Tensor, "batch 1 height width"]


@dataclass(frozen=True)
class SkrGAN:
    size_px: int = 128
    modalities: int = 4
    channels: int = 1
    sketch: Literal["edges", "lines"] = "edges"  # "lines": those of the cases
    sketch_of: int = 0  # number of the modality whose edges are sketched
    latents: int = 100
    sketch_width: int = 64
    width: int = 64  # of the renderer
    critic_width: int = 64
    weight_sketch: float = 1.0
    weight_gan: float = 1.0
    weight_l1: float = 100.0
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule(decay_start=0.5)

    def __post_init__(self) -> None:
        doublings(self.size_px)
        if not all(1 <= width <= 512 for width in (self.width, self.sketch_width, self.critic_width)):
            raise ValueError(f"skrgan: widths are 1-512, got {self}")
        if not (1 <= self.modalities <= 16 and self.channels in (1, 3)):
            raise ValueError(f"skrgan: 1-16 modalities of 1 or 3 channels, got {self.modalities} of {self.channels}")
        if not 0 <= self.sketch_of < self.modalities:
            raise ValueError(f"skrgan: sketch_of is a modality from 0 to {self.modalities - 1}, got {self.sketch_of}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("sketcher", "renderer")

    def networks(self) -> nn.ModuleDict:
        planes = self.modalities * self.channels
        return nn.ModuleDict(
            {
                "sketcher": NoiseGenerator(self.latents, 1, self.size_px, self.sketch_width),
                "sketch_critic": NoiseCritic(1, self.size_px, self.critic_width),
                "renderer": ModalityUNet(1, planes, width=self.width),
                "critic": PatchDiscriminator(planes, self.critic_width, 3, "instance"),
            }
        )

    def players(self) -> dict[str, Player]:
        owned = {"critics": ("sketch_critic", "critic"), "sketcher": ("sketcher",), "renderer": ("renderer",)}
        return {name: Player(networks, self.optimizer, self.schedule) for name, networks in owned.items()}

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        real = joined(batch["images"], self.modalities, self.channels, self.size_px)
        sketches = self.sketches(batch)
        drawn = nets["sketcher"](torch.randn(len(real), self.latents, device=real.device))
        rendered = nets["renderer"](1 - sketches)

        gan = adversarial.cross_entropy
        yield {
            "critics": {
                "sketch_real": self.weight_sketch * gan(nets["sketch_critic"](sketches)[0], real=True),
                "sketch_fake": self.weight_sketch * gan(nets["sketch_critic"](drawn.detach())[0], real=False),
                "real": 0.5 * gan(nets["critic"](2 * real - 1), real=True),
                "fake": 0.5 * gan(nets["critic"](2 * rendered.detach() - 1), real=False),
            }
        }
        yield {
            "sketcher": {"gan": self.weight_sketch * gan(nets["sketch_critic"](drawn)[0], real=True)},
            "renderer": {
                "gan": self.weight_gan * gan(nets["critic"](2 * rendered - 1), real=True),
                "l1": self.weight_l1 * reconstruction.absolute(rendered, real),
            },
        }

    @torch.no_grad()
    def sketches(self, batch: CaseBatch) -> Sketches:
        """The sketches of a batch at `size_px`, in [0, 1]."""
        if self.sketch == "lines":
            return joined(batch["lines"][:, None], 1, 1, self.size_px)
        images = joined(batch["images"], self.modalities, self.channels, self.size_px)
        return sketched(separated(images, self.modalities)[:, self.sketch_of])

    @torch.no_grad()
    def sample(
        self, nets: nn.ModuleDict, count: int, generator: torch.Generator, category: int | None = None
    ) -> Float[Tensor, "count modality channel height width"]:
        """`count` cases in [0, 1]. Noise is drawn on the generator's own device. It knows no categories: ValueError for one."""
        if category is not None:
            raise ValueError(f"skrgan does not know categories and cannot make category {category}; acgan does")
        device = next(nets["sketcher"].parameters()).device
        drawn = nets["sketcher"](normal_latents(count, self.latents, generator).to(device))
        return separated(nets["renderer"](1 - drawn), self.modalities)

    @torch.no_grad()
    def measure(self, nets: nn.ModuleDict, batch: CaseBatch) -> dict[str, Tensor]:
        """score: minus the energy distance of as many made cases; spread: their diversity over that of the batch.

        rendering_l1: mean absolute difference of images rendered from the sketches of the batch.
        """
        real = joined(batch["images"], self.modalities, self.channels, self.size_px)
        rendered = nets["renderer"](1 - self.sketches(batch))
        found = compared(self._made_for(nets, batch).flatten(1, 2), real)
        return found | {"rendering_l1": reconstruction.absolute(rendered, real)}

    @torch.no_grad()
    def pictures(self, nets: nn.ModuleDict, batch: CaseBatch) -> Float[Tensor, "rows 3 height width"]:
        """Sketch of a case, its modalities as rendered; then a made case."""
        sketches = self.sketches(batch)
        rendered = separated(nets["renderer"](1 - sketches), self.modalities)
        parts = [beside_each_other(images) for images in (rendered, self._made_for(nets, batch))]
        return torch.cat([sketches.expand(-1, 3, -1, -1), *parts], dim=-1)

    def _made_for(self, nets: nn.ModuleDict, batch: CaseBatch) -> CaseImages:
        """As many cases as in the batch, the same at every time."""
        seed = int(batch["index"].sum())
        return self.sample(nets, len(batch["index"]), torch.Generator().manual_seed(seed))


def sketched(images: UnitImages) -> Sketches:
    """Length of the Sobel gradient, low-passed, closed and opened by 3x3 squares; each sketch stretched to [0, 1]."""
    down, right = sobel(images.float().mean(dim=1, keepdim=True))
    smooth = blur3(torch.hypot(down, right), LOW_PASS_PX)
    closed = _eroded(_dilated(smooth))
    return minmax(_dilated(_eroded(closed)))


def _dilated(values: Sketches) -> Sketches:
    return F.max_pool2d(values, 3, stride=1, padding=1)


def _eroded(values: Sketches) -> Sketches:
    return -_dilated(-values)


SOURCE = Source("SkrGAN, Zhang et al., MICCAI 2019, arXiv:1908.04346", 2019, "images", "synthesis")
PRACTICE = Practice(crop_px=None, batch_size=16, epochs=200, ema=0.999)
METHOD = SkrGAN()
VARIANTS = {
    "lines": SkrGAN(sketch="lines"),
    "small": SkrGAN(size_px=32, sketch_width=16, width=8, critic_width=16),
}
