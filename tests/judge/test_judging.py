"""What `Judging` adds to PSNR and SSIM: each part against the function that measures it, and nothing for a wrong file."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chromogen.color import background
from chromogen.data.images import read_image
from chromogen.evaluate.pixels import protocols, validity
from chromogen.evaluate.staining import amounts
from chromogen.evaluate.staining.nuclei_kept import nuclei_kept
from chromogen.judge.folder import score_folder
from chromogen.judge.judging import Judging
from chromogen.judge.written import write_scores
from chromogen.phantom.tissue.folder import write_phantoms
from chromogen.phantom.tissue.phantom import Phantom

TISSUE = Phantom(size_px=128, mpp=0.5)


@pytest.fixture(scope="module")
def tissue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve phantoms to test, twelve to train; as predictions the real IHC with one grey level more, one of them blurred."""
    root = tmp_path_factory.mktemp("tissue")
    write_phantoms(root / "train", TISSUE, 12, seed=0)
    write_phantoms(root / "test", TISSUE, 12, seed=500)
    for number, path in enumerate(sorted((root / "test" / "IHC").iterdir())):
        image = np.clip(read_image(path).astype(int) + 1, 0, 255).astype(np.uint8)
        if number == 0:
            image = np.asarray(Image.fromarray(image).resize((16, 16)).resize((128, 128), Image.Resampling.BICUBIC))
        (root / "made").mkdir(exist_ok=True)
        Image.fromarray(image).save(root / "made" / path.name)
    return root


def judged(root: Path, judging: Judging) -> dict:
    return json.loads(json.dumps(score_folder(root / "made", root / "test" / "IHC", root / "test" / "HE", judging).metrics))


FULL = Judging(also=("gauss11", "shift-tolerant"), mpp=0.5, extractors=("radiomics",))


def test_every_number_is_that_of_the_function_that_measures_it(tissue: Path) -> None:
    scores = score_folder(tissue / "made", tissue / "test" / "IHC", tissue / "test" / "HE", FULL)
    for image in scores.images[:3]:
        made, real = (
            read_image(tissue / "made" / image.prediction_file),
            read_image(tissue / "test" / "IHC" / image.target_file),
        )
        source, light = read_image(tissue / "test" / "HE" / image.source_file), background(real)
        for profile in ("gauss11", "shift-tolerant"):
            for name, value in protocols.measure(made, real, profile).items():
                assert image.measures[f"{name}[{profile}]"] == value
        for name, value in amounts.dab_measures(made, real, light).items():
            assert image.measures[name] == pytest.approx(value, nan_ok=True)
        assert image.octaves == validity.sharpness_octaves(made, real)
        assert image.measures["nuclei_f1"] == nuclei_kept(made, source, 0.5).f1
        blank = np.broadcast_to(np.rint(real.reshape(-1, 3).mean(0)).astype(np.uint8), real.shape)
        wrong = amounts.dab_measures(blank, real, light)
        assert image.controls["constant"]["dab_wasserstein"] == wrong["dab_wasserstein"] > image.measures["dab_wasserstein"]


def test_two_workers_write_what_one_writes(tissue: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        found = score_folder(tissue / "made", tissue / "test" / "IHC", tissue / "test" / "HE", replace(FULL, workers=workers))
        write_scores(found, tmp_path / str(workers))
    for name in ("metrics.json", "per_image.csv"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_blurred_image_is_flagged_by_name(tissue: Path) -> None:
    found = judged(tissue, Judging())["validity"]
    assert found["flag"] == "valid" and [(one["name"][:13], one["flag"]) for one in found["images"]] == [
        ("phantom-00000", "blurry")
    ]
    strict = judged(tissue, Judging(thresholds=validity.Thresholds(share_above=0.0)))["validity"]
    assert strict["flag"] == "blurry" and "1 of 12" in strict["reasons"][0]


def test_training_images_give_a_control_and_a_reader_with_its_ceiling(tissue: Path) -> None:
    metrics = judged(tissue, Judging(training=tissue / "train" / "IHC"))
    assert metrics["controls"]["training_mean"]["scored"] == 12
    level = metrics["level"]
    assert level["trained_on"] == 12 and np.sum(level["real"]["confusion"]) == np.sum(level["virtual"]["confusion"]) == 12
    assert 0 <= level["virtual"]["accuracy"] <= 1
    known = judged(tissue, Judging(training=tissue / "test" / "IHC"))["level"]
    assert "are also test images" in known["missing_because"]


def test_distances_carry_their_extractor_and_floor(tissue: Path) -> None:
    found = judged(tissue, FULL)["distribution"]
    assert found["fid[radiomics]"] >= 0 and "fid_floor[radiomics]" in found
    assert "12 real, 12 generated" in found["images[radiomics]"] and found["preprocessing[radiomics]"]


def test_intervals_are_over_slides_where_these_are_known(tissue: Path, tmp_path: Path) -> None:
    names = [path.stem for path in sorted((tissue / "test" / "IHC").iterdir())]
    table = tmp_path / "slides.csv"
    table.write_text("name,slide\n" + "".join(f"{name},{k // 4}\n" for k, name in enumerate(names)), encoding="utf-8")
    by_image, by_slide = (judged(tissue, Judging(slides=slides))["intervals"]["ssim"] for slides in (None, table))
    assert (by_image["units"], by_slide["units"]) == (12, 3) and by_image["low"] < by_image["estimate"] < by_image["high"]
    table.write_text("name,slide\n" + "".join(f"{name},1\n" for name in names[1:]), encoding="utf-8")
    with pytest.raises(ValueError, match=f"names no slide for {names[0].replace('+', '[+]')}"):
        judged(tissue, Judging(slides=table))


def test_pixels_only_measures_nothing_else(tissue: Path) -> None:
    metrics = judged(tissue, Judging(staining=False))
    assert "staining" not in metrics and metrics["overall"]["dab"] is None and metrics["overall"]["psnr"] > 20


def test_what_cannot_be_measured_is_a_note_not_a_failure(tissue: Path, tmp_path: Path) -> None:
    for folder in ("made", "real"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.full((20, 20, 3), 200 if folder == "real" else 190, dtype=np.uint8)).save(
            tmp_path / folder / "a.png"
        )
    metrics = score_folder(tmp_path / "made", tmp_path / "real", None, Judging()).metrics
    assert metrics["complete"] and "at least 32 px" in metrics["not_measured"][0]["reason"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"also": ("gaus11",)}, "did you mean 'gauss11'"),
        ({"profile": "ms-ssim"}, "has no PSNR"),
        ({"mpp": 5.0}, "between 0.1 and 2"),
        ({"workers": 0}, "at least 1"),
    ],
)
def test_impossible_wishes(change: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Judging(**change)


def test_an_unknown_extractor_is_said_before_any_scoring(tissue: Path) -> None:
    with pytest.raises(ValueError, match="did you mean 'radiomics'"):
        judged(tissue, Judging(extractors=("radiomic",)))
