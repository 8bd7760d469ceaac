import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

import chromogen
from chromogen.infer.folder import output_name, translate_folder
from chromogen.infer.provenance import pixels_sha256, read_provenance


@pytest.fixture(scope="module")
def stain(stainer_of, conv_net):
    return stainer_of(conv_net())


@pytest.fixture
def slides(tmp_path, he):
    """Three sources: 2.png, 10.png and a JPEG."""
    source = tmp_path / "he"
    source.mkdir()
    for seed, name in enumerate(("10.png", "2.png", "photo.jpg")):
        Image.fromarray(he(40, 30, seed)).save(source / name)
    return source


def size(path):
    with Image.open(path) as image:
        return image.size


def report(out):
    return json.loads((out / "translation.json").read_text(encoding="utf-8"))


def test_a_folder(slides, tmp_path, stain, he):
    out = tmp_path / "a" / "new" / "folder"
    translation = translate_folder(stain, slides, out)
    assert [file.source for file in translation.files] == ["2.png", "10.png", "photo.jpg"]
    expected = {"2.virtual-her2.png", "10.virtual-her2.png", "photo.virtual-her2.png", "translation.json"}
    assert {path.name for path in out.iterdir()} == expected
    np.testing.assert_array_equal(np.asarray(Image.open(out / "10.virtual-her2.png")), stain(he(40, 30, 0)))
    written = report(out)
    assert written["complete"] and written["model_sha256"] == "0" * 64 and written["precision"] == "fp32"
    assert [file["status"] for file in written["files"]] == ["ok"] * 3


def test_one_file(slides, tmp_path, stain):
    translation = translate_folder(stain, slides / "2.png", tmp_path / "out")
    assert [(file.source, file.output, file.status) for file in translation.files] == [("2.png", "2.virtual-her2.png", "ok")]


def test_bad_files_are_listed_and_the_good_ones_done(slides, tmp_path, stain):
    whole = (slides / "2.png").read_bytes()
    (slides / "3.png").write_bytes(whole[: len(whole) // 2])
    (slides / "4.png").write_bytes(b"")
    (slides / "5.tif").write_text("no image")
    translation = translate_folder(stain, slides, tmp_path / "out")
    assert [file.source for file in translation.failed] == ["3.png", "4.png", "5.tif"]
    assert all(file.output is None and str(slides / file.source) in file.reason for file in translation.failed)
    assert len(list((tmp_path / "out").glob("*.png"))) == 3
    assert report(tmp_path / "out")["files"][1]["reason"] == translation.failed[0].reason


def test_conversions_are_noted(slides, tmp_path, stain, he):
    Image.fromarray(he(20, 20)).convert("L").save(slides / "grey.png")
    Image.fromarray(he(20, 20)).convert("RGBA").save(slides / "alpha.png")
    files = {file.source: file for file in translate_folder(stain, slides, tmp_path / "out").files}
    assert files["grey.png"].notes == ("grey made RGB",)
    assert files["alpha.png"].notes == ("alpha composited on white",)
    assert files["2.png"].notes == ()


LABELS = st.text(st.characters(codec="utf-8", exclude_characters='/\\\0:*?"<>|', exclude_categories=["Cc", "Cs"]), max_size=20)


@settings(max_examples=10, deadline=None)
@given(
    label=st.one_of(st.sampled_from(["_0", "_1+", "_2+", "_3+", "_train_3+"]), LABELS), suffix=st.sampled_from([".png", ".PNG"])
)
def test_a_name_never_reaches_the_output(tmp_path_factory, stain, he, label, suffix):
    source, out = tmp_path_factory.mktemp("named"), tmp_path_factory.mktemp("out")
    Image.fromarray(he(20, 20)).save(source / "x_0.png")
    os.utime(source / "x_0.png", (0, 0))
    Image.fromarray(he(20, 20)).save(source / f"y{label}{suffix}", format="PNG")
    translation = translate_folder(stain, source, out)
    plain, named = ((out / file.output).read_bytes() for file in translation.files)
    assert plain == named
    assert str(source).encode() not in plain and b"x_0" not in plain


def test_metadata_of_the_source_is_not_copied(slides, tmp_path, stain, he):
    exif = Image.Exif()
    exif[0x010E] = "patient Jane Roe"
    Image.fromarray(he(20, 20)).save(slides / "tagged.png", exif=exif, comment="Jane Roe")
    translate_folder(stain, slides / "tagged.png", tmp_path / "out")
    assert b"Jane" in (slides / "tagged.png").read_bytes()
    assert b"Jane" not in (tmp_path / "out" / "tagged.virtual-her2.png").read_bytes()


def test_a_second_run_keeps_what_is_there(slides, tmp_path, stain):
    out = tmp_path / "out"
    translate_folder(stain, slides / "2.png", out)
    before = (out / "2.virtual-her2.png").stat().st_mtime_ns
    translation = translate_folder(stain, slides, out)
    assert [file.status for file in translation.files] == ["kept", "ok", "ok"]
    assert (out / "2.virtual-her2.png").stat().st_mtime_ns == before
    assert read_provenance(out / "2.virtual-her2.png")["SourceSHA256"] == pixels_sha256(
        np.asarray(Image.open(slides / "2.png"))
    )


def test_other_outputs_are_not_overwritten_unless_asked(slides, tmp_path, stain, stainer_of, conv_net, he):
    out = tmp_path / "out"
    translate_folder(stain, slides, out)
    Image.fromarray(he(40, 30, 9)).save(slides / "2.png")  # the source changed
    Image.fromarray(he(8, 8)).save(out / "photo.virtual-her2.png")  # someone else's file
    translation = translate_folder(stain, slides, out)
    assert [file.status for file in translation.files] == ["failed", "kept", "failed"]
    assert all("--overwrite" in file.reason for file in translation.failed)
    assert size(out / "photo.virtual-her2.png") == (8, 8)
    other_precision = stainer_of(conv_net(), precision="bf16")
    assert {file.status for file in translate_folder(other_precision, slides, out).files} == {"failed"}
    translation = translate_folder(stain, slides, out, overwrite=True)
    assert [file.status for file in translation.files] == ["ok"] * 3
    assert size(out / "photo.virtual-her2.png") == (30, 40)


def test_a_refused_overwrite_says_what_differs(slides, tmp_path, stain, stainer_of, conv_net, he):
    def refusal(stainer):
        (file,) = translate_folder(stainer, slides / "2.png", tmp_path / "out").failed
        return file.reason.removeprefix(str(tmp_path / "out" / "2.virtual-her2.png"))

    translate_folder(stain, slides / "2.png", tmp_path / "out")
    precise = refusal(stainer_of(conv_net(), precision="bf16"))
    assert precise == " exists and was made in fp32 instead of bf16; add --overwrite to replace it"
    other = replace(stain, model=replace(stain.model, sha256="1" * 64, name="net-7"))
    assert refusal(other) == " exists and was made by another model (tiny); add --overwrite to replace it"
    free = replace(stain, model=replace(stain.model, card=replace(stain.model.card, data_licence="CC-BY-4.0")))
    assert refusal(free) == " exists and was made with another DataLicence; add --overwrite to replace it"
    Image.fromarray(he(40, 30, 9)).save(slides / "2.png")
    assert refusal(stain) == " exists and was made from other pixels; add --overwrite to replace it"
    assert " from other pixels, by another model (tiny); " in refusal(other)
    Image.fromarray(he(8, 8)).save(tmp_path / "out" / "2.virtual-her2.png")
    assert refusal(stain) == " exists and was not made by chromogen; add --overwrite to replace it"


def test_an_older_version_is_what_differs(slides, tmp_path, stain, monkeypatch):
    translate_folder(stain, slides / "2.png", tmp_path / "out")
    old = chromogen.__version__
    monkeypatch.setattr(chromogen, "__version__", "99.0")
    (file,) = translate_folder(stain, slides / "2.png", tmp_path / "out").failed
    assert f"was made with chromogen {old} instead of chromogen 99.0; add --overwrite" in file.reason


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_that_cannot_be_written_does_not_stop_the_others(slides, tmp_path, stain, he, overwrite):
    long = "x" * 248 + ".png"
    Image.fromarray(he(20, 20)).save(slides / long)
    blocked = tmp_path / "out" / "2.virtual-her2.png"
    blocked.mkdir(parents=True)
    translation = translate_folder(stain, slides, tmp_path / "out", overwrite=overwrite)
    assert translation.complete and [file.status for file in translation.files] == ["failed", "ok", "ok", "failed"]
    directory, name = translation.failed
    assert directory.reason.startswith(f"{blocked} cannot be written (Is a directory)")
    assert name.source == long and "File name too long" in name.reason and str(tmp_path / "out") in name.reason
    assert not list((tmp_path / "out").glob(".*"))  # no remains of what was begun


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_what_would_fail_for_every_file_stops_the_run(slides, tmp_path, stain, monkeypatch, number):
    def refuse(self, target, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Image.Image, "save", refuse)
    with pytest.raises(OSError, match=r"2\.virtual-her2\.png"):
        translate_folder(stain, slides, tmp_path / "out")


def test_nothing_in_the_folder_is_passed_over_in_silence(slides, tmp_path, stain):
    (slides / "1.png").symlink_to(tmp_path / "gone.png")
    (slides / "subfolder").mkdir()
    for name in ("slide.svs", "scan.ndpi", "README", ".hidden", "Thumbs.db", "notes.txt", "manifest.CSV", "a.json", "b.md"):
        (slides / name).touch()
    translation = translate_folder(stain, slides, tmp_path / "out")
    (broken,) = translation.failed
    assert (broken.source, broken.reason) == (
        "1.png",
        f"{slides / '1.png'} is a link to a file that is not there; restore it or remove the link",
    )
    assert translation.ignored == ("README", "scan.ndpi", "slide.svs")
    assert report(tmp_path / "out")["ignored"] == ["README", "scan.ndpi", "slide.svs"]
    assert translate_folder(stain, slides / "2.png", tmp_path / "one").ignored == ()


def test_two_sources_of_one_name_do_not_overwrite_each_other(slides, tmp_path, stain, he):
    Image.fromarray(he(20, 20)).save(slides / "2.bmp")
    translation = translate_folder(stain, slides, tmp_path / "out")
    assert [file.source for file in translation.failed] == ["2.bmp", "2.png"]
    assert "rename them" in translation.failed[0].reason
    assert not (tmp_path / "out" / "2.virtual-her2.png").exists()


def test_an_image_that_is_not_finite_is_not_saved(slides, tmp_path, stainer_of):
    net = nn.Conv2d(3, 3, 1)
    nn.init.constant_(net.bias, torch.inf)
    translation = translate_folder(stainer_of(net), slides, tmp_path / "out")
    assert all("not finite" in file.reason for file in translation.failed) and len(translation.failed) == 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["translation.json"]


def test_a_full_disk_stops_the_run_with_a_sentence(slides, tmp_path, stain, monkeypatch):
    real, saved = Image.Image.save, []

    def full_at_the_second(self, target, **options):
        if saved:
            raise OSError(errno.ENOSPC, "No space left on device")
        saved.append(target)
        real(self, target, **options)

    monkeypatch.setattr(Image.Image, "save", full_at_the_second)
    out = tmp_path / "out"
    with pytest.raises(OSError, match=r"10\.virtual-her2\.png: the disk is full; free some space"):
        translate_folder(stain, slides, out)
    assert {path.name for path in out.iterdir()} == {"2.virtual-her2.png", "translation.json"}
    assert not report(out)["complete"] and len(report(out)["files"]) == 1


def test_an_interrupted_run_leaves_its_account_and_goes_on(slides, tmp_path, stain):
    def interrupt(done, total, name):
        if done == 2:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        translate_folder(stain, slides, out, interrupt)
    assert not report(out)["complete"] and len(report(out)["files"]) == 2
    assert [file.status for file in translate_folder(stain, slides, out).files] == ["kept", "kept", "ok"]
    assert report(out)["complete"]


def test_progress_runs_through_tiles_and_images(slides, tmp_path, stainer_of, conv_net, he):
    Image.fromarray(he(20, 300)).save(slides / "wide.png")
    seen = []
    translate_folder(stainer_of(conv_net(), tile_px=128), slides, tmp_path / "out", lambda *now: seen.append(now))
    done = [now[0] for now in seen]
    assert done == sorted(done) and done[-1] == 4 and any(3 < value < 4 for value in done)
    assert {now[1] for now in seen} == {4} and seen[-1][2] == "wide.png"


def test_nothing_to_do_is_said(tmp_path, stain):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="empty holds no PNG, JPEG, TIFF or BMP image"):
        translate_folder(stain, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(ValueError, match="there is no file or folder .*nowhere"):
        translate_folder(stain, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(ValueError, match="is the source folder"):
        translate_folder(stain, tmp_path / "empty", tmp_path / "empty" / ".." / "empty")
    with pytest.raises(ValueError, match="file is a file"):
        translate_folder(stain, tmp_path / "empty", tmp_path / "file")
    assert not (tmp_path / "out").exists()


def test_the_suffix_is_that_of_the_stain(stain):
    for target, expected in (("HER2 IHC", "her2"), ("Ki-67", "ki"), ("", "stain"), ("../ER", "er")):
        model = replace(stain.model, card=replace(stain.model.card, target_stain=target))
        named = output_name(Path("a/b.c.png"), replace(stain, model=model))
        assert named == f"b.c.virtual-{expected}.png"
