import pytest
import torch

from chromogen.structure.fusion import fused

LINES = torch.tensor([[1.0, 0, 0], [0, 1, 0]])[None, None]
ORGAN = torch.tensor([[1.0, 1, 0], [1, 1, 0]])[None, None]


def test_equation_12_pixel_by_pixel() -> None:
    found = fused(LINES, ORGAN, torch.Generator().manual_seed(3))
    noise = 0.5 + 0.1 * torch.rand(LINES.shape, generator=torch.Generator().manual_seed(3))
    for row in range(2):
        for column in range(3):
            s, inside, z = (plane[0, 0, row, column] for plane in (LINES, ORGAN, noise))
            background = 1 - inside
            assert found[0, 0, row, column] == pytest.approx(float(s + z * (1 - background) * (1 - s)))
    assert found[0, 0, 0, 0] == 1 and found[0, 0, 0, 2] == 0 and 0.5 <= found[0, 0, 0, 1] < 0.6


def test_noise_is_uniform_and_follows_the_seed() -> None:
    nothing, everywhere = torch.zeros(1, 1, 100, 100), torch.ones(1, 1, 100, 100)
    a, b, c = (fused(nothing, everywhere, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    counts = torch.histc(a, bins=10, min=0.5, max=0.6)
    assert counts.sum() == 10_000 and (counts - 1000).abs().max() < 150


def test_without_noise() -> None:
    assert fused(LINES, ORGAN, None)[0, 0].tolist() == [pytest.approx([1, 0.55, 0]), pytest.approx([0.55, 1, 0])]
    assert torch.equal(fused(LINES, ORGAN, None, low=0, high=0), LINES)


def test_gradients_reach_the_lines() -> None:
    lines = LINES.clone().requires_grad_()
    fused(lines, ORGAN, None).sum().backward()
    assert lines.grad is not None and torch.allclose(lines.grad, 1 - 0.55 * ORGAN)


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="one shape"):
        fused(LINES, ORGAN[..., :2], None)
    with pytest.raises(ValueError, match="no interval"):
        fused(LINES, ORGAN, None, low=0.6, high=0.5)
