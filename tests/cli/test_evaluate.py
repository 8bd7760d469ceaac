"""`chromogen evaluate` as people type it, on what people hand in: one sentence and the right exit code, never a lost run."""

import csv
import json
import os
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from chromogen import cli
from chromogen.phantom.tissue.phantom import Phantom, draw
from tests.conftest import scene

PLAIN = ("0_test_0", "1_test_1+", "2_test_2+", "3_test_3+")
STRANGE = (
    "00000_test_1+",
    "two words +  plus",
    "\u80c3 \u817a\u764c_test_2+",
    "caf\u00e9 \u2013 \u00bd",
    "%20&amp;<b>[bold]:b:",
)


def save(path: Path, image: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


@dataclass(frozen=True)
class Asked:
    """A target folder, a prediction folder, and the command that compares them."""

    root: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def pred(self) -> Path:
        return self.root / "pred"

    @property
    def target(self) -> Path:
        return self.root / "target"

    def run(self, *more: str, pred: Path | None = None, target: Path | None = None) -> tuple[int, list[str]]:
        """The exit code, and the lines on stderr."""
        words = ["--pred", str(pred or self.pred), "--target", str(target or self.target), "--out", str(self.root / "out")]
        code = cli.main(["evaluate", *words, "--workers", "1", *more])
        return code, self.capsys.readouterr().err.strip().splitlines()

    @property
    def rows(self) -> dict[str, dict[str, str]]:
        with (self.root / "out" / "per_image.csv").open(encoding="utf-8", newline="") as handle:
            return {row["name"]: row for row in csv.DictReader(handle)}

    @property
    def metrics(self) -> dict[str, Any]:
        return json.loads((self.root / "out" / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture
def asked(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Four targets of 40 px and good predictions of them."""
    monkeypatch.setenv("COLUMNS", "200")
    made = Asked(tmp_path, capsys)
    for level, name in enumerate(PLAIN):
        save(made.target / f"{name}.png", scene(level))
        save(made.pred / f"{name}.png", np.roll(scene(level), 1, axis=1))
    return made


def test_names_with_plus_spaces_chinese_and_marks(asked: Asked) -> None:
    """A Mac writes the accent of an e as a letter of its own, and hands in what another system called by one."""
    for level, name in enumerate(STRANGE):
        save(asked.root / "real" / f"{name}.png", scene(level % 4))
        save(asked.root / "he" / f"{name}.png", scene(level % 4)[::-1])
        save(
            asked.root / "made" / f"{unicodedata.normalize('NFD', name)}.virtual-her2.png", np.roll(scene(level % 4), 1, axis=0)
        )
    code, said = asked.run("--source", str(asked.root / "he"), pred=asked.root / "made", target=asked.root / "real")
    assert (code, said) == (cli.FINE, [])
    assert sorted(asked.rows) == sorted(STRANGE)
    assert all(row["status"] == "ok" and row["source_psnr"] for row in asked.rows.values())
    assert cli.main(["report", str(asked.root / "out"), "-o", str(asked.root / "report.html")]) == cli.FINE
    page = (asked.root / "report.html").read_text(encoding="utf-8")
    assert "cannot be shown" not in page and "\u80c3 \u817a\u764c_test_2+" in page and "&lt;b&gt;[bold]" in page


def test_a_zip_with_such_names(asked: Asked) -> None:
    with zipfile.ZipFile(asked.root / "handed in.zip", "w") as archive:
        for level, name in enumerate(STRANGE[:3]):
            path = save(asked.root / "real" / f"{name}.png", scene(level))
            archive.write(path, f"\u6211\u7684/{name}.png")
    assert asked.run(pred=asked.root / "handed in.zip", target=asked.root / "real") == (cli.FINE, [])
    assert sorted(asked.metrics["identical"]) == sorted(STRANGE[:3])


def test_names_that_are_no_unicode(asked: Asked) -> None:
    raw = os.fsdecode(b"\xff\xfe_test_1+.png")
    try:
        for folder in (asked.pred, asked.target):
            (folder / raw).write_bytes((asked.target / f"{PLAIN[0]}.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such names")
    (asked.pred / os.fsdecode(b"\xfd.png")).write_bytes(b"x")
    assert asked.run() == (cli.FINE, [])
    assert asked.rows["\\udcff\\udcfe_test_1+"]["level"] == "1+" and asked.metrics["extra_predictions"] == ["\\udcfd.png"]
    (asked.pred / raw).write_bytes(b"x")
    code, said = asked.run()
    assert code == cli.SOME_FAILED and len(said) == 1 and "\\udcfe_test_1+.png is none of PNG" in said[0]


@pytest.mark.parametrize("jpeg", ["pred", "target"])
def test_one_side_jpeg_and_the_other_png(asked: Asked, jpeg: str) -> None:
    """The files decide, not their endings: the data set itself has JPEG inside `.png`."""
    folder = getattr(asked, jpeg)
    for k, name in enumerate(PLAIN):
        image = np.asarray(Image.open(folder / f"{name}.png"))
        (folder / f"{name}.png").unlink()
        save(folder / f"{name}{('.jpg', '.JPEG', '.png', '.jpg')[k]}", image, format="JPEG", quality=90)
    assert asked.run("--pixels-only") == (cli.FINE, [])
    for row in asked.rows.values():
        made, real = (np.asarray(Image.open(at / row[file])) for at, file in (
            (asked.pred, "prediction_file"), (asked.target, "target_file"),
        ))  # fmt: skip
        assert float(row["psnr"]) == pytest.approx(peak_signal_noise_ratio(real, made, data_range=255))
        assert float(row["ssim"]) == pytest.approx(structural_similarity(real, made, channel_axis=2, data_range=255))


@pytest.mark.parametrize(("height", "width"), [(40, 41), (39, 40)])
def test_sizes_that_differ_by_one_pixel(asked: Asked, height: int, width: int) -> None:
    save(asked.pred / f"{PLAIN[2]}.png", np.full((height, width, 3), 200, dtype=np.uint8))
    code, said = asked.run()
    sentence = f"failed: {PLAIN[2]}: the prediction is {width}x{height} px, its target 40x40 px"
    assert (code, said) == (cli.SOME_FAILED, [sentence])
    assert [row["status"] for row in asked.rows.values()] == ["ok", "ok", "failed", "ok"]


def test_grey_predictions_are_grey_in_all_three_channels(asked: Asked) -> None:
    grey = [np.rint(scene(level).mean(axis=2)).astype(np.uint8) for level in range(4)]
    save(asked.pred / f"{PLAIN[0]}.png", grey[0])
    save(asked.pred / f"{PLAIN[1]}.png", grey[1].astype(np.uint16) * 256 + 77)  # the high byte counts
    save(asked.pred / f"{PLAIN[2]}.png", np.stack([grey[2], np.full_like(grey[2], 255)], axis=2))
    save(asked.pred / f"{PLAIN[3]}.png", grey[3] > 200)
    shown = [*grey[:3], np.where(grey[3] > 200, 255, 0).astype(np.uint8)]
    code, said = asked.run()
    assert code == cli.FINE and said[0] == f"note: grey made RGB: 4 images, for example prediction {PLAIN[0]}.png"
    for level, row in enumerate(asked.rows.values()):
        made = np.repeat(shown[level][..., None], 3, axis=2)
        assert float(row["psnr"]) == pytest.approx(peak_signal_noise_ratio(scene(level), made, data_range=255))


def test_nuclei_are_looked_for_where_the_files_state_their_um_per_pixel(asked: Asked) -> None:
    pair = draw(Phantom(size_px=128), 3, 0)
    for role in ("pred", "target"):
        for path in getattr(asked, role).iterdir():
            path.unlink()
    for stated, mpp in ((None, []), (0.5, [0.5])):
        dpi = {} if stated is None else {"dpi": (25_400 / stated,) * 2}
        save(asked.root / "he" / "a.png", pair.he, **dpi)
        save(asked.target / "a.png", pair.ihc)
        save(asked.pred / "a.png", pair.ihc)
        assert asked.run("--source", str(asked.root / "he"))[0] == cli.FINE
        assert asked.metrics["mpp_from_files"] == mpp
        assert ("nuclei_f1" in asked.metrics["overall"]) == bool(mpp)


@pytest.mark.parametrize(
    ("role", "prepare", "sentence"),
    [
        ("pred", lambda path: path.mkdir(), "the prediction folder {} holds no images; PNG, JPEG, TIFF and BMP files are read"),
        ("target", lambda path: path.mkdir(), "the target folder {} holds no images; PNG, JPEG, TIFF and BMP files are read"),
        ("pred", lambda path: None, "there is no {}; check the path"),
        ("target", lambda path: None, "the target folder {} is not there; name a folder of images"),
        ("target", lambda path: path.write_text("x"), "the target folder {} is a file; name a folder of images"),
        ("pred", lambda path: path.write_text("x"), "{name} is neither a folder nor a zip archive; hand in a folder or"),
        (
            "pred",
            lambda path: (path.mkdir(), np.save(path / f"{PLAIN[0]}.npy", np.full((40, 40, 3), np.nan))),
            "the prediction folder {} holds no images; PNG, JPEG, TIFF and BMP files are read",
        ),
        ("pred", lambda path: save(path / "other.png", scene(0)), "no image in {} has the name of a target in"),
    ],
)
def test_folders_without_images_are_usage_errors(
    asked: Asked, role: str, prepare: Callable[[Path], object], sentence: str
) -> None:
    path = asked.root / "elsewhere"
    prepare(path)
    code, said = asked.run(**{role: path})  # type: ignore[arg-type]
    assert code == cli.USAGE and len(said) == 1 and said[0].startswith(f"chromogen: {sentence.format(path, name=path.name)}")
    assert not (asked.root / "out").exists()


def test_a_control_nobody_asked_for_is_no_failure(asked: Asked) -> None:
    """Without --source nothing of it failed; with a source folder, the pictures it lacks are counted."""

    def control(*more: str) -> str:
        words = ["--pred", str(asked.pred), "--target", str(asked.target), "--out", str(asked.root / "out"), "--workers", "1"]
        assert cli.main(["evaluate", *words, *more]) == 0
        (line,) = [line for line in asked.capsys.readouterr().out.splitlines() if "control: source" in line]
        return line

    assert control().split()[2:4] == ["none", "\N{EN DASH}"]
    save(asked.root / "he" / f"{PLAIN[0]}.png", scene(9))
    assert f"1 of {len(PLAIN)}" in control("--source", str(asked.root / "he"))


def test_results_cannot_go_into_a_file(asked: Asked) -> None:
    (asked.root / "out").write_text("mine")
    code, said = asked.run()
    assert code == cli.USAGE and said == [
        f"chromogen: {asked.root / 'out'} is a file; name a folder that receives metrics.json and per_image.csv"
    ]
    assert (asked.root / "out").read_text() == "mine"


def test_976_of_977(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One prediction of the whole test set is missing: the rest is scored, it counts as zero, and ranking says so."""
    monkeypatch.setenv("COLUMNS", "200")
    rng = np.random.default_rng(0)
    for k in range(977):
        image = rng.integers(0, 256, (7, 7, 3), dtype=np.uint8)
        save(tmp_path / "target" / f"{k:05d}_test_{k % 4}.png", image)
        for entry in ("all", "fewer"):
            if (entry, k) != ("fewer", 500):
                save(tmp_path / entry / f"{k:05d}_test_{k % 4}.png", image[::-1])
    words = ["--target", str(tmp_path / "target"), "--pixels-only", "--workers", "1"]
    for entry, code in (("all", cli.FINE), ("fewer", cli.SOME_FAILED)):
        assert cli.main(["evaluate", "--pred", str(tmp_path / entry), "--out", str(tmp_path / "e" / entry), *words]) == code
    told = capsys.readouterr()
    assert "976 of 977" in told.out
    assert told.err.strip().splitlines() == ["failed: 00500_test_0: there is no prediction of this name"]
    whole, fewer = (json.loads((tmp_path / "e" / entry / "metrics.json").read_text()) for entry in ("all", "fewer"))
    assert (fewer["expected"], fewer["scored"], fewer["complete"]) == (977, 976, False)
    assert fewer["overall"]["ssim_failures_as_zero"] == pytest.approx(fewer["overall"]["ssim"] * 976 / 977)
    assert fewer["controls"]["constant"]["psnr"] == whole["controls"]["constant"]["psnr"]
    assert cli.main(["rank", str(tmp_path / "e" / "all"), str(tmp_path / "e" / "fewer")]) == cli.FINE
    assert "fewer: 1 of 977 images failed and count as 0" in capsys.readouterr().err


@pytest.mark.parametrize("role", ["pred", "target"])
def test_an_image_of_nan_is_refused_by_its_kind(asked: Asked, role: str) -> None:
    """A NaN never reaches a mean."""
    path = getattr(asked, role) / f"{PLAIN[1]}.png"
    path.unlink()
    save(path.with_suffix(".tif"), np.full((40, 40), np.nan, dtype=np.float32))
    code, said = asked.run()
    cause = "its target could not be read: " if role == "target" else ""
    reason = f"{path.with_suffix('.tif')} holds floating-point values that are not finite; save it as 8-bit RGB"
    assert (code, said) == (cli.SOME_FAILED, [f"failed: {PLAIN[1]}: {cause}{reason}"])
    assert [row["status"] for row in asked.rows.values()] == ["ok", "failed", "ok", "ok"]
    assert "NaN" not in (asked.root / "out" / "metrics.json").read_text()
    assert asked.metrics["overall"]["psnr"] == pytest.approx(
        np.mean([float(row["psnr"]) for row in asked.rows.values() if row["psnr"]])
    )


def test_an_array_file_is_no_image(asked: Asked) -> None:
    """A NumPy file beside images is passed over, so its target has no prediction."""
    (asked.pred / f"{PLAIN[1]}.png").unlink()
    np.save(asked.pred / f"{PLAIN[1]}.npy", np.full((40, 40, 3), np.nan))
    assert asked.run() == (cli.SOME_FAILED, [f"failed: {PLAIN[1]}: there is no prediction of this name"])


@pytest.mark.parametrize("entry", ["../../evil.png", "{root}/evil.png", "a/../../evil.png", "..\\evil.png", "C:\\evil.png"])
def test_an_archive_that_reaches_outside_is_refused_whole(asked: Asked, entry: str) -> None:
    archive = asked.root / "slip.zip"
    with zipfile.ZipFile(archive, "w") as handle:
        for name in PLAIN:
            handle.write(asked.pred / f"{name}.png", f"{name}.png")
        handle.writestr(entry.format(root=asked.root), (asked.pred / f"{PLAIN[0]}.png").read_bytes())
    code, said = asked.run(pred=archive)
    assert code == cli.USAGE and len(said) == 1
    assert said[0].startswith("chromogen: slip.zip has the entry") and "make the archive from inside the folder" in said[0]
    assert not list(asked.root.rglob("*evil*")) and not (asked.root / "out").exists()
