import numpy as np
import pytest
import skimage.color
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.color import H_E
from chromogen.data.images import PairImages
from chromogen.data.pairs.augment import Draws, View, augment, draw_view, restain


def pair(height: int = 12, width: int = 12) -> PairImages:
    """A source whose every pixel is different, and its negative as the target, so that their alignment can be seen."""
    source = np.arange(height * width * 3, dtype=np.uint16).reshape(height, width, 3)
    source = ((source * 7 + source // 256) % 256).astype(np.uint8)
    return PairImages("p", source, 255 - source, 2)


def test_the_eight_views_of_four_pixels() -> None:
    image = np.array([[[1], [2]], [[3], [4]]], dtype=np.uint8).repeat(3, 2)
    seen = {
        (turns, mirrored): View(0, 0, 2, 2, turns, mirrored).of(image)[..., 0].tolist()
        for turns in range(4)
        for mirrored in (False, True)
    }
    assert seen == {
        (0, False): [[1, 2], [3, 4]],
        (1, False): [[2, 4], [1, 3]],
        (2, False): [[4, 3], [2, 1]],
        (3, False): [[3, 1], [4, 2]],
        (0, True): [[2, 1], [4, 3]],
        (1, True): [[4, 2], [3, 1]],
        (2, True): [[3, 4], [1, 2]],
        (3, True): [[1, 3], [2, 4]],
    }


@pytest.mark.parametrize(
    "draws, height, count",
    [
        (Draws(crop_px=None), 12, 8),
        (Draws(crop_px=None), 10, 4),  # not square: the turns that keep the shape
        (Draws(crop_px=None, flip_only=True), 12, 2),
        (Draws(crop_px=None, dihedral=False), 12, 1),
    ],
)
def test_views_come_equally_often(draws: Draws, height: int, count: int) -> None:
    images, rng = pair(height), np.random.default_rng(0)
    seen: dict[bytes, int] = {}
    for _ in range(800):
        made = augment(images, draws, rng)
        assert made.source.shape == images.source.shape
        seen[made.source.tobytes()] = seen.get(made.source.tobytes(), 0) + 1
    assert len(seen) == count
    assert min(seen.values()) > 0.6 * 800 / count
    if draws.flip_only:
        assert images.source[:, ::-1].tobytes() in seen


@settings(max_examples=60, deadline=None)
@given(crop=st.integers(1, 12), height=st.integers(12, 20), width=st.integers(12, 20), seed=st.integers(0, 10**6))
def test_both_images_are_cut_and_turned_alike(crop: int, height: int, width: int, seed: int) -> None:
    images = pair(height, width)
    made = augment(images, Draws(crop_px=crop), np.random.default_rng(seed))
    assert made.source.shape == (crop, crop, 3)
    assert np.array_equal(made.target, 255 - made.source)
    assert (made.name, made.level) == ("p", 2)
    again = augment(images, Draws(crop_px=crop), np.random.default_rng(seed))
    assert np.array_equal(again.source, made.source)


def test_crops_reach_every_place() -> None:
    rng = np.random.default_rng(0)
    views = [draw_view("p", pair(6, 5).source, Draws(crop_px=4), rng) for _ in range(200)]
    assert {(view.top, view.left) for view in views} == {(top, left) for top in range(3) for left in range(2)}


def test_unpaired_targets_are_cut_by_themselves() -> None:
    images = PairImages("p", pair(20, 20).source, pair(16, 30).source)
    rng = np.random.default_rng(0)
    made = [augment(images, Draws(crop_px=6, unpaired=True), rng) for _ in range(20)]
    assert all(one.target is not None and one.target.shape == (6, 6, 3) for one in made)
    places = {draw_view("p", images.source, Draws(crop_px=6, unpaired=True), np.random.default_rng(k)).top for k in range(50)}
    assert len(places) == 15


def test_jitter_changes_the_source_alone() -> None:
    images = pair()
    plain = augment(images, Draws(crop_px=None), np.random.default_rng(3))
    jittered = augment(images, Draws(crop_px=None, stain_jitter=0.3), np.random.default_rng(3))
    assert jittered.target is not None and plain.target is not None
    assert not np.array_equal(jittered.source, plain.source)
    # the target is a view of the target, untouched: its values are a rearrangement
    assert np.array_equal(np.sort(jittered.target, axis=None), np.sort(plain.target, axis=None))


def test_no_change_of_stain_returns_the_same_bytes() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    image[0, 0], image[0, 1] = 0, 255
    assert np.array_equal(restain(image, np.ones(2), np.array([0.8, 0.79, 0.81])), image)


def test_the_target_can_take_the_light_of_the_source() -> None:
    rng = np.random.default_rng(0)
    stained = rng.uniform(0.2, 1.0, (16, 16, 3))
    stained[:, 8:] = 1.0  # glass
    bright, dark = np.array([0.98, 0.97, 0.99]), np.array([0.72, 0.70, 0.71])
    images = PairImages("p", *(np.rint(255 * stained * light).astype(np.uint8) for light in (bright, dark)))
    made = augment(images, Draws(crop_px=None, dihedral=False, same_glass=True), np.random.default_rng(0))
    assert made.target is not None
    assert np.abs(made.target.astype(int) - made.source.astype(int)).max() <= 2  # rounding of the darker scan
    assert np.array_equal(made.source, images.source)


def test_glass_keeps_its_colour_whatever_happens_to_the_stain() -> None:
    glass = np.array([196, 193, 199], np.uint8)
    image = np.broadcast_to(glass, (8, 8, 3)).copy()
    image[:, :4] = (140, 60, 120)
    made = restain(image, np.array([1.4, 0.6]), glass / 255)
    assert np.array_equal(made[:, 4:], image[:, 4:]) and not np.array_equal(made[:, :4], image[:, :4])


@pytest.mark.parametrize("scale", [(1.2, 0.8), (1.0, 1.0), (0.7, 1.3)])
def test_restaining_against_scikit_image(scale: tuple[float, float]) -> None:
    """Pixel by pixel with scikit-image's stain separation, whose density unit is -log10(1e-6) = 6 of ours."""
    rng = np.random.default_rng(0)
    amounts = np.concatenate([rng.uniform(0.05, 0.7, (40, 40, 2)), rng.uniform(0, 0.03, (40, 40, 1))], axis=-1)
    image = np.rint(255 * 10 ** -(amounts @ H_E.matrix)).astype(np.uint8)  # no black pixel, no clipped concentration
    separated = skimage.color.separate_stains(image / 255.0, H_E.inverse) * 6
    # what scikit-image clips at 0 would differ; look only at pixels where it clipped nothing
    unclipped = (separated > 0).all(axis=-1)
    assert unclipped.mean() > 0.4
    separated[..., :2] = separated[..., :2] * scale
    expected = skimage.color.combine_stains(separated / 6, H_E.matrix) * 255
    made = restain(image, np.array(scale), np.ones(3))
    assert np.abs(made - expected)[unclipped & (separated > 0).all(axis=-1)].max() < 0.51


def test_smaller_than_the_crop() -> None:
    with pytest.raises(ValueError, match="p is 12 x 10 px, smaller than crop_px 11; lower crop_px"):
        augment(pair(10, 12), Draws(crop_px=11), np.random.default_rng(0))


def test_unequal_sizes() -> None:
    images = PairImages("p", pair(10, 12).source, pair(12, 12).source)
    with pytest.raises(ValueError, match="p: the source is 12 x 10 px, the target 12 x 12 px"):
        augment(images, Draws(crop_px=4), np.random.default_rng(0))


@pytest.mark.parametrize("field", [{"crop_px": 0}, {"stain_jitter": 1.0}, {"stain_jitter": -0.1}])
def test_impossible_draws(field: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"data.{next(iter(field))} is"):
        Draws(**field)  # type: ignore[arg-type]


def test_impossible_draws_are_refused() -> None:
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match="data.drop_worst is .*; it must be from 0 to below 1"):
            Draws(drop_worst=share)
    for fields in ({"sampling": "weighted"}, {"drop_worst": 0.1}):
        with pytest.raises(ValueError, match="judge a source and its target together, and data.unpaired parts them"):
            Draws(unpaired=True, **fields)
