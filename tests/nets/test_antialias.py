import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import correlate1d

from chromogen.nets.antialias import BlurDown, BlurUp


def test_down_by_hand() -> None:
    """Along one axis 0 4 8 0 mirrors to 4 | 0 4 8 0 | 8; (4 + 0 + 4) / 4 = 2 and (4 + 2 * 8 + 0) / 4 = 5."""
    row = torch.tensor([0.0, 4.0, 8.0, 0.0])
    made = BlurDown()(row.expand(1, 1, 4, 4))
    assert made.tolist() == [[[[2.0, 5.0], [2.0, 5.0]]]]
    assert torch.equal(BlurDown()(row[:, None].expand(1, 1, 4, 4)), made.mT)


@pytest.mark.parametrize("size", [(16, 16), (9, 14), (2, 3)])
def test_down_equals_scipy(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).normal(size=(2, 5, *size))
    expected = image
    for axis in (-1, -2):
        expected = correlate1d(expected, np.array([1, 2, 1]) / 4, axis=axis, mode="mirror")
    found = BlurDown()(torch.from_numpy(image))
    np.testing.assert_allclose(found.numpy(), expected[..., ::2, ::2], atol=1e-12)


def test_down_drops_the_finest_checkerboard_and_keeps_grey() -> None:
    rows, columns = np.indices((8, 8))
    board = torch.from_numpy((-1.0) ** (rows + columns))[None, None]
    assert float(BlurDown()(board).abs().max()) == 0 and float(BlurDown()(torch.ones(1, 1, 8, 8)).min()) == 1


def test_up_by_hand() -> None:
    """0 4 repeats to 0 | 0 4 | 4: 0, (3 * 0 + 4) / 4, (0 + 3 * 4) / 4, 4."""
    made = BlurUp()(torch.tensor([0.0, 4.0]).expand(1, 1, 2, 2))
    assert made.tolist() == [[[[0.0, 1.0, 3.0, 4.0]] * 4]]


def test_up_equals_a_transposed_convolution_by_1_3_3_1() -> None:
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 5, 6, 7)))
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.double) / 4
    kernel = torch.outer(taps, taps).expand(5, 1, 4, 4)
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    expected = F.conv_transpose2d(padded, kernel, stride=2, groups=5)[..., 3:-3, 3:-3]
    np.testing.assert_allclose(BlurUp()(image).numpy(), expected.numpy(), atol=1e-12)


def test_the_kernel_survives_a_net_laid_out_without_memory() -> None:
    with torch.device("meta"):
        empty = BlurDown()
    empty.load_state_dict(BlurDown().state_dict(), assign=True)
    assert float(empty(torch.ones(1, 2, 4, 4)).sum()) == 8
