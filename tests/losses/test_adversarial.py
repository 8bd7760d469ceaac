import math

import pytest
import torch

from chromogen.losses import adversarial


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([0.0, 2.0])
    real = (math.log(2) + math.log(1 + math.exp(-2))) / 2
    made = (math.log(2) + math.log(1 + math.exp(2))) / 2
    assert float(adversarial.cross_entropy(logits, real=True)) == pytest.approx(real, abs=1e-6)
    assert float(adversarial.cross_entropy(logits, real=False)) == pytest.approx(made, abs=1e-6)


def test_least_squares_by_hand() -> None:
    logits = torch.tensor([0.0, 3.0])
    assert float(adversarial.least_squares(logits, real=True)) == pytest.approx((1 + 4) / 2)
    assert float(adversarial.least_squares(logits, real=False)) == pytest.approx(9 / 2)


def test_losses_are_computed_in_float32_whatever_comes_in() -> None:
    logits = torch.tensor([0.1], dtype=torch.bfloat16)
    assert adversarial.cross_entropy(logits, real=True).dtype == torch.float32
    assert adversarial.least_squares(logits, real=True).dtype == torch.float32
