import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

from chromogen.losses import similarity


def images(seed: int = 0, size: tuple[int, int] = (40, 57)) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth target and a noisy, darker relative of it, signed."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(3, 3, size[0] // 4 + 1, size[1] // 4 + 1, generator=generator) * 2 - 1
    target = torch.nn.functional.interpolate(target, size=size, mode="bilinear")
    return (0.8 * target - 0.1 + 0.1 * torch.randn(target.shape, generator=generator)).clamp(-1, 1), target


def unit(x: torch.Tensor) -> np.ndarray:
    return (x.double().numpy() + 1) / 2


@pytest.mark.parametrize(("window_px", "sigma"), [(11, 1.5), (9, 1.0)])
def test_ssim_equals_scikit_image_away_from_the_border(window_px: int, sigma: float) -> None:
    fake, target = images()
    expected, edge = [], window_px // 2
    for x, y in zip(unit(fake), unit(target), strict=True):
        _, full = structural_similarity(
            x, y, channel_axis=0, data_range=1.0, gaussian_weights=True, sigma=sigma, use_sample_covariance=False, full=True
        )
        expected.append(full[:, edge:-edge, edge:-edge].mean())
    assert float(similarity.ssim(fake, target, window_px, sigma)) == pytest.approx(np.mean(expected), abs=1e-5)


def test_ssim_equals_torchmetrics_away_from_the_border() -> None:
    fake, target = images(1, (64, 48))
    _, full = structural_similarity_index_measure(
        (fake + 1) / 2, (target + 1) / 2, data_range=1.0, sigma=1.5, return_full_image=True
    )
    assert full.shape == fake.shape
    assert float(similarity.ssim(fake, target)) == pytest.approx(float(full[..., 5:-5, 5:-5].mean()), abs=1e-5)


def test_ssim_of_flat_images_is_the_comparison_of_light_alone() -> None:
    """Means 0.75 and 0.25 in [0, 1], no variance: (2 * 0.1875 + C1) / (0.625 + C1)."""
    fake, target = torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), -0.5)
    expected = (2 * 0.75 * 0.25 + 1e-4) / (0.75**2 + 0.25**2 + 1e-4)
    assert float(similarity.ssim(fake, target)) == pytest.approx(expected, abs=1e-5)
    assert float(similarity.structural_dissimilarity(fake, target)) == pytest.approx(1 - expected, abs=1e-5)


def test_equal_images_are_equal_and_a_step_along_the_gradient_makes_them_more_alike() -> None:
    fake, target = images()
    assert float(similarity.structural_dissimilarity(target, target)) == pytest.approx(0, abs=1e-6)
    moving = fake.clone().requires_grad_(True)
    loss = similarity.structural_dissimilarity(moving, target)
    loss.backward()
    assert moving.grad is not None and bool(torch.isfinite(moving.grad).all())
    assert float(similarity.structural_dissimilarity(fake - 10 * moving.grad, target)) < float(loss.detach())


@pytest.mark.parametrize(("window_px", "sigma", "reason"), [(11, 1.5, "larger images"), (10, 1.5, "odd"), (5, 0.0, "sigma")])
def test_impossible_windows_say_so(window_px: int, sigma: float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        similarity.ssim(torch.zeros(1, 3, 10, 20), torch.zeros(1, 3, 10, 20), window_px, sigma)


def test_normalised_frobenius_equals_numpy() -> None:
    fake, target = images()
    expected = [
        np.linalg.norm((x - y).ravel()) / np.linalg.norm(y.ravel()) for x, y in zip(unit(fake), unit(target), strict=True)
    ]
    assert float(similarity.normalised_frobenius(fake, target)) == pytest.approx(np.mean(expected), rel=1e-5)


def test_normalised_frobenius_by_hand() -> None:
    """Targets of 1 and 0.5 everywhere in [0, 1], made images 0.5 and 0.75: ratios 1/2 and 1/2; black targets stay finite."""
    target = torch.tensor([1.0, 0.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    fake = torch.tensor([0.0, 0.5]).view(2, 1, 1, 1).expand(2, 3, 4, 4).clone().requires_grad_(True)
    assert float(similarity.normalised_frobenius(fake, target).detach()) == pytest.approx(0.5, abs=1e-5)
    black = torch.full((1, 3, 4, 4), -1.0, requires_grad=True)
    loss = similarity.normalised_frobenius(black, black.detach())
    loss.backward()
    assert float(loss.detach()) == 0 and black.grad is not None and bool(torch.isfinite(black.grad).all())


def test_normalised_frobenius_of_a_black_target_is_bounded() -> None:
    """White beside black: 1 / 0.1, not 1 / 0."""
    white, black = torch.ones(1, 3, 8, 8, requires_grad=True), torch.full((1, 3, 8, 8), -1.0)
    loss = similarity.normalised_frobenius(white, black)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(10, rel=1e-5) and white.grad is not None and float(white.grad.norm()) < 1


@pytest.mark.parametrize("loss", [similarity.ssim, similarity.normalised_frobenius])
def test_arithmetic_stays_float32_under_autocast(loss) -> None:  # type: ignore[no-untyped-def]
    fake, target = images()
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(fake, target)
    assert inside.dtype == torch.float32 and torch.equal(inside, loss(fake, target))
