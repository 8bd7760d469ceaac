import math

import pytest
import torch
from torch import nn

from chromogen.methods.wavelet_pix2pix import METHOD, VARIANTS, WaveletPix2pix
from tests.methods.test_contract import batch, small


@pytest.mark.parametrize("name, lam", [("wavelet_pix2pix", 1.0), ("wavelet_pix2pix:literal", 100.0)])
def test_equations_19_and_20_with_a_discriminator_that_is_undecided(name: str, lam: float) -> None:
    """D = 1/2 everywhere: every -log is ln 2; L1 is the plain mean of absolute differences."""
    torch.manual_seed(0)
    nets = small(name).networks().train()
    nn.init.zeros_(nets["discriminator"][-1].weight)  # type: ignore[arg-type]
    made = []
    nets["generator"].register_forward_hook(lambda module, inputs, output: made.append(output.detach()))
    data = batch()
    (discriminator, generator) = small(name).step(nets, data, 0.0)
    terms = {**discriminator["discriminator"], **generator["generator"]}
    l1 = sum(abs(a - b) for a, b in zip(made[0].flatten().tolist(), data["target"].flatten().tolist(), strict=True))
    expected = {"real": math.log(2), "fake": lam * math.log(2), "gan": math.log(2), "l1": 100 * l1 / made[0].numel()}
    assert {key: value.item() for key, value in terms.items()} == pytest.approx(expected, rel=1e-5)


def test_nine_residual_blocks_and_dropout_as_chance() -> None:
    assert 3 * METHOD.blocks == 9 and METHOD.weight_fake == 1 and VARIANTS["literal"].weight_fake == 100
    torch.manual_seed(0)
    method = WaveletPix2pix(width=4, blocks=1, discriminator_width=4)
    nets = method.networks().train()
    source = batch()["source"]
    with torch.no_grad():
        assert not torch.equal(nets["generator"](source), nets["generator"](source))  # z
        assert torch.equal(method.translate(nets.eval(), source), method.translate(nets, source))


@torch.no_grad()
def test_grey_bands_are_blind_to_hue_and_colour_bands_are_not() -> None:
    """Red and green of the same luma."""
    torch.manual_seed(0)
    red, green = (torch.full((1, 3, 16, 16), -1.0) for _ in range(2))
    red[:, 0, :, :8] = -1 + 0.5 / 0.299
    green[:, 1, :, :8] = -1 + 0.5 / 0.587
    for name, blind in (("wavelet_pix2pix", True), ("wavelet_pix2pix:colour", False)):
        method = small(name)
        nets = method.networks().eval()
        assert torch.allclose(method.translate(nets, red), method.translate(nets, green), atol=1e-7) == blind


def test_a_step_in_bfloat16_is_finite_and_near() -> None:
    torch.manual_seed(0)
    method = WaveletPix2pix(width=8, blocks=1, discriminator_width=8, dropout=0.0)
    nets = method.networks().train()
    totals = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            totals.append(
                [float(v.detach()) for update in method.step(nets, batch(), 0.0) for t in update.values() for v in t.values()]
            )
    assert totals[1] == pytest.approx(totals[0], rel=0.02)


@pytest.mark.parametrize("fields", [{"width": 0}, {"blocks": 0}, {"discriminator_layers": 1}, {"dropout": -0.1}])
def test_impossible_fields(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="wavelet_pix2pix: "):
        WaveletPix2pix(**fields)
