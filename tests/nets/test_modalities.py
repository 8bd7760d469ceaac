import pytest
import torch

from chromogen.nets.modalities import beside_each_other, joined, separated


def test_joined_and_separated_are_each_others_reverse() -> None:
    images = torch.rand(2, 3, 1, 8, 8)
    planes = joined(images, 3, 1, 8)
    assert torch.equal(planes[:, 1], images[:, 1, 0]) and torch.equal(separated(planes, 3), images)
    colour = torch.rand(2, 2, 3, 8, 8)
    planes = joined(colour, 2, 3, 8)
    assert torch.equal(planes[:, 3:], colour[:, 1]) and torch.equal(separated(planes, 2), colour)


def test_other_sizes_are_brought_to_the_method_s_own() -> None:
    images = torch.rand(2, 1, 1, 32, 32)
    assert torch.allclose(joined(images, 1, 1, 16)[:, 0], images.reshape(2, 16, 2, 16, 2).mean(dim=(2, 4)), atol=1e-6)
    ramp = torch.arange(16.0).expand(1, 1, 1, 16, 16)
    assert torch.allclose(joined(ramp, 1, 1, 32)[0, 0, 0, 1:-1], (torch.arange(1, 31) - 0.5) / 2)


def test_pictures_are_rows_of_colour() -> None:
    images = torch.rand(2, 3, 1, 4, 5)
    row = beside_each_other(images)
    assert row.shape == (2, 3, 4, 15) and torch.equal(row[:, 2, :, 5:10], images[:, 1, 0])
    colour = torch.rand(2, 2, 3, 4, 5)
    assert torch.equal(beside_each_other(colour)[..., 5:], colour[:, 1])


def test_wrong_cases_are_named() -> None:
    with pytest.raises(ValueError, match=r"expected cases of 2 modalities with 1 channels"):
        joined(torch.rand(1, 3, 1, 8, 8), 2, 1, 8)
    with pytest.raises(ValueError, match="the cases are 6x8 px; prepare them as squares"):
        joined(torch.rand(1, 1, 1, 8, 6), 1, 1, 8)
