import copy
import math
from itertools import pairwise

import pytest
import torch
from scipy import stats
from torch import nn

from chromogen.nets import performer
from chromogen.nets.performer import FavorAttention, favor_attention, orthogonal_directions


def drawn(tokens: int = 96, d: int = 8, size: float = 1.0, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 2, tokens, d)
    return [size * torch.randn(shape, generator=generator, dtype=torch.double) for _ in range(2)] + [
        torch.randn(shape, generator=generator, dtype=torch.double)
    ]


def exact(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return torch.softmax(query @ key.mT / math.sqrt(query.shape[-1]), dim=-1) @ value


def error(features: int, orthogonal: bool = True, draws: int = 40) -> float:
    """Relative error of the estimate, root mean square over draws of the directions."""
    torch.manual_seed(0)
    query, key, value = drawn(size=0.5)  # the variance grows as exp(|q + k|^2) (lemma 2): short vectors show the trend
    wanted = exact(query, key, value)
    found = []
    for _ in range(draws):
        directions = orthogonal_directions(features, 8, dtype=torch.double)
        if not orthogonal:
            directions = torch.randn(features, 8, dtype=torch.double)
        found.append(float(((favor_attention(query, key, value, directions) - wanted).norm() / wanted.norm()).square()))
    return math.sqrt(sum(found) / draws)


def test_estimate_approaches_softmax_attention() -> None:
    """Its error falls as one over the root of the number of features, to a few per cent at 1024."""
    errors = [error(features) for features in (64, 256, 1024)]
    assert errors[-1] < 0.08
    for fewer, more in pairwise(errors):
        assert 0.35 < more / fewer < 0.65, errors


def test_orthogonal_directions_err_less_than_independent_ones() -> None:
    assert error(64) < 0.97 * error(64, orthogonal=False)


def test_estimate_is_the_published_sum() -> None:
    """Lemma 1 in loops, x = q / d^(1/4): exp(w.x - |x|^2/2 - largest w.x) + 1e-4; the largest of one query or of all keys."""
    torch.manual_seed(0)
    query, key, value = drawn(tokens=5, d=4)
    directions = orthogonal_directions(7, 4, dtype=torch.double)

    def phi(x: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        x, others = x / 4**0.25, others / 4**0.25
        largest = max(float(w @ other) for w in directions for other in others)
        return torch.stack([torch.exp(w @ x - x @ x / 2 - largest) + 1e-4 for w in directions])

    found = favor_attention(query, key, value, directions)
    for image in range(2):
        for head in range(2):
            keys = key[image, head]
            for place in range(5):
                mine = phi(query[image, head, place], query[image, head, place : place + 1])
                weights = torch.stack([mine @ phi(keys[other], keys) for other in range(5)])
                wanted = (weights[:, None] * value[image, head]).sum(0) / weights.sum()
                assert torch.allclose(found[image, head, place], wanted, rtol=1e-10)


@pytest.mark.parametrize(("width", "size"), [(32, 1.0), (256, 0.64), (256, 1.0), (512, 0.64)])
def test_attention_of_many_channels_is_near_the_exact_one(width: int, size: float) -> None:
    """Without the 1e-4 the error is 0.2 to 0.6 here: single products of features are noise (lemma 2)."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, 2, 256, width) * scale for scale in (size, size, 1.0))
    wanted = exact(query, key, value + 1)
    found = favor_attention(query, key, value + 1, orthogonal_directions(256, width))
    assert float((found - wanted).norm() / wanted.norm()) < 0.12


@pytest.mark.parametrize("chunk", [7, 31, 95, 96])
def test_chunks_change_neither_values_nor_gradients(chunk: int) -> None:
    torch.manual_seed(0)
    directions = orthogonal_directions(32, 8, dtype=torch.double)
    results = []
    for tokens in (10**6, chunk):
        inputs = [x.requires_grad_(True) for x in drawn()]
        made = favor_attention(*inputs, directions, chunk_tokens=tokens)
        results.append([made.detach(), *torch.autograd.grad(made.square().sum(), inputs)])
    for whole, chunked in zip(*results, strict=True):
        assert torch.allclose(whole, chunked, rtol=1e-9, atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    """Of values as they are; of queries and keys with the largest exponents held fast, as the authors' code does."""
    torch.manual_seed(0)
    directions = orthogonal_directions(6, 3, dtype=torch.double)
    query, key, value = (x[:1, :1, :4, :3].clone() for x in drawn())
    largest_q = (query * 3**-0.25 @ directions.mT).amax(dim=3, keepdim=True)
    largest_k = (key * 3**-0.25 @ directions.mT).amax(dim=(2, 3), keepdim=True)

    def plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        q, k = q * 3**-0.25, k * 3**-0.25
        of_q = torch.exp(q @ directions.mT - (q * q).sum(-1, keepdim=True) / 2 - largest_q) + 1e-4
        of_k = torch.exp(k @ directions.mT - (k * k).sum(-1, keepdim=True) / 2 - largest_k) + 1e-4
        weights = of_q @ of_k.mT
        return weights @ v / weights.sum(-1, keepdim=True)

    inputs = [x.requires_grad_(True) for x in (query, key, value)]
    assert torch.autograd.gradcheck(plain, inputs)
    made, wanted = favor_attention(*inputs, directions, chunk_tokens=3), plain(*inputs)
    pull = torch.randn_like(made)
    for found, expected in zip(torch.autograd.grad(made, inputs, pull), torch.autograd.grad(wanted, inputs, pull), strict=True):
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_memory_for_the_way_back_does_not_grow_with_tokens_times_features() -> None:
    features, tokens = 256, 2048
    directions = torch.randn(features, 4)
    query, key, value = (torch.randn(1, 1, tokens, 4, requires_grad=True) for _ in range(3))
    kept: dict[int, int] = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    sizes = []
    for chunk in (tokens, 128):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            favor_attention(query, key, value, directions, chunk_tokens=chunk)
        sizes.append(sum(kept.values()))
    assert sizes[0] > 2 * 4 * tokens * features and sizes[1] < 4 * tokens * features / 2


@pytest.mark.parametrize("size", [1e-3, 30.0])
def test_far_logits_stay_finite_in_float32(size: float) -> None:
    """Exponents of hundreds: without a stabiliser exp overflows, and with one for all features at once sums vanish."""
    query, key, value = (x.float().requires_grad_(True) for x in drawn(size=size))
    made = favor_attention(query, key, value, orthogonal_directions(64, 8), chunk_tokens=32)
    made.sum().backward()
    for x in (made, query.grad, key.grad, value.grad):
        assert x is not None and bool(torch.isfinite(x).all())
    assert float(made.detach().abs().max()) <= float(value.detach().abs().max()) * 1.001  # weights are positive, their sum 1


def test_equal_values_come_out_as_they_are() -> None:
    query, key, _ = drawn()
    made = favor_attention(query, key, torch.full_like(query, 3.0), orthogonal_directions(4, 8, dtype=torch.double))
    assert torch.allclose(made, torch.tensor(3.0, dtype=torch.double))


def test_directions_are_orthogonal_in_blocks_and_gaussian_one_by_one() -> None:
    torch.manual_seed(0)
    rows = orthogonal_directions(20, 8, dtype=torch.double)
    assert rows.shape == (20, 8)
    for block in (rows[:8], rows[8:16], rows[16:]):
        products = block @ block.mT
        assert torch.allclose(products, torch.diag(torch.diagonal(products)), atol=1e-10)
    assert float((rows[0] @ rows[8:16].mT).abs().max()) > 1e-3
    many = torch.cat([orthogonal_directions(8, 8) for _ in range(400)])
    assert stats.kstest(many.square().sum(1).numpy(), "chi2", args=(8,)).pvalue > 1e-3
    assert stats.kstest(many.flatten().numpy(), "norm").pvalue > 1e-3


def test_first_column_of_a_block_has_no_preferred_sign() -> None:
    """What QR leaves of it without the correction: a first entry that is negative nearly always."""
    torch.manual_seed(0)
    positive = sum(float(orthogonal_directions(4, 4)[0, 0]) > 0 for _ in range(200))
    assert 65 < positive < 135


def attention(**fields: int) -> FavorAttention:
    torch.manual_seed(0)
    return FavorAttention(6, **({"heads": 2, "features": 16} | fields))


def test_module_is_attention_of_each_head_over_all_places() -> None:
    net = attention(features=4096).double().requires_grad_(False)
    x = 0.5 * torch.randn(2, 6, 5, 4, dtype=torch.double)
    flat = x.flatten(2)

    def heads(weight: torch.Tensor) -> torch.Tensor:
        return torch.einsum("oc,ncp->nop", weight[:, :, 0, 0], flat).unflatten(1, (2, 3)).mT

    made = exact(*(heads(part.weight) for part in (net.query, net.key, net.value)))
    wanted = torch.einsum("oc,ncp->nop", net.out.weight[:, :, 0, 0], made.mT.flatten(1, 2)) + net.out.bias[:, None]
    assert torch.allclose(net(x), wanted.view_as(x), atol=2e-3)


def test_evaluation_repeats_itself_and_survives_saving() -> None:
    net, x = attention().eval(), torch.randn(1, 6, 8, 8)
    made = net(x)
    assert torch.equal(made, net(x))
    other = FavorAttention(6, heads=2, features=16).eval()
    assert not torch.allclose(made, other(x))
    other.load_state_dict(net.state_dict())
    assert torch.equal(made, other(x))


def test_directions_change_every_so_many_steps_and_the_count_survives_saving() -> None:
    net = attention(redraw=3)
    states = [net.directions.clone()]
    for _ in range(4):
        performer.advance(nn.Sequential(net))
        states.append(net.directions.clone())
    assert [torch.equal(a, b) for a, b in pairwise(states)] == [True, True, False, True]
    resumed = attention(redraw=3)
    resumed.load_state_dict(copy.deepcopy(net.state_dict()))
    torch.manual_seed(1)
    for number in (5, 6):
        assert torch.equal(resumed.directions, states[-1]), number
        resumed.advance()
    assert int(resumed.steps) == 6 and not torch.equal(resumed.directions, states[-1])


def test_directions_that_are_never_redrawn_stay() -> None:
    net = attention(redraw=0)
    before = net.directions.clone()
    for _ in range(5):
        net.advance()
    assert torch.equal(net.directions, before)


def test_sums_are_float32_in_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = attention(features=256).requires_grad_(False), torch.randn(1, 6, 16, 16)
    inside = []

    def spied(*inputs: torch.Tensor) -> torch.Tensor:
        inside.append((torch.is_autocast_enabled("cpu"), {part.dtype for part in inputs}))
        return favor_attention(*inputs)

    monkeypatch.setattr(performer, "favor_attention", spied)
    with torch.autocast("cpu", torch.bfloat16):
        made = net(x)
    assert inside == [(False, {torch.float32})]
    assert made.dtype == torch.bfloat16 and float((made.float() - net(x)).norm() / net(x).norm()) < 0.02
