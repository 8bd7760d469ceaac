"""Lines made ready for the renderer: weak noise inside the organ, between the lines."""

import torch
from torch import Tensor

from chromogen.structure.filters import Values

LOW, HIGH = 0.5, 0.6  # equation (12): z' ~ U(0.5, 0.6)


def fused(lines: Values, organ: Tensor, generator: torch.Generator | None, low: float = LOW, high: float = HIGH) -> Values:
    """s' = s + z' (1 - m) (1 - s), equation (12) with 1 - m = organ: lines stay 1, background 0, the rest is noise.

    Lines are (N, 1, H, W) in [0, 1], organ 0 or 1 of that shape. z' is drawn uniformly from [low, high) with `generator`, on
    the generator's own device, so a CPU generator gives the same noise on every device. None is the noise-free form: z' is
    the middle of the interval, which keeps the brightness the renderer was trained with and lets no noise show through.
    """
    if lines.shape != organ.shape:
        raise ValueError(f"lines and organ must have one shape, got {tuple(lines.shape)} and {tuple(organ.shape)}")
    if not low <= high:
        raise ValueError(f"noise from {low:g} to {high:g} is no interval; low must not be above high")
    if generator is None:
        return lines + (low + high) / 2 * organ * (1 - lines)
    drawn = torch.rand(lines.shape, generator=generator, device=generator.device, dtype=torch.float32)
    noise = (low + (high - low) * drawn).to(device=lines.device, dtype=lines.dtype)
    return lines + noise * organ * (1 - lines)
