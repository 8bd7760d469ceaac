import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from chromogen.losses import synthesis

MADE = torch.tensor([[0.0, 0.5, 1.0, 0.25], [0.0] * 4, [1.0] * 4, [0.5] * 4]).view(1, 1, 4, 4)
WANTED = torch.tensor([[0.0, 0.0, 1.0, 0.75], [0.0] * 4, [1.0] * 4, [1.0, 0.5, 0.5, 0.5]]).view(1, 1, 4, 4)
ORGAN = torch.tensor([[0.0, 0.0, 1.0, 1.0], [1.0] * 4, [1.0] * 4, [0.0, 1.0, 1.0, 1.0]]).view(1, 1, 4, 4)


def test_squares_written_out() -> None:
    assert float(synthesis.squared(MADE, WANTED)) == pytest.approx((0.5**2 + 0.5**2 + 0.5**2) / 16)


def test_outside_the_organ_written_out() -> None:
    """Outside are (0, 0), (0, 1) and (3, 0): 0, 0.5 and 0.5."""
    assert float(synthesis.outside(MADE, ORGAN)) == pytest.approx((0.25 + 0.25) / 16)
    assert float(synthesis.outside_difference(MADE, WANTED, ORGAN)) == pytest.approx((0.5**2 + 0.5**2) / 16)
    assert float(synthesis.outside(MADE, torch.ones_like(ORGAN))) == 0


def test_the_organ_is_the_same_for_every_channel() -> None:
    colour = torch.cat([MADE, 0 * MADE, 2 * MADE], dim=1)
    assert float(synthesis.outside(colour, ORGAN)) == pytest.approx((0.5 + 0 + 4 * 0.5) / 48)


def test_moments_and_divergence_in_numpy() -> None:
    rng = np.random.default_rng(0)
    mean, logvar = rng.normal(1, 2, (3, 5)), rng.normal(-1, 0.5, (3, 5))
    tensors = torch.tensor(mean), torch.tensor(logvar)
    assert float(synthesis.moments(*tensors)) == pytest.approx(
        mean.mean() ** 2 + (np.exp(logvar / 2).mean() - 1) ** 2, rel=1e-5
    )
    normal = torch.distributions.Normal(tensors[0], (0.5 * tensors[1]).exp())
    reference = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).mean()
    assert float(synthesis.divergence(*tensors)) == pytest.approx(float(reference), rel=1e-5)
    standard = torch.zeros(2, 3)
    assert float(synthesis.moments(standard, standard)) == float(synthesis.divergence(standard, standard)) == 0


def test_registration_counts_every_ordered_pair() -> None:
    """Flat images: G_t of modality j into i is j / 10 + i, against the image i + 1."""
    images = [torch.full((2, 1, 4, 4), float(i + 1)) for i in range(3)]
    translated = {(j, i): torch.full((2, 1, 4, 4), j / 10 + i) for j in range(3) for i in range(3) if i != j}
    by_hand = sum((i + 1 - (j / 10 + i)) ** 2 for j in range(3) for i in range(3) if i != j)
    assert float(synthesis.registration(images, translated)) == pytest.approx(by_hand)
    assert list(synthesis.ordered_pairs(2)) == [(0, 1), (1, 0)]
    assert float(synthesis.registration(images[:1], {})) == 0


def test_agreement_compares_translations_into_one_target() -> None:
    translated = {(j, i): torch.full((1, 1, 4, 4), float(value)) for (j, i), value in {
        (1, 0): 1, (2, 0): 3, (0, 1): 5, (2, 1): 5, (0, 2): 0, (1, 2): 1,
    }.items()}  # fmt: skip
    assert float(synthesis.agreement(translated, 3)) == pytest.approx(4 + 0 + 1)
    assert float(synthesis.agreement({key: translated[key] for key in ((1, 0), (0, 1))}, 2)) == 0


def test_agreement_of_four_modalities_is_a_mean_over_pairs_of_sources() -> None:
    translated = {(j, i): torch.full((1, 1, 2, 2), float(j)) for j in range(4) for i in range(4) if i != j}
    by_hand = 0.0
    for target in range(4):
        sources = [j for j in range(4) if j != target]
        differences = [(a - b) ** 2 for a in sources for b in sources if a < b]
        by_hand += sum(differences) / 3
    assert float(synthesis.agreement(translated, 4)) == pytest.approx(by_hand)


def test_class_losses_written_out() -> None:
    classes = torch.tensor([[[[1.0, 3.0]], [[0.0, 0.0]]]])  # means 2 and 0
    assert float(synthesis.cross_entropy(classes, 0)) == pytest.approx(math.log(1 + math.exp(-2)))
    assert float(synthesis.cross_entropy(classes, 1)) == pytest.approx(math.log(1 + math.exp(2)))
    assert float(synthesis.index_squared(classes[:, :1], 2)) == pytest.approx((1 + 1) / 2)


def test_told_apart_reads_the_largest_mean_or_rounds() -> None:
    classes = torch.tensor([[[[1.0, 3.0]], [[0.0, 3.9]]], [[[1.0, 1.0]], [[0.0, 3.0]]]])
    assert synthesis.told_apart(classes, 0).tolist() == [1, 0] and synthesis.told_apart(classes, 1).tolist() == [0, 1]
    assert synthesis.told_apart(classes[:, :1], 2).tolist() == [1, 0]
    assert synthesis.told_apart(classes[:, :1], 1).tolist() == [0, 1]
    assert synthesis.told_apart(classes[:1, :1] - 0.4, 2).tolist() == [1]  # 1.6


def test_contrast_written_out() -> None:
    images = [torch.full((1, 1, 2, 2), value) for value in (0.0, 0.5, 0.75)]
    assert float(synthesis.contrast(images)) == pytest.approx((0.5 + 0.75 + 0.25) / 3)
    assert float(synthesis.contrast(images[:1])) == 0


def test_hard_dice_of_each_case() -> None:
    made = torch.tensor([[1.0, 0.6, 0.4, 0.0], [0.0] * 4, [1.0] * 4]).view(3, 1, 2, 2)
    wanted = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0] * 4, [0.0] * 4]).view(3, 1, 2, 2)
    assert synthesis.hard_dice(made, wanted).tolist() == pytest.approx([0.5, 1.0, 0.0])


def test_sums_are_float32_in_bfloat16_too() -> None:
    half = torch.full((1, 1, 64, 64), 0.3, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        for value in (synthesis.squared(half, 0 * half), synthesis.outside(half, torch.zeros(1, 1, 64, 64))):
            assert value.dtype == torch.float32 and float(value) == pytest.approx(float(half[0, 0, 0, 0]) ** 2, rel=1e-6)
        assert synthesis.divergence(half[0, 0], half[0, 0]).dtype == torch.float32


@given(st.integers(2, 6), st.integers(0, 1000))
def test_a_ring_goes_through_every_modality_once(modalities: int, seed: int) -> None:
    torch.manual_seed(seed)
    pairs = synthesis.ring(modalities)
    assert sorted(j for j, _ in pairs) == sorted(i for _, i in pairs) == list(range(modalities))
    place, seen = 0, set()
    for _ in range(modalities):
        seen.add(place)
        place = dict(pairs)[place]
    assert place == 0 and len(seen) == modalities


def test_a_ring_counts_for_all_pairs() -> None:
    """The mean of the loss over many rings is the loss of all pairs."""
    torch.manual_seed(0)
    images = [torch.rand(2, 1, 4, 4) for _ in range(4)]
    translated = {pair: torch.rand(2, 1, 4, 4) for pair in synthesis.ordered_pairs(4)}
    whole = float(synthesis.registration(images, translated))
    rings = [float(synthesis.registration(images, {pair: translated[pair] for pair in synthesis.ring(4)})) for _ in range(400)]
    assert np.mean(rings) == pytest.approx(whole, rel=0.02)
    assert synthesis.ring(1) == [] and float(synthesis.registration(images[:1], {})) == 0
