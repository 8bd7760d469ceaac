import math

import pytest
import torch

from chromogen.losses import classification

SCORES = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 1.0], [5.0, -3.0, 2.0]])


def test_by_hand_with_one_image_of_unknown_class() -> None:
    category = torch.tensor([0, 1, -1])
    first = math.log(math.exp(2) + 2) - 2
    second = math.log(math.e + 2)
    assert float(classification.cross_entropy(SCORES, category)) == pytest.approx((first + second) / 2, rel=1e-6)
    assert float(classification.squares(SCORES, category)) == pytest.approx(((1 + 0 + 0) / 3 + (0 + 1 + 1) / 3) / 2)


def test_a_batch_of_unknown_classes_asks_for_nothing() -> None:
    for loss in (classification.cross_entropy, classification.squares):
        scores = SCORES.clone().requires_grad_()
        value = loss(scores, torch.full((3,), -1))
        value.backward()
        assert value.item() == 0 and not scores.grad.any()
