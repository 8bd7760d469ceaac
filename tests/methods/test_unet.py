"""Why the plain U-Net of the self-attention report failed, and that a plain U-Net need not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from chromogen.data.pairs.batches import train_batches
from chromogen.data.pairs.sets import PhantomData
from chromogen.evaluate.pixels.likeness import psnr
from chromogen.methods import unet
from chromogen.phantom.tissue.phantom import Phantom
from chromogen.tensors import signed_from_uint8, uint8_from_signed
from chromogen.train.schedule import factor
from chromogen.train.step import make_optimizers, train_step

PHANTOM = Phantom(size_px=32, mpp=1.0, her2_signal=2.0, white_spread=0.0, stain_spread=0.0)
DATA = PhantomData(phantom=PHANTOM, train_pairs=256, validation_pairs=16)


def trained(method: unet.UNet, steps: int, seed: int) -> tuple[list[float], torch.nn.ModuleDict]:
    """The error before each step of a training of `steps`, and the networks in evaluation mode."""
    torch.manual_seed(seed)
    nets = method.networks().train()
    optimizers = make_optimizers(method.players(), nets)
    errors = []
    for step, batch in enumerate(train_batches(DATA, 4, seed, 0, steps)):
        optimizers["generator"].param_groups[0]["lr"] = method.optimizer.lr * factor(method.schedule, step / steps)
        errors.append(float(train_step(method, nets, optimizers, [batch], step / steps)[f"generator/{method.error}"]))
    return errors, nets.eval().requires_grad_(False)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_published_rate_throws_the_first_step_away_and_the_fixed_one_learns(seed: int) -> None:
    """Adam moves every weight by its rate: 0.01 is the size of the weights themselves."""
    literal, _ = trained(replace(unet.METHOD, width=32), 3, seed)
    assert literal[1] > 100 * literal[0]
    fixed, _ = trained(replace(unet.FIXED, width=32), 24, seed)
    assert max(fixed) < 2 * fixed[0] and np.mean(fixed[-4:]) < 0.7 * np.mean(fixed[:4])


@pytest.mark.slow
def test_after_150_steps_the_fixed_one_beats_a_flat_colour_and_the_published_one_does_not() -> None:
    pairs = DATA.open("val")
    flat = np.mean([_psnr(np.broadcast_to(p.target.mean((0, 1)).round().astype(np.uint8), p.target.shape), p) for p in pairs])
    found: dict[str, list[float]] = {"literal": [], "fixed": []}
    for seed in range(3):
        for name, method in (("literal", unet.METHOD), ("fixed", unet.FIXED)):
            method = replace(method, width=32)
            _, nets = trained(method, 150, seed)
            made = [uint8_from_signed(method.translate(nets, signed_from_uint8(pair.source)))[0] for pair in pairs]
            found[name].append(float(np.mean([_psnr(image, pair) for image, pair in zip(made, pairs, strict=True)])))
    assert min(found["fixed"]) > flat, (found, flat)
    assert max(found["literal"]) < flat and np.median(found["literal"]) < 12, (found, flat)


def _psnr(image: np.ndarray, pair: object) -> float:
    return psnr(image, pair.target)  # type: ignore[attr-defined]


@torch.no_grad()
def test_a_linear_output_is_clamped_when_translated() -> None:
    torch.manual_seed(0)
    method = unet.UNet(width=4, output="linear")
    nets = method.networks().eval()
    source = 50 * torch.randn(1, 3, 16, 16)
    assert float(nets["generator"](source).abs().max()) > 1
    assert float(method.translate(nets, source).abs().max()) == 1


def test_impossible_fields_say_so() -> None:
    with pytest.raises(ValueError, match="depth 1-6"):
        unet.UNet(depth=7)
