"""Labels in new places: a bank of lesions, varied, and accepted only where the whole lesion lies inside the organ.

Source: section 4.6 of the thesis "Synthesis of Multimodal Medical Images Based on GAN" (Qu, 2020) and its author's code: two
random operations out of four; accepted if no pixel of the label lies in the background; up to 100 tries. Ours: a label that
lies outside is first pushed towards the middle of the organ; and when no try succeeds the answer is None, where that code kept
the last label wherever it lay.

Deviations from the source
- Labels are shrunk, never enlarged; section 4.6 scales them at random.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from chromogen.structure.lesions import Lesion, Move, OrganPixels

SomeLesion = TypeVar("SomeLesion", bound=Lesion)
Operation = Callable[["Placement", np.random.Generator, tuple[int, int]], Move]


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How labels are varied before they are placed. A range holds both its ends."""

    operations: int = 2  # different ones of: turn by any angle, mirror, shift, shrink; all about the middle of the image
    shift_px: tuple[int, int] = (2, 5)  # along each axis, either way
    shrink_px: tuple[int, int] = (2, 7)  # the whole image, and the label with it, becomes smaller by as much
    push_px: int = 12  # how far a label outside the organ is pushed towards its middle before it is given up
    tries: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.operations <= len(OPERATIONS):
            raise ValueError(f"operations is {self.operations}; there are {len(OPERATIONS)}, and each is done once at most")
        for name in ("shift_px", "shrink_px"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} is ({low}, {high}); it must rise from at least 0, such as (2, 5)")
        if self.tries < 1 or self.push_px < 0:
            raise ValueError(f"tries is {self.tries} and push_px {self.push_px}; they must be at least 1 and 0")


def place(
    bank: Sequence[SomeLesion], organ: OrganPixels, rng: np.random.Generator, placement: Placement | None = None
) -> SomeLesion | None:
    """One label of the bank, drawn and varied at random, wholly inside the organ; None if every try failed.

    `organ` is (H, W), true inside. Each try draws a label and its operations anew. The same `rng` gives the same label.
    """
    placement = placement or Placement()
    if not bank:
        raise ValueError("the bank of labels is empty; give it at least one label")
    if organ.ndim != 2:
        raise ValueError(f"the organ of one image must have shape (H, W), got {organ.shape}")
    organ = organ.astype(bool)
    if not organ.any():
        return None
    middle = np.argwhere(organ).mean(axis=0) + 0.5
    for _ in range(placement.tries):
        lesion = bank[int(rng.integers(len(bank)))]
        found = _pushed(lesion.moved(random_move(placement, rng, organ.shape)), organ, middle, placement.push_px)
        if found is not None:
            return found
    return None


def random_move(placement: Placement, rng: np.random.Generator, size: tuple[int, ...]) -> Move:
    """The chosen operations one after the other, as one move, so that a mask is sampled once."""
    height, width = size
    move = Move(np.eye(2), np.zeros(2))
    for number in rng.permutation(len(OPERATIONS))[: placement.operations]:
        move = move.then(OPERATIONS[number](placement, rng, (height, width)))
    return move


def _pushed(lesion: SomeLesion, organ: OrganPixels, middle: np.ndarray, push_px: int) -> SomeLesion | None:
    """The lesion where it is, or as few pixels towards the middle of the organ as it takes, or None."""
    if lesion.inside(organ):
        return lesion
    way = middle - lesion.centre()
    distance = float(np.hypot(*way))
    for step in range(1, min(push_px, int(distance)) + 1):
        rows, columns = np.rint(way * (step / distance)).astype(int)
        aside = lesion.aside(int(rows), int(columns))
        if aside.inside(organ):
            return aside
    return None


def _turned(placement: Placement, rng: np.random.Generator, size: tuple[int, int]) -> Move:
    angle = rng.uniform(0, 2 * math.pi)
    matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return Move.about(np.array(size) / 2, matrix)


def _mirrored(placement: Placement, rng: np.random.Generator, size: tuple[int, int]) -> Move:
    """Left-right or top-bottom."""
    return Move.about(np.array(size) / 2, np.diag([1.0, -1.0] if rng.random() < 0.5 else [-1.0, 1.0]))


def _shifted(placement: Placement, rng: np.random.Generator, size: tuple[int, int]) -> Move:
    low, high = placement.shift_px
    return Move(np.eye(2), rng.integers(low, high + 1, 2) * rng.choice([-1.0, 1.0], 2))


def _shrunk(placement: Placement, rng: np.random.Generator, size: tuple[int, int]) -> Move:
    low, high = placement.shrink_px
    shorter = int(rng.integers(low, high + 1))
    return Move.about(np.array(size) / 2, np.diag([max(1, length - shorter) / length for length in size]))


OPERATIONS: tuple[Operation, ...] = (_turned, _mirrored, _shifted, _shrunk)
