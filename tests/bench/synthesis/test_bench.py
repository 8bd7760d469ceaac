"""The bench of synthesis as a user runs it: small, whole, with one system that fails, and again."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chromogen.bench.synthesis import bench as benches
from chromogen.bench.synthesis import one
from chromogen.bench.synthesis.plan import Plan, check_system, systems_for
from chromogen.cli import main
from chromogen.data.cases.prepared import Prepared
from chromogen.methods import available
from tests.bench.prepared_sets import brains, squares

alone = benches._run  # in a process of its own


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return brains(tmp_path_factory.mktemp("data") / "brains", ("train",) * 8 + ("val",) * 2 + ("test",) * 7)


def words(data: Path, out: Path) -> list[str]:
    return [
        "bench", "synthesis", "--data", str(data), "--out", str(out), "--budget", "2", "--count", "7", "--batch-size", "2",
        "--narrow", "16", "--extractors", "radiomics", "--systems", "dcgan", "random_contrast", "acgan", "--device", "cpu",
        "--reader-budget", "2",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    out = tmp_path_factory.mktemp("out") / "bench"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benches, "_run", lambda system, out: alone(system, out) if system == "acgan" else one.main(out, system))
        return main(words(data, out)), out


def result(out: Path, system: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = json.loads((out / system / "result.json").read_text(encoding="utf-8"))
    return found


def test_one_failure_does_not_stop_the_rest_and_is_told(finished: tuple[int, Path]) -> None:
    code, out = finished
    text = (out / "table.md").read_text(encoding="utf-8")
    assert code == 1 and "- acgan: acgan makes images of a category, and these cases have none" in text
    assert "| dcgan |" in text and "| random_contrast |" in text and "*control:held-out: real cases" in text
    assert "ms-ssim-2 made-made" in text and "Here read is dice." in text


def test_every_set_has_what_was_asked_for_and_says_that_it_is_synthetic(finished: tuple[int, Path], data: Path) -> None:
    _, out = finished
    real = Prepared(data)
    for system in ("dcgan", "random_contrast", "control-training-mean", "control-held-out"):
        made = Prepared(out / system / "made")
        assert len(made) == 7 and made.size_px == (32, 32) and made.index.modalities == ("T1", "FLAIR")
        assert {case.origin for case in made.index.cases} == {"real" if system == "control-held-out" else "synthetic"}
    assert Prepared(out / "dcgan" / "made").index.label == "none"
    drawn = Prepared(out / "random_contrast" / "made")
    masks = {np.asarray(one).tobytes() for one in real.arrays["mask"][real.of_split("train")]}
    assert all(np.asarray(one).tobytes() in masks for one in drawn.arrays["mask"])
    mean = np.mean([real.arrays["images"][k].astype(float) for k in real.of_split("train")], axis=0)
    assert np.allclose(Prepared(out / "control-training-mean" / "made").arrays["images"][3], mean, atol=1e-3)
    held = Prepared(out / "control-held-out" / "made")
    assert np.array_equal(held.arrays["images"][0], real.arrays["images"][real.of_split("test")[0]])


def test_the_numbers_tell_the_controls_apart(finished: tuple[int, Path]) -> None:
    _, out = finished
    held, mean, net = (result(out, name)["scores"] for name in ("control-held-out", "control-training-mean", "dcgan"))
    assert held["kid[radiomics]"] < mean["kid[radiomics]"]
    assert mean["ms-ssim-2[fake-fake]"] == pytest.approx(1.0) and held["ms-ssim-2[fake-fake]"] < 0.999
    assert held["ms-ssim-2[real-real]"] == mean["ms-ssim-2[real-real]"] == net["ms-ssim-2[real-real]"]
    assert held["kid_floor[radiomics]"] == net["kid_floor[radiomics]"]
    assert "read" in held and "read" not in net and held["read_as"] == "dice"  # type: ignore[comparison-overlap]
    assert "copies" not in held and 0 <= net["copies"] <= 1 and 0 <= net["nearness"] <= 1
    assert held["shift_px"] < 3 and 0 < held["line_overlap"] <= 1


def test_what_a_system_took_is_written_down(finished: tuple[int, Path]) -> None:
    _, out = finished
    cost, nothing = result(out, "dcgan")["cost"], result(out, "random_contrast")["cost"]
    assert cost["steps"] == 2 and cost["seconds_per_step"] > 0
    assert cost["parameters_in_training"] > cost["parameters"] > 0
    assert nothing == {"steps": 0, "parameters": 0}
    with (out / "table.csv").open(newline="", encoding="utf-8") as handle:
        rows = {row["system"]: row for row in csv.DictReader(handle)}
    assert list(rows)[:2] == ["control:held-out", "control:training-mean"] and len(rows) == 4
    assert float(rows["dcgan"]["kid[radiomics]"]) == result(out, "dcgan")["scores"]["kid[radiomics]"]


def test_the_picture_shows_real_cases_first(finished: tuple[int, Path], data: Path) -> None:
    picture = np.asarray(Image.open(finished[1] / "picture.jpg"))
    assert picture.shape == (22 + 4 * 99, 170 + 8 * 99, 3)  # four rows; four cases of two modalities, 3 times as large
    real = Prepared(data)
    image = real.arrays["images"][real.of_split("test")[0]][0, 0].astype(float) * 255
    shown = picture[22 : 22 + 96 : 3, 170 : 170 + 96 : 3].mean(axis=2)
    assert np.abs(shown - image).mean() < 8  # a JPEG of it


def test_the_same_command_makes_nothing_again(finished: tuple[int, Path], data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, out = finished
    started: list[str] = []
    monkeypatch.setattr(benches, "_run", lambda system, out: started.append(system) or 0)
    plan = Plan(**json_plan(out))
    outcomes = benches.bench(plan, ["dcgan", "random_contrast"], out, lambda line: None)
    assert started == [] and [one.reason for one in outcomes] == [""] * 4
    (out / "dcgan" / "result.json").rename(out / "dcgan" / "kept.json")
    benches.bench(plan, ["dcgan", "random_contrast"], out, lambda line: None)
    (out / "dcgan" / "kept.json").rename(out / "dcgan" / "result.json")
    assert started == ["dcgan"]
    with pytest.raises(ValueError, match="another count"):
        benches.bench(Plan(**{**json_plan(out), "count": 9}), ["dcgan"], out, lambda line: None)


def json_plan(out: Path) -> dict[str, object]:
    fields = json.loads((out / "bench.json").read_text(encoding="utf-8"))["plan"]
    return {**fields, "data": Path(fields["data"]), "extractors": tuple(fields["extractors"]), "chains": ()}


def test_an_interrupted_system_interrupts_the_bench(
    finished: tuple[int, Path], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benches, "_run", lambda system, out: 130)
    with pytest.raises(KeyboardInterrupt):
        benches.bench(Plan(**json_plan(finished[1])), ["wgan_gp"], finished[1], lambda line: None)


def test_systems_follow_from_the_label(tmp_path: Path, data: Path) -> None:
    with_classes = systems_for(Prepared(squares(tmp_path / "classes", "category")))
    without = systems_for(Prepared(data))
    assert set(with_classes) - set(without) == {"acgan"} and "random_contrast" in without
    assert not {"renderer", "structure_sampler", "organ_reader", "modality_translator"} & set(with_classes)
    assert set(with_classes) <= set(available("synthesis"))


def test_what_cannot_take_part_is_named(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ValueError, match="renderer makes no images by itself"):
        check_system("renderer", Plan(data))
    with pytest.raises(ValueError, match="did you mean 'dcgan'"):
        check_system("dcgann", Plan(data))
    with pytest.raises(ValueError, match="no chain 'x'"):
        check_system("chain:x", Plan(data))
    with pytest.raises(ValueError, match="compares with real ones"):
        Plan(brains(tmp_path / "made", ("train", "val"), "synthetic")).prepared()
    with pytest.raises(ValueError, match="needs cases in train and in val or test"):
        Plan(brains(tmp_path / "few", ("train",))).prepared()


def test_samplers_are_shaped_for_the_cases(tmp_path: Path, data: Path) -> None:
    plan = Plan(data, narrow=16)
    method = plan.method("dcgan")
    assert (method.size_px, method.modalities, method.channels, method.width) == (32, 2, 1, 4)
    classes = Plan(squares(tmp_path / "classes", "category", size=48))
    assert (classes.method("acgan").size_px, classes.method("acgan").categories) == (64, 2)  # the nearest power of two
