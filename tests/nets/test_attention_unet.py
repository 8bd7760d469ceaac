import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from chromogen.nets.attention_unet import Residual, SoftmaxAttention, deployed_unet, performer_unet
from chromogen.nets.performer import FavorAttention


def count(tensors) -> int:  # type: ignore[no-untyped-def]
    return sum(tensor.numel() for tensor in tensors)


def test_deployed_network_is_as_large_as_the_published_weights() -> None:
    """36,601,607 parameters and 13,718 buffers are 146,461,300 bytes of the 146,520,808 of the published file."""
    net = deployed_unet()
    assert (count(net.parameters()), count(net.buffers())) == (36_601_607, 13_718)
    sites = [module for module in net.modules() if isinstance(module, SoftmaxAttention)]
    assert [(s.value.in_channels, s.value.in_channels // s.key.out_channels) for s in sites] == [
        (512, 64), (1024, 8), (512, 16), (256, 64)
    ]  # fmt: skip


def test_report_network_attends_on_every_skip_and_at_the_bottom() -> None:
    net = performer_unet(8, 4, features=16)
    attended = [bridge.body for bridge in net.bridges]
    assert all(isinstance(body, FavorAttention) for body in attended)
    assert [body.out.out_channels for body in attended] == [8, 16, 32, 64]
    assert sum(isinstance(module, FavorAttention) for module in net.modules()) == 4


@pytest.mark.parametrize(
    "network", [lambda: performer_unet(4, 1, features=8), lambda: performer_unet(5, 3, 2, 8), lambda: deployed_unet(4, 3)]
)
def test_networks_keep_the_size(network: Callable[[], nn.Module]) -> None:
    made = network().eval().requires_grad_(False)(torch.rand(1, 3, 24, 40) * 2 - 1)
    assert made.shape == (1, 3, 24, 40) and bool(torch.isfinite(made).all())


def test_deployed_network_works_on_unit_images_and_the_report_ends_with_tanh() -> None:
    net = deployed_unet(4, 3).eval().requires_grad_(False)
    seen = []
    net.encoder[0][1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net.out[1].weight.zero_()
    net.out[1].bias.fill_(0.75)
    assert torch.equal(net(torch.full((1, 3, 8, 8), -0.5)), torch.full((1, 3, 8, 8), 0.5))
    assert torch.equal(seen[0], torch.full((1, 3, 8, 8), 0.25))
    loud = performer_unet(4, 1, features=8).eval().requires_grad_(False)
    loud.out[1].bias.fill_(100.0)
    assert torch.equal(loud(torch.zeros(1, 3, 8, 8)), torch.ones(1, 3, 8, 8))


def test_softmax_attention_equals_loops() -> None:
    torch.manual_seed(0)
    net = SoftmaxAttention(8, heads=2, key_divisor=4).double().requires_grad_(False)
    x = torch.randn(1, 8, 3, 2, dtype=torch.double)
    places = x[0].flatten(1).T
    query, key, value = (places @ part.weight[:, :, 0, 0].T for part in (net.query, net.key, net.value))
    assert query.shape == (6, 2) and value.shape == (6, 8)
    rows = []
    for i in range(6):
        heads = []
        for head in range(2):
            q, k, v = query[:, head : head + 1], key[:, head : head + 1], value[:, 4 * head : 4 * head + 4]
            logits = [float(q[i] @ k[j]) / math.sqrt(8 / 2) for j in range(6)]
            total = sum(math.exp(logit) for logit in logits)
            heads.append(sum(math.exp(logit) / total * v[j] for j, logit in enumerate(logits)))
        rows.append(net.out.weight[:, :, 0, 0] @ torch.cat(heads) + net.out.bias)
    assert torch.allclose(net(x), torch.stack(rows).T.view_as(x), atol=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_softmax_attention_never_stores_the_matrix_of_weights(layout: torch.memory_format) -> None:
    """Only the kernel with flat memory is allowed here; shapes or strides that it does not take are a RuntimeError."""
    net = SoftmaxAttention(16, heads=2, key_divisor=8).requires_grad_(False)
    x = torch.randn(1, 16, 6, 5)
    wanted = net(x)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert torch.allclose(net(x.to(memory_format=layout)), wanted, atol=1e-6)


def test_a_gate_begins_closed() -> None:
    x = torch.randn(1, 4, 3, 3)
    open_, gated = (Residual(nn.Conv2d(4, 4, 1), gated) for gated in (False, True))
    assert torch.equal(gated(x), x)
    assert torch.equal(open_(x), x + open_.body(x))
    gated.gate.data.fill_(2.0)
    assert torch.equal(gated(x), x + 2 * gated.body(x))
