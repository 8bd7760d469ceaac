import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from chromogen.infer.tiles import RAMP_PX, blend, cut, joints, plan, reflected, seam_score
from chromogen.method import Tiling
from chromogen.tensors import signed_from_uint8, uint8_from_signed

tilings = st.builds(Tiling, st.sampled_from([1, 2, 3, 4, 32, 256]), st.integers(0, 200))


def runner(net):
    def translate(tiles):
        with torch.inference_mode():
            return net(signed_from_uint8(tiles))

    return translate


def levels(a, b):
    return np.abs(a.astype(int) - b)


@given(size=st.integers(1, 40), before=st.integers(0, 90), after=st.integers(0, 90))
def test_reflection_is_that_of_numpy(size, before, after):
    expected = np.pad(np.arange(size), (before, after), mode="reflect")
    np.testing.assert_array_equal(reflected(-before, size + after, size), expected)


def test_a_box_beyond_the_image_by_hand():
    image = np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(3, 2)
    expected = [[3, 4, 5, 4], [0, 1, 2, 1], [3, 4, 5, 4]]
    np.testing.assert_array_equal(cut(image, -1, 0, 3, 4)[..., 0], expected)


@given(size=st.integers(1, 4000), tiling=tilings, tile_px=st.integers(1, 1200))
def test_every_pixel_is_covered_by_weights_of_one_in_all(size, tiling, tile_px):
    grid = plan(size, 1, tiling, tile_px)
    total = np.zeros(size)
    for span in grid.rows:
        assert 0 <= span.first < span.stop <= size and len(span.weights) == span.stop - span.first
        assert span.weights.min() >= 0
        total[span.first : span.stop] += span.weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    firsts = [span.first for span in grid.rows]
    assert firsts == sorted(firsts)


@given(size=st.integers(1, 4000), tiling=tilings, tile_px=st.integers(1, 1200))
def test_tiles_obey_the_method(size, tiling, tile_px):
    grid = plan(size, 1, tiling, tile_px)
    assert grid.tile_height % tiling.multiple_px == 0 and grid.tile_height >= min(size, tile_px)
    for span in grid.rows:
        assert span.start % tiling.multiple_px == 0
        if span.first > 0:
            assert span.first - span.start >= tiling.context_px
        if span.stop < size:
            assert span.start + grid.tile_height - span.stop >= tiling.context_px


def test_an_image_of_one_tile_is_one_pass():
    grid = plan(1024, 1000, Tiling(4, 88), 1024)
    assert (len(grid.rows), len(grid.columns)) == (1, 1)
    assert (grid.tile_height, grid.tile_width) == (1024, 1000)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 300), width=st.integers(1, 300), tiling=tilings, tile_px=st.integers(1, 160), seed=st.integers(0, 9)
)
def test_identity_gives_back_every_byte(height, width, tiling, tile_px, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    np.testing.assert_array_equal(blend(image, plan(height, width, tiling, tile_px), signed_from_uint8), image)


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300), tile_px=st.integers(64, 160))
def test_tiles_equal_one_pass_over_the_whole_image(conv_net, tiling, he, height, width, tile_px):
    image, translate = he(height, width), runner(conv_net())
    whole = blend(image, plan(height, width, tiling, 1000), translate)
    tiled = blend(image, plan(height, width, tiling, tile_px), translate)
    assert levels(whole, tiled).max() <= 1
    assert (whole != tiled).mean() < 1e-3


def test_one_pass_is_the_network_on_the_mirrored_image(conv_net, tiling, he):
    image, net = he(61, 90), conv_net()
    padded = np.pad(image, ((0, 3), (0, 0), (0, 0)), mode="reflect")
    with torch.inference_mode():
        expected = uint8_from_signed(net(signed_from_uint8(padded)))[0, :61]
    np.testing.assert_array_equal(blend(image, plan(61, 90, tiling, 1000), runner(net)), expected)


def test_tile_order_and_batch_size_change_nothing_beyond_rounding(conv_net, tiling, he):
    image, translate = he(260, 400), runner(conv_net())
    grid = plan(260, 400, tiling, 96)
    assert len(grid.columns) > 5
    expected = blend(image, grid, translate)
    backwards = dataclasses.replace(grid, columns=grid.columns[::-1])
    for changed in (blend(image, backwards, translate), *(blend(image, grid, translate, n) for n in (2, 3, 100))):
        assert levels(changed, expected).max() <= 1
        assert (changed != expected).mean() < 1e-3


def test_shifting_the_grid_changes_less_than_one_level_even_with_too_little_context(conv_net, he):
    """The same pixels at another place of the grid; the stated context of 2 px is a fifth of the true one."""
    image, translate, tiling = he(330, 330), runner(conv_net()), Tiling(2, 2)
    here = blend(image, plan(330, 330, tiling, 128), translate)[40:, 40:]
    there = blend(image[40:, 40:], plan(290, 290, tiling, 128), translate)
    difference = levels(here, there)[12:, 12:]  # the cut itself changes what the network sees at its edge
    assert 0 < difference.mean() < 1


def test_seams_do_not_show(conv_net, tiling, he):
    image = he(700, 700)
    grid = plan(700, 700, tiling, 160)
    assert len(grid.rows) >= 6
    whole = blend(image, plan(700, 700, tiling, 2000), runner(conv_net()))
    tiled = blend(image, grid, runner(conv_net()))
    assert seam_score(tiled, grid) == pytest.approx(1, abs=0.02)
    assert seam_score(tiled, grid) == pytest.approx(seam_score(whole, grid), abs=1e-3)


def test_the_seam_score_sees_a_seam(he, tiling):
    """A hard edge on a calm image: one column of the 32 in the cross-fade, 40 levels against steps of about 4."""
    image = he(400, 400) // 8
    grid = plan(400, 400, tiling, 160)
    stepped = image.copy()
    stepped[:, joints(grid.columns)[0] :] += 40
    assert seam_score(image, grid) == pytest.approx(1, abs=0.02)
    assert seam_score(stepped, grid) > 1.03
    assert np.isnan(seam_score(image, plan(400, 400, tiling, 400)))


def test_a_step_between_tiles_is_faded_over_the_ramp(tiling):
    """Tiles of constant brightness 0, 0.1, ...: by hand, a raised cosine of RAMP_PX steps between them."""
    count = iter(range(100))
    image = np.zeros((64, 300, 3), np.uint8)
    grid = plan(64, 300, tiling, 160)
    result = blend(image, grid, lambda tiles: torch.full((1, 3, *tiles.shape[1:3]), next(count) / 10))
    (joint, *_) = joints(grid.columns)
    ramp = 0.1 * (0.5 - 0.5 * np.cos(np.pi * (np.arange(RAMP_PX) + 0.5) / RAMP_PX))
    expected = np.round((np.r_[0, ramp, 0.1] + 1) * 127.5)
    np.testing.assert_allclose(result[0, joint - RAMP_PX // 2 - 1 : joint + RAMP_PX // 2 + 1, 0], expected, atol=1)


def test_progress_counts_every_tile(tiling, he):
    grid = plan(300, 300, tiling, 128)
    seen = []
    blend(he(300, 300), grid, signed_from_uint8, 2, lambda done, total: seen.append((done, total)))
    total = len(grid.rows) * len(grid.columns)
    assert seen[-1] == (total, total) and seen == sorted(set(seen))


def test_a_network_that_gives_nan_is_refused(tiling, he):
    net = nn.Conv2d(3, 3, 1)
    nn.init.constant_(net.bias, torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        blend(he(90, 90), plan(90, 90, tiling, 128), runner(net))
