import numpy as np
import pytest
import torch

from chromogen.color import H_E_DAB, combine, separate
from chromogen.losses import density


def signed(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32) * 2 - 1


def test_dab_is_the_third_stain_of_separate_under_a_veil() -> None:
    images = signed(0, 2, 3, 5, 7)
    unit = (images.numpy().transpose(0, 2, 3, 1).astype(np.float64) + 1) / 2
    expected = separate((unit + density.VEIL) / (1 + density.VEIL), H_E_DAB, clip=False)[..., 2]
    assert density.of("dab", images).numpy()[:, 0] == pytest.approx(expected, abs=1e-5)


def test_stained_amounts_come_back_up_to_the_veil() -> None:
    amounts = torch.zeros(1, 3, 1, 4)
    amounts[0, 2, 0] = torch.tensor([0.0, 0.1, 0.3, 0.6])
    found = density.of("dab", combine(amounts, H_E_DAB) * 2 - 1)[0, 0, 0]
    assert float(found[0]) == pytest.approx(0, abs=1e-6)
    assert torch.allclose(found, amounts[0, 2, 0], rtol=0.1)


def test_slope_is_finite_in_black_and_reaches_every_colour() -> None:
    for value in (-1.0, -0.999, 0.0, 1.0):
        images = torch.full((1, 3, 4, 4), value, requires_grad=True)
        density.of("dab", images).sum().backward()
        assert images.grad is not None and bool(torch.isfinite(images.grad).all())
        assert 0.01 < float(images.grad.abs().max()) < 0.5 * 0.44 / density.VEIL * 1.7


def test_local_and_whole_by_plain_loops() -> None:
    fake, target = signed(1, 2, 3, 8, 12), signed(2, 2, 3, 8, 12)
    difference = (density.of("dab", fake) - density.of("dab", target)).double().numpy()[:, 0]
    boxes = []
    for size in (2, 4):
        squares = [
            difference[n, top : top + size, left : left + size].mean() ** 2
            for n in range(2)
            for top in range(0, 8, size)
            for left in range(0, 12, size)
        ]
        boxes.append(np.mean(squares))
    assert float(density.local(fake, target, (2, 4))) == pytest.approx(np.mean(boxes), rel=1e-5)
    assert float(density.whole(fake, target)) == pytest.approx(np.mean([d.mean() ** 2 for d in difference]), rel=1e-4)


def test_boxes_larger_than_the_image_are_the_image() -> None:
    fake, target = signed(1, 2, 3, 8, 8), signed(2, 2, 3, 8, 8)
    assert torch.allclose(density.local(fake, target, (64,)), density.whole(fake, target))


def test_the_best_guess_between_two_amounts_is_their_mean() -> None:
    """Stain in one of four places: a squared difference asks for a quarter of it everywhere, an absolute one for none."""
    targets = torch.zeros(4, 3, 16, 16)
    targets[0, 2] = 0.9
    targets = combine(targets, H_E_DAB) * 2 - 1
    guesses = torch.linspace(0, 0.9, 19)
    stain = torch.zeros(19, 3, 16, 16)
    stain[:, 2] = guesses[:, None, None]
    images = combine(stain, H_E_DAB) * 2 - 1
    cost = torch.stack([density.whole(image.expand(4, 3, 16, 16), targets) for image in images])
    assert 0.15 < float(guesses[cost.argmin()]) < 0.3


def test_it_is_float32_under_autocast() -> None:
    fake, target = signed(1, 1, 3, 16, 16), signed(2, 1, 3, 16, 16)
    exact = density.local(fake, target, (4,)) + density.whole(fake, target)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = density.local(fake, target, (4,)) + density.whole(fake, target)
    assert mixed.dtype == torch.float32 and float(mixed) == pytest.approx(float(exact), rel=1e-6)
