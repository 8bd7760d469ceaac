"""Tiny registered cases, and frozen networks whose answers can be worked out by hand."""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from chromogen import methods
from chromogen.methods.organ_reader import OrganReader
from chromogen.methods.segmenter import Segmenter
from chromogen.nets.line_codec import LineDecoder
from chromogen.nets.modality_unet import ModalityUNet
from chromogen.tensors import CaseBatch

PRESETS = [*methods.available("synthesis"), *methods.available("reading")]
EVERY = [f"{name}{v}" for name in PRESETS for v in ["", *(f":{v}" for v in methods.variants(name))]]
SIZE = 32


def cases(seed: int = 0, count: int = 2, modalities: int = 2, size: int = SIZE, channels: int = 1) -> CaseBatch:
    generator = torch.Generator().manual_seed(seed)
    organ = torch.zeros(count, 1, size, size)
    organ[..., 4:-4, 4:-4] = 1
    mask = torch.zeros(count, size, size, dtype=torch.int64)
    mask[:, size // 2 : size // 2 + 4, size // 2 - 2 : size // 2 + 3] = 1
    box = torch.tensor([[1.0, size / 2 - 2, size / 2, size / 2 + 3, size / 2 + 4], [0.0, 0, 0, 0, 0]])
    return {
        "images": torch.rand(count, modalities, channels, size, size, generator=generator),
        "lines": (torch.rand(count, 1, size, size, generator=generator) < 0.2).float() * organ,
        "organ": organ,
        "mask": mask,
        "category": torch.arange(count) % 2,
        "boxes": box.repeat(count, 1, 1),
        "index": torch.arange(count),
    }


def small(name: str, **fields: Any) -> Any:
    """A method with widths of 4, at 32 px, for two modalities where it knows several."""
    method = methods.narrowed(methods.load(name), 1000, crop_px=64)
    known = {"size_px": SIZE, "latents": 64, "channels": 1, "modalities": 1 if name.endswith("single") else 2} | fields
    present = {field.name for field in dataclasses.fields(method)}
    return dataclasses.replace(method, **{key: value for key, value in known.items() if key in present})


def frozen(method: Any, modalities: int = 2) -> dict[str, nn.Module]:
    """Fresh networks, frozen, under the names that the method asks for."""
    made = {
        "organ": lambda: OrganReader(width=4).networks()["organ"],
        "decoder": lambda: LineDecoder(SIZE, 64, 4),
        "reader": lambda: Segmenter(modalities=modalities, width=4).networks()["reader"],
        "translator": lambda: ModalityUNet(1, 1, max(modalities, 2), 4, "film"),
    }
    return {name: made[name]().eval().requires_grad_(False) for name in getattr(method, "needs", ())}


def lent(method: Any, seed: int = 0, modalities: int = 2) -> nn.ModuleDict:
    """The method's own networks and the frozen ones beside them."""
    torch.manual_seed(seed)
    nets = method.networks().train()
    for name, network in frozen(method, modalities).items():
        nets[name] = network
    return nets


class Say(nn.Module):
    """A network that answers with a function of what it is given; its one weight, 1, multiplies the answer."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, *given: Any) -> Any:
        found = self.answer(*given)
        return (
            self.weight * found if isinstance(found, Tensor) else tuple(None if f is None else self.weight * f for f in found)
        )


def updates(method: Any, nets: nn.ModuleDict, batch: CaseBatch, progress: float = 0.9) -> list[dict[str, dict[str, Tensor]]]:
    return list(method.step(nets, batch, progress))


def numbers(losses: dict[str, Tensor]) -> dict[str, float]:
    return {term: float(value.detach()) for term, value in losses.items()}


def terms(method: Any, nets: nn.ModuleDict, batch: CaseBatch, progress: float = 0.9) -> set[str]:
    found = updates(method, nets, batch, progress)
    return {f"{player}/{term}" for update in found for player in update for term in update[player]}


# Some variants are the preset in a smaller size: made small they are one method, and are tested once.
DISTINCT = [*{small(name): name for name in reversed(EVERY)}.values()][::-1]
