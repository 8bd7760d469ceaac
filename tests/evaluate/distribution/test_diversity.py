from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure as metric

from chromogen.evaluate.distribution.diversity import diversity, pairs_across, pairs_within, similarity_of_sets
from chromogen.evaluate.pixels.multiscale import WEIGHTS, scale_weights, scales_that_fit


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


def phantoms(count: int, side: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, (count, side, side)), (0, 2, 2))
    return np.clip(128 + 60 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def by_torchmetrics(x: np.ndarray, y: np.ndarray, scales: int) -> float:
    tensors = [torch.from_numpy(image)[None, None].double() for image in (x, y)]
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    return float(metric(*tensors, data_range=255.0, betas=tuple(weights), normalize="relu"))


@pytest.mark.parametrize(("side", "scales"), [(24, 2), (48, 3), (100, 4), (143, 4)])
def test_means_of_all_pairs_equal_torchmetrics_at_as_many_scales_as_fit(side: int, scales: int) -> None:
    real, fake = phantoms(3, side), phantoms(2, side, 1)
    fake[0] = real[1] // 2 + 40
    found = similarity_of_sets(real, fake)
    assert (found.name, found.pairs) == (f"ms-ssim-{scales}", (6, 1, 3))
    real_fake = np.mean([by_torchmetrics(x, y, scales) for x in real for y in fake])
    real_real = np.mean([by_torchmetrics(*pair, scales) for pair in combinations(real, 2)])
    assert found.real_fake == pytest.approx(real_fake, abs=1e-6)
    assert found.fake_fake == pytest.approx(by_torchmetrics(*fake, scales), abs=1e-6)
    assert found.real_real == pytest.approx(real_real, abs=1e-6)
    assert set(found.named) == {f"ms-ssim-{scales}[{part}]" for part in ("real-fake", "fake-fake", "real-real")}


@pytest.mark.parametrize(
    ("side", "scales"), [(11, 1), (21, 1), (22, 2), (43, 2), (44, 3), (87, 3), (88, 4), (175, 4), (176, 5), (900, 5)]
)
def test_the_coarsest_scale_holds_a_whole_window(side: int, scales: int) -> None:
    assert scales_that_fit(side, 900) == scales_that_fit(900, side) == scales
    assert side // 2 ** (scales - 1) >= 11 and (scales == 5 or side // 2**scales < 11)
    assert sum(scale_weights(scales)) == pytest.approx(1, abs=1e-3)


def test_a_collapsed_generator_is_seen_in_pairs_of_its_own_images() -> None:
    real = phantoms(6, 44)
    collapsed = np.repeat(phantoms(1, 44, 5), 6, axis=0)
    found = similarity_of_sets(real, collapsed)
    assert found.fake_fake == pytest.approx(1) and found.real_real < 0.5
    in_colour = similarity_of_sets(*(np.repeat(images[..., None], 3, axis=3) for images in (real, collapsed)))
    assert in_colour == found


@given(st.integers(2, 60), st.integers(1, 40), st.integers(0, 99))
def test_pairs_are_different_and_all_of_them_when_few(images: int, count: int, seed: int) -> None:
    everything = list(combinations(range(images), 2))
    pairs = [tuple(pair) for pair in pairs_within(images, count, np.random.default_rng(seed)).tolist()]
    assert len(set(pairs)) == len(pairs) == min(count, len(everything)) and set(pairs) <= set(everything)
    across = [tuple(pair) for pair in pairs_across(images, 7, count, np.random.default_rng(seed)).tolist()]
    assert len(set(across)) == len(across) == min(count, 7 * images)
    assert max(i for i, _ in across) < images and max(j for _, j in across) < 7


def test_pairs_of_large_sets_are_unbiased_and_depend_on_the_seed() -> None:
    pairs = pairs_within(10**7, 4000, np.random.default_rng(0))
    assert (pairs[:, 0] < pairs[:, 1]).all() and pairs[:, 1].max() < 10**7
    assert pairs.mean() == pytest.approx(5e6, rel=0.03)
    real, fake = phantoms(12, 22), phantoms(12, 22, 1)
    few = [similarity_of_sets(real, fake, pairs=5, seed=seed) for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2] and few[0].pairs == (5, 5, 5)


@pytest.mark.parametrize(
    ("real", "fake", "sentence"),
    [
        (np.zeros((3, 30, 30)), phantoms(2, 30), "the real images must be at least two, uint8"),
        (phantoms(2, 30), phantoms(1, 30), "the made images must be at least two"),
        (phantoms(2, 30), phantoms(2, 31), "real images are 30x30 px, made ones 31x31 px"),
        (phantoms(2, 10), phantoms(2, 10), "at least 11 px, got 10x10 px"),
    ],
)
def test_other_sets_are_refused(real: np.ndarray, fake: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        similarity_of_sets(real, fake)


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        similarity_of_sets(phantoms(2, 22), phantoms(2, 22), pairs=0)
    with pytest.raises(ValueError, match="1 to 5 scales, got 6"):
        scale_weights(6)
