import math

import pytest
import torch

from chromogen.losses import style


def test_cross_entropy_by_hand() -> None:
    """Two styles and two patches; probabilities of (made, first, second) are (1/4, 1/2, 1/4) and (1/2, 1/8, 3/8)."""
    probabilities = torch.tensor([[[[0.25, 0.5]], [[0.5, 0.125]], [[0.25, 0.375]]]])  # (1, 3, 1, 2)
    logits = probabilities.log() + 7.0  # a shift of all logits changes nothing
    expected = {0: (math.log(4) + math.log(2)) / 2, 1: (math.log(2) + math.log(8)) / 2, 2: (math.log(4) - math.log(0.375)) / 2}
    for number, value in expected.items():
        assert float(style.cross_entropy(logits, torch.tensor([number]))) == pytest.approx(value, abs=1e-6)
    both = style.cross_entropy(logits.expand(2, -1, -1, -1), torch.tensor([0, 2]))
    assert float(both) == pytest.approx((expected[0] + expected[2]) / 2, abs=1e-6)


def test_it_is_computed_in_float32_whatever_comes_in() -> None:
    logits = torch.zeros(1, 65, 2, 2, dtype=torch.bfloat16)
    loss = style.cross_entropy(logits, torch.tensor([style.MADE]))
    assert loss.dtype == torch.float32 and float(loss) == pytest.approx(math.log(65), abs=1e-6)


def test_every_image_is_a_style_where_there_are_enough_and_none_is_called_made() -> None:
    index = torch.tensor([0, 1, 63, 64, 3505])
    assert style.of_index(index, 3506).tolist() == [1, 2, 64, 65, 3506]
    assert style.of_index(index, 64).tolist() == [1, 2, 64, 1, 50]
