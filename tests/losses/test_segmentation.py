import math

import numpy as np
import pytest
import torch

from chromogen.losses import segmentation


def scores(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    return logits, torch.randint(0, 3, (2, 4, 5), generator=generator)


def test_planes_by_hand() -> None:
    assert segmentation.planes(torch.tensor([[[0, 2]]]), 3).tolist() == [[[[1, 0]], [[0, 0]], [[0, 1]]]]


def test_cross_entropy_and_dice_equal_plain_loops() -> None:
    logits, mask = scores()
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    entropy = -np.mean([math.log(p[n, mask[n, y, x], y, x]) for n in range(2) for y in range(4) for x in range(5)])
    assert float(segmentation.cross_entropy(logits, mask)) == pytest.approx(entropy, rel=1e-5)
    overlaps = []
    for k in (1, 2):
        truth = mask.numpy() == k
        overlaps.append((2 * p[:, k][truth].sum() + 1) / (p[:, k].sum() + truth.sum() + 1))
    assert float(segmentation.dice(logits, mask)) == pytest.approx(1 - np.mean(overlaps), rel=1e-5)


def test_weighted_squares_equal_plain_loops() -> None:
    logits, mask = scores(1)
    s = 1 / (1 + np.exp(-logits.numpy()))
    each = [np.mean((s[:, k] - (mask.numpy() == k)) ** 2) for k in range(3)]
    expected = 0.5 * each[0] + 5 * each[1] + 25 * each[2]
    assert float(segmentation.weighted_squares(logits, mask, (0.5, 5, 25))) == pytest.approx(expected, rel=1e-5)
    assert float(segmentation.weighted_squares(logits, mask)) == pytest.approx(sum(each), rel=1e-5)
    with pytest.raises(ValueError, match="a weight for each of 3 classes \\(0 included\\), got 2"):
        segmentation.weighted_squares(logits, mask, (1, 2))


def test_a_perfect_reading_costs_nothing_also_without_a_lesion() -> None:
    mask = scores()[1]
    for truth in (mask, torch.zeros_like(mask)):
        sure = 200 * (segmentation.planes(truth, 3) - 0.5)
        for loss in (segmentation.cross_entropy, segmentation.dice, segmentation.weighted_squares):
            assert float(loss(sure, truth)) == pytest.approx(0, abs=1e-5)


def test_losses_are_computed_in_float32_whatever_comes_in() -> None:
    logits, mask = scores()
    for loss in (segmentation.cross_entropy, segmentation.dice, segmentation.weighted_squares):
        assert loss(logits.bfloat16(), mask).dtype == torch.float32
