from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from chromogen.config import from_fields, to_fields
from chromogen.structure import filters
from chromogen.structure.lines import DEFAULT, PRESETS, LineMap, lines
from chromogen.structure.organ import organ

PLAIN = LineMap(sigma1=0.01, alpha=0.2, sigma2=0.01, beta=0.0, median=1)  # every step that can be left out


def heads(count: int, side: int = 96, seed: int = 0) -> torch.Tensor:
    """Ellipses with folds and noise on black."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - side / 2
    made = []
    for _ in range(count):
        radius = np.hypot(y / rng.uniform(0.38, 0.45), x / rng.uniform(0.3, 0.42)) / side
        inner = 0.5 + 0.2 * np.sin(y / rng.uniform(3, 5) + np.sin(x / 6)) + 0.02 * rng.normal(size=y.shape)
        made.append(np.where(radius < 1, inner, 0))
    return torch.from_numpy(np.stack(made).clip(0, 1).astype(np.float32))[:, None]


def plain_lines(image: np.ndarray, inside: np.ndarray, settings: LineMap) -> np.ndarray:
    """Algorithm 1 by SciPy, in double precision; also a mask of the pixels that rounding cannot decide differently."""
    down, right = (ndimage.sobel(image.astype(np.float64), axis, mode="mirror") for axis in (0, 1))
    edges = []
    for response in (np.minimum(down, right), np.maximum(down, right)):
        response = (response - response.min()) / np.ptp(response)
        edges.append(ndimage.gaussian_filter(response, settings.sigma1, radius=1, mode="mirror"))
    binary = (edges[0].mean() - edges[0] > settings.alpha) | (edges[1] - edges[1].mean() > settings.alpha)
    grown = ndimage.gaussian_filter(binary.astype(np.float64), settings.sigma2, radius=1, mode="mirror") > settings.beta
    return ndimage.median_filter(grown.astype(np.uint8), settings.median, mode="nearest") * inside


def test_every_step_by_hand() -> None:
    """A bright bottom right corner. Sobel, mirrored at the border, and everything after it, written out."""
    image = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1.0]])[None, None]
    down, right = filters.sobel(image)
    assert down[0, 0].tolist() == [[0, 0, 0, 0], [0, 1, 3, 4], [0, 1, 3, 4], [0, 0, 0, 0]]
    assert right[0, 0].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 3, 3, 0], [0, 4, 4, 0]]
    # smaller one, 0 to 3: row 1 0 1 1 0, row 2 0 1 3 0, mean 6/16; nothing falls 0.2 of 3 below its mean of 1/8: s1 = 0
    # larger one, 0 to 4: rows 0 0 0 0, 0 1 3 4, 0 3 3 4, 0 4 4 0; over 4 its mean is 26/64 = 0.406; above 0.606 are 3/4 and 1
    everywhere = torch.ones_like(image)
    drawn = lines(image, everywhere, PLAIN)
    assert drawn.dtype == torch.float32
    assert drawn[0, 0].tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 1, 0]]
    # at 0.35 above the mean, 0.756, only the ones stay
    ridge = [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 1, 1, 0]]
    assert lines(image, everywhere, replace(PLAIN, alpha=0.35))[0, 0].tolist() == ridge
    # blurred with sigma 0.5 the four neighbours weigh 0.084 > 0.05, the diagonal ones 0.011
    grown = lines(image, everywhere, replace(PLAIN, alpha=0.35, sigma2=0.5, beta=0.05))
    assert grown[0, 0].tolist() == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]]
    # median of 3, border repeated: more than half of nine. Row 0: 0 0 3 5 ones; row 1: 0 2 5 8; row 2: 3 6 8 9; row 3: 7 8 9 9
    cleaned = lines(image, everywhere, replace(PLAIN, alpha=0.35, sigma2=0.5, beta=0.05, median=3))
    assert cleaned[0, 0].tolist() == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]]
    inside = torch.tensor([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0.0]])[None, None]
    assert lines(image, inside, PLAIN)[0, 0].tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_falling_edges_are_drawn_too() -> None:
    """A dark bottom right corner: now the smaller response holds the edge."""
    image = 1 - torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1.0]])[None, None]
    drawn = lines(image, torch.ones_like(image), PLAIN)
    assert drawn[0, 0].tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1], [0, 1, 1, 0]]


def test_line_12_as_printed_leaves_line_11_without_effect() -> None:
    image = heads(1)
    everywhere = torch.ones_like(image)
    thick, literal = (replace(PRESETS["xray"], median=1, blurred_again=again) for again in (True, False))
    unblurred = lines(image, everywhere, replace(thick, sigma2=0.01))
    assert torch.equal(lines(image, everywhere, literal), unblurred)
    assert lines(image, everywhere, thick).sum() > unblurred.sum()


def test_line_14_as_printed_and_the_other_order() -> None:
    image = heads(1)
    inside = organ(image)
    bright = lines(image, inside, replace(PLAIN, gamma=0.5))
    assert bright.any() and not (bright * (image <= 0.5)).any()
    inside[..., ::2] = 0  # a comb: a median after it finds no majority anywhere
    listed, told = (lines(image, inside, replace(PRESETS["brats"], masked_first=first)) for first in (False, True))
    assert listed.sum() > 2 * told.sum() and not (listed * (1 - inside)).any() and not (told * (1 - inside)).any()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_equal_scipy_step_by_step(name: str) -> None:
    images = heads(3, seed=5)
    inside = organ(images)
    drawn = lines(images, inside, PRESETS[name])
    for number in range(3):
        expected = plain_lines(images[number, 0].numpy(), inside[number, 0].numpy(), PRESETS[name])
        assert 100 < expected.sum() < inside[number].sum()
        assert np.abs(drawn[number, 0].numpy() - expected).sum() <= 2  # pixels that rounding decides


PUBLISHED = """
brats    0.01  0.035   0.01  0.0   5
xray     0.4   0.009   0.5   0.05  3
lung_ct  0.4   0.0125  0.3   0.05  7
tianchi  0.4   0.0125  0.3   0.05  5
retina   0.4   0.014   0.3   0.05  5
"""


def test_presets_are_the_published_constants() -> None:
    rows = [line.split() for line in PUBLISHED.split("\n") if line]
    assert [row[0] for row in rows] == list(PRESETS)
    for name, *numbers in rows:
        found = PRESETS[name]
        assert [found.sigma1, found.alpha, found.sigma2, found.beta, found.median] == [float(number) for number in numbers]
        assert found.normalise == "minmax" and found.blurred_again and found.gamma is None and not found.masked_first


def test_beta_does_nothing_in_four_of_five_presets() -> None:
    """A neighbour weighs 0.0038 at sigma 0.3 and 0.084 at 0.5, so that beta 0.05 lets only the latter grow."""
    images = heads(2)
    everywhere = torch.ones_like(images)
    for name, preset in PRESETS.items():
        without = lines(images, everywhere, replace(preset, sigma2=0.01, beta=0.0, median=1))
        same = torch.equal(lines(images, everywhere, replace(preset, median=1)), without)
        assert same == (name != "xray")
        if name == "xray":
            cross = ndimage.binary_dilation(without[0, 0].numpy() > 0)
            np.testing.assert_array_equal(lines(images, everywhere, replace(preset, median=1))[0, 0].numpy() > 0, cross)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    margin=st.integers(0, 6),
    top=st.integers(0, 80),
    left=st.integers(0, 80),
    side=st.integers(1, 15),
)
def test_no_line_in_or_near_a_lesion(seed: int, margin: int, top: int, left: int, side: int) -> None:
    image = heads(1, seed=seed)
    lesion = torch.zeros_like(image)
    lesion[..., top : top + side, left : left + side] = 1
    drawn = lines(image, torch.ones_like(image), replace(DEFAULT, lesion_margin_px=margin, density=0.5), lesion)
    distance = ndimage.distance_transform_edt(lesion[0, 0].numpy() == 0)
    assert drawn.sum() > 100
    assert not (drawn[0, 0].numpy()[distance <= margin]).any()


@pytest.mark.parametrize("normalise", ["minmax", "percentile", "none"])
@pytest.mark.parametrize("density", [0.08, 0.12, 0.15, 0.3])
def test_auto_reaches_its_density(density: float, normalise: str) -> None:
    images = heads(4)
    inside = organ(images)
    lesion = torch.zeros_like(images)
    lesion[..., 40:52, 40:52] = 1
    drawn = lines(images, inside, replace(DEFAULT, density=density, normalise=normalise), lesion)
    free = inside * (1 - filters.dilate(lesion.to(torch.uint8), DEFAULT.lesion_margin_px))
    shares = drawn.sum(dim=(1, 2, 3)) / free.sum(dim=(1, 2, 3))
    assert (shares <= density).all() and (shares > 0.95 * density).all(), shares


def test_auto_draws_no_noise_where_there_is_nothing() -> None:
    flat = torch.full((1, 1, 40, 40), 0.5)
    assert not lines(flat, torch.ones_like(flat)).any()
    step = flat.clone()
    step[..., 20:] = 0.9  # one edge: less than asked for, and all of it
    drawn = lines(step, torch.ones_like(step), replace(DEFAULT, density=0.5))
    columns = drawn[0, 0].any(dim=0).nonzero().flatten().tolist()
    assert set(columns) <= {17, 18, 19, 20, 21, 22} and {19, 20} <= set(columns)


def test_a_batch_is_its_images_one_by_one() -> None:
    images = heads(9, side=200)
    inside = organ(images)
    for preset in (DEFAULT, *PRESETS.values()):
        alone = torch.cat([lines(image[None], mask[None], preset) for image, mask in zip(images, inside, strict=True)])
        assert torch.equal(lines(images, inside, preset), alone)


@pytest.mark.gpu
def test_a_gpu_draws_the_same() -> None:
    images = heads(4)
    inside = organ(images.cuda())
    assert torch.equal(inside.cpu(), organ(images))
    for preset in (DEFAULT, *PRESETS.values()):
        differ = lines(images.cuda(), inside, preset).cpu() != lines(images, inside.cpu(), preset)
        assert differ.float().mean() < 1e-3  # pixels that rounding decides


def test_settings_survive_json_and_refuse_nonsense() -> None:
    for preset in (DEFAULT, *PRESETS.values()):
        assert from_fields(LineMap, to_fields(preset)) == preset
    for wrong, said in (
        ({"alpha": 2.0}, "alpha is 2.0"),
        ({"density": 0.0}, "density is 0.0"),
        ({"outside_percent": 60.0}, "outside_percent"),
        ({"blurred_again": False}, "fixed alpha"),
    ):
        with pytest.raises(ValueError, match=said):
            replace(DEFAULT, **wrong)
