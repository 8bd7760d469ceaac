"""Outputs under the names that published code gives them are scored, and a folder against itself is told."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from chromogen import cli
from chromogen.judge.folder import score_folder
from chromogen.judge.judging import Judging, slides_of
from tests.conftest import Folders, scene

PIXELS = Judging(staining=False)


def noisy(image: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).integers(-10, 11, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def write(root: Path, prediction: str, target: str, source: str) -> None:
    """Three images under each of the three names, {} being the image's."""
    for index, name in enumerate(("00000_test_1+", "00001_test_3+", "grün")):
        Folders.save(root / prediction.format(name), noisy(scene(index)))
        Folders.save(root / target.format(name), scene(index))
        Folders.save(root / source.format(name), scene(index)[::-1])


@pytest.mark.parametrize(
    "prediction, target, source, folders",
    [
        ("out/{}_fake_B.png", "IHC/{}.png", "HE/{}.png", ("out", "IHC", "HE")),
        ("images/{}_fake_B.png", "images/{}_real_B.png", "images/{}_real_A.png", ("images", "images", "images")),
        ("images/{}-fake_B.PNG", "IHC/{}.jpg", "images/{}-real_A.png", ("images", "IHC", "images")),
        ("images/fake_B/{}.png", "images/real_B/{}.png", "images/real_A/{}.png", ("images", "images", "images")),
        ("out/{}_fake.png", "IHC/{}.png", "HE/{}.png", ("out", "IHC", "HE")),
        ("out/{}_synthesized_image.jpg", "IHC/{}.png", "HE/{}.png", ("out", "IHC", "HE")),
        ("out/{}_pred.tif", "IHC/{}.tif", "HE/{}.png", ("out", "IHC", "HE")),
        ("out/{}.virtual-her2.png", "IHC/{}.PNG", "HE/{}.png", ("out", "IHC", "HE")),
    ],
)
def test_names_of_published_code(
    prediction: str, target: str, source: str, folders: tuple[str, str, str], tmp_path: Path
) -> None:
    write(tmp_path, prediction, target, source)
    if "fake_B/" not in prediction:
        Folders.save(tmp_path / folders[0] / "00000_test_1+_rec_A.png", scene(5))
    scores = score_folder(tmp_path / folders[0], tmp_path / folders[1], tmp_path / folders[2], PIXELS)
    assert scores.complete and {image.name for image in scores.images} == {"00000_test_1+", "00001_test_3+", "grün"}
    assert [image.level for image in scores.images][:2] == [1, 3] and not scores.against_itself
    assert all(20 < image.measures["psnr"] < 50 for image in scores.images)


def test_siblings_in_two_unicode_forms_pair(tmp_path: Path) -> None:
    for form, folder, side in (("NFC", "pred", 0), ("NFD", "target", 0), ("NFD", "source", 1)):
        for index in range(2):
            name = unicodedata.normalize(form, f"Gewebe_ä{index}")
            Folders.save(tmp_path / folder / f"{name}.png", noisy(scene(index)) if folder == "pred" else scene(index + side))
    scores = score_folder(tmp_path / "pred", tmp_path / "target", tmp_path / "source", PIXELS)
    assert scores.complete
    table = tmp_path / "slides.csv"
    table.write_text("name;slide\n" + "\n".join(unicodedata.normalize("NFD", f"Gewebe_ä{k}.png;S{k}") for k in range(2)))
    assert slides_of(table, [image.name for image in scores.images]) == ["S0", "S1"]


def test_a_folder_against_itself_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(2):
        Folders.save(tmp_path / "IHC" / f"{index}.png", scene(index))
        Folders.save(tmp_path / "copy" / f"{index}.png", scene(index))
        Folders.save(tmp_path / "HE" / f"{index}.png", scene(index + 3))
        Folders.save(tmp_path / "half" / f"{index}.png", scene(index) if index else noisy(scene(index)))
    (tmp_path / "link").symlink_to(tmp_path / "IHC")
    for pred, said in (
        ("IHC", "is the target folder itself: a folder scored against itself"),
        ("link", "is the target folder itself"),
        ("copy", "every prediction equals its target to the pixel: a folder scored against itself"),
        ("half", "1 of 2 predictions equal their targets"),
        ("HE", "is the source folder itself: what is scored is the H&E"),
    ):
        words = ["--pred", pred, "--target", "IHC", "--source", "HE", "--out", f"scores-{pred}", "--pixels-only"]
        words = [str(tmp_path / word) if word in ("IHC", "HE", pred) or word.startswith("scores") else word for word in words]
        assert cli.main(["evaluate", *words, "--workers", "1"]) == cli.FINE
        assert said in capsys.readouterr().out.replace("\n", ""), pred
