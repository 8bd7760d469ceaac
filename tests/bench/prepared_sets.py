"""Small prepared sets: phantom brains with lesions, bright squares of two classes, and boxes."""

from pathlib import Path
from typing import Any

import numpy as np

from chromogen.data.cases.prepared import PreparedCase
from chromogen.data.cases.prepared_writer import written_prepared
from chromogen.phantom.anatomy import Brain, draw

SIZE = 32
REAL_SPLITS = ("train",) * 6 + ("val",) * 2 + ("test",) * 3


def brains(root: Path, splits: tuple[str, ...] = REAL_SPLITS, origin: Any = "real", seed: int = 0, size: int = SIZE) -> Path:
    """Two contrasts of phantom brains, one patient a case, label mask."""
    with written_prepared(root, root.name, ("T1", "FLAIR"), "mask", ("none", "lesion"), "CC0", f"hash {seed}") as writer:
        for number, split in enumerate(splits):
            case = draw(Brain(size_px=size, lesion_rate=12.0, lesion_size=2.0), seed, number)
            images = np.stack([case.images[name][None] for name in writer.index.modalities])
            lines = np.zeros((size, size), np.uint8)
            lines[number % 5 + 4 : -6 : 7] = 1
            facts = PreparedCase(f"{origin}-{number}", f"{origin}-{seed}-{number}", split, (1.0, 1.0), origin)
            assert case.mask is not None
            writer.add(facts, images, lines * case.organ, case.organ, (case.mask > 0).astype(np.uint8))
    return root


def squares(root: Path, label: Any, splits: tuple[str, ...] = REAL_SPLITS, origin: Any = "real", size: int = SIZE) -> Path:
    """One modality: a bright square in noise (class 1) or none (class 0), as a category or as boxes."""
    rng = np.random.default_rng(len(splits) + (origin == "synthetic"))
    with written_prepared(root, root.name, ("X",), label, ("none", "square"), "CC0", "hash") as writer:
        for number, split in enumerate(splits):
            image = 0.2 * rng.random((1, 1, size, size))
            x, y = (int(one) for one in rng.integers(4, size - 14, 2))
            if number % 2:
                image[..., y : y + 10, x : x + 10] += 0.7
            boxes = np.array([[1, x, y, x + 10, y + 10]] if number % 2 else np.zeros((0, 5)), np.float32)
            ones = np.ones((size, size), np.uint8)
            facts = PreparedCase(f"{origin}-{number}", f"{origin}-{number}", split, None, origin)
            writer.add(facts, image, 0 * ones, ones, None, number % 2 if label == "category" else None, boxes)
    return root
