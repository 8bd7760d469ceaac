"""The command as people type it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chromogen import cli, methods
from chromogen.checkpoint import Card, load_model, save_model
from chromogen.methods.pyramid_pix2pix import PyramidPix2pix
from chromogen.phantom.tissue.phantom import Phantom, draw

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture
def model(tmp_path: Path) -> str:
    method = PyramidPix2pix(width=2, blocks=1, discriminator_width=2, dropout=0.0)
    save_model(tmp_path / "m.safetensors", method, method.networks(), Card(title="tiny", data_licence="none"))
    return str(tmp_path / "m.safetensors")


@pytest.fixture
def he(tmp_path: Path) -> Path:
    folder = tmp_path / "HE"
    folder.mkdir()
    for level in (0, 3):
        Image.fromarray(draw(Phantom(size_px=64), level, 1).he).save(
            folder / f"{level:05d}_test_{level}{'+' * (level > 0)}.png"
        )
    return folder


def test_translate_a_folder_says_the_licence_and_research_use(
    model: str, he: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["translate", "-i", str(he), "-o", str(tmp_path / "out"), "--model", model]) == cli.FINE
    told = capsys.readouterr().err
    assert "Research use only" in told and "data licence: none" in told and "2 of 2 images" in told
    assert len(list((tmp_path / "out").glob("*.virtual-her2.png"))) == 2


def test_translate_says_what_was_converted_passed_over_and_where_stains_are(
    model: str, he: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (he / "below").mkdir()
    for name in ("grey.png", "grey 2.png", "below/x.png", "00000_test_0.bmp"):
        Image.new("L", (64, 64), 200).save(he / name)
    code = cli.main(["translate", str(he / "*.png"), str(he), "-o", str(tmp_path / "out"), "--model", model])
    told = capsys.readouterr().err
    assert code == cli.SOME_FAILED and "note: grey made RGB: 2 images, for example grey 2.png" in told
    assert "1 picture in a subfolder was passed over (below); add --subfolders" in told
    first = told.index("left out: 00000_test_0.bmp: several sources would all become 00000_test_0.virtual-her2.png")
    assert first < told.index("failed: 00000_test_0.bmp") and f"3 of 5 images are in {tmp_path / 'out'}" in told
    one = ["translate", str(he / "grey.png"), "--model", model, "-o"]
    assert cli.main([*one, str(tmp_path / "one.tif")]) == cli.FINE
    assert f"1 of 1 images: {tmp_path / 'one.tif'}" in capsys.readouterr().err and (tmp_path / "one.tif").is_file()
    (he / "bad.png").write_bytes(b"no")
    assert cli.main(["translate", str(he / "bad.png"), "--model", model, "-o", str(tmp_path / "none")]) == cli.SOME_FAILED
    told = capsys.readouterr().err
    assert f"0 of 1 images were stained; {tmp_path / 'none' / 'translation.json'} says why" in told
    assert (tmp_path / "none" / "translation.json").is_file()


def test_one_bad_file_is_listed_and_the_exit_code_says_some_failed(
    model: str, he: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (he / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    assert cli.main(["translate", str(he), "-o", str(tmp_path / "out"), "--model", model]) == cli.SOME_FAILED
    told = capsys.readouterr().err
    assert "failed: broken.png" in told and "2 of 3 images" in told


def test_usage_errors_are_one_sentence_and_exit_2(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    pickled = tmp_path / "evil.safetensors"
    pickled.write_bytes(b"\x80\x04nonsense")
    for words, sentence in [
        (["translate", "-o", str(tmp_path)], "name one image or one folder"),
        (["translate", "-i", str(tmp_path / "empty"), "-o", str(tmp_path / "o"), "--model", model], "holds no PNG"),
        (
            ["translate", "-i", str(tmp_path / "nowhere"), "-o", str(tmp_path / "o"), "--model", model],
            "there is no file or folder",
        ),
        (["translate", str(tmp_path / "empty"), "--model", "her2-dmo"], "no model 'her2-dmo'"),
        (["translate", str(tmp_path / "empty"), "--model", str(pickled)], "pickled PyTorch file"),
        (["translate", str(tmp_path / "empty"), "--model", model, "--device", "cud"], "no device 'cud'"),
        (["train"], "say which recipe"),
        (["train", str(RECIPES / "bci.py:tiny")], "say where the run goes"),
        (["train", str(RECIPES / "bci.py:tinny"), "--out", "x"], "did you mean 'tiny'"),
        (
            ["train", str(RECIPES / "bci.py:tiny"), "--out", str(tmp_path / "r"), "--data.root", str(tmp_path / "empty")],
            "empty",
        ),
        (["data", "check", str(tmp_path / "empty")], "empty"),
        (["evaluate", "--pred", "a", "--target", "b", "--out", "c", "--profile", "bci2023"], "did you mean 'bci2022'"),
    ]:
        assert cli.main(words) == cli.USAGE, words
        told = capsys.readouterr().err
        assert sentence in told and "Traceback" not in told, (words, told)


def test_show_prints_the_resolved_run_and_trains_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["train", str(RECIPES / "bci.py:tiny"), "--out", str(tmp_path / "r"), "--method.weight-l1", "7", "--show"]
    assert cli.main(words) == cli.FINE
    run = json.loads(capsys.readouterr().out)
    assert (run["method_name"], run["method"]["weight_l1"]) == ("pyramid_pix2pix", 7.0)
    assert not (tmp_path / "r").exists()


def test_data_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "phantom", "-o", str(tmp_path / "p"), "-n", "4", "--size-px", "64"]) == cli.FINE
    assert cli.main(["data", "check", str(tmp_path / "p")]) == cli.FINE
    told = capsys.readouterr().out
    assert "4 pairs" in told and "0 x1, 1+ x1, 2+ x1, 3+ x1" in told
    (tmp_path / "p" / "HE" / "extra.png").write_bytes(b"not an image")
    assert cli.main(["data", "check", str(tmp_path / "p")]) == cli.SOME_FAILED


def test_evaluate_and_report(he: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "--pred", str(he), "--target", str(he), "--source", str(he), "--out", str(tmp_path / "s")]
    assert cli.main(words) == cli.FINE
    told = capsys.readouterr().out
    assert all(row in told for row in ("constant", "source", "blurred target"))
    assert json.loads((tmp_path / "s" / "metrics.json").read_text())["expected"] == 2
    assert cli.main(["report", str(tmp_path), "-o", str(tmp_path / "report.html")]) == cli.FINE
    assert "Research use only" in (tmp_path / "report.html").read_text()


def test_missing_predictions_are_failures(he: Path, tmp_path: Path) -> None:
    pred = tmp_path / "pred"
    pred.mkdir()
    first = sorted(he.iterdir())[0]
    (pred / first.name).write_bytes(first.read_bytes())
    words = ["evaluate", "--pred", str(pred), "--target", str(he), "--out", str(tmp_path / "s")]
    assert cli.main(words) == cli.SOME_FAILED
    found = json.loads((tmp_path / "s" / "metrics.json").read_text())
    assert (found["expected"], found["scored"]) == (2, 1)


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["methods"]) == cli.FINE and cli.main(["--version"]) == cli.FINE
    told = capsys.readouterr().out
    assert "pyramid_pix2pix" in told and "pix2pix" in told


def test_methods_of_every_task_are_listed_under_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["methods"]) == cli.FINE
    groups = capsys.readouterr().out.strip().split("\n\n")
    assert [group.split(":")[0] for group in groups] == ["staining", "synthesis", "reading"]
    for group in groups:
        task = group.split(":")[0]
        blocks = [block.splitlines() for block in group.split("\n  ") if not block.startswith((" ", task))]
        assert [block[0].split()[0] for block in blocks] == methods.available(task)  # type: ignore[arg-type]
    assert "  detector (2020): Synthesis of Multimodal" in groups[2] and "    learns from: lesion boxes\n" in groups[2]
    assert "    variants: segmenter:thesis" in groups[2]


def test_methods_of_one_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["methods", "--task", "reading"]) == cli.FINE
    told = capsys.readouterr().out
    assert told.startswith("reading: ") and "staining" not in told and "renderer" not in told
    assert cli.main(["methods", "--task", "reading", "--markdown"]) == cli.FINE
    table = capsys.readouterr().out
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `")]
    assert [row[0] for row in rows] == [f"| `{name}`" for name in methods.available("reading")]
    assert rows[0][2:] == ["2020", "image classes", "`thesis` |"]


def test_three_lines_of_python(model: str) -> None:
    import chromogen

    stain = chromogen.load(model)
    ihc = stain(np.full((33, 41, 3), 200, np.uint8))
    assert ihc.shape == (33, 41, 3) and ihc.dtype == np.uint8
    with pytest.raises(AttributeError):
        _ = chromogen.nothing


def test_interpolate_writes_a_model_between_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    method = methods.narrowed(methods.load("chromogen"), 16, crop_px=64)
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_model(tmp_path / f"{seed}.safetensors", method, method.networks(), Card(title=f"model {seed}"))
    parents = [str(tmp_path / f"{seed}.safetensors") for seed in (0, 1)]
    assert cli.main(["interpolate", *parents, "-o", str(tmp_path / "between.safetensors"), "--share", "0.25"]) == 0
    weights = [next(load_model(p).nets.parameters()) for p in [*parents, tmp_path / "between.safetensors"]]
    assert torch.allclose(weights[2], 0.75 * weights[0] + 0.25 * weights[1])
    assert cli.main(["interpolate", *parents, "-o", str(tmp_path / "between.safetensors"), "--share", "1.25"]) == 2
    assert "share" in capsys.readouterr().err
