"""What all kinds of phantom anatomy promise: same seed same bytes, any size, ranges, bad knobs."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.config import from_fields, to_fields
from chromogen.phantom.anatomy import Anatomy, AnatomyCase, Brain, Chest, Fundus, LungCT, draw

KINDS: list[Anatomy] = [Brain(), Brain(lesions="tumour", lesion_rate=1.0), Fundus(), Chest(), LungCT()]
MODALITIES = {Brain: ["T1", "T1POST", "T2", "FLAIR"], Fundus: ["colour"], Chest: ["X-ray"], LungCT: ["CT"]}


def assert_same(first: AnatomyCase, second: AnatomyCase) -> None:
    for field in fields(AnatomyCase):
        one, other = getattr(first, field.name), getattr(second, field.name)
        np.testing.assert_equal(one, other)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes_in_any_thread_and_order(kind: Anatomy) -> None:
    kind = replace(kind, size_px=64)
    expected = draw(kind, 7, 3)
    np.random.seed(0)  # global state must not matter
    with ThreadPoolExecutor(3) as pool:
        for again in pool.map(lambda _: draw(kind, 7, 3), range(3)):
            assert_same(expected, again)
    modality = MODALITIES[type(kind)][0]
    drawn = {draw(kind, seed, number).images[modality].tobytes() for seed in (7, 8) for number in range(4)}
    assert len(drawn) == 8


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(KINDS), sixteenths=st.integers(2, 12), seed=st.integers(0, 2**32), number=st.integers(0, 1000))
def test_any_size_gives_images_in_range_and_truth_of_that_size(kind: Anatomy, sixteenths: int, seed: int, number: int) -> None:
    size_px = 16 * sixteenths
    case = draw(replace(kind, size_px=size_px), seed, number)
    assert list(case.images) == MODALITIES[type(kind)]
    for image in case.images.values():
        assert image.dtype == np.float32 and image.shape == (size_px, size_px, *([3] if isinstance(kind, Fundus) else []))
        assert image.min() >= 0 and image.max() <= 1 and image.max() - image.min() > 0.3
    assert case.organ.dtype == np.uint8 and case.organ.shape == (size_px, size_px)
    assert 0.08 < case.organ.mean() < 0.75 and case.organ.max() == 1
    assert case.mask is not None and case.mask.dtype == np.uint8 and case.mask.shape == (size_px, size_px)
    assert not case.mask[case.organ == 0].any() and case.mask.max() <= 4
    if isinstance(kind, Brain | Fundus):
        assert all(not image[case.organ == 0].any() for image in case.images.values())
    if case.boxes is not None:
        assert case.boxes.dtype == np.float32 and case.boxes.shape[1:] == (5,)
    if case.category is not None:
        assert case.category == int(case.mask.any())


@pytest.mark.parametrize("kind", [Brain(), Fundus(), Chest(), LungCT()])
def test_one_seed_is_one_anatomy_at_every_size(kind: Anatomy) -> None:
    for number in range(3):
        small, large = (draw(replace(kind, size_px=size_px), 5, number) for size_px in (96, 192))
        halved = large.organ.reshape(96, 2, 96, 2).mean(axis=(1, 3)) > 0.5
        overlap = 2 * (halved & (small.organ > 0)).sum() / (halved.sum() + small.organ.sum())
        assert overlap > 0.965
        assert small.spacing_mm == pytest.approx(2 * large.spacing_mm)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_survives_a_configuration(kind: Anatomy) -> None:
    assert from_fields(type(kind), to_fields(kind)) == kind


def test_what_cannot_be_drawn_is_said() -> None:
    for size_px in (16, 100, 528):
        with pytest.raises(ValueError, match=f"size_px is {size_px}; it must be a multiple of 16"):
            Chest(size_px=size_px)
    with pytest.raises(ValueError, match=r"Brain\.noise is -0\.1; it must be from 0\.0"):
        Brain(noise=-0.1)
    with pytest.raises(ValueError, match="'white matter' or 'tumour'"):
        Brain(lesions="stroke")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="first must be below"):
        LungCT(window_hu=(400.0, -1000.0))
    with pytest.raises(ValueError, match="from 0 up"):
        draw(Fundus(), -1, 0)
    with pytest.raises(ValueError, match="from 0 up"):
        draw(Brain(), 0, -1)
