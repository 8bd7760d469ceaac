import numpy as np
import pytest
import torch
from torch import Tensor

from chromogen.nets.attention import SelfAttention


def plain_attention(net: SelfAttention, x: np.ndarray, heads: int, pooled: int) -> np.ndarray:
    """Softmax attention written out: one image, one head, one query at a time."""
    n, channels, height, width = x.shape
    w_q, w_k, w_v = (part.weight.detach().numpy()[:, :, 0, 0] for part in (net.query, net.key, net.value))
    out = np.zeros_like(x)
    for image in range(n):
        q, k, v = (np.einsum("dc,chw->dhw", w, x[image]) for w in (w_q, w_k, w_v))
        k, v = pooled_map(k, pooled), pooled_map(v, pooled)
        for head in range(heads):
            mine_k = slice(head * len(k) // heads, (head + 1) * len(k) // heads)
            mine_v = slice(head * len(v) // heads, (head + 1) * len(v) // heads)
            keys, values = k[mine_k].reshape(mine_k.stop - mine_k.start, -1), v[mine_v].reshape(channels // heads, -1)
            for i in range(height):
                for j in range(width):
                    scores = np.array([q[mine_k, i, j] @ key for key in keys.T]) / np.sqrt(len(keys))
                    weights = np.exp(scores - scores.max())
                    out[image, mine_v, i, j] = values @ (weights / weights.sum())
    return out


def pooled_map(values: np.ndarray, side: int) -> np.ndarray:
    """The largest value of each square; the last squares of a line may be smaller."""
    _, height, width = values.shape
    rows = [values[:, top : top + side].max(1) for top in range(0, height, side)]
    tall = np.stack(rows, 1)
    return np.stack([tall[:, :, left : left + side].max(2) for left in range(0, width, side)], 2)


@pytest.mark.parametrize(("heads", "reduction", "pooled"), [(1, 4, 1), (2, 2, 1), (1, 8, 2), (4, 2, 3), (1, 1, 1)])
def test_equals_a_plain_softmax(heads: int, reduction: int, pooled: int) -> None:
    torch.manual_seed(heads + pooled)
    net = SelfAttention(8, heads, reduction, pooled, residual="none").double().requires_grad_(False)
    x = 3 * torch.randn(2, 8, 5, 7, dtype=torch.double)  # 5 and 7 are no multiples of the pooling
    expected = plain_attention(net, x.numpy(), heads, pooled)
    assert np.abs(expected - expected.mean((2, 3), keepdims=True)).max() > 0.1, "weights all but even would hide an error"
    for layout in (torch.contiguous_format, torch.channels_last):
        assert np.allclose(net(x.to(memory_format=layout)).numpy(), expected, atol=1e-12)


def test_a_gate_of_zero_is_the_identity_and_the_residual_adds() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 4, 6, 6)
    gated, plain, bare = (SelfAttention(4, residual=kind).requires_grad_(False) for kind in ("gated", "plain", "none"))
    assert torch.equal(gated(x), x)
    plain.load_state_dict(bare.state_dict())
    assert torch.allclose(plain(x), x + bare(x), atol=1e-6)
    gated.load_state_dict({**bare.state_dict(), "gate": torch.tensor(0.5)})
    assert torch.allclose(gated(x), x + 0.5 * bare(x), atol=1e-6)


def test_the_gate_opens_before_the_rest_learns() -> None:
    """With the gate at 0 only the gate has a gradient; from the second step on, all have."""
    torch.manual_seed(0)
    net, x = SelfAttention(8), torch.randn(1, 8, 4, 4)
    net(x).square().sum().backward()
    assert float(net.gate.grad) != 0 and float(net.query.weight.grad.abs().max()) == 0
    net.gate.data.fill_(0.1)
    net(x).square().sum().backward()
    assert all(float(parameter.grad.abs().max()) > 0 for parameter in net.parameters())


@pytest.mark.parametrize("reduction", [1, 8])
def test_the_matrix_of_weights_is_never_stored(reduction: int) -> None:
    positions = 32 * 32
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    net = SelfAttention(8, reduction=reduction)
    x = torch.randn(1, 8, 32, 32)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        net(x).sum().backward()
    assert kept and max(kept) <= 8 * positions < positions**2


def test_large_scores_do_not_overflow_and_bfloat16_stays_close() -> None:
    torch.manual_seed(0)
    net = SelfAttention(8, reduction=2, residual="none").requires_grad_(False)
    x = torch.randn(1, 8, 16, 16)
    assert bool(torch.isfinite(net(1e4 * x)).all())
    exact = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(x)
    assert float((rough.float() - exact).abs().max()) < 0.03 * float(exact.abs().max())


def test_impossible_settings_say_so() -> None:
    with pytest.raises(ValueError, match="the heads divide the channels"):
        SelfAttention(6, heads=4)
    with pytest.raises(ValueError, match="each is at least 1"):
        SelfAttention(6, pooled=0)
