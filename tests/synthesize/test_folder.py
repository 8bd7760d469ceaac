import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from chromogen.checkpoint import file_sha256
from chromogen.data.cases.check import check_cases
from chromogen.data.cases.reading import SliceRule
from chromogen.data.cases.source import CaseSource, open_cases
from chromogen.methods.organ_reader import OrganReader
from chromogen.methods.renderer import Renderer
from chromogen.methods.segmenter import Segmenter
from chromogen.methods.structure_sampler import StructureSampler
from chromogen.phantom.anatomy import Brain, write_anatomy
from chromogen.structure.lesions import MaskLesion
from chromogen.synthesize import export
from chromogen.synthesize import folder as module
from chromogen.synthesize.audit import Audit, Gate
from chromogen.synthesize.drawing import THESIS, Filters, draw_lines, outline_difference, settled
from chromogen.synthesize.export import About, exporter_named
from chromogen.synthesize.folder import synthesize
from chromogen.synthesize.labelling import Labelling, Labels
from chromogen.synthesize.made import MadeCase
from chromogen.synthesize.maker import Synthesis
from chromogen.synthesize.parts import Parts, load_parts
from chromogen.train.chain import Chain, Stage, train_chain
from chromogen.train.prepare import Drawing
from chromogen.train.run import Loop

LOOP = Loop(steps=30, batch_size=4, select="last", precision="fp32", log_every=10, save_every=30, validate_every=30)
SHORT = replace(LOOP, steps=2)
ANYTHING = Filters(level=0.5, critic=-1e9, lines=(0.0, 1e9), tries=3)  # networks of thirty steps draw what they like
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain that has learned next to nothing: what is tested is what becomes of what it makes."""
    root = tmp_path_factory.mktemp("synthesize")
    write_anatomy(root / "brains", Brain(size_px=32), patients=10, slices=2, seed=3)
    stages = {
        "organ": Stage(OrganReader(width=2), LOOP),
        "structure": Stage(
            StructureSampler(size_px=32, latents=4, width=2, critic_width=2, latent_critic_width=4), SHORT, lent=("organ",)
        ),
        "reader": Stage(Segmenter(modalities=4, width=2), SHORT),
        "check": Stage(Segmenter(modalities=4, width=2), replace(SHORT, seed=1)),
        "renderer": Stage(Renderer(modalities=4, width=2, critic_width=2, registration=False), SHORT, lent=("reader",)),
    }
    run = Chain(
        CaseSource(str(root / "brains"), classes=("none", "lesion"), licence="phantoms"),
        Drawing(lines_of="T1"),
        stages,
        title="tiny",
    )
    assert train_chain(run, root / "run", device="cpu", quiet=True)
    return root / "run"


@pytest.fixture(scope="module")
def parts(chain: Path) -> Parts:
    return load_parts(chain, CPU)


@pytest.fixture
def organ_everywhere(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The organ is all of the image, so that labels fit, whatever the small network believes."""
    monkeypatch.setattr(parts.organ.nets["organ"], "forward", lambda lines, *_: torch.ones_like(lines))
    yield


def wanted(**changes: object) -> Synthesis:
    return replace(Synthesis(count=3, batch=2, filters=ANYTHING, gate=Gate(percentile=99.9), precision="fp32"), **changes)  # type: ignore[arg-type]


def hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): file_sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.usefixtures("organ_everywhere")
def test_the_same_seed_makes_the_same_files_and_another_one_does_not(parts: Parts, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        outcome = synthesize(parts, wanted(seed=seed), tmp_path / name)
        assert outcome.kept == 3
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert not set(hashes(tmp_path / "a").values()) & {
        digest for name, digest in hashes(tmp_path / "c").items() if "images" in name
    }
    assert len({path.name for path in (tmp_path / "a" / "images").iterdir()}) == 3 * 4


@pytest.mark.usefixtures("organ_everywhere")
def test_an_interrupted_synthesis_is_completed_to_the_same_files(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize(parts, wanted(), tmp_path / "whole")
    append, calls = module._append, []

    def killed(path: Path, rows: list[dict[str, object]]) -> None:
        if calls:
            with path.open("a") as handle:
                handle.write('{"name": "cut sho')  # as a kill leaves a line
            raise KeyboardInterrupt
        calls.append(1)
        append(path, rows)

    monkeypatch.setattr(module, "_append", killed)
    with pytest.raises(KeyboardInterrupt):
        synthesize(parts, wanted(), tmp_path / "cut")
    monkeypatch.undo()
    monkeypatch.setattr(parts.organ.nets["organ"], "forward", lambda lines, *_: torch.ones_like(lines))
    synthesize(parts, wanted(), tmp_path / "cut")
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")


@pytest.mark.usefixtures("organ_everywhere")
def test_a_kill_in_the_middle_of_a_case_leaves_whole_files_and_is_completed(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize(parts, wanted(), tmp_path / "whole")
    write, written = export.write_marked_png, []

    def killed(path: Path, pixels: np.ndarray, record: dict[str, str]) -> None:
        if len(written) == 7:  # in the second case of the first batch
            raise KeyboardInterrupt
        written.append(path)
        write(path, pixels, record)

    with monkeypatch.context() as patched:
        patched.setattr(export, "write_marked_png", killed)
        with pytest.raises(KeyboardInterrupt):
            synthesize(parts, wanted(), tmp_path / "cut")
    whole = hashes(tmp_path / "whole")
    left = {name: digest for name, digest in hashes(tmp_path / "cut").items() if name.endswith(".png")}
    assert len(left) == 7 and left.items() <= whole.items()
    synthesize(parts, wanted(), tmp_path / "cut")
    assert hashes(tmp_path / "cut") == whole


@pytest.mark.usefixtures("organ_everywhere")
def test_names_never_collide(parts: Parts, tmp_path: Path) -> None:
    """Of cases of one synthesis, of two with other seeds, and of real ones; with file names that ignore case."""
    names, files = [], []
    for seed in (1, 11):
        synthesize(parts, wanted(seed=seed, count=5), tmp_path / str(seed))
        records = [json.loads(line) for line in (tmp_path / str(seed) / "cases.jsonl").read_text().splitlines()]
        names += [record["name"] for record in records if not record.get("done")]
        files += [name.casefold() for record in records if not record.get("done") for name in record["files"]]
    assert len(set(names)) == len(names) >= 10 and len(set(files)) == len(files) == 5 * len(names)
    assert not set(names) & {case.name for case in parts.prepared.index.cases}


@pytest.mark.usefixtures("organ_everywhere")
def test_every_file_says_that_it_is_synthetic_and_is_read_back_as_that(parts: Parts, tmp_path: Path) -> None:
    synthesize(parts, wanted(layout="nnunet"), tmp_path / "set")
    found = open_cases(CaseSource(str(tmp_path / "set"), shares=(1, 0, 0)))
    assert len(found) == 3 and {member.origin for member in found.members} == {"synthetic"}
    assert found.modalities == ("T1", "T1c", "T2", "FLAIR") and found.classes[1] == "lesion"
    record = json.loads((tmp_path / "set" / "cases.jsonl").read_text().splitlines()[0])
    volume = nibabel.load(tmp_path / "set" / "labelsTr" / f"{record['name']}.nii.gz")
    mask = np.asarray(volume.dataobj)[..., 0].T  # type: ignore[attr-defined]
    assert mask.shape == (32, 32) and mask.any()
    shutil.copytree(tmp_path / "set", tmp_path / "moved")
    (tmp_path / "moved" / "manifest.json").unlink()  # the mark is in each file too
    for name in ("cases.jsonl", "synthesis.json"):
        (tmp_path / "moved" / name).unlink()
    moved = open_cases(CaseSource(str(tmp_path / "moved"), shares=(0, 1e-9, 1), split="shuffle", seed=0))
    assert {(member.origin, member.split) for member in moved.members} == {("synthetic", "train")}


@pytest.mark.usefixtures("organ_everywhere")
@pytest.mark.parametrize("layout", ["png", "nnunet", "coco"])
def test_data_check_knows_our_own_layouts(parts: Parts, tmp_path: Path, layout: str) -> None:
    synthesize(parts, wanted(layout=layout), tmp_path)
    report = check_cases(CaseSource(str(tmp_path), slices=SliceRule(min_foreground=0)))
    assert report.problems == ()
    assert report.facts[0] == f"{tmp_path}: made layout, 3 patients, 3 studies, 3 cases"
    assert report.facts[1] == "modalities: T1, T1c, T2, FLAIR" and report.facts[2] == "train: 3 patients, 3 cases"
    assert "3 cases are synthetic" in report.notes
    cases = open_cases(CaseSource(str(tmp_path), slices=SliceRule(min_foreground=0)))
    assert {case.label for case in [cases]} == {"boxes" if layout == "coco" else "mask"} and cases[0].images["T2"].shape == (
        32,
        32,
    )


@pytest.mark.usefixtures("organ_everywhere")
def test_the_manifest_repeats_a_case(parts: Parts, tmp_path: Path) -> None:
    synthesize(parts, wanted(), tmp_path / "set")
    lines = (tmp_path / "set" / "cases.jsonl").read_text().splitlines()
    records = [record for record in map(json.loads, lines) if not record.get("done")]
    assert {*records[0]} >= {"name", "seed", "latent", "critic", "label_source", "reader", "audit", "files", "tries"}
    for record in records:
        for name, digest in record["files"].items():
            assert file_sha256(tmp_path / "set" / name) == digest
        assert record["label_source"].startswith("varied from brain-") and set(record["reader"]) == {"T1", "T1c", "T2", "FLAIR"}
    sheet = (tmp_path / "set" / "data_sheet.md").read_text()
    assert (
        "No patient" not in sheet
        and "Not for diagnosis" in sheet
        and "phantoms" in sheet
        and "A reader that guided no training" in sheet
    )
    with Image.open(tmp_path / "set" / "overview.png") as picture:
        assert picture.width >= 5 * 32


def test_a_copy_of_a_training_case_is_found_turned_and_shifted(parts: Parts) -> None:
    audit = Audit(parts.prepared, Gate())
    number = int(parts.prepared.of_split("train")[3])
    images = np.asarray(parts.prepared.arrays["images"][number], np.float32)
    stranger = np.asarray(parts.prepared.arrays["images"][int(parts.prepared.of_split("val")[0])], np.float32)
    rng = np.random.default_rng(0)
    copied = np.clip(np.roll(images[..., ::-1], 1, axis=-2) + rng.normal(0, 0.02, images.shape), 0, 1).astype(np.float32)
    plane = np.zeros((32, 32), np.uint8)
    found = audit.look([MadeCase("a", copied, plane, plane), MadeCase("b", stranger, plane, plane)])
    assert found[0]["copy"] and found[0]["nearest"] == parts.prepared.index.cases[number].name
    assert found[0]["ncc"] > 0.9 > found[1]["ncc"]


@pytest.mark.usefixtures("organ_everywhere")
def test_copies_are_quarantined_and_counted_not_exported(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Audit.look

    def every_second(self: Audit, cases: list[MadeCase]) -> list[dict[str, object]]:
        return [{**row, "copy": number % 2 == 0} for number, row in enumerate(look(self, cases))]

    monkeypatch.setattr(Audit, "look", every_second)
    outcome = synthesize(parts, wanted(), tmp_path / "set")
    assert (outcome.kept, outcome.quarantined) == (3, 3)
    assert (
        len(list((tmp_path / "set" / "masks").iterdir()))
        == 3
        == len(list((tmp_path / "set" / "quarantine" / "masks").iterdir()))
    )
    assert json.loads((tmp_path / "set" / "audit.json").read_text())["copies"] == 3


@pytest.mark.usefixtures("organ_everywhere")
def test_a_label_that_fits_nowhere_is_refused_and_said(parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Labels, "draw", lambda *_: None)
    with pytest.raises(ValueError, match=r"10 batches in a row gave no case.*the label fits nowhere in the organ \(20\)"):
        synthesize(parts, wanted(), tmp_path / "set")


@pytest.mark.usefixtures("organ_everywhere")
def test_a_set_without_lesions_says_so(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(parts.prepared), "has_label", lambda self, numbers: np.zeros(len(numbers), dtype=bool))
    with pytest.raises(ValueError, match="no training case bears a lesion, so that there is none to place; take lesions blobs"):
        Labels(parts, Labelling())
    assert Labels(parts, Labelling(lesions="blobs")).bank == []


@pytest.mark.parametrize("lesions", ["real", "blobs"])
def test_no_label_is_drawn_into_an_organ_smaller_than_it(parts: Parts, lesions: Literal["real", "blobs"]) -> None:
    labels, plane = Labels(parts, Labelling(lesions=lesions)), np.zeros((32, 32), np.uint8)
    labels.bank, labels.names = [MaskLesion(np.ones((8, 8), np.uint8), 12, 12)], ["a"]
    small, large = plane.copy(), plane.copy()
    small[15, 15], large[4:28, 4:28] = 1, 1
    assert labels.draw(plane, small, np.random.default_rng(0)) is None
    drawn = labels.draw(plane, large, np.random.default_rng(0))
    assert drawn is not None and drawn.mask is not None and drawn.mask.any() and not (drawn.mask * (1 - large)).any()


@pytest.mark.usefixtures("organ_everywhere")
def test_blobs_reuse_no_outline_and_coco_has_their_boxes(parts: Parts, tmp_path: Path) -> None:
    synthesize(parts, wanted(layout="coco", labelling=Labelling(lesions="blobs")), tmp_path / "set")
    found = json.loads((tmp_path / "set" / "annotations.json").read_text())
    assert len(found["images"]) == 12 and found["categories"] == [{"id": 1, "name": "lesion"}]
    records = [json.loads(line) for line in (tmp_path / "set" / "cases.jsonl").read_text().splitlines()]
    assert {record["label_source"] for record in records if "label_source" in record} == {"blob"}
    assert all(box["area"] <= box["bbox"][2] * box["bbox"][3] for box in found["annotations"]) and found["annotations"]


def test_a_copy_is_caught_and_the_mean_of_all_patients_is_none(parts: Parts) -> None:
    """Both resemble training cases; the mean resembles held-out ones as much."""
    images = np.asarray(parts.prepared.arrays["images"], np.float32)
    train = parts.prepared.of_split("train")
    audit = Audit(parts.prepared, Gate(band_px=(0.5, 8.0)))

    def looked(image: np.ndarray) -> dict:
        flat = np.zeros(image.shape[2:], np.uint8)
        return audit.look([MadeCase("x", image, flat, flat, None, None, None)])[0]

    copied = [looked(np.ascontiguousarray(images[number][..., ::-1])) for number in train[:8]]
    mean = looked(images[train].mean(axis=0))
    assert all(one["copy"] and one["ncc"] > 0.999 for one in copied)
    assert audit.threshold is not None and mean["ncc"] > audit.threshold and not mean["copy"]


def test_where_made_cases_may_not_go(parts: Parts, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("x")
    with pytest.raises(ValueError, match="holds files that chromogen synthesize did not make"):
        synthesize(parts, wanted(), tmp_path / "real")
    with pytest.raises(ValueError, match="made cases never mix with real ones"):
        synthesize(parts, wanted(), tmp_path / "real" / "made", real_root=str(tmp_path / "real"))
    with pytest.raises(ValueError, match="no export layout 'nnunett'; did you mean 'nnunet'"):
        synthesize(parts, wanted(layout="nnunett"), tmp_path / "new")
    with pytest.raises(ValueError, match="'classes' holds category, and this model's label is 'mask'"):
        synthesize(parts, wanted(layout="classes"), tmp_path / "new")


def test_filters_refuse_what_no_real_map_has(parts: Parts) -> None:
    with pytest.raises(ValueError, match=r"none of 6 drawn line maps has as many lines as real ones"):
        draw_lines(parts, Filters(level=0.5, critic=0.5, lines=(1e6, 1e7), tries=3), 2, torch.Generator().manual_seed(0))
    drawn = draw_lines(parts, replace(ANYTHING, critic=1e9, outline=-1.0), 2, torch.Generator().manual_seed(0))
    assert drawn.passed == [False, False] and drawn.tries == [3, 3]


def test_the_better_half_by_the_critic_passes(parts: Parts) -> None:
    """Of many maps, about half reach the settled limit; a limit that was given stays as it is."""
    limit = settled(parts, Filters()).critic
    assert limit is not None and limit == settled(parts, Filters()).critic
    _, scores = parts.lines_of.sample_lines(parts.sampler.nets, 400, torch.Generator().manual_seed(5))
    assert 0.35 < float((scores >= limit).float().mean()) < 0.65
    assert settled(parts, THESIS) == THESIS == Filters(level=0.5, critic=0.55)


def test_drawn_maps_have_as_many_lines_as_real_ones(parts: Parts) -> None:
    real = float(np.mean(parts.prepared.arrays["lines"][parts.prepared.of_split("train")]))
    level = settled(parts, Filters()).level
    drawn, _ = parts.lines_of.sample_lines(parts.sampler.nets, 400, torch.Generator().manual_seed(5))
    assert level is not None and float((drawn > level).float().mean()) == pytest.approx(real, rel=0.2)


def test_the_outline_of_a_ring_encloses_its_disc() -> None:
    rows, columns = np.mgrid[:32, :32] - 15.5
    radius = np.hypot(rows, columns)
    ring, disc = torch.tensor((abs(radius - 10) < 1).astype(np.float32)), torch.tensor((radius < 11).astype(np.float32))
    assert outline_difference(ring, disc) < 0.01
    assert outline_difference(torch.zeros(32, 32), disc) == pytest.approx(float(disc.mean()))


def test_a_chain_without_its_renderer_says_which_stage_is_missing(chain: Path, tmp_path: Path) -> None:
    record = json.loads((chain / "chain.json").read_text())
    record["models"].pop("renderer")
    shutil.copytree(chain, tmp_path / "run")
    (tmp_path / "run" / "chain.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match="no trained stage with renderer; train it first"):
        load_parts(tmp_path / "run", CPU)


@pytest.mark.parametrize("word", ["../../x", "T1/w", "..", " ", "a\\b", "C:x", "new\nline"])
@pytest.mark.parametrize("layout", ["png", "classes"])
def test_names_of_somebodys_data_lead_nowhere_else(word: str, layout: str, tmp_path: Path) -> None:
    label = "category" if layout == "classes" else "none"
    for about in (About((word,), ("a", "b"), label, ""), About(("T1",), ("a", word), label, "")):
        with pytest.raises(ValueError, match="cannot be part of a file's name"):
            exporter_named(layout, tmp_path, about)
    assert exporter_named(layout, tmp_path, About(("T1 post", "FLAIR-2"), ("gesund", "悪性"), label, ""))
