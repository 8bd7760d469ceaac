import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from scipy import stats as scipy_stats
from skimage.color import rgb2hed
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from chromogen.color import DARKEST, H_E_DAB, combine
from chromogen.data.images import read_image
from chromogen.evaluate.staining.level_reader.features import VERSION, feature_names, features
from chromogen.evaluate.staining.level_reader.reader import LevelReader, level_agreement, load, reading
from chromogen.evaluate.staining.level_reader.training import content_hash, refuse_training_images, train
from chromogen.phantom.tissue.phantom import Phantom, draw

COUNT = len(feature_names())
PHANTOM = Phantom(size_px=128, mpp=1.0, white_spread=0.1, stain_spread=0.1)


def measured(image: np.ndarray) -> dict[str, float]:
    return dict(zip(feature_names(), features(image).tolist(), strict=True))


def stained(dab: np.ndarray, haematoxylin: np.ndarray | float = 0.0) -> np.ndarray:
    """A uint8 image of these densities on white glass."""
    amounts = np.stack([np.broadcast_to(haematoxylin, dab.shape), np.zeros_like(dab), dab], axis=-1)
    return np.rint(255 * np.clip(combine(amounts, H_E_DAB), 0, 1)).astype(np.uint8)


def speckled(height: int, width: int, seed: int) -> np.ndarray:
    """Smooth random stain with some white glass at the left edge."""
    rng = np.random.default_rng(seed)
    dab, blue = (ndimage.gaussian_filter(rng.normal(size=(height, width)), 1.5) for _ in range(2))
    glass = np.arange(width) > 4
    return stained(np.maximum(2 * dab, 0) * glass, np.maximum(blue, 0) * glass)


def clouds(each: int = 30, seed: int = 0, apart: float = 1.5, levels: tuple[int, ...] = (0, 1, 2, 3)) -> tuple[Any, list[int]]:
    """Random feature rows; the first three features rise with the level."""
    rng = np.random.default_rng(seed)
    known = [level for level in levels for _ in range(each)]
    rows = rng.normal(size=(len(known), COUNT))
    rows[:, :3] += apart * np.array(known)[:, None]
    return rows, known


@pytest.fixture(scope="module")
def phantoms() -> dict[str, tuple[list[np.ndarray], list[int]]]:
    made = {}
    for role, count, seed in (("train", 60, 0), ("test", 20, 1000)):
        levels = [k % 4 for k in range(count)]
        made[role] = ([draw(PHANTOM, level, seed + k).ihc for k, level in enumerate(levels)], levels)
    return made


# --- the numbers of one image


def test_half_an_image_by_hand() -> None:
    """DAB of density 0.5 on the left half: 4 of 8 columns of tiles are positive, and every number is a half of something."""
    image = stained(np.where(np.arange(64) < 32, 0.5, 0.0) * np.ones((64, 1)))
    found = measured(image)
    exact = {"tissue": 0.5, "dab_root_area_0.2": 0.5**0.5, "dab_root_area_0.4": 0.5**0.5, "dab_root_area_0.6": 0.0}
    exact |= {"dab_tile_area_max": 1.0, "dab_tile_area_median": 0.5, "dab_tile_area_sd": 0.5, "dab_tiles_positive": 0.5}
    assert {name: found[name] for name in exact} == pytest.approx(exact, abs=1e-12)
    close = {"dab_mean": 0.25, "dab_sd": 0.25, "dab_q0.25": 0.0, "dab_q0.9": 0.5, "dab_tile_mean_max": 0.5}
    close |= {"dab_tile_mean_sd": 0.25, "dab_tile_mean_q0.9": 0.5, "haematoxylin_mean": 0.0, "eosin_mean": 0.0}
    assert {name: found[name] for name in close} == pytest.approx(close, abs=0.004)  # of rounding to grey levels
    of_positive = {"dab_0.4_of_positive": 0.5 / 0.501, "dab_0.6_of_positive": 0.0, "dab_mean_of_positive": 0.25 / 0.501}
    assert {name: found[name] for name in of_positive} == pytest.approx(of_positive, abs=0.004)
    channels = {"red_mean": 0.27, "green_mean": 0.57, "blue_mean": 0.78}  # the DAB vector, at 0.5 on a half
    assert {name: 4 * found[name] for name in channels} == pytest.approx(channels, abs=0.01)


def test_black_is_as_dark_as_eight_bits_show() -> None:
    image = np.full((64, 64, 3), 255, dtype=np.uint8)
    image[:32] = (255, 255, 0)
    assert measured(image)["blue_mean"] == pytest.approx(np.log10(1 / DARKEST) / 2, abs=1e-4)


def test_a_single_grey_level_has_no_shape() -> None:
    """One pixel of 4096 a grey level darker has a skewness of 64, and means nothing."""
    image = np.full((64, 64, 3), 255, dtype=np.uint8)
    image[5, 5] = 254
    assert abs(measured(image)["blue_skewness"]) < 0.01


def test_stains_equal_scikit_image_on_white_glass() -> None:
    image = speckled(90, 110, 1)
    found, scale = measured(image), 6.0  # its densities are in units of 6
    planes = {"haematoxylin": 0, "eosin": 1, "dab": 2}
    hed = np.maximum(rgb2hed(image), 0) * scale
    for name, at in planes.items():
        assert found[f"{name}_mean"] == pytest.approx(hed[..., at].mean(), abs=1e-4)
        assert found[f"{name}_sd"] == pytest.approx(hed[..., at].std(), abs=1e-4)
    for q in (0.5, 0.9, 0.98):
        assert found[f"dab_q{q}"] == pytest.approx(np.quantile(hed[..., 2], q), abs=1e-4)
    assert found["haematoxylin_q0.9"] == pytest.approx(np.quantile(hed[..., 0], 0.9), abs=1e-4)
    assert found["dab_root_area_0.4"] ** 2 == pytest.approx(np.mean(hed[..., 2] > 0.4), abs=1e-3)
    expected = np.corrcoef(hed[..., 2].ravel(), hed[..., 0].ravel())[0, 1]
    assert found["dab_with_haematoxylin"] == pytest.approx(expected, abs=0.02)  # drawn a little towards 0
    blue = -np.log10(np.maximum(image[..., 2], 0.5) / 255)
    assert found["blue_skewness"] == pytest.approx(scipy_stats.skew(blue.ravel()), rel=0.03)


def test_texture_by_eigenvalues_of_every_pixel() -> None:
    dab = np.maximum(rgb2hed(speckled(64, 80, 2)), 0)[..., 2] * 6.0
    found = measured(speckled(64, 80, 2))
    for octave in (1, 2, 4):
        smooth = ndimage.gaussian_filter(dab, 1.0, truncate=3.0)
        detail = 10 ** found[f"dab_detail_{octave}px"] - 1e-3
        assert detail == pytest.approx(np.sqrt(np.mean((dab - smooth) ** 2)), rel=1e-3)
        xx = np.diff(smooth, 2, axis=1)[1:-1]
        yy = np.diff(smooth, 2, axis=0)[:, 1:-1]
        xy = (np.roll(smooth, -1, 1) - np.roll(smooth, 1, 1)) / 2
        xy = ((np.roll(xy, -1, 0) - np.roll(xy, 1, 0)) / 2)[1:-1, 1:-1]
        values = np.linalg.eigvalsh(np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2))
        crest = np.where(values.sum(-1) < 0, np.abs(values[..., 0]) - np.abs(values[..., 1]), 0.0)
        assert 10 ** found[f"dab_ridge_mean_{octave}px"] - 1e-3 == pytest.approx(crest.mean(), rel=1e-3)
        assert 10 ** found[f"dab_ridge_q0.98_{octave}px"] - 1e-3 == pytest.approx(np.quantile(crest, 0.98), rel=1e-3)
        bending = np.abs(values).sum(-1).mean()
        assert found[f"dab_ridge_line_{octave}px"] == pytest.approx(crest.mean() / (bending + 1e-3), rel=1e-3)
        dab = dab.reshape(dab.shape[0] // 2, 2, dab.shape[1] // 2, 2).mean((1, 3))


def test_lines_are_told_from_spots_of_the_same_amount() -> None:
    grid = np.arange(128)
    lines = np.exp(-(((grid % 16) - 8) ** 2) / 2.0) * np.ones((128, 1))
    spots = np.exp(-(((grid % 16) - 8) ** 2 + ((grid[:, None] % 16) - 8) ** 2) / 8.0)
    one, other = measured(stained(0.6 * lines)), measured(stained(0.6 * spots * lines.sum() / spots.sum()))
    assert one["dab_mean"] == pytest.approx(other["dab_mean"], rel=0.02)
    assert one["dab_ridge_line_1px"] > 1.5 * other["dab_ridge_line_1px"]


@settings(deadline=None, max_examples=10)
@given(side=st.sampled_from([64, 128, 192]), seed=st.integers(0, 999), turns=st.integers(0, 3), mirror=st.booleans())
def test_turned_and_mirrored_images_answer_alike(side: int, seed: int, turns: int, mirror: bool) -> None:
    image = speckled(side, side, seed)
    other = np.rot90(image[:, ::-1] if mirror else image, turns)
    assert features(other) == pytest.approx(features(image), rel=1e-3, abs=1e-4)


def test_four_copies_side_by_side_have_the_amounts_of_one() -> None:
    image = speckled(128, 128, 3)
    one, four = measured(image), measured(np.tile(image, (2, 2, 1)))
    amounts = [name for name in one if "tile" not in name and "line" not in name]
    assert len(amounts) > 40
    assert {name: four[name] for name in amounts} == pytest.approx({name: one[name] for name in amounts}, abs=0.03)


def test_the_light_of_the_scanner_is_not_seen() -> None:
    """Glass included, all light is dimmed to 70 % and cast: the stain is what it was. A stain twice as strong is not."""
    image = speckled(96, 96, 4)
    dim = np.rint(image * [0.70, 0.68, 0.66]).astype(np.uint8)
    assert features(dim) == pytest.approx(features(image), abs=0.06)
    assert measured(dim)["dab_q0.98"] == pytest.approx(measured(image)["dab_q0.98"], rel=0.03)
    assert measured(dim[..., ::-1])["dab_mean"] < 0.7 * measured(dim)["dab_mean"]


@settings(deadline=None, max_examples=25)
@given(
    height=st.integers(64, 150),
    width=st.integers(64, 150),
    kind=st.sampled_from(["noise", "flat", "two"]),
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    seed=st.integers(0, 99),
)
def test_every_image_has_finite_numbers(height: int, width: int, kind: str, colour: tuple[int, ...], seed: int) -> None:
    image = np.broadcast_to(np.array(colour, dtype=np.uint8), (height, width, 3)).copy()
    if kind == "noise":
        image = np.random.default_rng(seed).integers(0, 256, image.shape, dtype=np.uint8)
    elif kind == "two":
        image[: height // 3] = 255
    before = image.copy()
    found = features(image)
    assert found.shape == (COUNT,) and 40 <= COUNT <= 80 and np.isfinite(found).all()
    assert np.array_equal(image, before)


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((64, 64, 3)), "needs uint8 RGB.*float64"),
        (np.zeros((64, 64), dtype=np.uint8), r"needs uint8 RGB.*\(64, 64\)"),
        (np.zeros((64, 64, 4), dtype=np.uint8), r"needs uint8 RGB.*\(64, 64, 4\)"),
        (np.zeros((63, 80, 3), dtype=np.uint8), "of 64 px or more, got 80x63 px"),
    ],
)
def test_other_images_are_refused(image: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        features(image)


# --- training


@pytest.mark.parametrize("levels", [(0, 1, 2, 3), (0, 3), (1, 2, 3)])
def test_probabilities_equal_scikit_learn(levels: tuple[int, ...]) -> None:
    rows, known = clouds(levels=levels)
    rows, known = rows[7:], known[7:]  # the lowest level is rarer
    rows[:, 5] = 0.1  # a feature without spread
    reader = train(rows, known, prior_variance=0.3)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, class_weight="balanced", max_iter=2000)).fit(rows, known)
    assert reader.levels == levels
    assert reader.images == tuple(known.count(one) for one in levels)
    assert reader.probabilities(rows) == pytest.approx(model.predict_proba(rows), abs=1e-4)
    assert reader.read(rows).tolist() == model.predict(rows).tolist()


def test_beyond_the_training_images_the_nearest_value_counts() -> None:
    rows, known = clouds()
    reader = train(rows, known)
    strange = rows[:4] + 100.0
    assert reader.probabilities(strange) == pytest.approx(np.tile(reader.probabilities(rows.max(axis=0)[None]), (4, 1)))
    assert reader.strangeness(strange).tolist() == [1.0] * 4
    assert reader.strangeness(rows).max() == 0.0
    one = rows[:1].copy()
    one[0, 2] = rows[:, 2].min() - 1
    assert reader.strangeness(one).tolist() == [1 / COUNT]


def test_cross_validation_by_slide_sees_through_learned_slides() -> None:
    """Six images of each slide are nearly copies, and a slide says nothing of its level: only images left in give it away."""
    rng = np.random.default_rng(0)
    slides = np.repeat(np.arange(48), 6)
    rows = rng.normal(size=(48, COUNT))[slides] + 0.01 * rng.normal(size=(288, COUNT))
    known = (slides % 4).tolist()
    by_image, by_slide = train(rows, known, prior_variance=10.0), train(rows, known, slides.tolist(), prior_variance=10.0)
    assert by_image.folds_by == "image" and by_image.out_of_fold.accuracy > 0.9
    assert by_slide.folds_by == "slide" and by_slide.out_of_fold.accuracy < 0.5
    assert by_image.out_of_fold.counts.sum() == by_slide.out_of_fold.counts.sum() == 288
    assert any("slides of the training images are not known" in note for note in by_image.notes)
    assert not any("not known" in note and "slides" in note for note in by_slide.notes)
    contents = [f"{slide}" for slide in slides]
    assert train(rows, known, contents=contents, prior_variance=10.0).cross_validated == by_slide.cross_validated


def test_every_fold_has_seen_every_level() -> None:
    """Two slides of 3+, ten of the others: two folds, and a level that is plain to see is never missed."""
    rows, known = clouds(each=20, apart=0.0)
    for k, level in enumerate(known):
        rows[k, 10 * level : 10 * level + 10] += 8.0
    slides = [f"{level}-{k % (2 if level == 3 else 10)}" for k, level in enumerate(known)]
    for seed in range(5):
        assert train(rows, known, slides, seed=seed).out_of_fold.accuracy == 1.0
    alone = train(rows, known, [f"{level}" for level in known])
    assert alone.out_of_fold is None and alone.cross_validated == () and alone.folds_by == ""
    assert any("not cross-validated" in note for note in alone.notes)


def test_the_seed_decides_the_folds_and_nothing_else() -> None:
    rows, known = clouds(apart=0.4)
    first, again, other = (train(rows, known, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.model == other.model and first.cross_validated != other.cross_validated


def test_few_images_are_said() -> None:
    rows, known = clouds(each=20)
    reader = train(rows[:-19], known[:-19])  # one image of 3+ is left
    assert reader.levels == (0, 1, 2) and reader.images == (20, 20, 20)
    assert any("level 3 cannot be read: the training set has 1 images" in note for note in reader.notes)
    assert any("label of a slide" in note for note in reader.notes)
    few = train(rows[:-1], known[:-1])
    assert any("level 3 was learned from 19 images only" in note for note in few.notes)
    assert not any("learned from" in note for note in train(rows, known).notes)
    found = level_agreement(reader, rows, known, rows, known)
    assert found.real.confusion.recall[3] == 0.0
    assert any("never learned level 3" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"levels": [0] * 8}, "two or more images of at least two levels, got 8 of level 0, 0 of level 1"),
        ({"levels": [0] * 7 + [3]}, "at least two levels, got 7 of level 0.*1 of level 3"),
        ({"levels": [0, 1, 2, 4] * 2}, "4 is no HER2 level"),
        ({"levels": [0, 3, None, 3] * 2}, "None is no HER2 level"),
        ({"levels": [0, 3]}, "one of levels an image, got 2 for 8"),
        ({"groups": ["a"]}, "one of groups an image, got 1 for 8"),
        ({"contents": ["a"]}, "one of contents an image, got 1 for 8"),
        ({"rows": np.zeros((8, 3))}, rf"one row of {COUNT} features.*\(8, 3\)"),
        ({"rows": np.full((8, COUNT), np.nan)}, "features of image 0 are not all finite"),
        ({"test_contents": ["x"]}, "test_contents without contents"),
        ({"contents": [*"abcdefgh"], "test_contents": iter("xyc")}, "1 training images are also.*image 2 and test image 2"),
        ({"prior_variance": 0.0}, "prior_variance must be above 0"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(change: dict[str, Any], sentence: str) -> None:
    given: dict[str, Any] = {"rows": np.random.default_rng(0).normal(size=(8, COUNT)), "levels": [0, 1, 2, 3] * 2}
    assert train(**given).images == (2, 2, 2, 2)
    with pytest.raises(ValueError, match=sentence):
        train(**given | change)


def test_contents_are_pixels_not_files(tmp_path: Path) -> None:
    image = speckled(64, 72, 5)
    for name in ("a.png", "b.bmp"):
        Image.fromarray(image).save(tmp_path / name)
    known = content_hash(image)
    assert [content_hash(read_image(tmp_path / name)) for name in ("a.png", "b.bmp")] == [known, known]
    other = image.copy()
    other[3, 4, 1] ^= 1
    turned = np.asfortranarray(image)
    assert content_hash(turned) == known
    assert len({known, content_hash(other), content_hash(image.reshape(72, 64, 3)), content_hash(image[::-1])}) == 4
    refuse_training_images([known], [content_hash(other)])
    with pytest.raises(ValueError, match="training image 1 and test image 2"):
        refuse_training_images(["x", known], iter(["y", "z", known]))
    with pytest.raises(ValueError, match="expected uint8 RGB"):
        content_hash(image / 255)


# --- reading


def test_agreement_equals_scikit_learn() -> None:
    rows, known = clouds(apart=0.6)
    reader = train(rows, known)
    real, real_levels = clouds(each=11, seed=1, apart=0.6)
    made, made_levels = real[::-1] * 0.8, real_levels[::-1]
    found = level_agreement(reader, real, [*real_levels[:-1], None], made, made_levels)
    assert (found.real.without_level, found.generated.without_level) == (1, 0)
    for side, some, truth in ((found.real, real[:-1], real_levels[:-1]), (found.generated, made, made_levels)):
        called = reader.read(some)
        assert side.confusion.counts.tolist() == metrics.confusion_matrix(truth, called, labels=range(4)).tolist()
        assert side.accuracy == pytest.approx(metrics.accuracy_score(truth, called))
        assert side.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(truth, called))
        assert side.kappa == pytest.approx(metrics.cohen_kappa_score(truth, called, weights="quadratic"))
        assert side.strangeness == pytest.approx(reader.strangeness(some).mean())
    assert any("not of the same levels" in note for note in found.notes)
    assert level_agreement(reader, real, real_levels, made, made_levels).notes == reader.notes
    with pytest.raises(ValueError, match="as many levels as images, got 1 and 44"):
        reading(reader, real, [0])
    empty = reading(reader, real[:1], [None])
    assert np.isnan([empty.accuracy, empty.balanced_accuracy, empty.kappa, empty.strangeness]).all()


def shown(image: np.ndarray, sigma_px: float) -> np.ndarray:
    return np.rint(ndimage.gaussian_filter(image.astype(np.float32), (sigma_px, sigma_px, 0))).astype(np.uint8)


def flat(image: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.rint(image.mean((0, 1))).astype(np.uint8), image.shape)


def test_wrong_stain_lowers_the_scores_and_light_does_not(phantoms: dict[str, tuple[list[np.ndarray], list[int]]]) -> None:
    images, known = phantoms["train"]
    test, levels = phantoms["test"]
    hashes = [[content_hash(image) for image in some] for some in (images, test)]
    reader = train(np.stack([features(image) for image in images]), known, contents=hashes[0], test_contents=hashes[1])
    assert reader.contents == tuple(hashes[0])

    def read(images: list[np.ndarray]) -> tuple[float, float]:
        found = reading(reader, np.stack([features(image) for image in images]), levels)
        return found.accuracy, found.kappa

    accuracy, kappa = read(test)
    assert accuracy >= 0.9 and kappa >= 0.95
    dim = read([np.rint(image * [0.9, 1.0, 1.0]).astype(np.uint8) for image in test])
    assert dim[0] >= accuracy - 0.1
    blurs = [read([shown(image, sigma) for image in test]) for sigma in (1, 2, 4)]
    assert all(found[0] < accuracy - 0.2 and found[1] < kappa for found in blurs)
    assert read([flat(image) for image in test]) == (0.25, 0.0)
    of_1 = [image for image, level in zip(test, levels, strict=True) if level == 1]
    collapsed = [of_1[k % 5] if level == 3 else image for k, (image, level) in enumerate(zip(test, levels, strict=True))]
    assert read(collapsed)[0] <= accuracy - 0.2 and read(collapsed)[1] < 0.6
    swapped = read([test[4 * (k // 4) + 3 - k % 4] for k in range(len(test))])
    assert swapped[0] <= 0.1 and swapped[1] < -0.9


def test_real_images_are_measured(bci_dev: Path) -> None:
    """A patch with 3+ tumour in it stands out; one of fat, cut from another 3+ slide, looks like the patch of the 1+ slide."""
    low, fat, high = (
        measured(read_image(bci_dev / "IHC" / name)) for name in ("00007_test_1+.png", "00011_test_3+.png", "00057_test_3+.png")
    )
    assert high["dab_q0.95"] > 5 * low["dab_q0.95"] and high["dab_ridge_mean_2px"] > low["dab_ridge_mean_2px"] + 0.3
    assert fat["dab_q0.95"] < 1.2 * low["dab_q0.95"]  # the ceiling of slide labels, and no veil of grey glass


# --- files


@pytest.fixture
def reader() -> LevelReader:
    rows, known = clouds(each=6)
    return train(rows, known, contents=[f"{k:032x}" for k in range(24)])


def test_a_saved_reader_reads_the_same(reader: LevelReader, tmp_path: Path) -> None:
    reader.save(tmp_path / "reader.json")
    again = load(tmp_path / "reader.json")
    assert again == reader
    rows, _ = clouds(seed=9)
    assert np.array_equal(again.probabilities(rows), reader.probabilities(rows))
    assert again.probabilities(rows).sum(axis=1) == pytest.approx(1.0)


def changed(at: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(found: dict[str, Any]) -> None:
        *outer, last = at.split(".")
        for name in outer:
            found = found[name]
        if value is KeyError:
            del found[last]
        else:
            found[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (changed("format", "something else"), "is not a level reader"),
        (changed("version", VERSION + 1), f"features of version {VERSION + 1}.*measures version {VERSION}; train"),
        (changed("features", ["dab_mean"]), "train the reader again"),
        (changed("notes", KeyError), "incomplete level reader: there is no notes"),
        (changed("model.low", KeyError), "incomplete level reader: there is no model.low"),
        (changed("extra", 1), "has no field 'extra'"),
        (changed("model.levels", [0]), "two or more of the levels"),
        (changed("model.levels", [0, 2, 1, 3]), "lowest first"),
        (changed("model.levels", [0, 1, 2, 4]), "levels 0, 1, 2, 3"),
        (changed("model.intercepts", [0.0]), "intercepts of a level reader: expected 4 entries, got 1"),
        (changed("model.mean", [0.0]), f"mean of a level reader: expected {COUNT} entries, got 1"),
        (changed("model.coefficients", [[0.0]] * 4), f"expected {COUNT} numbers in every row"),
        (changed("model.coefficients", [[float("nan")] * COUNT] * 4), "not finite"),
        (changed("model.coefficients", [["1"] * COUNT] * 4), "coefficients.*expected float"),
        (changed("model.scale", [0.0] * COUNT), "scales above 0"),
        (changed("model.high", [-1e9] * COUNT), "low <= high"),
        (changed("model.mean", [10**400] * COUNT), "reader.json"),
        (changed("images", [6, 6, 6]), "from two images or more"),
        (changed("cross_validated", [[1, 2], [3, 4]]), "4 x 4 table"),
        (changed("cross_validated", [[-1] * 4] * 4), "4 x 4 table"),
        (changed("folds_by", "patient"), "folds_by"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    reader: LevelReader, tmp_path: Path, change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    path = tmp_path / "reader.json"
    reader.save(path)
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match=sentence):
        load(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x80\x04.", "[" * 100_000, "3"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "reader.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="is not a level reader"):
        load(path)


def test_a_reader_of_other_features_is_refused(reader: LevelReader) -> None:
    with pytest.raises(ValueError, match="train the reader again"):
        replace(reader, version=VERSION + 1)
    with pytest.raises(ValueError, match=f"one row of {COUNT} features"):
        reader.probabilities(np.zeros((2, COUNT - 1)))
