"""Random contrast: images from lines and label without any learning, the renderer that every trained one has to beat.

After SynthSeg (Billot et al., Med. Image Anal. 86:102789, 2023): tissues of a label map get random intensities, then come a
bias field, blur and noise, all drawn anew for every case. SynthSeg has maps of tissues; here regions are what lines enclose
inside the organ, and each class of the label is a region of its own. Modalities differ in the intensities and share the
borders, so they are in register by construction.

There is nothing to train: no networks, no players, no terms. `render` works on a fresh value, with an empty ModuleDict; a
training loop has nothing to do and is not needed.

Deviations from SynthSeg
- Intensities are drawn for each region rather than each tissue, and vary smoothly inside it.
- No deformation and no lower resolution: lines and labels stay where they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from scipy import ndimage
from torch import Tensor, nn

from chromogen.losses.energy import compared
from chromogen.method import Player, Practice, Source, Update
from chromogen.nets.modalities import CaseImages, beside_each_other
from chromogen.tensors import CaseBatch


@dataclass(frozen=True)
class RandomContrast:
    """Intensities in [0, 1]. Ranges are from nothing to the number given, drawn for each image."""

    modalities: int = 4
    channels: int = 1
    darkest: float = 0.15  # of a region inside the organ
    brightest: float = 0.95
    texture: float = 0.08  # standard deviation of the smooth variation inside regions
    texture_px: int = 8  # its grain
    bias: float = 0.3  # how much a bias field of the size of the image brightens or darkens, as a factor exp(+-bias)
    blur_px: float = 1.0
    noise: float = 0.04  # standard deviation

    def __post_init__(self) -> None:
        if not (1 <= self.modalities <= 16 and self.channels in (1, 3)):
            raise ValueError(f"random_contrast: 1-16 modalities of 1 or 3 channels, got {self.modalities} of {self.channels}")
        if not 0 <= self.darkest <= self.brightest <= 1:
            raise ValueError(f"random_contrast: 0 <= darkest <= brightest <= 1, got {self.darkest} and {self.brightest}")
        if min(self.texture, self.bias, self.blur_px, self.noise) < 0 or self.texture_px < 1:
            raise ValueError(f"random_contrast: no strength may be negative, and texture_px is at least 1, got {self}")

    @property
    def released(self) -> tuple[str, ...]:
        return ()

    def networks(self) -> nn.ModuleDict:
        """None: an empty ModuleDict."""
        return nn.ModuleDict()

    def players(self) -> dict[str, Player]:
        return {}

    def step(self, nets: nn.ModuleDict, batch: CaseBatch, progress: float) -> Iterator[Update]:
        """Nothing is learned."""
        return iter(())

    @torch.no_grad()
    def render(
        self,
        nets: nn.ModuleDict,
        lines: Float[Tensor, "batch 1 height width"],
        organ: Float[Tensor, "batch 1 height width"],
        label: Float[Tensor, "batch planes height width"],
        generator: torch.Generator,
    ) -> Float[Tensor, "batch modality channel height width"]:
        """Images in [0, 1], on the device of `lines`. `nets` is not looked at.

        label: planes, the first one nothing; none at all (batch, 0, height, width) is allowed. Outside the organ is noise on
        black. Draws are made on the generator's own device, so a CPU generator gives the same images everywhere.
        """
        if lines.shape != organ.shape or label.shape[0] != len(lines) or label.shape[2:] != lines.shape[2:]:
            raise ValueError(
                f"lines, organ and label planes belong to the same cases, got {tuple(lines.shape)}, {tuple(organ.shape)} "
                f"and {tuple(label.shape)}"
            )
        height, width = lines.shape[-2:]
        shape = (len(lines), self.modalities, self.channels)
        regions = torch.stack([_regions(*case) for case in zip(lines, organ, label, strict=True)]).to(lines.device)

        def uniform(*size: int) -> Tensor:
            drawn = torch.rand(size, generator=generator, device=generator.device)
            return drawn.to(lines.device)

        def normal(*size: int) -> Tensor:
            return torch.randn(size, generator=generator, device=generator.device).to(lines.device)

        levels = self.darkest + (self.brightest - self.darkest) * uniform(*shape, int(regions.max()) + 1)
        levels[..., 0] = 0.0  # outside
        flat = regions.flatten(1)[:, None, None].expand(*shape, -1)
        images = levels.gather(3, flat).unflatten(3, (height, width))
        inside = (regions > 0)[:, None, None]

        grain = [max(2, side // self.texture_px) for side in (height, width)]
        images = images + self.texture * uniform(*shape, 1, 1) * inside * _field(normal(*shape, *grain), height, width)
        images = images * (self.bias * _field(2 * uniform(*shape, 3, 3) - 1, height, width)).exp()
        images = _blurred(images, self.blur_px * uniform(*shape, 1, 1))
        images = images + self.noise * uniform(*shape, 1, 1) * normal(*shape, height, width)
        return images.clamp(0, 1)

    @torch.no_grad()
    def measure(self, nets: nn.ModuleDict, batch: CaseBatch) -> dict[str, Tensor]:
        """score: minus the energy distance of cases rendered from the batch's lines; spread: their relative diversity."""
        return compared(self._made_for(nets, batch).flatten(1, 2), batch["images"].flatten(1, 2))

    @torch.no_grad()
    def pictures(self, nets: nn.ModuleDict, batch: CaseBatch) -> Float[Tensor, "rows 3 height width"]:
        """Lines, then the modalities side by side."""
        return torch.cat([batch["lines"].expand(-1, 3, -1, -1), beside_each_other(self._made_for(nets, batch))], dim=-1)

    def _made_for(self, nets: nn.ModuleDict, batch: CaseBatch) -> CaseImages:
        """A case for each of the batch with its segmentation, if it has one; the same at every time."""
        lines, seed = batch["lines"], int(batch["index"].sum())
        label = lines.new_zeros(len(lines), 0, *lines.shape[2:])
        if "mask" in batch:
            label = F.one_hot(batch["mask"]).permute(0, 3, 1, 2).to(lines.dtype)
        return self.render(nets, lines, batch["organ"], label, torch.Generator().manual_seed(seed))


def _regions(
    lines: Float[Tensor, "1 height width"], organ: Float[Tensor, "1 height width"], label: Float[Tensor, "planes height width"]
) -> Int64[Tensor, "height width"]:
    """The number of each pixel's region: 0 outside, then what lines enclose, then the classes of the label.

    A line's own pixels belong to the nearest region, so that lines become borders and not regions. A class covers whatever is
    beneath it inside the organ. A plane that is the same everywhere (an image class) is no region.
    """
    inside = (organ[0] > 0.5).cpu().numpy()
    enclosed, count = ndimage.label(inside & (lines[0] <= 0.5).cpu().numpy())
    if count:
        nearest = ndimage.distance_transform_edt(enclosed == 0, return_distances=False, return_indices=True)
        found = np.where(inside, enclosed[tuple(nearest)], 0)
    else:
        found = inside.astype(np.int64)
    for number, plane in enumerate(label[1:].cpu().numpy(), start=max(count, 1) + 1):
        if plane.min() < plane.max():
            found = np.where((plane > 0.5 * plane.max()) & inside, number, found)
    return torch.from_numpy(found.astype(np.int64))


def _field(coarse: Float[Tensor, "n k c rows columns"], height: int, width: int) -> Float[Tensor, "n k c height width"]:
    """A smooth field through coarse values."""
    smooth = F.interpolate(coarse.flatten(0, 2)[:, None], size=(height, width), mode="bicubic", align_corners=True)
    return smooth.reshape(*coarse.shape[:3], height, width)


def _blurred(
    images: Float[Tensor, "n k c height width"], sigma_px: Float[Tensor, "n k c 1 1"]
) -> Float[Tensor, "n k c height width"]:
    """Each image behind a Gaussian of its own sigma, up to 3 px of reach; the edge repeated."""
    reach = torch.arange(-3, 4, device=images.device)
    taps = torch.exp(-0.5 * (reach / sigma_px.clamp(min=0.05).flatten()[:, None]) ** 2)
    taps = taps / taps.sum(dim=1, keepdim=True)
    planes = F.pad(images.flatten(0, 2)[None], (3, 3, 3, 3), mode="replicate")
    count = len(taps)
    planes = F.conv2d(planes, taps.view(count, 1, 7, 1), groups=count)
    return F.conv2d(planes, taps.view(count, 1, 1, 7), groups=count).reshape(images.shape)


SOURCE = Source(
    "Random contrast, after SynthSeg, Billot et al., Med. Image Anal. 86:102789, 2023", 2023, "lines, no training", "synthesis"
)
PRACTICE = Practice(crop_px=None, batch_size=16, epochs=0)
METHOD = RandomContrast()
VARIANTS = {"small": RandomContrast(modalities=2), "plain": RandomContrast(texture=0.0, bias=0.0, blur_px=0.0, noise=0.0)}
