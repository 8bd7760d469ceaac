"""Phantom tissue: same seed same bytes, the ASCO/CAP rule, the H&E signal, the second section, optics and sizes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import cKDTree

from chromogen import color
from chromogen.config import from_fields, to_fields
from chromogen.phantom.noise import Grid, noise, spline
from chromogen.phantom.tissue.architecture import Tissue, coarse_grid, lay_out
from chromogen.phantom.tissue.cells import TUMOUR, divide, populate
from chromogen.phantom.tissue.phantom import Phantom, PhantomPair, draw
from chromogen.phantom.tissue.scanner import Scanner, Slide, scan
from chromogen.phantom.tissue.staining import FAINT, INTENSE, MODERATE, express, membrane_dab

SEEDS = range(100, 108)
PLAIN = Phantom(size_px=192)
APART = Phantom(size_px=192, displacement_um=6.0)


@cache
def pair(phantom: Phantom, level: int, seed: int) -> PhantomPair:
    return draw(phantom, level, seed)


def areas_px(instances: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(instances.ravel(), minlength=count)


def assert_same(first: PhantomPair, second: PhantomPair) -> None:
    assert first.he.tobytes() == second.he.tobytes()
    assert first.ihc.tobytes() == second.ihc.tobytes()
    for field in fields(first.truth):
        np.testing.assert_equal(getattr(first.truth, field.name), getattr(second.truth, field.name))


@pytest.mark.parametrize("phantom", [PLAIN, APART, Phantom(size_px=64, jpeg_quality=80)])
def test_the_same_seed_gives_the_same_bytes_in_any_thread(phantom: Phantom) -> None:
    expected = draw(phantom, 3, 7)
    np.random.seed(0)  # global state must not matter
    with ThreadPoolExecutor(3) as pool:
        for again in pool.map(lambda _: draw(phantom, 3, 7), range(3)):
            assert_same(expected, again)
    assert draw(phantom, 3, 8).he.tobytes() != expected.he.tobytes()


@pytest.mark.parametrize("phantom", [PLAIN, APART])
def test_mean_dab_rises_with_the_level(phantom: Phantom) -> None:
    measured = np.array(
        [
            [color.dab_density(p.ihc, p.truth.ihc_slide.white).mean() for p in (pair(phantom, k, s) for k in range(4))]
            for s in SEEDS
        ]
    )
    zero, one, two, three = measured.mean(axis=0)
    assert one > zero + 0.002
    assert two > 1.4 * one
    assert three > 1.5 * two
    assert (np.diff(measured, axis=1) > -0.003).mean() > 0.95  # and nearly always within one layout


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32), size_px=st.integers(40, 90), displacement_um=st.sampled_from([0.0, 4.0]))
def test_without_signal_the_level_leaves_no_trace_in_the_h_and_e(seed: int, size_px: int, displacement_um: float) -> None:
    phantom = Phantom(size_px=size_px, her2_signal=0.0, displacement_um=displacement_um)
    pairs = [draw(phantom, level, seed) for level in range(4)]
    assert len({p.he.tobytes() for p in pairs}) == 1
    assert len({p.truth.cells.tobytes() for p in pairs}) == 1


def test_with_signal_tumour_nuclei_grow_and_differ_more() -> None:
    areas: dict[int, list[float]] = {0: [], 3: []}
    others: dict[int, list[float]] = {0: [], 3: []}
    for seed in SEEDS:
        for level in areas:
            truth = pair(PLAIN, level, seed).truth
            inner = areas_px(truth.cells, len(truth.cell_kind))
            inner[areas_px(np.pad(truth.cells[1:-1, 1:-1], 1), len(inner)) < inner] = 0  # cut by the border of the image
            areas[level] += list(inner[(inner > 0) & (truth.cell_kind == TUMOUR)])
            others[level] += list(inner[(inner > 0) & (truth.cell_kind > TUMOUR)])
    assert min(len(areas[0]), len(areas[3])) > 300
    assert np.mean(areas[3]) > 1.2 * np.mean(areas[0])
    assert np.std(areas[3]) / np.mean(areas[3]) > 1.2 * np.std(areas[0]) / np.mean(areas[0])
    assert np.mean(others[3]) == pytest.approx(np.mean(others[0]), rel=0.02)


@pytest.mark.parametrize("phantom", [PLAIN, APART, Phantom(size_px=64)])
@pytest.mark.parametrize("level", range(4))
def test_shares_of_stained_cells_obey_asco_cap(phantom: Phantom, level: int) -> None:
    fields_with_tumour = 0
    for seed in SEEDS:
        truth = pair(phantom, level, seed).truth
        seen = np.unique(truth.cells_ihc)
        seen = seen[truth.cell_kind[seen] == TUMOUR]
        assert (truth.cell_staining[truth.cell_kind != TUMOUR] == -1).all()
        if len(seen) < 5:
            continue
        fields_with_tumour += 1
        faint, moderate, intense = (np.mean(truth.cell_staining[seen] == k) for k in (1, 2, 3))
        if level == 0:
            assert faint <= 0.1 and moderate == intense == 0
        elif level == 1:
            assert faint > 0.1 and moderate == intense == 0
        elif level == 2:
            assert moderate > 0.1 and intense <= 0.1
        else:
            assert intense > 0.1
    assert fields_with_tumour >= 5


def test_membranes_are_as_dark_and_as_complete_as_the_truth_says() -> None:
    """Around each nucleus: the mean DAB of its surroundings, and the share of them that is stained at all."""
    found: dict[int, list[tuple[float, float]]] = {0: [], 1: [], 2: [], 3: []}
    for seed in SEEDS:
        for level in (1, 2, 3):
            truth = pair(PLAIN, level, seed).truth
            distance, nearest = ndimage.distance_transform_edt(truth.cells_ihc == 0, return_indices=True)
            own = truth.cells_ihc[tuple(nearest)]
            own[(distance > 7) | ~truth.tumour] = 0
            for cell in np.unique(own)[1:]:
                staining = int(truth.cell_staining[cell])
                around = truth.membrane_dab[own == cell]
                if staining >= 0 and len(around) > 150:
                    found[staining].append((around.mean(), (around > 0.03).mean()))
    none, faint, moderate, intense = (np.mean(found[k], axis=0) for k in range(4))
    assert min(map(len, found.values())) > 50
    assert none[0] < faint[0] < moderate[0] < intense[0]
    assert intense[0] > 2 * moderate[0]
    assert none[1] < faint[1] < 0.75 * moderate[1]


def test_faint_membranes_are_broken_and_the_others_complete() -> None:
    """Counted along each cell's border with its neighbours, on tissue that is tumour all over."""
    grid = Grid(160, 0.5, 0.25)
    coarse = coarse_grid(grid)
    solid = {name: np.full((coarse.count,) * 2, -60, np.float32) for name in Tissue.__dataclass_fields__}
    tissue = Tissue(**{**solid, "tumour": -solid["tumour"]})
    cells = populate(np.random.default_rng(1), tissue, coarse, atypia=0.0)
    everywhere, flat = np.ones(len(cells), bool), np.zeros((160, 160), np.float32)
    borders = divide(cells, everywhere, grid, (flat, flat))
    stained: dict[int, list[float]] = {FAINT: [], MODERATE: [], INTENSE: []}
    for level in (1, 2, 3):
        membranes = express(np.random.default_rng(level), cells, everywhere, level)
        dab = membrane_dab(membranes, borders, tissue.on(grid, coarse), flat)
        for cell in np.unique(borders.owner[20:-20, 20:-20]):
            edge = dab[(borders.owner == cell) & (borders.border_um < 0.4)]
            if (staining := int(membranes.staining[cell])) in stained and len(edge) > 20:
                stained[staining].append(float((edge > 0.4 * membranes.depth[cell]).mean()))
    assert min(map(len, stained.values())) > 30
    assert max(stained[FAINT]) < 0.9 and 0.3 < np.mean(stained[FAINT]) < 0.6
    assert min(stained[MODERATE] + stained[INTENSE]) > 0.99


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 999), size_px=st.integers(33, 97), mpp=st.sampled_from([0.25, 0.5, 1.0]), um=st.floats(0.5, 12))
def test_the_displacement_has_the_stated_size_and_relates_the_sections(seed: int, size_px: int, mpp: float, um: float) -> None:
    truth = draw(Phantom(size_px=size_px, mpp=mpp, displacement_um=um, lost_cells=0.0), 2, seed).truth
    shift = truth.displacement_px.astype(np.float64)
    assert np.sqrt((shift**2).sum(axis=0).mean()) * mpp == pytest.approx(um, rel=1e-4)
    checked = 0
    for i in range(0, size_px, 3):
        for j in range(0, size_px, 3):
            y, x = i + shift[0, i, j], j + shift[1, i, j]
            row, column = round(y), round(x)
            halfway = min(abs(y % 1 - 0.5), abs(x % 1 - 0.5)) < 0.01  # may round either way
            if not halfway and 0 <= row < size_px and 0 <= column < size_px:
                assert truth.cells_ihc[i, j] == truth.cells[row, column]
                checked += 1
    assert checked or um > size_px * mpp / 4


def test_lost_cells_are_in_one_section_only() -> None:
    lost, kept = [], []
    for seed in SEEDS:
        truth = pair(replace(APART, lost_cells=0.3, displacement_um=0.5), 1, seed).truth
        he, ihc = (set(np.unique(m[20:-20, 20:-20])) - {0} for m in (truth.cells, truth.cells_ihc))
        lost.append(len(he ^ ihc))
        kept.append(len(he & ihc))
    assert sum(kept) > 300
    assert sum(lost) / (sum(lost) + sum(kept)) == pytest.approx(0.3, abs=0.06)


def test_adjacent_sections_have_their_own_light_and_one_section_has_one() -> None:
    apart, same = pair(APART, 1, 100).truth, pair(PLAIN, 1, 100).truth
    assert apart.he_slide.white != apart.ihc_slide.white
    assert same.he_slide.white == same.ihc_slide.white
    assert same.cells is same.cells_ihc and not same.displacement_px.any()


def test_one_section_is_aligned_to_the_pixel() -> None:
    """The haematoxylin of both stains must peak in the same nuclei: best at shift 0, worse at any other."""
    p = pair(PLAIN, 0, 103)
    he, ihc = (color.optical_density(image / 255.0)[..., 0] for image in (p.he, p.ihc))
    match = {
        (dy, dx): np.corrcoef(he[8:-8, 8:-8].ravel(), np.roll(ihc, (dy, dx), (0, 1))[8:-8, 8:-8].ravel())[0, 1]
        for dy in range(-3, 4)
        for dx in range(-3, 4)
    }
    assert max(match, key=lambda shift: match[shift]) == (0, 0)
    assert match[0, 0] > 0.7


def test_the_ihc_image_holds_the_membranes_of_the_truth() -> None:
    clean = Phantom(size_px=192, blur_um=0.0, photons=0.0, stain_spread=0.0, white_spread=0.0)
    for seed in SEEDS[:4]:
        p = pair(clean, 3, seed)
        dab = color.separate(p.ihc / 255.0, color.H_DAB, np.array(p.truth.ihc_slide.white), clip=False)[..., 1]
        trusted = p.ihc.min(axis=2) > 12  # below, one grey level is too much density
        excess = (dab - p.truth.membrane_dab)[trusted]
        assert excess.min() > -0.03  # all of the membrane is in the picture,
        assert np.median(excess) < 0.2  # and little else: cytoplasm, unspecific stain


@pytest.mark.parametrize("phantom", [PLAIN, replace(APART, jpeg_quality=90)])
def test_blank_glass_has_the_colour_of_the_light(phantom: Phantom) -> None:
    looked_at = 0
    for seed in range(100, 124):
        p = pair(phantom, 1, seed)
        glass = ndimage.binary_erosion(p.truth.glass > 0.999, iterations=4)
        if glass.sum() > 2000:
            looked_at += 1
            np.testing.assert_allclose(p.he[glass].mean(axis=0) / 255, p.truth.he_slide.white, atol=0.006)
    assert looked_at >= 3


@settings(max_examples=12, deadline=None)
@given(
    size_px=st.integers(8, 97),
    mpp=st.sampled_from([0.1, 0.25, 0.5, 1.0, 2.0]),
    level=st.integers(0, 3),
    seed=st.integers(0, 2**63),
    displacement_um=st.sampled_from([0.0, 0.3, 9.0]),
)
def test_any_size_and_resolution(size_px: int, mpp: float, level: int, seed: int, displacement_um: float) -> None:
    p = draw(Phantom(size_px=size_px, mpp=mpp, displacement_um=displacement_um), level, seed)
    assert p.he.shape == p.ihc.shape == (size_px, size_px, 3)
    assert p.he.dtype == p.ihc.dtype == np.uint8
    assert p.level == p.truth.level == level
    for field in ("cells", "cells_ihc", "tumour", "glass", "membrane_dab"):
        assert getattr(p.truth, field).shape == (size_px, size_px)
    assert p.truth.cells.dtype == p.truth.cells_ihc.dtype == np.int32
    assert p.truth.membrane_dab.dtype == p.truth.displacement_px.dtype == np.float32
    assert len(p.truth.cell_kind) == len(p.truth.cell_staining) > p.truth.cells.max()


def test_one_field_of_view_at_two_resolutions_is_the_same_tissue() -> None:
    for seed in SEEDS[:5]:
        fine, coarse = (pair(Phantom(size_px=n, mpp=mpp), 2, seed).truth for n, mpp in ((256, 0.5), (128, 1.0)))
        halved = fine.tumour.reshape(128, 2, 128, 2).mean(axis=(1, 3)) > 0.5
        assert (halved == coarse.tumour).mean() > 0.98
        np.testing.assert_array_equal(fine.cell_kind, coarse.cell_kind)


def test_scanning_by_hand() -> None:
    """One pixel: 0.3 haematoxylin and 0.2 DAB under grey light, each channel written out."""
    amounts = np.full((2, 2, 2), [0.3, 0.1], np.float32)
    image = scan(
        np.random.default_rng(0), amounts, color.H_DAB, Slide((0.9, 0.8, 0.7), (1.0, 2.0)), Scanner(0.5, 0.0, 0.0, None)
    )
    red = 0.9 * 10 ** -(0.3 * 0.650 + 0.2 * 0.268) * 255
    green = 0.8 * 10 ** -(0.3 * 0.704 + 0.2 * 0.570) * 255
    blue = 0.7 * 10 ** -(0.3 * 0.286 + 0.2 * 0.776) * 255
    assert image[1, 1].tolist() == [round(red), round(green), round(blue)]


def test_jpeg_changes_bytes_but_hardly_the_picture() -> None:
    plain, jpeg = (pair(replace(PLAIN, jpeg_quality=q), 2, 101) for q in (None, 85))
    for name in ("he", "ihc"):
        difference = getattr(plain, name).astype(int) - getattr(jpeg, name)
        assert difference.any() and np.abs(difference).mean() < 4


def test_the_spline_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).standard_normal((12, 12)).astype(np.float32)
    target = Grid(20, 0.37, 2.2)
    expected = ndimage.map_coordinates(values, np.meshgrid(*[target.positions_um] * 2, indexing="ij"), order=3, prefilter=False)
    np.testing.assert_allclose(spline(values, Grid(12, 1.0, 0.0), target), expected, atol=1e-5)


def test_noise_has_mean_zero_and_deviation_one() -> None:
    drawn = np.stack([noise(np.random.default_rng(s), Grid(100, 1.0, 0.0), 6.0) for s in range(20)])
    assert abs(drawn.mean()) < 0.05
    assert drawn.std() == pytest.approx(1, abs=0.05)


def test_territories_agree_with_a_search_tree() -> None:
    grid = Grid(80, 0.5, 0.25)
    coarse = coarse_grid(grid)
    cells = populate(np.random.default_rng(4), lay_out(np.random.default_rng(11), coarse), coarse, atypia=0.5)
    rows = np.flatnonzero(cells.kind == TUMOUR)
    assert len(rows) > 5
    still = np.zeros((80, 80), np.float32)
    got = divide(cells, np.ones(len(cells), bool), grid, (still, still))
    pixels = np.stack(np.meshgrid(*[grid.positions_um] * 2, indexing="ij"), axis=-1)
    distance, nearest = cKDTree(cells.yx_um[rows]).query(pixels, k=2)
    near = distance[..., 0] < 8.99
    np.testing.assert_array_equal(got.owner[near], rows[nearest[..., 0]][near])
    apart = np.linalg.norm(np.diff(cells.yx_um[rows][nearest], axis=2)[:, :, 0], axis=-1)
    border = (distance[..., 1] ** 2 - distance[..., 0] ** 2) / (2 * apart)
    both = distance[..., 1] < 8.99
    np.testing.assert_allclose(got.border_um[both], border[both], atol=0.01)


def test_fields_survive_json() -> None:
    assert from_fields(Phantom, to_fields(APART)) == APART


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: draw(PLAIN, 4, 0), "HER2 level 4 is not possible; it is 0, 1, 2 or 3"),
        (lambda: draw(PLAIN, 1, -1), "seed -1 is negative"),
        (lambda: Phantom(size_px=4), "Phantom.size_px is 4; it must be from 8 to 8192"),
        (lambda: Phantom(mpp=0.0), "Phantom.mpp is 0.0"),
        (lambda: Phantom(lost_cells=1.5), "Phantom.lost_cells is 1.5"),
        (lambda: Phantom(jpeg_quality=0), "Phantom.jpeg_quality is 0"),
        (lambda: Phantom(her2_signal=float("nan")), "Phantom.her2_signal is nan"),
    ],
)
def test_mistakes_are_named(make, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()
