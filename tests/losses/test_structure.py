import numpy as np
import pytest
import torch

from chromogen.color import H_DAB, H_E, combine
from chromogen.losses import density, structure


def dots(seed: int) -> torch.Tensor:
    """A map of round nuclei, (1, 1, 48, 48), 0 to 1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48]
    places = rng.uniform(4, 44, (14, 2))
    return torch.tensor(sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 8) for a, b in places).clip(0, 1)[None, None]).float()


def stained(stains, *amounts: torch.Tensor) -> torch.Tensor:
    return (combine(torch.cat(amounts, 1), stains) * 2 - 1).float()


def test_by_plain_loops() -> None:
    generator = torch.Generator().manual_seed(0)
    fake, source = (torch.rand(2, 3, 24, 40, generator=generator) * 2 - 1 for _ in range(2))
    a, b = (density.of("haematoxylin", image).double().numpy()[:, 0] for image in (fake, source))
    above, below = 0.0, 0.0
    for image in range(2):
        for top in range(0, 24 - 8 + 1, 4):
            for left in range(0, 40 - 8 + 1, 4):
                one, other = (x[image, top : top + 8, left : left + 8].ravel() for x in (a, b))
                covariance = float(np.mean(one * other) - one.mean() * other.mean())
                above += covariance / np.sqrt(one.var() + structure.FAINT**2)
                below += np.sqrt(other.var() + structure.FAINT**2)
    assert float(structure.nuclei(fake, source, 8)) == pytest.approx(1 - above / below, rel=1e-4)


def test_nuclei_in_place_cost_little_moved_or_blurred_away_ones_much() -> None:
    nuclei, others, eosin = dots(0), dots(1), torch.full((1, 1, 48, 48), 0.3)
    source = stained(H_E, 0.8 * nuclei, eosin)

    def cost(amount: torch.Tensor, dab: float = 0.0) -> float:
        return float(structure.nuclei(stained(H_DAB, amount, torch.full_like(amount, dab)), source, 16))

    assert cost(0.4 * nuclei) < 0.1 and cost(0.4 * nuclei, dab=0.4) < 0.15  # less stain, or DAB on top: still there
    assert cost(0.4 * others) > 0.6 and cost(torch.full_like(nuclei, 0.2)) > 0.9


def test_windows_shrink_to_small_images_and_slopes_are_finite_on_flat_ones() -> None:
    flat = torch.zeros(1, 3, 8, 8, requires_grad=True)
    structure.nuclei(flat, torch.zeros(1, 3, 8, 8), 16).backward()
    assert flat.grad is not None and bool(torch.isfinite(flat.grad).all())
