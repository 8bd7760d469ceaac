"""What only sets of images have: distances between distributions, and how a reader of real IHC grades the virtual ones."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chromogen.data.images import read_image
from chromogen.evaluate.distribution.distances import distribution
from chromogen.evaluate.staining.level_reader import reader as level_reader
from chromogen.evaluate.staining.level_reader import training as level_training
from chromogen.evaluate.staining.level_reader.features import features as level_features
from chromogen.judge.image import LEVEL_READER, ImageScore, Row
from chromogen.judge.judging import READER_SUFFIX, Judging, Tools, training_images, training_levels
from chromogen.judge.summary import json_number
from chromogen.levels import LEVELS
from chromogen.tensors import Uint8Image

LEAST = 4  # images below which no distance between sets is printed


def distances(images: Sequence[ImageScore], tools: Tools) -> dict[str, Any]:
    """FID, KID and the like for every extractor; where there are too few images, why there are none."""
    found: dict[str, Any] = {}
    for extractor in tools.extractors:
        real, made = _rows(images, extractor.name)
        if min(len(real), len(made)) < LEAST:
            found[f"note[{extractor.name}]"] = f"{len(made)} images could be described; distances need at least {LEAST}"
            continue
        values = distribution(np.stack(real), np.stack(made), extractor.name)
        found |= {name: json_number(value) if isinstance(value, float) else value for name, value in values.items()}
        found[f"preprocessing[{extractor.name}]"] = extractor.preprocessing
        found |= {f"sha256[{extractor.name}]": extractor.sha256} if extractor.sha256 else {}
    return found


def read_levels(images: Sequence[ImageScore], judging: Judging) -> dict[str, Any]:
    """A reader trained on real IHC grades the virtual images; how it grades the real ones is the ceiling."""
    if judging.training is None:
        return {}
    try:
        reader = level_reader_of(judging.training, judging.seed)
        level_training.refuse_training_images(reader.contents, [image.content for image in images if image.content])
        known = [image for image in images if LEVEL_READER in image.features]
        made = [image for image in known if image.features[LEVEL_READER][0] is not None]
        if not made:
            raise ValueError("no virtual image could be described")
        real, virtual = _rows(known, LEVEL_READER)
        found = level_reader.level_agreement(
            reader, np.stack(real), [i.level for i in known], np.stack(virtual), [i.level for i in made]
        )
    except ValueError as error:
        return {"missing_because": str(error)}
    return {
        "trained_on": sum(reader.images),
        "real": _reading(found.real),
        "virtual": _reading(found.generated),
        "classes": list(LEVELS),
        "notes": list(found.notes),
    }


def level_reader_of(training: Path, seed: int = 0) -> level_reader.LevelReader:
    """The reader in a JSON file, or one trained on the images of a folder whose names carry a level."""
    if training.suffix == READER_SUFFIX:
        return level_reader.load(training)
    paths = training_images(training)
    levels = training_levels(paths)
    if all(level is None for level in levels):
        raise ValueError(
            f"no image in {training} has a HER2 level in its name, so there is nothing to train a level reader with"
        )
    return train_reader((read_image(path) for path in paths), levels, seed)


def train_reader(images: Iterable[Uint8Image], levels: Sequence[int | None], seed: int = 0) -> level_reader.LevelReader:
    """A reader trained on those of the images whose level is known; one image at a time is held."""
    rows, known, contents = [], [], []
    for image, level in zip(images, levels, strict=True):
        if level is not None:
            rows.append(level_features(image))
            known.append(level)
            contents.append(level_training.content_hash(image))
    return level_training.train(np.stack(rows), known, contents=contents, seed=seed)


def _rows(images: Sequence[ImageScore], extractor: str) -> tuple[list[Row], list[Row]]:
    pairs = [image.features[extractor] for image in images if extractor in image.features]
    return [real for _, real in pairs], [made for made, _ in pairs if made is not None]


def _reading(found: level_reader.Reading) -> dict[str, Any]:
    numbers = {name: getattr(found, name) for name in ("accuracy", "balanced_accuracy", "kappa", "strangeness")}
    assert not any(math.isinf(value) for value in numbers.values())
    row = {name: json_number(value) for name, value in numbers.items()}
    return row | {"confusion": found.confusion.counts.tolist(), "without_level": found.without_level}
