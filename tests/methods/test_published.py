"""Weights of the published networks make the same pictures in ours: against plain modules written for this (1e-4, signed)."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from chromogen.checkpoint import Model, load_model
from chromogen.foreign import child, pickles
from chromogen.foreign.model import import_model, importable
from chromogen.infer.stainer import load
from tests.methods.published_networks import Resnet, Stainer, Unet, WebUnet, randomised

CLOSE = 1e-4
CASES = {
    "pyramid_pix2pix": (
        lambda: Resnet(8, 3, "batch", dropout=True),
        {"width": 8, "blocks": 3, "norm": "batch", "dropout": 0.5},
    ),
    "pyramid_pix2pix no dropout": (lambda: Resnet(6, 2, "batch"), {"width": 6, "blocks": 2, "dropout": 0.0}),
    "pyramid_pix2pix instance": (lambda: Resnet(6, 2, "instance", dropout=True), {"norm": "instance"}),
    "pyramid_pix2pix no norm": (lambda: Resnet(6, 2, "none"), {"norm": "none"}),
    "pyramid_pix2pix spectral": (lambda: Resnet(6, 1, "batch", spectral=True), {"norm": "batch"}),
    "pyramid_pix2pix biases": (lambda: Resnet(6, 1, "batch with bias"), {"norm": "batch", "statistics": "running"}),
    "pyramid_pix2pix untracked": (lambda: Resnet(6, 1, "untracked"), {"norm": "batch", "statistics": "image"}),
    "pyramid_pix2pix affine": (lambda: Resnet(6, 1, "affine", dropout=True), {"norm": "batch", "statistics": "image"}),
    "cyclegan": (lambda: Resnet(8, 3, "instance"), {"width": 8, "blocks": 3, "norm": "instance"}),
    "cyclegan dropout": (lambda: Resnet(6, 1, "instance", dropout=True), {"blocks": 1}),
    "cut": (lambda: Resnet(8, 3, "instance", antialias="down up"), {"blocks": 3, "upsampled_padding": "zeros"}),
    "cut strided": (lambda: Resnet(6, 2, "instance"), {"downsampling": "strided", "upsampling": "transposed"}),
    "cut up": (lambda: Resnet(6, 2, "instance", antialias="up"), {"downsampling": "strided", "upsampling": "bilinear"}),
    "cut down": (lambda: Resnet(6, 2, "instance", antialias="down"), {"downsampling": "blurred", "upsampling": "transposed"}),
    "asp": (lambda: Resnet(8, 3, "instance", antialias="down up", spectral=True), {"blocks": 3, "spectral": True}),
    "asp transposed": (lambda: Resnet(6, 1, "instance", antialias="down", spectral=True), {"upsampling": "transposed"}),
    "asp plain": (lambda: Resnet(6, 1, "instance", antialias="down up"), {"spectral": False}),
    "pix2pix": (lambda: Unet(4, 6), {"width": 4, "depth": 6, "norm": "batch"}),
    "pix2pix instance": (lambda: Unet(4, 5, "instance"), {"norm": "instance"}),
    "pix2pix no norm": (lambda: Unet(4, 5, "none"), {"norm": "none"}),
    "pix2pix untracked": (lambda: Unet(4, 5, "untracked"), {"norm": "batch", "statistics": "image"}),
    "bcistainer": (
        lambda: Stainer(4, 2, 3),
        {"width": 4, "blocks": 2, "depth": 9, "attention": True, "style_padding": "reflect"},
    ),
    "bcistainer:mod": (lambda: Stainer(4, 2, 2, simam=False), {"attention": False, "modulation": "weights"}),
    "bcistainer:mod no linear": (lambda: Stainer(4, 2, 2, simam=False, linear=False), {"modulation": "weights"}),
    "bcistainer:adain": (lambda: Stainer(4, 2, 2, adain=True, simam=False), {"modulation": "adain"}),
    "bcistainer:adain-simam": (lambda: Stainer(4, 2, 3, adain=True), {"modulation": "adain", "depth": 9}),
    "performer_unet": (lambda: WebUnet(32), {"network": "deployed", "width": 32, "depth": 5}),
}


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's reading without a process; tests/foreign/test_pickles.py tests the process."""
    monkeypatch.setattr(child, "_limit", lambda *_: None)
    read = lambda path, copy: json.loads(json.dumps(child.main(path, copy, 2**30, 300, 2**30)))["groups"]  # noqa: E731
    monkeypatch.setattr(pickles, "_read_apart", read)


def picture(height: int = 128, width: int = 64) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(5)) * 2 - 1


def theirs(network: nn.Module, source: torch.Tensor) -> torch.Tensor:
    """The published network's picture in our range."""
    with torch.no_grad():
        if isinstance(network, WebUnet):
            return (network((source + 1) / 2) * 2 - 1).clamp(-1, 1)
        return network(source)


def difference(model: Model, network: nn.Module, source: torch.Tensor) -> float:
    """The largest one between our picture and theirs, in [-1, 1]."""
    return float((model.method.translate(model.nets, source) - theirs(network, source)).abs().max())


def test_every_method_with_a_key_map_is_here() -> None:
    assert {name.split(" ")[0].split(":")[0] for name in CASES} == set(importable())


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_the_picture_is_the_published_networks(name: str, tmp_path: Path) -> None:
    make, fields = CASES[name]
    network = randomised(make()).eval()
    torch.save(network.state_dict(), tmp_path / "latest_net_G.pth")
    out = tmp_path / "model.safetensors"
    done = import_model(tmp_path / "latest_net_G.pth", name.split(" ")[0], out, {})
    told = dataclasses.asdict(done.method)
    assert {key: told[key] for key in fields} == fields
    expected = theirs(network, picture())
    seen, spread = float((expected.abs() < 0.98).float().mean()), float(expected.std())
    assert seen > 0.4 and spread > 0.05, "a picture that could hide a difference"
    assert difference(load_model(out), network, picture()) <= CLOSE


FULL = {
    "pyramid_pix2pix": (lambda: Resnet(64, 9, "batch", dropout=True), 256),
    "cyclegan": (lambda: Resnet(64, 9, "instance"), 256),
    "cut": (lambda: Resnet(64, 9, "instance", antialias="down up"), 256),
    "asp": (lambda: Resnet(64, 6, "instance", antialias="down up", spectral=True), 256),
    "pix2pix": (lambda: Unet(64, 8), 256),
    "bcistainer": (lambda: Stainer(32, 9, 4), 256),
    "bcistainer:adain": (lambda: Stainer(32, 9, 4, adain=True, simam=False), 256),
    "performer_unet": (lambda: WebUnet(64), 256),
}


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("name", FULL)
def test_in_full_size_too(name: str, tmp_path: Path) -> None:
    """`pytest -m slow -rP` prints the differences."""
    make, side = FULL[name]
    network = randomised(make()).eval()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    import_model(tmp_path / "net.pth", name, tmp_path / "m.safetensors", {})
    worst = difference(load_model(tmp_path / "m.safetensors"), network, picture(side, side))
    sys.stdout.write(f"{name}: {worst:.1e}\n")
    assert worst <= CLOSE


@torch.no_grad()
@pytest.mark.parametrize("name", ["pyramid_pix2pix", "pix2pix"])
def test_statistics_of_this_image_are_the_training_form_without_dropout(name: str, tmp_path: Path) -> None:
    """As the published test does without --eval, dropout aside: and so through folding and tiles, for each image by itself."""
    network = randomised(CASES[name][0]()).train()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    out = tmp_path / "model.safetensors"
    import_model(tmp_path / "net.pth", name, out, {"statistics": "image"})
    model = load_model(out)
    pair = torch.cat([picture(), picture().flip(2) / 2])
    expected = torch.cat([network(image) for image in pair.split(1)])
    worst = float((model.method.translate(model.nets, pair) - expected).abs().max())
    assert worst <= CLOSE
    assert model.method.tiling.whole_image
    grey = np.random.default_rng(0).integers(0, 256, (128, 192, 3), np.uint8)
    source = torch.from_numpy(grey).permute(2, 0, 1)[None] / 127.5 - 1
    stained = load(out, "cpu", "fp32", tile_px=64)(grey)
    assert np.abs(stained - ((network(source)[0] + 1) * 127.5).clip(0, 255).permute(1, 2, 0).numpy()).max() < 0.51


@torch.no_grad()
@pytest.mark.parametrize("name", ["pyramid_pix2pix", "pix2pix"])
def test_dropout_at_test_is_the_published_noise_and_the_same_each_time(name: str, tmp_path: Path) -> None:
    network = randomised(CASES[name][0]()).train()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    out = tmp_path / "model.safetensors"
    import_model(tmp_path / "net.pth", name, out, {"statistics": "image", "dropout_at_test": True})
    model = load_model(out)
    torch.manual_seed(0)
    expected = network(picture())
    state = torch.get_rng_state()
    made = model.method.translate(model.nets, torch.cat([picture(), picture()]))
    assert torch.equal(torch.get_rng_state(), state), "the noise is nobody else's business"
    worst = float((made - expected).abs().max())
    assert worst <= CLOSE
    grey = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    noisy, again = (load(out, "cpu", "fp32")(grey) for _ in range(2))
    still = dataclasses.replace(model.method, dropout_at_test=False)
    quiet = (
        (still.translate(still_nets(still, model.nets), torch.from_numpy(grey).permute(2, 0, 1)[None] / 127.5 - 1)) + 1
    ) * 127.5
    assert np.array_equal(noisy, again) and np.abs(noisy - quiet[0].permute(1, 2, 0).numpy()).mean() > 1


def still_nets(method, nets: nn.ModuleDict) -> nn.ModuleDict:
    fresh = method.networks()
    fresh["generator"].load_state_dict(nets["generator"].state_dict())
    return fresh.eval()


@torch.no_grad()
def test_a_spectral_norm_can_be_kept_or_worked_in(tmp_path: Path) -> None:
    network = randomised(CASES["asp"][0]()).eval()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    for number, fields in enumerate(({}, {"spectral": False})):
        out = tmp_path / f"{number}.safetensors"
        done = import_model(tmp_path / "net.pth", "asp", out, fields)
        model = load_model(out)
        assert difference(model, network, picture()) <= CLOSE
        assert ("Spectral norm is worked into its weights." in done.notes) == bool(fields)


@torch.no_grad()
def test_names_of_the_newer_spectral_norm(tmp_path: Path) -> None:
    network = randomised(CASES["asp"][0]()).eval()
    renamed = {
        name.replace("weight_orig", "parametrizations.weight.original")
        .replace("weight_u", "parametrizations.weight.0._u")
        .replace("weight_v", "parametrizations.weight.0._v"): value
        for name, value in network.state_dict().items()
    }
    torch.save(renamed, tmp_path / "net.pth")
    import_model(tmp_path / "net.pth", "asp", tmp_path / "m.safetensors", {})
    model = load_model(tmp_path / "m.safetensors")
    assert model.method.spectral
    assert difference(model, network, picture()) <= CLOSE


@torch.no_grad()
@pytest.mark.parametrize("side", [16, 24, 64, 72])
def test_a_mirrored_style_encoder_takes_every_size(side: int, tmp_path: Path) -> None:
    """Where a side is down to one pixel, the published network cannot mirror and fails; ours repeats it."""
    network = randomised(Stainer(2, 1, 4)).eval()
    torch.save(network.state_dict(), tmp_path / "net.pth")
    import_model(tmp_path / "net.pth", "bcistainer", tmp_path / "m.safetensors", {})
    model = load_model(tmp_path / "m.safetensors")
    made = model.method.translate(model.nets, picture(side, side))
    assert made.shape == (1, 3, side, side) and bool(torch.isfinite(made).all())
    if side > 64:
        assert float((made - network(picture(side, side))).abs().max()) <= CLOSE
