import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.structure import placement
from chromogen.structure.blobs import Blob, blob, blobs
from chromogen.structure.lesions import BoxLesion, MaskLesion, Move
from chromogen.structure.placement import Placement, place, random_move

SEEDS = st.integers(0, 2**32 - 1)
BOX = BoxLesion.of(np.array([[1, 20, 22, 28, 30], [0, 0, 0, 0, 0], [2, 30, 30, 33, 34]], dtype=np.float32))


def disc(side: int, radius: float, row: float | None = None, column: float | None = None) -> np.ndarray:
    y, x = np.mgrid[:side, :side] + 0.5
    return np.hypot(y - (side / 2 if row is None else row), x - (side / 2 if column is None else column)) < radius


def mask_with(side: int, top: int, left: int) -> np.ndarray:
    """An L of class 1 with one pixel of class 3."""
    mask = np.zeros((side, side), dtype=np.uint8)
    mask[top : top + 6, left : left + 2] = 1
    mask[top + 4 : top + 6, left : left + 5] = 1
    mask[top, left] = 3
    return mask


@settings(deadline=None, max_examples=80)
@given(seed=SEEDS, radius=st.floats(3, 30), row=st.floats(0, 48), column=st.floats(0, 48), side=st.integers(24, 48))
def test_never_outside_the_organ(seed: int, radius: float, row: float, column: float, side: int) -> None:
    organ = disc(side, radius, row, column)
    masks = [MaskLesion.of(mask_with(side, 8, 8)), MaskLesion.of(mask_with(side, side - 7, 2))]
    rng = np.random.default_rng(seed)
    found = place(masks, organ, rng, Placement(tries=20))
    if found is not None:
        drawn = found.drawn(*organ.shape)
        assert drawn.any() and not drawn[~organ].any() and set(np.unique(drawn)) <= {0, 1, 3}
        assert (drawn > 0).sum() == (found.pixels > 0).sum()  # nothing was cut off at the border
    boxes = place([BoxLesion.of(np.array([[1, 10, 10, 16, 15]]))], organ, rng, Placement(tries=20))
    if boxes is not None:
        _, x0, y0, x1, y1 = boxes.boxes[0]
        assert 0 <= x0 < x1 <= side and 0 <= y0 < y1 <= side
        assert organ[math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)].all()


def test_most_labels_find_a_place_and_seeds_reproduce_it() -> None:
    organ, bank = disc(64, 26), [MaskLesion.of(mask_with(64, 26, 40)), MaskLesion.of(mask_with(64, 12, 20))]
    first, again = ([place(bank, organ, np.random.default_rng(seed)) for seed in range(30)] for _ in range(2))
    assert all(found is not None for found in first)
    drawn = [found.drawn(64, 64) for found in first if found is not None]
    assert all((a == b.drawn(64, 64)).all() for a, b in zip(drawn, again, strict=True) if b is not None)
    assert len({mask.tobytes() for mask in drawn}) >= 25  # two may agree by chance
    assert place([BOX], organ, np.random.default_rng(0)) is not None


def test_impossible_is_none_after_every_try(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = []
    monkeypatch.setattr(placement, "random_move", lambda *given: counted.append(1) or random_move(*given))
    big = MaskLesion.of(np.ones((40, 40), dtype=np.uint8))
    assert place([big], disc(40, 10), np.random.default_rng(0), Placement(tries=17)) is None
    assert len(counted) == 17
    assert place([BOX], np.zeros((40, 40), dtype=bool), np.random.default_rng(0)) is None


def test_pushed_by_as_little_as_it_takes() -> None:
    organ = np.zeros((20, 20), dtype=bool)
    organ[:, :10] = True  # its middle: row 10, column 5
    mask = np.zeros((20, 20), dtype=np.uint8)
    mask[9:11, 9:13] = 1  # three columns beyond, at the same height
    still = Placement(operations=0, tries=1)
    found = place([MaskLesion.of(mask)], organ, np.random.default_rng(0), still)
    assert found is not None and (found.top, found.left) == (9, 6)
    assert place([MaskLesion.of(mask)], organ, np.random.default_rng(0), Placement(operations=0, tries=1, push_px=2)) is None


def test_moves_by_hand() -> None:
    mask = np.array([[0, 1, 2], [0, 0, 3], [0, 0, 0]], dtype=np.uint8)
    lesion, middle = MaskLesion.of(mask), np.array([1.5, 1.5])
    quarter = Move.about(middle, np.array([[0.0, -1.0], [1.0, 0.0]]))
    assert lesion.moved(quarter).drawn(3, 3).tolist() == [[2, 3, 0], [1, 0, 0], [0, 0, 0]] == np.rot90(mask).tolist()
    mirror = Move.about(middle, np.diag([1.0, -1.0]))
    assert lesion.moved(mirror).drawn(3, 3).tolist() == mask[:, ::-1].tolist()
    both = quarter.then(mirror)
    assert lesion.moved(both).drawn(3, 3).tolist() == lesion.moved(quarter).moved(mirror).drawn(3, 3).tolist()
    shifted = lesion.moved(Move(np.eye(2), np.array([1.0, -2.0])))
    assert (shifted.top, shifted.left) == (1, -1) and shifted.drawn(3, 3).tolist() == [[0, 0, 0], [2, 0, 0], [3, 0, 0]]
    assert not shifted.inside(np.ones((3, 3), dtype=bool))  # a part of it lies beyond the border


def test_a_turned_box_holds_the_turned_ellipse() -> None:
    box = BoxLesion.of(np.array([[1, 10.0, 20.0, 30.0, 28.0]]))
    angle = 0.7
    matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    move = Move.about(np.array([32.0, 32.0]), matrix)
    around = np.linspace(0, 2 * math.pi, 20_000)
    ellipse = move.of(np.stack([24 + 4 * np.sin(around), 20 + 10 * np.cos(around)], axis=1))
    (y0, x0), (y1, x1) = ellipse.min(axis=0), ellipse.max(axis=0)
    assert box.moved(move).boxes[0].tolist() == pytest.approx([1, x0, y0, x1, y1], abs=1e-3)


def test_operations_stay_in_their_ranges() -> None:
    rng, settings_ = np.random.default_rng(0), Placement()
    shifts = np.array([placement._shifted(settings_, rng, (64, 80)).offset for _ in range(200)])
    assert set(np.unique(np.abs(shifts))) == {2, 3, 4, 5} and (shifts < 0).any() and (shifts > 0).any()
    shrinks = {round(64 * (1 - placement._shrunk(settings_, rng, (64, 80)).matrix[0, 0])) for _ in range(200)}
    assert shrinks == {2, 3, 4, 5, 6, 7}
    turns = [placement._turned(settings_, rng, (64, 80)).matrix for _ in range(200)]
    angles = np.array([math.atan2(m[1, 0], m[0, 0]) for m in turns])
    assert angles.min() < -3 and angles.max() > 3 and np.allclose([np.linalg.det(m) for m in turns], 1)
    mirrors = {tuple(np.diag(placement._mirrored(settings_, rng, (64, 80)).matrix)) for _ in range(50)}
    assert mirrors == {(1, -1), (-1, 1)}


def test_a_mask_and_its_box() -> None:
    lesion = MaskLesion.of(mask_with(32, 10, 5))
    assert lesion.pixels.shape == (6, 5) and (lesion.top, lesion.left) == (10, 5)
    assert lesion.boxed().boxes.tolist() == [[3, 5, 10, 10, 16]]
    assert len(BOX.boxes) == 2


@settings(deadline=None, max_examples=60)
@given(seed=SEEDS, roughness=st.floats(0, 1), longest=st.floats(1, 4), low=st.floats(1, 6))
def test_blobs(seed: int, roughness: float, longest: float, low: float) -> None:
    settings_ = Blob(radius_px=(low, 3 * low), roughness=roughness, longest=longest, classes=(2, 1))
    organ = disc(64, 25)
    found, again = (blob(settings_, organ, np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(found.pixels, again.pixels) and (found.top, found.left) == (again.top, again.left)
    assert found.pixels.any() and set(np.unique(found.pixels)) <= {0, 1, 2}
    placed = place([found], organ, np.random.default_rng(seed), Placement(operations=0))
    if placed is not None:
        assert not placed.drawn(64, 64)[~organ].any()


def test_blobs_have_the_size_asked_for_and_differ() -> None:
    rng = np.random.default_rng(0)
    bank = blobs(Blob(radius_px=(8, 8)), 40, disc(64, 25), rng)
    areas = np.array([(one.pixels > 0).sum() for one in bank])
    assert len({one.pixels.tobytes() for one in bank}) == 40
    assert 0.6 < areas.mean() / (math.pi * 64) < 1.6
    round_ones = blobs(Blob(radius_px=(8, 8), roughness=0, longest=1), 5, disc(64, 25), rng)
    assert all(abs((one.pixels > 0).sum() / (math.pi * 64) - 1) < 0.05 for one in round_ones)
    nested = blob(Blob(radius_px=(10, 10), classes=(2, 1)), disc(64, 25), rng)
    core = np.argwhere(nested.pixels == 1)
    assert len(core) / (nested.pixels > 0).sum() == pytest.approx(1 / 4, abs=0.04)  # half as wide
    assert len(core) and (nested.pixels[tuple(core.T)] == 1).all()
    inner = nested.pixels[core.min(axis=0)[0] : core.max(axis=0)[0] + 1]
    assert (inner == 2).any()  # the rim goes round it


def test_what_cannot_be_placed() -> None:
    for wrong, said in (
        (lambda: MaskLesion.of(np.zeros((4, 4), dtype=np.uint8)), "no lesion"),
        (lambda: MaskLesion.of(np.zeros((4, 4))), "whole numbers"),
        (lambda: MaskLesion.of(np.full((4, 4), 300)), "0 to 255"),
        (lambda: BoxLesion.of(np.zeros((2, 5))), "no box"),
        (lambda: BoxLesion.of(np.zeros((2, 4))), "shape"),
        (lambda: BoxLesion.of(np.array([[1, 5, 5, 5, 9.0]])), "x0 < x1"),
        (lambda: place([], np.ones((4, 4), dtype=bool), np.random.default_rng(0)), "empty"),
        (lambda: place([BOX], np.ones((1, 4, 4), dtype=bool), np.random.default_rng(0)), "shape"),
        (lambda: Placement(operations=5), "operations is 5"),
        (lambda: Placement(shift_px=(5, 2)), "shift_px"),
        (lambda: Placement(tries=0), "tries"),
        (lambda: Blob(radius_px=(0, 2)), "radius_px"),
        (lambda: Blob(roughness=2), "roughness"),
        (lambda: Blob(classes=(0,)), "classes"),
        (lambda: blob(Blob(), np.zeros((4, 4), dtype=bool), np.random.default_rng(0)), "organ is empty"),
    ):
        with pytest.raises(ValueError, match=said):
            wrong()
