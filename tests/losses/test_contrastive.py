"""Against the published form, written as loops: one positive beside its negatives, in NumPy."""

import numpy as np
import pytest
import torch

from chromogen.losses import contrastive


def unit_vectors(images: int = 2, patches: int = 7, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    vectors = np.random.default_rng(0).normal(size=(2, images, patches, width))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors[0], vectors[1]


def row_losses(query: np.ndarray, key: np.ndarray, temperature: float) -> np.ndarray:
    losses = np.zeros(query.shape[:2])
    for image in range(query.shape[0]):
        for i in range(query.shape[1]):
            own = np.exp(query[image, i] @ key[image, i] / temperature)
            others = sum(np.exp(query[image, i] @ key[image, j] / temperature) for j in range(query.shape[1]) if j != i)
            losses[image, i] = -np.log(own / (own + others))
    return losses


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_patch_nce_equals_loops(temperature: float) -> None:
    query, key = unit_vectors()
    found = contrastive.patch_nce(torch.from_numpy(query), torch.from_numpy(key), temperature)
    assert float(found) == pytest.approx(row_losses(query, key, temperature).mean(), rel=1e-5)


def test_patch_nce_by_hand() -> None:
    """Two patches at right angles, both found: log(1 + e^-1) at temperature 1; both mistaken for each other: log(1 + e)."""
    right = torch.eye(2)[None]
    assert float(contrastive.patch_nce(right, right, 1.0)) == pytest.approx(np.log(1 + np.exp(-1)))
    assert float(contrastive.patch_nce(right, right.flip(1), 1.0)) == pytest.approx(np.log(1 + np.e))


def test_negatives_come_from_the_same_image_only() -> None:
    query, key = (torch.from_numpy(x) for x in unit_vectors())
    apart = [contrastive.patch_nce(query[n : n + 1], key[n : n + 1]) for n in range(2)]
    assert float(contrastive.patch_nce(query, key)) == pytest.approx(float(sum(apart)) / 2, rel=1e-6)


@pytest.mark.parametrize("trust", [0.0, 0.3, 1.0])
def test_adaptive_equals_loops(trust: float) -> None:
    query, key = unit_vectors()
    losses = row_losses(query, key, 0.07)
    weights = np.zeros_like(losses)
    for image in range(2):
        for i in range(7):
            cosine = query[image, i] @ key[image, i]
            weights[image, i] = trust * 1.0 + (1 - trust) * (cosine if cosine > 0 else 0.0)
    assert (weights == 0).any() or trust > 0
    expected = (losses * weights / weights.sum() * weights.size).mean()
    found = contrastive.adaptive_patch_nce(torch.from_numpy(query), torch.from_numpy(key), trust)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_pairs_that_all_disagree_count_for_nothing_once_trust_is_gone() -> None:
    query = torch.eye(3)[None]
    assert float(contrastive.adaptive_patch_nce(query, -query, trust=0.0)) == 0.0


@pytest.mark.parametrize("adaptive", [False, True])
def test_gradients_reach_queries_alone_and_not_through_the_weights(adaptive: bool) -> None:
    query, key = (torch.from_numpy(x).requires_grad_() for x in unit_vectors())
    loss = contrastive.adaptive_patch_nce(query, key, 0.4) if adaptive else contrastive.patch_nce(query, key)
    loss.backward()
    assert key.grad is None and query.grad is not None
    cosines = np.einsum("npd,nqd->npq", query.detach().numpy(), key.detach().numpy())
    share = np.exp(cosines / 0.07)
    share /= share.sum(-1, keepdims=True)
    share[:, range(7), range(7)] -= 1
    weights = 0.4 + 0.6 * np.maximum(0, cosines[:, range(7), range(7)]) if adaptive else np.ones((2, 7))
    weights /= weights.sum()
    by_hand = weights[..., None] * np.einsum("npq,nqd->npd", share, key.detach().numpy()) / 0.07
    np.testing.assert_allclose(query.grad.numpy(), by_hand, atol=1e-5)


def test_cosines_keep_their_digits_in_autocast() -> None:
    query, key = (torch.from_numpy(x).float() for x in unit_vectors())
    with torch.autocast("cpu", torch.bfloat16):
        mixed = contrastive.patch_nce(query, key)
    assert mixed.dtype == torch.float32 and torch.equal(mixed, contrastive.patch_nce(query, key))
