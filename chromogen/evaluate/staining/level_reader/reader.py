"""A trained reader of HER2 levels: a linear model that fits in a page of JSON, and how it reads real and generated images."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64

from chromogen.config import from_fields, to_fields
from chromogen.evaluate.agreement import Confusion, confusion
from chromogen.evaluate.staining.level_reader.features import VERSION, feature_names
from chromogen.files import write_json

FORMAT = "chromogen level reader"
LEVELS = (0, 1, 2, 3)  # 3 stands for 3+
Features = Float[np.ndarray, "images features"]
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class LevelModel:
    """Multinomial logistic regression: softmax(coefficients @ (x - mean) / scale + intercepts), a row a level.

    Values beyond what training images showed (`low` to `high` of each feature) count as the nearest value that was shown: a
    linear model must not grow surer the stranger an image is. levels: those it can read, lowest first. Fields that do not fit
    together are a ValueError.
    """

    levels: tuple[int, ...]
    mean: Numbers
    scale: Numbers
    low: Numbers
    high: Numbers
    coefficients: tuple[Numbers, ...]
    intercepts: Numbers

    def __post_init__(self) -> None:
        if len(self.levels) < 2 or any(one not in LEVELS for one in self.levels) or sorted({*self.levels}) != [*self.levels]:
            raise ValueError(f"a level reader reads two or more of the levels 0, 1, 2, 3, lowest first; got {self.levels}")
        lengths = {"coefficients": len(self.levels), "intercepts": len(self.levels)}
        lengths |= dict.fromkeys(("mean", "scale", "low", "high"), len(feature_names()))
        for name, expected in lengths.items():
            if len(getattr(self, name)) != expected:
                raise ValueError(f"{name} of a level reader: expected {expected} entries, got {len(getattr(self, name))}")
        if any(len(row) != len(feature_names()) for row in self.coefficients):
            raise ValueError(f"coefficients of a level reader: expected {len(feature_names())} numbers in every row")
        rows = (self.mean, self.scale, self.low, self.high, self.intercepts, *self.coefficients)
        if not all(math.isfinite(value) for row in rows for value in row):
            raise ValueError("a level reader holds a number that is not finite; train it again")
        if min(self.scale) <= 0 or any(low > high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("a level reader needs scales above 0, and low <= high for every feature")

    def probabilities(self, rows: Features) -> Float[np.ndarray, "images levels"]:
        seen = np.clip(checked(rows), self.low, self.high)
        logits = (seen - np.array(self.mean)) / np.array(self.scale) @ np.array(self.coefficients).T + np.array(self.intercepts)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def read(self, rows: Features) -> Int64[np.ndarray, " images"]:
        return np.array(self.levels, dtype=np.int64)[self.probabilities(rows).argmax(axis=1)]


@dataclass(frozen=True)
class LevelReader:
    """A model, what it was trained on and how well it reads images it did not see.

    version, features: of the features it reads; others than this chromogen measures are a ValueError. images: how many showed
    each of the model's levels. contents: `content_hash` of the training images, where known. cross_validated: counts of real
    (row) against read (column) levels 0 to 3 of the training images, each read by a model that saw no image of its fold;
    empty where that was not possible. folds_by: what stayed in one fold. notes: what limits this reader, in words.
    """

    version: int
    features: tuple[str, ...]
    model: LevelModel
    images: tuple[int, ...]
    cross_validated: tuple[tuple[int, ...], ...]
    folds_by: Literal["slide", "image", ""]
    contents: tuple[str, ...]
    notes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.version != VERSION or self.features != feature_names():
            raise ValueError(
                f"this level reader reads features of version {self.version}, this chromogen measures version {VERSION}; "
                "train the reader again on the same real images"
            )
        if len(self.images) != len(self.levels) or min(self.images) < 2:
            raise ValueError(f"a level reader learned each of its levels from two images or more, got {self.images}")
        sides = [len(row) for row in self.cross_validated]
        if sides not in ([], [len(LEVELS)] * len(LEVELS)) or any(count < 0 for row in self.cross_validated for count in row):
            raise ValueError("cross_validated of a level reader is a 4 x 4 table of counts, or empty")

    @property
    def levels(self) -> tuple[int, ...]:
        """The levels it can read, lowest first. An image of another level is always read wrong."""
        return self.model.levels

    @property
    def out_of_fold(self) -> Confusion | None:
        """The cross-validated scores on the training images; None where cross-validation was not possible."""
        return Confusion(LEVELS, np.array(self.cross_validated, dtype=np.int64)) if self.cross_validated else None

    def probabilities(self, rows: Features) -> Float[np.ndarray, "images levels"]:
        """Probability of each of `self.levels`, from one row of features an image. Rows sum to 1."""
        return self.model.probabilities(rows)

    def read(self, rows: Features) -> Int64[np.ndarray, " images"]:
        """The likeliest level of each image; the lower of two that are equally likely."""
        return self.model.read(rows)

    def strangeness(self, rows: Features) -> Float[np.ndarray, " images"]:
        """Share of each image's features that lie beyond all training images: 0 for these, near 1 for nothing like IHC."""
        rows = checked(rows)
        return np.mean((rows < np.array(self.model.low)) | (rows > np.array(self.model.high)), axis=1)

    def save(self, path: Path) -> None:
        write_json(path, {"format": FORMAT, **to_fields(self)})  # type: ignore[dict-item]


def load(path: Path) -> LevelReader:
    """The reader in a JSON file that `save` wrote. ValueError for anything else: nothing in it is taken on trust."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a level reader: it is not JSON ({error})") from error
    if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
        raise ValueError(f'{path} is not a level reader; one is JSON with the entry "format": "{FORMAT}"')
    missing = [field.name for field in fields(LevelReader) if field.name not in found]
    if isinstance(model := found.get("model"), dict):
        missing += [f"model.{field.name}" for field in fields(LevelModel) if field.name not in model]
    if missing:
        raise ValueError(f"{path} is an incomplete level reader: there is no {', '.join(missing)}")
    try:
        reader: LevelReader = from_fields(LevelReader, found)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from error
    return reader


@dataclass(frozen=True)
class Reading:
    """How a reader read one set of images: counts of levels, and how unlike any training image they are (mean strangeness).

    without_level: images whose slide's level is not known; they are in no other number.
    """

    confusion: Confusion
    strangeness: float
    without_level: int

    @property
    def accuracy(self) -> float:
        return self.confusion.accuracy

    @property
    def balanced_accuracy(self) -> float:
        return self.confusion.balanced_accuracy

    @property
    def kappa(self) -> float:
        """Quadratic: reading 3+ as 1+ counts four times reading it as 2+."""
        return self.confusion.kappa("quadratic")


def reading(reader: LevelReader, rows: Features, levels: Sequence[int | None]) -> Reading:
    """Read images and compare with the levels of their slides. Numbers of no image at all are NaN."""
    rows = checked(rows)
    if len(rows) != len(levels):
        raise ValueError(f"expected as many levels as images, got {len(levels)} and {len(rows)}")
    known = [k for k, one in enumerate(levels) if one is not None]
    called = reader.read(rows[known]).tolist() if known else []
    strangeness = float(reader.strangeness(rows[known]).mean()) if known else math.nan
    return Reading(confusion([levels[k] for k in known], called, LEVELS), strangeness, len(levels) - len(known))


@dataclass(frozen=True)
class LevelAgreement:
    """The same reader on generated images and, as the ceiling, on real test images. `notes` says what limits the comparison."""

    real: Reading
    generated: Reading
    notes: tuple[str, ...]


def level_agreement(
    reader: LevelReader,
    real_rows: Features,
    real_levels: Sequence[int | None],
    generated_rows: Features,
    generated_levels: Sequence[int | None],
) -> LevelAgreement:
    """Generated images beside the ceiling. Levels are those of the slides, None where unknown.

    Refuse training images among the test images first: `training.refuse_training_images(reader.contents, test)`.
    """
    real, generated = reading(reader, real_rows, real_levels), reading(reader, generated_rows, generated_levels)
    notes = list(reader.notes)
    unread = [str(one) for one in LEVELS if one not in reader.levels and (one in real_levels or one in generated_levels)]
    if unread:
        notes.append(f"the reader never learned level {', '.join(unread)}: images of it are always counted as read wrong")
    if sorted(str(one) for one in real_levels) != sorted(str(one) for one in generated_levels):
        notes.append("the real and the generated images are not of the same levels: compare balanced accuracy, not accuracy")
    return LevelAgreement(real, generated, tuple(notes))


def checked(rows: Features) -> Features:
    """The rows in double precision, or a ValueError: one row of finite features an image."""
    values = np.asarray(rows, dtype=np.float64)
    expected = len(feature_names())
    if values.ndim != 2 or values.shape[1] != expected:
        raise ValueError(f"expected one row of {expected} features an image, got an array of shape {values.shape}")
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        raise ValueError(f"the features of image {broken[0]} are not all finite; measure it again with features()")
    return values
