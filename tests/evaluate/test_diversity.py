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


def test_sizes_need_not_be_multiples_of_the_grid() -> None:
    ramp = np.broadcast_to(np.arange(100, dtype=np.uint8)[:, None, None], (100, 70, 3))
    assert diversity([ramp, ramp[::-1]]) == pytest.approx(25, rel=0.05)  # |2x - 99| / 2 on average
    with pytest.raises(ValueError, match="smaller"):
        diversity([flat(3, size=20)])
