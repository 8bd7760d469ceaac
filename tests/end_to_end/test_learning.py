"""The claim that matters, at the price of minutes: a short training on phantoms learns to stain phantoms."""

import json
from pathlib import Path

import pytest

from chromogen import cli

REPOSITORY = Path(__file__).resolve().parents[2]
PHANTOM = ["--size-px", "256", "--her2-signal", "2", "--white-spread", "0", "--stain-spread", "0"]


@pytest.mark.slow
def test_a_trained_pyramid_pix2pix_beats_every_control_and_orders_the_levels(tmp_path: Path) -> None:
    recipe, run, tissue = f"{REPOSITORY}/recipes/phantom.py:demo", str(tmp_path / "run"), tmp_path / "tissue"
    assert cli.main(["train", recipe, "--out", run]) == cli.FINE
    assert cli.main(["data", "phantom", "-o", str(tissue), "-n", "32", "--seed", "900000", *PHANTOM]) == cli.FINE
    made, scores = str(tmp_path / "made"), tmp_path / "scores"
    assert cli.main(["translate", "-i", str(tissue / "HE"), "-o", made, "--model", run]) == cli.FINE
    words = ["evaluate", "--pred", made, "--target", str(tissue / "IHC"), "--source", str(tissue / "HE"), "--out", str(scores)]
    assert cli.main(words) == cli.FINE
    found = json.loads((scores / "metrics.json").read_text())
    assert found["scored"] == 32 and set(found["controls"]) == {"constant", "source", "blurred_target"}
    for name, control in found["controls"].items():
        assert found["overall"]["psnr"] > control["psnr"], name
        assert found["overall"]["ssim"] > control["ssim"], name
    means = found["staining"]["ordering_prediction"]["class_means"]
    assert means["0"] < means["1+"] < means["2+"] < means["3+"]


@pytest.mark.slow
def test_training_on_real_pairs_runs_and_the_loss_falls(bci_dev: Path, tmp_path: Path) -> None:
    words = ["train", f"{REPOSITORY}/recipes/bci.py:tiny", "--data.root", str(bci_dev), "--data.validation-share", "0.25"]
    assert cli.main([*words, "--out", str(tmp_path / "run")]) == cli.FINE
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    l1 = [line["generator/l1"] for line in lines if "generator/l1" in line]
    assert len(l1) >= 10 and sum(l1[-3:]) < 0.8 * sum(l1[:3])
