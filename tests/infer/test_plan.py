"""Where stains go, decided and told before any work."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from chromogen.data.images import decode_image
from chromogen.infer.folder import translate_folder
from chromogen.infer.plan import planned
from chromogen.infer.provenance import read_provenance


@pytest.fixture(scope="module")
def stain(stainer_of, conv_net):
    return stainer_of(conv_net())


@pytest.fixture
def slides(tmp_path: Path, he) -> Path:
    for seed, name in enumerate(("he/1.png", "he/2.png", "he/p1/1.png", "he/p2/deep/1.png")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(he(20, 24, seed)).save(path, dpi=(25_400 / 0.25, 25_400 / 0.25))
    return tmp_path / "he"


def test_several_inputs_and_a_pattern(slides: Path, tmp_path: Path, stain) -> None:
    done = translate_folder(stain, [slides / "2.png", slides / "p1" / "*.png"], tmp_path / "out")
    assert [(file.source, file.output) for file in done.files] == [
        ("2.png", "2.virtual-her2.png"),
        ("p1/1.png", "1.virtual-her2.png"),
    ]
    assert Path(done.source) == slides


def test_subfolders_keep_their_names_and_are_otherwise_told(slides: Path, tmp_path: Path, stain) -> None:
    done = translate_folder(stain, slides, tmp_path / "flat")
    assert len(done.files) == 2 and done.passed_over == {"p1": 1, "p2/deep": 1}
    done = translate_folder(stain, slides, tmp_path / "deep", subfolders=True)
    assert [file.output for file in done.files][2:] == ["p1/1.virtual-her2.png", "p2/deep/1.virtual-her2.png"]
    assert (tmp_path / "deep" / "p2" / "deep" / "1.virtual-her2.png").is_file() and not done.failed


def test_names_that_clash_are_known_before_the_work(slides: Path, tmp_path: Path) -> None:
    plan = planned([slides, slides / "p1"], tmp_path / "out", "HER2 IHC")
    assert [job.given.name for job in plan.clashes] == ["1.png", "p1/1.png"]
    assert "several sources would all become 1.virtual-her2.png" in plan.clashes[0].clash


@pytest.mark.parametrize("name", ["out.png", "out.tif", "OUT.TIFF"])
def test_one_picture_may_name_its_file(slides: Path, tmp_path: Path, stain, name: str) -> None:
    out = tmp_path / "made" / name
    done = translate_folder(stain, slides / "1.png", out)
    assert out.is_file() and [path.name for path in out.parent.iterdir()] == [name]
    assert (done.files[0].status, done.files[0].output) == ("ok", name)
    with Image.open(out) as image:
        assert image.format == ("PNG" if name.endswith("png") else "TIFF")
    assert np.array_equal(decode_image(out).pixels, stain(decode_image(slides / "1.png").pixels))
    assert read_provenance(out)["MicrometresPerPixel"] == "0.25"
    assert translate_folder(stain, slides / "1.png", out).files[0].status == "kept"
    assert translate_folder(stain, slides / "2.png", out).files[0].status == "failed"


@pytest.mark.parametrize(
    ("out", "form", "sentence"),
    [
        ("out.jpg", None, "virtual stains are written as PNG or TIFF; call it out.png"),
        ("out.png", "tif", "contradict each other"),
        ("he/1.png", None, "1.png is the source itself"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(slides: Path, tmp_path: Path, out: str, form, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        planned([slides / "1.png"], tmp_path / out, "HER2", form=form)
    with pytest.raises(ValueError, match="names one file, and 2 pictures"):
        planned([slides], tmp_path / "out.png", "HER2")


@pytest.mark.parametrize("form", ["png", "tif"])
def test_um_per_pixel_is_written_on(slides: Path, tmp_path: Path, stain, form) -> None:
    translate_folder(stain, slides / "1.png", tmp_path / "out", form=form)
    out = tmp_path / "out" / f"1.virtual-her2.{form}"
    assert decode_image(out).mpp == pytest.approx(0.25, rel=1e-4)
    if form == "tif":
        with tifffile.TiffFile(out) as file:
            tags = file.pages.first.tags
            assert tags["ResolutionUnit"].value == 3
            assert tags["XResolution"].value[0] / tags["XResolution"].value[1] == pytest.approx(40_000)
            assert tags["Software"].value.startswith("chromogen") and b"trainedAlgorithmicMedia" in tags[700].value
            assert len(file.pages) == 1


def test_nothing_is_invented_where_the_file_states_nothing(tmp_path: Path, stain, he) -> None:
    Image.fromarray(he(20, 24)).save(tmp_path / "a.png", dpi=(72, 72))
    translate_folder(stain, tmp_path / "a.png", tmp_path / "out")
    out = tmp_path / "out" / "a.virtual-her2.png"
    with Image.open(out) as image:
        assert "dpi" not in image.info
    assert "MicrometresPerPixel" not in read_provenance(out)
    tifffile.imwrite(tmp_path / "plain.tif", he(8, 8), photometric="rgb")
    with pytest.raises(ValueError, match="does not say that chromogen made it"):
        read_provenance(tmp_path / "plain.tif")


@pytest.mark.skipif(os.name != "posix", reason="names of other systems are Unicode")
def test_a_name_that_is_no_unicode_does_not_end_the_batch(slides: Path, tmp_path: Path, stain) -> None:
    odd = Path(os.fsdecode(os.fsencode(slides) + b"/\xff.png"))
    try:
        odd.write_bytes((slides / "1.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such names")
    Path(os.fsdecode(os.fsencode(slides) + b"/\xfe.tif")).write_bytes(b"II*\0nothing")
    done = translate_folder(stain, slides, tmp_path / "out")
    assert [(file.source, file.status) for file in done.files][2:] == [("\\udcfe.tif", "failed"), ("\\udcff.png", "ok")]
    assert len(json.loads((tmp_path / "out" / "translation.json").read_text(encoding="utf-8"))["files"]) == 4
