"""From noise to line maps that pass: drawn, sorted by filters, and the best of many tries where none passes."""

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy import ndimage
from torch import Tensor

from chromogen.nets.line_codec import Latents, resized
from chromogen.synthesize.parts import Parts


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What counts as a line, and which line maps go on. The published rule: the critic believes it, or its outline and its
    organ agree.

    Ours: a map that has far fewer or far more lines than any real one is never taken, whatever the critic says; and two limits
    that follow the networks (None), because how sure they are depends on how long they were trained: too short, and no pixel
    reaches a fixed limit, or no map.
    """

    level: float | None = None  # probability above which a pixel is line; None: so that drawn maps have as many as real ones
    critic: float | None = None  # at least; 1 is the aim for real maps; None: the median of drawn ones
    outline: float = 0.05  # at most: mean absolute difference of the filled outline and the organ read off the lines
    lines: tuple[float, float] = (0.5, 2.0)  # share of the image that is line, times the lowest and the highest of real maps
    tries: int = 50  # then the best by the critic is taken

    def __post_init__(self) -> None:
        if self.tries < 1 or not 0 <= self.lines[0] <= self.lines[1]:
            raise ValueError(f"filters: tries is at least 1 and lines rises from 0, got {self}")


THESIS = Filters(level=0.5, critic=0.55)
SETTLED_BY = 256  # drawn maps
LEVELS = (0.25, 0.75)  # within which a level is settled: what lies outside is no line, or is one


@dataclass(eq=False)
class Drawn:
    """Line maps that go on. (N, 1, H, W) of 0 and 1; one entry for each in all."""

    lines: Float[Tensor, "count 1 height width"]
    organ: Float[Tensor, "count 1 height width"]
    latents: Float[np.ndarray, "count latents"]
    critic: list[float]
    outline: list[float]
    tries: list[int]
    passed: list[bool]  # False: the best of all tries
    refused: Counter[str] = field(default_factory=Counter)  # reason -> maps


@torch.inference_mode()
def settled(parts: Parts, filters: Filters) -> Filters:
    """The filters with numbers as limits; the same for the same model, whatever is drawn later."""
    generator = torch.Generator().manual_seed(0)
    pixels, scores = [], []
    for _ in range(SETTLED_BY // 32):
        drawn, found = scored(parts, parts.lines_of.latents_from(32, generator))
        pixels.append(drawn.flatten()[:: max(1, drawn.numel() // 2**16)])
        scores.append(found)
    level = torch.cat(pixels).float().quantile(1 - float(np.mean(_shares(parts)))).clamp(*LEVELS)
    return replace(
        filters,
        level=float(level) if filters.level is None else filters.level,
        critic=float(torch.cat(scores).median()) if filters.critic is None else filters.critic,
    )


def scored(parts: Parts, latents: Latents) -> tuple[Float[Tensor, "count 1 height width"], Float[Tensor, " count"]]:
    """Line maps of latent vectors as probabilities, and the critic's mean score of each."""
    drawn = parts.lines_of.decode(parts.sampler.nets, latents)
    return drawn, parts.sampler.nets["line_critic"](drawn)[0].mean(dim=(1, 2, 3))


@torch.inference_mode()
def draw_lines(parts: Parts, filters: Filters, count: int, generator: torch.Generator) -> Drawn:
    """`count` line maps at the size of the cases, from the generator's state alone. The filters are settled ones."""
    assert filters.critic is not None and filters.level is not None
    height, width = parts.prepared.size_px
    low, high = _real_shares(parts, filters)
    kept: dict[int, tuple[Tensor, ...]] = {}
    best: dict[int, tuple[float, tuple[Tensor, ...]]] = {}
    tries = [0] * count
    refused: Counter[str] = Counter()
    for _ in range(filters.tries):
        waiting = [place for place in range(count) if place not in kept]
        if not waiting:
            break
        latents = parts.lines_of.latents_from(len(waiting), generator)
        decoded, scores = scored(parts, latents)
        lines = (resized(decoded, height, width) > filters.level).float()
        organ = (parts.organ.nets["organ"](lines) > 0.5).float()
        shares = lines.mean(dim=(1, 2, 3))
        for row, place in enumerate(waiting):
            tries[place] += 1
            score, share = float(scores[row]), float(shares[row])
            found = (lines[row], organ[row], latents[row].cpu(), scores[row])
            if not low <= share <= high or not bool(organ[row].any()):
                refused["fewer or more lines than any real map"] += 1
                continue
            if place not in best or score > best[place][0]:
                best[place] = (score, found)
            if score >= filters.critic or outline_difference(lines[row, 0], organ[row, 0]) <= filters.outline:
                kept[place] = found
            else:
                refused["neither the critic nor the outline speaks for it"] += 1
    passed = [place in kept for place in range(count)]
    chosen = [kept.get(place) or (best[place][1] if place in best else None) for place in range(count)]
    there = [place for place in range(count) if chosen[place] is not None]
    rows = [chosen[place] for place in there]
    if not rows:
        raise ValueError(
            f"none of {sum(tries)} drawn line maps has as many lines as real ones have; train the stage that draws them longer"
        )
    maps = [row for row in rows if row is not None]
    lines, organ = torch.stack([row[0] for row in maps]), torch.stack([row[1] for row in maps])
    return Drawn(
        lines,
        organ,
        torch.stack([row[2] for row in maps]).numpy(),
        [float(row[3]) for row in maps],
        [outline_difference(one, other) for one, other in zip(lines[:, 0], organ[:, 0], strict=True)],
        [tries[place] for place in there],
        [passed[place] for place in there],
        refused,
    )


def outline_difference(lines: Float[Tensor, "height width"], organ: Float[Tensor, "height width"]) -> float:
    """Mean absolute difference of the organ and the area that the lines enclose, small gaps closed; 0 to 1."""
    drawn = np.pad(lines.cpu().numpy() > 0.5, 3)
    closed = ndimage.binary_closing(drawn, iterations=2)
    filled: UInt8[np.ndarray, "height width"] = ndimage.binary_fill_holes(closed)[3:-3, 3:-3]
    return float(np.abs(filled.astype(float) - organ.cpu().numpy()).mean())


def _real_shares(parts: Parts, filters: Filters) -> tuple[float, float]:
    shares = _shares(parts)
    return filters.lines[0] * min(shares), filters.lines[1] * max(shares)


def _shares(parts: Parts) -> list[float]:
    """Of line pixels in some real maps."""
    lines = parts.prepared.arrays["lines"]
    numbers = parts.prepared.of_split("train")
    some = numbers[np.linspace(0, len(numbers) - 1, min(len(numbers), 256)).round().astype(int)]
    return [float(lines[number].mean()) for number in some]
