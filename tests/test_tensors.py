import numpy as np
import pytest
import torch

from chromogen.tensors import signed_from_uint8, uint8_from_signed


def test_every_grey_level_survives_the_round_trip() -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    signed = signed_from_uint8(levels)
    assert signed.shape == (1, 3, 16, 16) and signed.min() == -1 and signed.max() == 1
    assert np.array_equal(uint8_from_signed(signed)[0], levels)


def test_values_out_of_range_are_clipped_and_halves_rounded_never_wrapped() -> None:
    grey = lambda value: int(uint8_from_signed(torch.full((1, 3, 1, 1), value))[0, 0, 0, 0])  # noqa: E731
    assert [grey(v) for v in (-1.5, 1.5, 2.01, 0.0)] == [0, 255, 255, 128]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_turned_into_a_grey_level(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        uint8_from_signed(torch.full((1, 3, 2, 2), bad))


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4), (2, 4, 4, 1)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected uint8 RGB"):
        signed_from_uint8(np.zeros(shape, np.uint8))
