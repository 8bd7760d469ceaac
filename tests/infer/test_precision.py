import dataclasses
import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from chromogen.infer import precision
from chromogen.infer.precision import fold_norms, prepare, probe
from chromogen.method import Tiling
from chromogen.methods.pix2pix import Pix2pix
from chromogen.methods.pyramid_pix2pix import PyramidPix2pix
from chromogen.tensors import signed_from_uint8


@dataclass(frozen=True)
class Plain:
    tiling: Tiling = Tiling(1, 0)
    released = ("generator",)

    def translate(self, nets, source):
        return nets["generator"](source)


class Mixed(Plain):
    """Concatenates float32 numbers of its own, as a careless method might."""

    def translate(self, nets, source):
        return nets["generator"](source + torch.zeros(1, dtype=torch.float32).expand_as(source))


def far_and_back() -> nn.Module:
    """The identity by way of x + 100: float32 keeps it, bfloat16 rounds it to whole numbers."""
    there, back = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    for conv, bias in ((there, 100.0), (back, -100.0)):
        nn.init.dirac_(conv.weight)
        nn.init.constant_(conv.bias, bias)
    return nn.Sequential(there, back)


def stated_error(prepared) -> float:
    return float(re.search(r"by (\S+) grey levels", prepared.why)[1])


def nets(net: nn.Module) -> nn.ModuleDict:
    return nn.ModuleDict({"generator": net, "discriminator": nn.Linear(1, 1)})


@pytest.fixture
def fast(monkeypatch):
    """A machine on which bfloat16 is fast."""
    monkeypatch.setattr(precision, "bf16_is_fast", lambda device: True)


def test_bf16_is_taken_where_it_is_fast_and_harmless(fast, conv_net):
    prepared = prepare(Plain(Tiling(2, 10)), nets(conv_net()), "cpu")
    assert prepared.precision == "bf16"
    assert "grey levels" in prepared.why


def test_bf16_is_not_taken_where_it_changes_the_image(fast):
    prepared = prepare(Plain(), nets(far_and_back()), "cpu")
    assert prepared.precision == "fp32"
    assert stated_error(prepared) > 1


def test_bf16_is_not_taken_when_it_is_not_finite(fast):
    network = nn.Conv2d(3, 3, 1).requires_grad_(False)
    network.bias.fill_(torch.nan)
    assert prepare(Plain(), nets(network), "cpu").precision == "fp32"


def test_bf16_is_not_taken_when_the_method_cannot(fast, conv_net):
    prepared = prepare(Mixed(Tiling(2, 10)), nets(conv_net()), "cpu")
    assert prepared.precision == "fp32"
    assert "does not run in bfloat16" in prepared.why


def test_bf16_is_not_taken_where_it_is_slow(monkeypatch, conv_net):
    monkeypatch.setattr(precision, "bf16_is_fast", lambda device: False)
    assert prepare(Plain(Tiling(2, 10)), nets(conv_net()), "cpu").precision == "fp32"


def test_a_stated_precision_is_obeyed(fast, conv_net):
    for wanted in ("fp32", "bf16"):
        prepared = prepare(Plain(), nets(far_and_back()), "cpu", wanted)
        assert (prepared.precision, prepared.why) == (wanted, "asked for")
        assert {p.dtype for p in prepared.nets.parameters()} == {torch.float32 if wanted == "fp32" else torch.bfloat16}


def test_the_check_measures_what_a_plain_comparison_measures(fast, conv_net):
    network = conv_net()
    prepared = prepare(Plain(Tiling(2, 10)), nets(network), "cpu")
    source = signed_from_uint8(probe(128, 128))
    with torch.inference_mode():
        error = (network(source) - prepared.translate(source)).abs().mean() * 127.5
    assert stated_error(prepared) == pytest.approx(float(error), abs=0.01)


def test_unknown_precision_and_device_are_named(conv_net):
    with pytest.raises(ValueError, match=r"no precision 'bf61'; did you mean 'bf16'"):
        prepare(Plain(), nets(conv_net()), "cpu", "bf61")
    with pytest.raises(ValueError, match="no device 'tpuu'"):
        prepare(Plain(), nets(conv_net()), "tpuu")


def trained_looking(net: nn.Module) -> nn.Module:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.3)
            nn.init.uniform_(module.running_var, 0.05, 0.3)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return net.eval()


@pytest.mark.parametrize(
    ("method", "norms_left"),
    [
        (PyramidPix2pix(width=8, blocks=2, dropout=0.5), 0),
        (PyramidPix2pix(width=8, blocks=2, upsampling="bilinear"), 0),
        (Pix2pix(width=8, depth=5), 0),
        (Pix2pix(width=8, depth=5, norm="instance"), 0),
    ],
)
def test_folding_changes_the_work_and_not_the_result(method, norms_left):
    torch.manual_seed(0)
    net = trained_looking(method.networks()["generator"])
    before = {key: value.clone() for key, value in net.state_dict().items()}
    folded = fold_norms(net)
    assert sum(isinstance(m, nn.BatchNorm2d | nn.Dropout) for m in folded.modules()) == norms_left
    source = torch.rand(2, 3, 64, 64) * 2 - 1
    kept = source.clone()
    with torch.inference_mode():
        expected, found = net(source), folded(source)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert torch.equal(source, kept)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_an_activation_that_stands_in_two_places_is_copied():
    """Overwriting is right behind the convolution and wrong in front of the skip."""
    relu = nn.ReLU()

    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.body = relu, nn.Sequential(nn.Conv2d(3, 3, 1), relu)

        def forward(self, x):
            return self.relu(x) + x + self.body(x)

    net, x = Skip(), torch.randn(1, 3, 4, 4)
    with torch.inference_mode():
        torch.testing.assert_close(fold_norms(net)(x.clone()), net(x.clone()))
    assert not relu.inplace


def test_only_the_translating_networks_are_copied(conv_net):
    assert list(prepare(Plain(), nets(conv_net()), "cpu", "fp32").nets) == ["generator"]


def test_the_probe_is_fixed_and_looks_like_h_and_e():
    image = probe(128, 160)
    np.testing.assert_array_equal(image, probe(128, 160))
    assert image.shape == (128, 160, 3) and image.dtype == np.uint8
    red, green, blue = image.reshape(-1, 3).mean(axis=0)
    assert green < min(red, blue)  # pink and violet
    assert image.min() < 120 and image.max() == 255


def test_prepared_is_frozen(conv_net):
    with pytest.raises(dataclasses.FrozenInstanceError):
        prepare(Plain(), nets(conv_net()), "cpu", "fp32").precision = "bf16"
