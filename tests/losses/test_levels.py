import math

import numpy as np
import pytest
import torch

from chromogen.losses import levels

ALPHA = (0.5, 0.2, 0.2, 0.1)


def drawn(rows: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(rows, 4, generator=generator), torch.tensor([0, 3, -1, 2, 1, -1])[:rows]


def in_loops(logits: torch.Tensor, level: torch.Tensor, gamma: float, every_class: bool) -> float:
    """Equations 5-7 as printed, or the true class alone."""
    rows = []
    for row, true in zip(logits.double().tolist(), level.tolist(), strict=True):
        if true < 0:
            continue
        total = sum(math.exp(value) for value in row)
        terms = []
        for n in range(4):
            p = math.exp(row[n]) / total
            p_t = p if n == true else 1 - p
            terms.append(-ALPHA[n] * (1 - p_t) ** gamma * math.log(p_t))
        rows.append(sum(terms) / 4 if every_class else terms[true])
    return sum(rows) / len(rows)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal_losses_equal_loops_over_the_printed_equations(gamma: float) -> None:
    logits, level = drawn()
    assert float(levels.generalised_focal(logits, level, ALPHA, gamma)) == pytest.approx(
        in_loops(logits, level, gamma, every_class=True), rel=1e-5
    )
    assert float(levels.focal(logits, level, ALPHA, gamma)) == pytest.approx(
        in_loops(logits, level, gamma, every_class=False), rel=1e-5
    )


def test_focal_losses_by_hand() -> None:
    """Two classes with p = (1/4, 3/4), true class 0, alpha (1, 2), gamma 2: both terms are (3/4)^2 log 4, weighted 1 and 2."""
    logits, level = torch.tensor([[0.0, math.log(3.0)]]), torch.tensor([0])
    one = 9 / 16 * math.log(4.0)
    assert float(levels.focal(logits, level, (1.0, 2.0), 2.0)) == pytest.approx(one, rel=1e-6)
    assert float(levels.generalised_focal(logits, level, (1.0, 2.0), 2.0)) == pytest.approx((1 + 2) / 2 * one, rel=1e-6)


def test_cross_entropy_is_the_mean_over_known_rows() -> None:
    logits, level = drawn()
    p = np.exp(logits.double().numpy())
    p /= p.sum(axis=1, keepdims=True)
    known = [row for row in range(6) if level[row] >= 0]
    expected = -np.mean([np.log(p[row, level[row]]) for row in known])
    assert float(levels.cross_entropy(logits, level)) == pytest.approx(expected, rel=1e-6)


LOSSES = {
    "cross_entropy": levels.cross_entropy,
    "focal": lambda logits, level: levels.focal(logits, level, ALPHA, 2.0),
    "generalised_focal": lambda logits, level: levels.generalised_focal(logits, level, ALPHA, 2.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_unknown_rows_count_for_nothing(name: str) -> None:
    loss = LOSSES[name]
    logits, level = drawn()
    assert torch.equal(loss(logits, torch.full_like(level, -1)), torch.tensor(0.0))
    assert float(loss(logits, level)) == pytest.approx(float(loss(logits[level >= 0], level[level >= 0])), rel=1e-6)
    logits.requires_grad_(True)
    loss(logits, level).backward()
    assert logits.grad is not None and bool((logits.grad[level < 0] == 0).all()) and bool((logits.grad[level >= 0] != 0).any())


@pytest.mark.parametrize("name", LOSSES)
def test_logits_far_apart_stay_finite(name: str) -> None:
    logits = torch.tensor([[200.0, -200.0, 0.0, 0.0], [-200.0, 200.0, 0.0, 0.0]], requires_grad=True)
    loss = LOSSES[name](logits, torch.tensor([0, 0]))
    loss.backward()
    assert float(loss.detach()) > 50 * 0.5 and logits.grad is not None and bool(torch.isfinite(logits.grad).all())


def test_focal_losses_need_one_alpha_a_class() -> None:
    with pytest.raises(ValueError, match="one alpha a class"):
        levels.focal(torch.zeros(1, 4), torch.tensor([0]), (1.0, 1.0), 2.0)


def test_cosine_distance_of_known_angles() -> None:
    a = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    b = torch.tensor([[5.0, 0.0], [0.0, 7.0], [0.0, -1.0]])  # 0, 90 and 180 degrees
    assert float(levels.cosine_distance(a, b)) == pytest.approx((0 + 1 + 2) / 3, abs=1e-6)
