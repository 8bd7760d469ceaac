"""`chromogen import`, through the real process apart, to a stained picture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chromogen import cli
from tests.methods.published_networks import Resnet, randomised


def test_from_a_published_file_to_a_stain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = randomised(Resnet(4, 1, "batch", dropout=True)).eval()
    torch.save({"netG": {f"module.{name}": value for name, value in network.state_dict().items()}}, "latest_net_G.pth")
    words = ["import", "latest_net_G.pth", "--as", "pyramid_pix2pix", "--source", "a friend", "--set", "statistics=image"]
    assert cli.main(words) == cli.FINE
    told = capsys.readouterr().err
    assert (
        "non-commercial" in told and "Source: a friend" in told and "Research use only" in told and "width 4, blocks 1" in told
    )

    grey = np.random.default_rng(0).integers(0, 256, (64, 72, 3), np.uint8)
    Image.fromarray(grey).save("he.png")
    assert (
        cli.main(["translate", "he.png", "--model", "latest_net_G.safetensors", "-o", "out", "--precision", "fp32"]) == cli.FINE
    )
    for module in network.modules():
        module.train(isinstance(module, torch.nn.BatchNorm2d))
    with torch.no_grad():
        expected = (network(torch.from_numpy(grey).permute(2, 0, 1)[None] / 127.5 - 1)[0] + 1) * 127.5
    stained = np.asarray(Image.open("out/he.virtual-her2.png"))
    assert np.abs(stained - expected.permute(1, 2, 0).numpy()).max() < 0.51

    for more, sentence in (
        ([], "is there already; add --overwrite"),
        (["-o", "m.pth"], "must end in .safetensors"),
        (["-o", "m.safetensors", "--set", "statistics"], "--set takes NAME=VALUE"),
        (["-o", "m.safetensors", "--as", "pix2pixel"], "did you mean 'pix2pix'"),
    ):
        assert cli.main([*words[:4], *more]) == cli.USAGE
        assert sentence in capsys.readouterr().err


def test_methods_say_whose_weights_they_take(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["methods", "--task", "staining"]) == cli.FINE
    assert "takes weights of: quqixun/BCIStainer" in capsys.readouterr().out
