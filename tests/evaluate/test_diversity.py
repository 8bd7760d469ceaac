import numpy as np
import pytest

from chromogen.evaluate.diversity import diversity


def flat(level: int, size: int = 64) -> np.ndarray:
    return np.full((size, size, 3), level, dtype=np.uint8)


def test_equal_images_have_none_and_two_greys_half_their_distance() -> None:
    assert diversity([flat(90)] * 3) == 0
    assert diversity([flat(90), flat(110)]) == pytest.approx(10)


def test_grain_does_not_count() -> None:
    rng = np.random.default_rng(0)
    noisy = [rng.integers(0, 256, (256, 256, 3)).astype(np.uint8) for _ in range(4)]
    assert diversity(noisy) < 10 < np.stack(noisy).std(axis=0).mean()
