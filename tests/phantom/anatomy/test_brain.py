"""Phantom brains: tissues in the order real contrasts have them, lesions where the mask says, contrasts registered."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from chromogen.phantom.anatomy import AnatomyCase, Brain, draw_brain
from chromogen.phantom.anatomy.brain import CONTRASTS


@cache
def case(brain: Brain, number: int, seed: int = 11) -> AnatomyCase:
    return draw_brain(brain, seed, number)


def around(mask: np.ndarray, organ: np.ndarray) -> np.ndarray:
    """2 to 5 pixels outside of a mask, inside the organ."""
    near, far = (ndimage.binary_dilation(mask > 0, iterations=steps) for steps in (2, 5))
    return far & ~near & (organ > 0)


def test_lesions_are_bright_on_flair_and_t2_and_dark_on_t1() -> None:
    seen = 0
    for number in range(10):
        drawn = case(Brain(noise=0.01), number)
        labels, count = ndimage.label(drawn.mask)
        for k in range(1, count + 1):
            inside = labels == k
            if inside.sum() < 8:
                continue
            ring = around(inside, drawn.organ) & ~ndimage.binary_dilation(drawn.mask > 0, iterations=2)
            step = {name: image[inside].mean() - np.median(image[ring]) for name, image in drawn.images.items()}
            assert step["FLAIR"] > 0.15, (number, k)
            assert step["T2"] > 0.10 and step["T1"] < -0.05, (number, k)
            seen += 1
    assert seen > 15


def test_some_lesions_take_up_contrast_medium_and_as_many_as_asked() -> None:
    for share in (0.0, 1.0):
        steps = []
        for number in range(6):
            drawn = case(Brain(enhancing_share=share), number)
            if (drawn.mask > 0).sum() > 12:
                ring = around(drawn.mask, drawn.organ)
                image = drawn.images["T1POST"]
                steps.append(image[drawn.mask > 0].mean() - np.median(image[ring]))
        assert len(steps) >= 3
        assert min(steps) > 0.05 if share else max(steps) < -0.05


def test_contrast_zero_hides_lesions_and_leaves_the_mask() -> None:
    shown, hidden, none = (
        case(Brain(lesion_contrast=strength, lesion_rate=rate), 2) for strength, rate in ((1.0, 6.0), (0.0, 6.0), (1.0, 0.0))
    )
    assert shown.mask.any() and np.array_equal(shown.mask, hidden.mask) and not none.mask.any()
    for name in CONTRASTS:
        assert np.array_equal(hidden.images[name], none.images[name])
        assert not np.array_equal(shown.images[name], none.images[name])


def test_tissues_keep_their_order_in_every_contrast() -> None:
    """Tissues told apart on T1 and T2 alone: CSF is what T2 shows brightest, white matter what T1 shows brightest."""
    for number in range(6):
        drawn = case(Brain(noise=0.0, shading=0.0, lesion_rate=0.0, size_px=192), number)
        inner = ndimage.binary_erosion(drawn.organ, iterations=3)
        t1, t2, flair = (drawn.images[name] for name in ("T1", "T2", "FLAIR"))
        csf = inner & (t2 > np.quantile(t2[inner], 0.985))
        white = inner & (t1 > np.median(t1[inner]))
        deep = ndimage.distance_transform_edt(drawn.organ) * drawn.spacing_mm
        cortex = (deep > 2.0) & (deep < 2.8) & (t2 < np.quantile(t2[inner], 0.9))  # under the surface, not in a sulcus
        means = {name: [image[tissue].mean() for tissue in (csf, cortex, white)] for name, image in drawn.images.items()}
        for name in ("T1", "T1POST"):
            assert means[name][0] + 0.15 < means[name][1] < means[name][2] - 0.08, name
        assert means["T2"][0] - 0.1 > means["T2"][1] > means["T2"][2] + 0.05
        assert means["FLAIR"][0] + 0.1 < means["FLAIR"][2] < means["FLAIR"][1] - 0.03
        assert flair[csf].mean() < 0.3 and t2[csf].mean() > 0.6


def edges(image: np.ndarray) -> np.ndarray:
    return np.hypot(ndimage.sobel(image, 0), ndimage.sobel(image, 1))


def test_contrasts_show_the_same_edges_in_the_same_place() -> None:
    for number in range(4):
        drawn = case(Brain(noise=0.005, lesion_rate=0.0), number)
        inner = ndimage.binary_erosion(drawn.organ, iterations=4)
        first = edges(drawn.images["T1"])
        for name in ("T1POST", "T2", "FLAIR"):
            other = edges(drawn.images[name])
            in_place = np.corrcoef(first[inner], other[inner])[0, 1]
            shifted = [
                np.corrcoef(first[inner], np.roll(other, step, axis)[inner])[0, 1] for step in (-2, 2) for axis in (0, 1)
            ]
            assert in_place > 0.6 and in_place > max(shifted) + 0.08, name


def test_slices_of_a_patient_fit_together() -> None:
    brain = Brain(slices=6, slice_mm=2.0, lesion_rate=4.0)
    for patient in range(2):
        cases = [case(brain, 6 * patient + cut) for cut in range(6)]
        assert len({drawn.patient for drawn in cases}) == 1 and len({drawn.name for drawn in cases}) == 6
        other = case(brain, 6 * (1 - patient))
        for below, above in pairwise(cases):
            next_to = np.abs(below.images["T2"] - above.images["T2"]).mean()
            assert 0 < next_to < 0.7 * np.abs(below.images["T2"] - other.images["T2"]).mean()
    many = Brain(slices=100)
    assert many.step_mm == pytest.approx(0.5) and case(many, 99).organ.mean() > 0.1


def test_a_tumour_nests_its_tissues_and_only_its_rim_takes_up_contrast_medium() -> None:
    brain = Brain(lesions="tumour", lesion_rate=1.0, noise=0.01)
    for number in range(6):
        drawn = case(brain, number)
        assert set(np.unique(drawn.mask)) == {0, 1, 2, 3, 4}
        touching = {k: set(np.unique(drawn.mask[ndimage.binary_dilation(drawn.mask == k) & (drawn.mask != k)])) for k in (1, 4)}
        assert touching[1] <= {4, 3} and 4 in touching[1]  # necrosis lies within the rim
        assert 3 in touching[4] and 0 not in touching[4]  # and the rim within the solid tumour
        post, flair = drawn.images["T1POST"], drawn.images["FLAIR"]
        rim = post[drawn.mask == 4].mean()
        assert rim > max(post[drawn.mask == k].mean() for k in (1, 2, 3)) + 0.15
        ring = around(drawn.mask, drawn.organ)
        assert flair[drawn.mask > 0].mean() > np.median(flair[ring]) + 0.12
    assert not any(case(Brain(lesions="tumour", lesion_rate=0.0), number).mask.any() for number in range(3))


def test_rate_and_size_are_what_was_asked() -> None:
    def counts(brain: Brain) -> list[int]:
        return [ndimage.label(case(brain, number).mask, np.ones((3, 3)))[1] for number in range(12)]

    few, many = np.mean(counts(Brain(lesion_rate=1.0))), np.mean(counts(Brain(lesion_rate=6.0)))
    assert 0.4 < few < 1.7 and many > 3 * few
    small, large = (np.mean([case(Brain(lesion_size=size), number).mask.sum() for number in range(12)]) for size in (0.6, 1.6))
    assert large > 1.7 * small
