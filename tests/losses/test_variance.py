import numpy as np
import pytest
import torch

from chromogen.losses.variance import batch_variance


def plain(fake: np.ndarray, target: np.ndarray) -> float:
    """Pixel by pixel, from the definition of a variance."""
    _, channels, height, width = fake.shape
    total = 0.0
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                spreads = []
                for images in (target, fake):
                    values = [float(image[c, i, j]) for image in images]
                    mean = sum(values) / len(values)
                    spreads.append(sum((value - mean) ** 2 for value in values) / len(values))
                total += abs(spreads[0] - spreads[1])
    return total / (channels * height * width)


@pytest.mark.parametrize("images", [2, 3, 5])
def test_equals_a_plain_loop(images: int) -> None:
    rng = np.random.default_rng(images)
    fake, target = rng.uniform(-1, 1, (2, images, 3, 5, 4)).astype(np.float32)
    found = float(batch_variance(torch.from_numpy(fake), torch.from_numpy(target)))
    assert found == pytest.approx(plain(fake, target), abs=1e-6) and found > 0.05


def test_by_hand() -> None:
    """Black and white differ by 2: variance 1, the most there can be. Against equal images the loss is that variance."""
    target = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    grey = torch.zeros(2, 3, 4, 4)
    assert float(batch_variance(grey, target)) == 1.0
    assert float(batch_variance(target, grey)) == 1.0, "too much variety costs as much as too little"
    assert float(batch_variance(-target + 0.3, target)) == pytest.approx(0.0, abs=1e-6), "only the spread counts"


def test_one_image_gives_zero_and_no_gradient() -> None:
    fake, target = torch.rand(1, 3, 4, 4, requires_grad=True), torch.rand(1, 3, 4, 4)
    loss = batch_variance(fake, target)
    loss.backward()
    assert float(loss.detach()) == 0.0 and float(fake.grad.abs().max()) == 0.0


def test_gradient_pushes_equal_images_apart_once_they_differ() -> None:
    fake = torch.tensor([-0.1, 0.1]).view(2, 1, 1, 1).expand(2, 3, 2, 2).clone().requires_grad_()
    target = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    batch_variance(fake, target).backward()
    assert bool((fake.grad[0] > 0).all()) and bool((fake.grad[1] < 0).all())  # a step against it widens the gap


def test_bfloat16_is_summed_in_float32() -> None:
    fake = torch.rand(4, 3, 4, 4).bfloat16()
    assert batch_variance(fake, torch.zeros(4, 3, 4, 4)).dtype == torch.float32
