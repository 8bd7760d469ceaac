"""Training a level reader on real IHC, and keeping the images it will be judged on out of it."""

import hashlib
from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from jaxtyping import Int64
from sklearn.linear_model import LogisticRegression

from chromogen.evaluate.agreement import confusion
from chromogen.evaluate.staining.level_reader.features import VERSION, feature_names
from chromogen.evaluate.staining.level_reader.reader import LEVELS, Features, LevelModel, LevelReader, checked
from chromogen.tensors import Uint8Image

FOLDS = 5
FEW = 20  # images of a level below which a note says so
STEPS = 5000
SLIDE_LABELS = (
    "a level is the label of a slide; not every image of a 3+ slide shows a 3+ pattern, so even a faultless reader errs"
)


def train(
    rows: Features,
    levels: Sequence[int],
    groups: Sequence[Hashable] | None = None,
    *,
    contents: Sequence[str] | None = None,
    test_contents: Iterable[str] = (),
    prior_variance: float = 0.1,
    seed: int = 0,
) -> LevelReader:
    """A reader from the features of real IHC images, one row an image, and the levels 0-3 of their slides.

    Every level weighs the same, however many images show it. A level of a single image cannot be learned: that image is left
    out and a note says so; fewer than two levels that can are a ValueError. groups: the slide of each image; images of a slide
    resemble each other, and without it the cross-validated scores flatter the reader (a note says so).
    contents, test_contents: `content_hash` of the training and of the test images; one in both is a ValueError.
    prior_variance: of the coefficients of standardised features, scikit-learn's C; smaller is smoother. seed: of the folds.
    """
    rows, known = checked(rows), _checked_levels(levels, len(rows))
    for name, values in (("groups", groups), ("contents", contents)):
        if values is not None and len(values) != len(rows):
            raise ValueError(f"expected one of {name} an image, got {len(values)} for {len(rows)} images")
    if not prior_variance > 0:
        raise ValueError(f"prior_variance must be above 0, got {prior_variance}")
    test_contents = list(test_contents)
    if contents is None and test_contents:
        raise ValueError("test_contents without contents: give the content_hash of every training image as well")
    refuse_training_images(contents or (), test_contents)

    counts = {one: int((known == one).sum()) for one in LEVELS}
    kept = [k for k, one in enumerate(known.tolist()) if counts[one] > 1]
    # Without slides, at least copies of one image stay in one fold.
    units = groups if groups is not None else contents if contents is not None else range(len(rows))
    rows, known, units = rows[kept], known[kept], [units[k] for k in kept]
    notes = _notes(counts, groups is not None, contents is not None)
    folds = _folds(known, units, seed)
    if folds is None:
        notes.append("not cross-validated: every level needs images of two slides")
    counted = () if folds is None else _cross_validated(rows, known, folds, prior_variance)
    model = _fitted(rows, known, prior_variance)
    return LevelReader(
        version=VERSION,
        features=feature_names(),
        model=model,
        images=tuple(counts[one] for one in model.levels),
        cross_validated=counted,
        folds_by="" if folds is None else "image" if groups is None else "slide",
        contents=() if contents is None else tuple(contents),
        notes=tuple(notes),
    )


def content_hash(image: Uint8Image) -> str:
    """What an image shows, as 32 hexadecimal digits: equal for equal pixels, whatever the name and format of the file.

    A picture that was turned, cropped or saved as JPEG is another one.
    """
    if image.dtype != np.uint8 or image.ndim != 3:
        raise ValueError(f"expected uint8 RGB of shape (H, W, 3), got {image.dtype} {image.shape}")
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:32]


def refuse_training_images(contents: Iterable[str], test_contents: Iterable[str]) -> None:
    """ValueError when a test image is also a training image, by `content_hash`: a ceiling on known images is no ceiling."""
    place = {content: k for k, content in enumerate(test_contents)}
    shared = [(k, place[content]) for k, content in enumerate(contents) if content in place]
    if shared:
        raise ValueError(
            f"{len(shared)} training images are also test images, the first being training image {shared[0][0]} and "
            f"test image {shared[0][1]} (counted from 0); train the level reader on other real images"
        )


def _checked_levels(levels: Sequence[int], images: int) -> Int64[np.ndarray, " images"]:
    if len(levels) != images:
        raise ValueError(f"expected one of levels an image, got {len(levels)} for {images} images")
    unknown = sorted({str(one) for one in levels if one not in LEVELS})
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is no HER2 level; the levels are the numbers 0, 1, 2, 3 (3 stands for 3+)")
    counts = [list(levels).count(one) for one in LEVELS]
    if sum(count > 1 for count in counts) < 2:
        found = ", ".join(f"{count} of level {one}" for one, count in zip(LEVELS, counts, strict=True))
        raise ValueError(f"a level reader needs two or more images of at least two levels, got {found}")
    return np.array(levels, dtype=np.int64)


def _notes(counts: dict[int, int], by_slide: bool, known: bool) -> list[str]:
    notes = [SLIDE_LABELS]
    for level, count in counts.items():
        if count < 2:
            notes.append(f"level {level} cannot be read: the training set has {count} images of it, and two are needed")
        elif count < FEW:
            notes.append(f"level {level} was learned from {count} images only; under {FEW}, expect unsteady readings")
    if not by_slide:
        notes.append("slides of the training images are not known: images of one slide are in several folds, which flatters")
    if not known:
        notes.append("contents of the training images are not known: whether a test image is among them was not checked")
    return notes


def _folds(levels: Int64[np.ndarray, " images"], units: Sequence[Hashable], seed: int) -> Int64[np.ndarray, " images"] | None:
    """A fold for each image, at most `FOLDS`: units stay whole, and each level is dealt evenly. None where that fails.

    Each level has units of its own (those with more images of it than of another) in two folds or more, so that no model is
    asked for a level it never saw.
    """
    members: dict[Hashable, list[int]] = {}
    for k, unit in enumerate(units):
        members.setdefault(unit, []).append(k)
    of_level: dict[int, list[Hashable]] = {int(one): [] for one in np.unique(levels)}
    for unit, images in members.items():
        of_level[int(np.bincount(levels[images]).argmax())].append(unit)
    count = min(FOLDS, *(len(owned) for owned in of_level.values()))
    if count < 2:
        return None
    rng = np.random.default_rng(seed)
    folds = np.empty(len(levels), dtype=np.int64)
    for start, owned in enumerate(of_level.values()):
        for turn, at in enumerate(rng.permutation(len(owned))):
            folds[members[owned[at]]] = (start + turn) % count
    return folds


def _cross_validated(
    rows: Features, levels: Int64[np.ndarray, " images"], folds: Int64[np.ndarray, " images"], prior_variance: float
) -> tuple[tuple[int, ...], ...]:
    called = np.empty_like(levels)
    for fold in np.unique(folds):
        inside = folds == fold
        called[inside] = _fitted(rows[~inside], levels[~inside], prior_variance).read(rows[inside])
    return tuple(tuple(row) for row in confusion(levels.tolist(), called.tolist(), LEVELS).counts.tolist())


def _fitted(rows: Features, levels: Int64[np.ndarray, " images"], prior_variance: float) -> LevelModel:
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    # A feature that all images share up to rounding says nothing; divided by its spread of 1e-17 it would.
    scale = np.where(spread > 1e-9 * (1 + np.abs(mean)), spread, 1.0)
    model = LogisticRegression(C=prior_variance, class_weight="balanced", max_iter=STEPS)
    model.fit((rows - mean) / scale, levels)
    coefficients, intercepts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps the log-odds of the second; softmax of (0, odds) is the same model
        coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([[0.0], intercepts])
    return LevelModel(
        levels=tuple(model.classes_.tolist()),
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        low=tuple(rows.min(axis=0).tolist()),
        high=tuple(rows.max(axis=0).tolist()),
        coefficients=tuple(tuple(row) for row in coefficients.tolist()),
        intercepts=tuple(intercepts.tolist()),
    )
