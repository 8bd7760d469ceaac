import json
import math
import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from chromogen.challenge import container, scoring
from tests.challenge.conftest import NAMES, Places, job, picture, save
from tests.challenge.test_mha import mha

ZERO, ONE, TWO = NAMES


def test_jobs_in_every_format_are_scored_under_the_name_of_their_input(places: Places) -> None:
    places.jobs(job("k2", f"{TWO}.mha"), job("k0", f"{ZERO}.png"), job("k1", ONE, socket="socket"))
    made = {ZERO: picture(10), ONE: picture(11), TWO: picture(12)}
    save(places.out("k0") / "any name.png", made[ZERO])
    save(places.out("k1") / "a.tiff", made[ONE], "TIFF")
    places.out("k2").mkdir(parents=True)
    (places.out("k2") / "b.mha").write_bytes(mha(made[TWO]))
    assert places.run() == 0
    results = {result["name"]: result for result in places.metrics["results"]}
    assert list(results) == [ZERO, ONE, TWO]
    assert [result["pk"] for result in results.values()] == ["k0", "k1", "k2"]
    psnrs, ssims = [], []
    for seed, name in enumerate(NAMES):
        psnrs.append(peak_signal_noise_ratio(picture(seed), made[name], data_range=255))
        ssims.append(structural_similarity(picture(seed), made[name], channel_axis=2, data_range=255))
        assert (results[name]["psnr_bci2022"], results[name]["ssim_bci2022"]) == pytest.approx((psnrs[-1], ssims[-1]))
    aggregates = places.metrics["aggregates"]
    assert all(name.endswith("_bci2022") for name in aggregates)
    for name, values in (("psnr", psnrs), ("ssim", ssims)):
        assert aggregates[f"{name}_bci2022"] == pytest.approx(np.mean(values))
        assert aggregates[f"{name}_failures_as_zero_bci2022"] == pytest.approx(np.mean(values))
    assert (aggregates["images_bci2022"], aggregates["failed_bci2022"]) == (3, 0)


def test_failed_jobs_stop_nothing_and_count_as_zero(places: Places) -> None:
    places.jobs(job("k0", ZERO), job("k1", ONE), job("k2", TWO))
    save(places.out("k0") / "a.png", picture(10))
    save(places.out("k1") / "a.png", picture(11, 24, 33))
    places.out("k2").mkdir(parents=True)
    (places.out("k2") / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    assert places.run() == 0
    errors = places.errors
    assert errors[ZERO] is None
    assert errors[ONE] == "the prediction is 33x24 px, its target 32x24 px"
    assert errors[TWO] is not None and "k2/output/images/ihc/a.png is damaged" in errors[TWO]
    aggregates = places.metrics["aggregates"]
    psnr = peak_signal_noise_ratio(picture(0), picture(10), data_range=255)
    ssim = structural_similarity(picture(0), picture(10), channel_axis=2, data_range=255)
    assert aggregates["psnr_bci2022"] == pytest.approx(psnr)
    assert aggregates["psnr_failures_as_zero_bci2022"] == pytest.approx(psnr / 3)
    assert aggregates["ssim_failures_as_zero_bci2022"] == pytest.approx(ssim / 3)
    assert aggregates["failed_bci2022"] == 2


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ([], "not an object"),
        ({"pk": "../../truth"}, "leads out of its folder"),
        ({"outputs": [{"interface": {"slug": "ihc", "relative_path": "/etc"}}]}, "leads out of its folder"),
        ({"outputs": []}, "and one is needed"),
        ({"outputs": None}, "no list of outputs"),
        ({"outputs": job("", "")["outputs"] * 2}, "and one is needed"),
        ({"outputs": [{"interface": "ihc"}]}, "relative_path"),
        ({"pk": "elsewhere"}, "no output folder"),
        ({"inputs": [{"interface": {"slug": "he"}, "image": None}]}, "and one is needed"),
        ({"inputs": [{"interface": {"slug": "he"}, "image": {"name": "\ud800"}}]}, "not in Unicode"),
    ],
)
def test_a_malformed_job_is_told_and_the_others_are_scored(places: Places, broken: Any, error: str) -> None:
    places.jobs(job("k0", ZERO), job("k1", ONE) | broken if isinstance(broken, dict) else broken)
    save(places.out("k0") / "a.png", picture(10))
    save(places.out("k1") / "a.png", picture(11))
    assert places.run() == 0
    assert places.errors[ZERO] is None and places.errors[ONE] is not None
    told = " ".join(result.get("error", "") for result in places.metrics["results"])
    assert error in told
    assert places.metrics["aggregates"]["images_bci2022"] == 3


def test_jobs_for_one_image_or_for_none(places: Places) -> None:
    places.jobs(job("k0", ZERO), job("k1", ZERO), job("k2", "unknown.png"), job("k3", TWO))
    for key in ("k0", "k1", "k2", "k3"):
        save(places.out(key) / "a.png", picture(10))
    assert places.run() == 0
    assert places.errors == {
        ZERO: "several predictions are for this image: k0, k1",
        ONE: "no prediction was handed in",
        TWO: None,
        "unknown": "no test image has this name",
    }
    assert places.metrics["aggregates"]["images_bci2022"] == 3


def test_slugs_choose_among_several_images(places: Places) -> None:
    two = job("k0", ZERO)
    two["inputs"].insert(0, {"interface": {"slug": "mask"}, "image": {"name": ONE}})
    two["outputs"].insert(0, {"interface": {"slug": "map", "relative_path": "images/map"}})
    two["outputs"].append({"interface": {"slug": "numbers", "relative_path": "numbers.json"}})
    places.jobs(two)
    save(places.out("k0") / "a.png", picture(10))
    save(places.input / "k0" / "output" / "images" / "map" / "a.png", picture(11))
    assert places.run() == 0 and places.metrics["aggregates"]["failed_bci2022"] == 3
    assert places.run("--input-slug", "he", "--output-slug", "ihc") == 0
    chosen = places.metrics["results"][0]
    assert chosen["psnr_bci2022"] == pytest.approx(peak_signal_noise_ratio(picture(0), picture(10), data_range=255))


def test_a_folder_and_its_zip_score_alike(places: Places, tmp_path: Path) -> None:
    for seed, name in enumerate(NAMES[:2]):
        save(places.input / "team" / f"{name}{'.virtual-her2' * seed}.png", picture(10 + seed))
    (places.input / "team" / "00010_test_2+.mha").write_bytes(mha(picture(12)))
    (places.input / "team" / "notes.txt").write_text("x")
    save(places.input / "team" / "extra.png", picture(9))
    assert places.run() == 0
    found = places.metrics
    assert found["aggregates"]["failed_bci2022"] == 0 and found["ignored"] == ["extra.png", "notes.txt"]
    packed = Places(tmp_path / "packed", places.truth, tmp_path / "other")
    packed.input.mkdir()
    with zipfile.ZipFile(packed.input / "submission.zip", "w") as archive:
        for path in sorted((places.input / "team").iterdir()):
            archive.write(path, f"team/{path.name}")
    assert packed.run() == 0
    assert packed.metrics == found | {"ignored": ["extra.png", "team/notes.txt"]}


def test_two_files_of_one_name_and_a_missing_one(places: Places) -> None:
    save(places.input / f"{ZERO}.png", picture(10))
    save(places.input / f"{ZERO}.tif", picture(10), "TIFF")
    save(places.input / f"{ONE}.png", picture(11))
    assert places.run() == 0
    assert places.errors[ZERO] == f"several predictions are for this image: {ZERO}.png, {ZERO}.tif"
    assert (places.errors[ONE], places.errors[TWO]) == (None, "no prediction was handed in")


def test_links_to_the_answers_and_pipes_are_not_read(places: Places) -> None:
    places.input.mkdir()
    (places.input / f"{ZERO}.png").symlink_to(places.truth / f"{ZERO}.png")
    os.mkfifo(places.input / f"{ONE}.png")
    save(places.input / "real" / "two.png", picture(12))
    (places.input / f"{TWO}.png").symlink_to(Path("real") / "two.png")
    assert places.run() == 0
    assert "outside the submission" in str(places.errors[ZERO])
    assert "is no file" in str(places.errors[ONE])
    assert places.errors[TWO] is None
    places.jobs(job("k0", ZERO))
    places.out("k0").parent.mkdir(parents=True)
    places.out("k0").symlink_to(places.truth)
    assert places.run() == 0 and places.errors[ZERO] is not None
    (places.out("k0")).unlink()
    places.out("k0").mkdir()
    (places.out("k0") / "a.png").symlink_to(places.truth / f"{ZERO}.png")
    assert places.run() == 0 and "outside the submission" in str(places.errors[ZERO])


def test_names_in_another_unicode_form_and_names_that_are_none(places: Places) -> None:
    save(places.truth / "caf\u00e9.png", picture(3))
    save(places.input / "cafe\u0301.png", picture(13))
    (places.input / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    assert places.run() == 0
    assert places.errors["caf\u00e9"] is None
    assert places.metrics["ignored"] == ["\\udcff.png"]


@pytest.mark.parametrize("packed", [False, True])
def test_strange_names_formats_sizes_and_pixels_stay_with_their_image(places: Places, tmp_path: Path, packed: bool) -> None:
    for path in places.truth.iterdir():
        path.unlink()
    names = ("00000_test_1+", "two words +", "\u80c3 \u817a\u764c_test_2+", "a_test_3+", "b_test_0")
    for seed, name in enumerate(names):
        save(places.truth / f"{name}.png", picture(seed))
    folder = tmp_path / "mine" if packed else places.input
    save(folder / f"{names[0]}.jpg", picture(10), "JPEG")
    save(folder / f"{names[1]}.png", picture(11)[..., 0])
    save(folder / f"{names[2]}.png", picture(12))
    save(folder / f"{names[3]}.tif", np.full((24, 32), np.nan, dtype=np.float32), "TIFF")
    save(folder / f"{names[4]}.png", picture(14, 24, 31))
    if packed:
        places.input.mkdir()
        with zipfile.ZipFile(places.input / "\u6211.zip", "w") as archive:
            for path in sorted(folder.iterdir()):
                archive.write(path, f"\u6211\u7684/{path.name}")
    assert places.run() == 0
    errors = places.errors
    assert [errors[name] for name in names[:3]] == [None] * 3
    assert "holds floating-point values that are not finite" in str(errors[names[3]])
    assert errors[names[4]] == "the prediction is 31x24 px, its target 32x24 px"
    results = {result["name"]: result for result in places.metrics["results"]}
    grey = np.repeat(picture(11)[..., :1], 3, axis=2)
    for name, seed, made in ((names[1], 1, grey), (names[2], 2, picture(12))):
        assert results[name]["psnr_bci2022"] == pytest.approx(peak_signal_noise_ratio(picture(seed), made, data_range=255))
    assert (places.metrics["aggregates"]["images_bci2022"], places.metrics["aggregates"]["failed_bci2022"]) == (5, 2)


def test_an_identical_image_is_told_and_cannot_be_ranked(places: Places) -> None:
    for seed, name in enumerate(NAMES):
        save(places.input / f"{name}.png", picture(seed + (10 if seed else 0)))
    assert places.run() == 0
    text = (places.output / "metrics.json").read_text()
    found = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert found["results"][0]["psnr_bci2022"] is None and found["results"][0]["ssim_bci2022"] == 1
    assert found["aggregates"]["psnr_bci2022"] is None and found["aggregates"]["identical_bci2022"] == 1
    assert math.isfinite(found["aggregates"]["ssim_bci2022"])


def test_the_protocol_is_in_every_name(places: Places) -> None:
    save(places.input / f"{ZERO}.png", picture(10))
    assert places.run("--profile", "gauss11") == 0
    found = places.metrics
    assert all(name.endswith("_gauss11") for name in found["aggregates"])
    expected = structural_similarity(
        picture(0), picture(10), channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert found["results"][0]["ssim_gauss11"] == pytest.approx(expected)
    assert scoring.under("ssim", "ms-ssim") == "ssim_ms_ssim"  # a hyphen would be a minus in a JSONPath


def zip_slip(places: Places) -> None:
    places.input.mkdir()
    with zipfile.ZipFile(places.input / "a.zip", "w") as archive:
        archive.writestr("../evil.png", b"x")


def no_name_fits(places: Places) -> None:
    save(places.input / "x.png", picture(0))


def broken_jobs(places: Places) -> None:
    places.input.mkdir()
    (places.input / "predictions.json").write_text('{"pk": 1}')


def deep_jobs(places: Places) -> None:
    places.input.mkdir()
    (places.input / "predictions.json").write_text("[" * 100_000)


def empty(places: Places) -> None:
    places.input.mkdir()


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        (zip_slip, "leads out of the folder"),
        (no_name_fits, "no image has the name of a test image"),
        (broken_jobs, "not a list of jobs"),
        (deep_jobs, "not JSON"),
        (empty, "no image was handed in"),
        (lambda places: None, "is not there"),
    ],
)
def test_a_submission_that_cannot_be_read_is_refused_in_one_sentence(
    places: Places, capsys: pytest.CaptureFixture[str], prepare: Any, sentence: str
) -> None:
    prepare(places)
    assert places.run() == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("the submission was refused: ") and sentence in last
    assert not (places.output / "metrics.json").exists()


@pytest.mark.parametrize("fault", ["missing", "none", "damaged", "doubled", "mha", "bci2023", "ms-ssim"])
def test_mistakes_of_the_organiser_are_not_the_participants(
    places: Places, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    save(places.input / f"{ZERO}.png", picture(10))
    if fault in ("missing", "none"):
        for path in places.truth.iterdir():
            path.unlink()
    if fault == "missing":
        places.truth.rmdir()
    if fault == "damaged":
        (places.truth / "x.png").write_bytes(b"x")
    if fault == "doubled":
        save(places.truth / f"{ZERO}.tif", picture(0), "TIFF")
    if fault == "mha":
        (places.truth / "x.mha").write_bytes(mha(picture(0)))
    assert places.run(*(["--profile", fault] if fault in ("bci2023", "ms-ssim") else [])) == 2
    assert "the evaluation is set up wrongly: " in capsys.readouterr().err


def test_memory_that_runs_out_fails_one_image(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = scoring.score_folder

    def greedy(prediction: Path, target: Path, *rest: Any) -> Any:
        if (target / f"{ONE}.png").exists():
            raise MemoryError
        return honest(prediction, target, *rest)

    for seed, name in enumerate(NAMES):
        save(places.input / f"{name}.png", picture(10 + seed))
    monkeypatch.setattr(scoring, "score_folder", greedy)
    assert places.run() == 0
    assert list(places.errors.values()) == [None, "there is not enough memory for it", None]


def test_places_come_from_the_environment_and_flags_win(places: Places) -> None:
    save(places.input / f"{ZERO}.png", picture(10))
    variables = {
        "CHROMOGEN_INPUT": str(places.input),
        "CHROMOGEN_GROUND_TRUTH": str(places.truth),
        "CHROMOGEN_OUTPUT": str(places.output),
        "CHROMOGEN_PROFILE": "gauss11",
        "CHROMOGEN_OUTPUT_SLUG": "",
    }
    assert container.main([], variables) == 0 and places.metrics["profile"] == "gauss11"
    assert container.main(["--profile", "bci2022"], variables) == 0 and places.metrics["profile"] == "bci2022"
    usual = container.Evaluation()
    assert [str(usual.input), str(usual.ground_truth), str(usual.output)] == [
        "/input", "/opt/ml/input/data/ground_truth", "/output",
    ]  # fmt: skip


CONFINED = """
import ctypes, os, resource, sys
libc = ctypes.CDLL(None, use_errno=True)
four = 4 * 2**30
resource.setrlimit(resource.RLIMIT_AS, (four, four))
libc.unshare(0x40000000)  # a network of its own, without any device; refused to all but root
for capability in range(64):
    libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: root without privileges, as with --cap-drop all
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def confined(scratch: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Python without privileges, network, home folder or environment, with 4 GiB of addresses."""
    scratch.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-c", CONFINED, "-I", *words],
        env={"TMPDIR": str(scratch), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(platform.system() != "Linux", reason="confined by Linux calls")
def test_it_runs_locked_down_and_twice_alike(places: Places, tmp_path: Path) -> None:
    places.jobs(job("k0", ZERO), job("k1", ONE), job("k2", TWO))
    save(places.out("k0") / "a.png", picture(10))
    places.out("k1").mkdir(parents=True)
    (places.out("k1") / "a.mha").write_bytes(mha(picture(11)))
    locked = [places.input, places.truth, *places.input.rglob("*"), *places.truth.rglob("*")]
    for path in locked:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        refused = confined(tmp_path / "scratch", "-c", f"open({str(places.input / 'x')!r}, 'w')")
        assert "PermissionError" in refused.stderr  # the confinement is real
        texts = []
        for _ in range(2):
            done = confined(tmp_path / "scratch", "-m", "chromogen.challenge.container", *places.flags())
            assert done.returncode == 0, done.stderr
            texts.append((places.output / "metrics.json").read_bytes())
        assert texts[0] == texts[1]
        assert list(places.errors.values())[:2] == [None, None] and places.metrics["aggregates"]["failed_bci2022"] == 1
        assert list((tmp_path / "scratch").iterdir()) == []
        assert str(tmp_path) not in texts[0].decode()
    finally:
        for path in locked:
            path.chmod(0o755)
