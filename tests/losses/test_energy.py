import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from chromogen.losses.energy import compared, energy_distance, relative_spread


def images(count: int, seed: int, side: int = 32, scale: float = 1.0) -> torch.Tensor:
    return torch.rand(count, 2, side, side, generator=torch.Generator().manual_seed(seed)) * scale


def thumbnails(stack: torch.Tensor) -> np.ndarray:
    array = stack.numpy().astype(float)
    n, c, side, _ = array.shape
    cell = side // 16
    return array.reshape(n, c, 16, cell, 16, cell).mean(axis=(3, 5)).reshape(n, -1)


def test_it_equals_scipy() -> None:
    made, real = images(5, 0, scale=0.7), images(4, 1)
    x, y = thumbnails(made), thumbnails(real)
    root = np.sqrt(x.shape[1])
    within = [cdist(a, a).sum() / (len(a) * (len(a) - 1)) for a in (x, y)]
    assert float(energy_distance(made, real)) == pytest.approx((2 * cdist(x, y).mean() - sum(within)) / root, abs=1e-6)
    assert float(relative_spread(made, real)) == pytest.approx(within[0] / within[1], rel=1e-5)
    found = compared(made, real)
    assert found.keys() == {"score", "energy_distance", "spread"} and found["score"] == -found["energy_distance"]


def test_two_grey_images_by_hand() -> None:
    dark, bright = torch.full((1, 1, 8, 8), 0.25), torch.full((1, 1, 8, 8), 0.75)
    assert float(energy_distance(dark, bright)) == pytest.approx(1.0)
    assert float(energy_distance(torch.cat([dark, bright]), torch.cat([dark, bright]))) == pytest.approx(-0.5)
    assert float(relative_spread(torch.cat([dark, dark]), torch.cat([dark, bright]))) == 0


def test_it_is_unbiased_and_tells_distributions_apart() -> None:
    same = torch.stack([energy_distance(images(6, k), images(6, k + 500)) for k in range(60)])
    assert abs(float(same.mean())) < 4 * float(same.std()) / 60**0.5 and bool((same < 0).any())
    assert float(energy_distance(images(6, 0, scale=0.5), images(6, 1))) > 10 * float(same.abs().max())
