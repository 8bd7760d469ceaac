import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from chromogen.losses import contrast


def plain(fake: np.ndarray, target: np.ndarray, octaves: int, window_px: int) -> float:
    """The definition in loops."""
    found = []
    for octave in range(octaves):
        for axis in (2, 3):
            steps = [np.abs(np.diff(image, axis=axis)) for image in (fake, target)]
            height, width = (min(window_px >> octave, side) for side in steps[0].shape[2:])
            apart = [
                abs(a[n, c, y : y + height, x : x + width].mean() - b[n, c, y : y + height, x : x + width].mean())
                for a, b in [steps]
                for n in range(a.shape[0])
                for c in range(a.shape[1])
                for y in range(0, a.shape[2] - height + 1, max(1, height // 2))
                for x in range(0, a.shape[3] - width + 1, max(1, width // 2))
            ]
            found.append(np.mean(apart))
        n, c, h, w = fake.shape
        fake, target = (image.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5)) for image in (fake, target))
    return float(np.mean(found))


@pytest.mark.parametrize(("octaves", "window"), [(1, 8), (3, 16), (2, 64)])
def test_equals_plain_loops(octaves: int, window: int) -> None:
    fake, target = np.random.default_rng(0).uniform(-1, 1, (2, 2, 3, 32, 40))
    found = contrast.local(torch.from_numpy(fake), torch.from_numpy(target), octaves, window)
    assert float(found) == pytest.approx(plain(fake, target, octaves, window), rel=1e-5)


def test_a_displaced_image_costs_less_than_a_blurred_one_and_l1_says_the_opposite() -> None:
    whole = gaussian_filter(np.random.default_rng(0).standard_normal((3, 160, 160)), (0, 1.5, 1.5))
    whole /= np.abs(whole).max()
    target, displaced = whole[None, :, 16:144, 16:144], whole[None, :, 22:150, 10:138]
    blurred = gaussian_filter(target, (0, 0, 4, 4))
    here, there, soft = (torch.from_numpy(np.ascontiguousarray(image)) for image in (target, displaced, blurred))
    assert float(contrast.local(there, here, 3, 64)) < 0.2 * float(contrast.local(soft, here, 3, 64))
    assert float((there - here).abs().mean()) > 1.2 * float((soft - here).abs().mean())


def test_no_difference_costs_nothing_and_a_flat_image_has_no_slope_that_is_not_a_number() -> None:
    image = torch.rand(1, 3, 32, 32)
    assert float(contrast.local(image, image, 3, 64)) == 0
    flat = torch.zeros(1, 3, 32, 32, requires_grad=True)
    contrast.local(flat, image, 3, 64).backward()
    assert flat.grad is not None and bool(torch.isfinite(flat.grad).all())
