import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chromogen.bench.utility.sets import open_made, open_real, shared_origin
from chromogen.data.cases.check import check_cases
from chromogen.data.cases.prepared import Prepared
from chromogen.data.cases.source import CaseSource
from chromogen.files import write_json
from chromogen.synthesize.export import About, exporter_named, write_marked_png
from chromogen.synthesize.made import MadeCase
from tests.bench.prepared_sets import brains, squares


def exported(folder: Path, like: Prepared, layout: str, count: int = 3, consecutive: bool = False) -> list[MadeCase]:
    """What `chromogen synthesize` leaves of `count` cases; the last one is a copy and lies in quarantine."""
    index = like.index
    about = About(index.modalities, index.classes, index.label, "0" * 64, consecutive=consecutive)
    exporter = exporter_named(layout, folder, about)
    rng, cases, rows = np.random.default_rng(0), [], []
    for number in range(count):
        images = rng.random((len(index.modalities), like.channels, *like.size_px)).astype(np.float32)
        plane = np.zeros(like.size_px, np.uint8)
        case = MadeCase(f"synthetic-0-{number}", images, plane, plane)
        if index.label == "mask":
            case.mask = plane.copy()
            case.mask[4 : 9 + number, 5:12] = len(index.classes) - 1
        elif index.label == "category":
            case.category = number % 2
        else:
            case.boxes = np.array([[1, 3, 4, 9, 11 + number]], np.float32)
        copy = number == count - 1
        files = [] if copy else [str(path.relative_to(folder)) for path in exporter.add(case)]
        boxes = None if case.boxes is None else case.boxes.tolist()
        rows.append(
            {
                **case.facts, "size_px": like.size_px,
                "name": case.name, "channels": like.channels, "category": case.category, "boxes": boxes,
                "audit": {"copy": copy}, "files": dict.fromkeys(files, ""),
            }
        )  # fmt: skip
        cases.append(case)
    exporter.finish([row for row in rows if not row["audit"]["copy"]])
    rows.append({"batch": 0, "done": True})
    (folder / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"settings": {"layout": layout, "consecutive": consecutive}, "prepared": index.made_by}
    (folder / "synthesis.json").write_text(json.dumps(settings))
    return cases


WRITTEN = [("mask", "png"), ("mask", "nnunet"), ("mask", "coco"), ("category", "classes"), ("boxes", "coco")]


@pytest.mark.parametrize(("label", "layout"), WRITTEN)
def test_what_synthesize_wrote_is_read_back(tmp_path: Path, label: Any, layout: str) -> None:
    real = Prepared(brains(tmp_path / "real") if label == "mask" else squares(tmp_path / "real", label))
    cases = exported(tmp_path / "made", real, layout)
    made = open_made(tmp_path / "made", real, tmp_path / "out")
    assert len(made) == 2 and {case.origin for case in made.index.cases} == {"synthetic"}
    for number, case in enumerate(cases[:2]):
        step = 1 / 255 if layout != "nnunet" else 2e-3  # an 8-bit file; float16 of the prepared set
        assert np.abs(made.arrays["images"][number].astype(float) - case.images).max() <= step / 2 + 1e-3
        if label == "mask":
            assert np.array_equal(made.arrays["mask"][number], case.mask)
        elif label == "category":
            assert made.arrays["category"][number] == case.category
        else:
            assert np.array_equal(made.arrays["boxes"][number], case.boxes)
    again = open_made(tmp_path / "made", real, tmp_path / "out")
    assert again.root == made.root and again.identity == made.identity


@pytest.mark.parametrize(("label", "layout"), WRITTEN)
def test_every_made_format_checks_clean(tmp_path: Path, label: Any, layout: str) -> None:
    """`data check` knows the layouts of made sets, with the pictures of the whole set and the quarantine beside the cases."""
    real = Prepared(brains(tmp_path / "real") if label == "mask" else squares(tmp_path / "real", label))
    made = tmp_path / "made"
    exported(made, real, layout, 5)
    for name in ("overview.png", "grid.png", "between.png", "quarantine/images/synthetic-0-00009_T1.png"):
        write_marked_png(made / name, np.zeros((9, 9), np.uint8), {})
    write_json(made / "manifest.json", {"origin": "synthetic", "cases": "cases.jsonl"})
    report = check_cases(CaseSource(str(made)))
    assert not report.problems
    assert report.facts[0].endswith("made layout, 4 patients, 4 studies, 4 cases") and "4 cases are synthetic" in report.notes
    assert {facts.split for facts in report.studies} == {"train"}
    assert all(facts.cases == 1 for facts in report.studies)


def test_masks_are_not_made_up_where_a_set_has_none(tmp_path: Path) -> None:
    """As sets of coco were that older versions made."""
    real = Prepared(brains(tmp_path / "real"))
    exported(tmp_path / "made", real, "coco")
    rows = [json.loads(line) for line in (tmp_path / "made" / "cases.jsonl").read_text().splitlines()]
    for one in rows[0]["coco"]:
        one.pop("segmentation")
    (tmp_path / "made" / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match="of the case synthetic-0-0 the annotations have no segmentation"):
        open_made(tmp_path / "made", real, tmp_path / "out")


@pytest.mark.parametrize("layout", ["png", "nnunet", "coco"])
def test_classes_numbered_without_gaps_are_read_back_with_them(tmp_path: Path, layout: str) -> None:
    """A set made with --consecutive trains readers of the real numbers."""
    real = Prepared(brains(tmp_path / "real"))
    real.index.__dict__.update(classes=("none", "unused", "oedema"))
    exported(tmp_path / "made", real, layout, consecutive=True)
    made = open_made(tmp_path / "made", real, tmp_path / "out")
    assert np.unique(made.arrays["mask"]).tolist() == [0, 2] and made.index.classes == real.index.classes


def test_pictures_in_another_programs_folders_are_read(tmp_path: Path) -> None:
    real = Prepared(squares(tmp_path / "real", "category"))
    real.index.__dict__.update(modalities=("image",))
    exported(tmp_path / "from", real, "classes", 7)
    made = tmp_path / "made"
    made.mkdir()
    for name in real.index.classes:
        (tmp_path / "from" / name).rename(made / name)
    found = open_made(made, real, tmp_path / "out")
    assert len(found) == 6 and {case.split for case in found.index.cases} == {"train"}
    assert sorted(found.arrays["category"]) == [0, 0, 0, 1, 1, 1]


def test_sets_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    real = Prepared(brains(tmp_path / "real"))
    larger = brains(tmp_path / "larger", ("train",), "synthetic", size=48)
    with pytest.raises(ValueError, match="size in px"):
        open_made(larger, real, tmp_path)
    with pytest.raises(ValueError, match="modalities"):
        open_made(squares(tmp_path / "c", "category", ("train",), "synthetic"), real, tmp_path)


def test_real_and_made_cases_are_not_confused(tmp_path: Path) -> None:
    real, made = brains(tmp_path / "real"), brains(tmp_path / "made", ("train", "val"), "synthetic")
    with pytest.raises(ValueError, match=r"is to hold real cases, and synthetic-0 is synthetic"):
        open_real(made)
    with pytest.raises(ValueError, match=r"is to hold made cases, and real-0 is real"):
        open_made(real, open_real(real), tmp_path)
    with pytest.raises(ValueError, match="no case in the split test"):
        open_real(brains(tmp_path / "untested", ("train", "val")))


def test_a_made_case_in_the_test_split_is_an_error(tmp_path: Path) -> None:
    made = brains(tmp_path / "made", ("train", "val"), "synthetic")
    facts = json.loads((made / "index.json").read_text())
    facts["cases"][1]["split"] = "test"
    (made / "index.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="synthetic and stands in the test split"):
        open_made(made, open_real(brains(tmp_path / "real")), tmp_path)


def test_the_folder_of_a_chain_names_its_real_cases(tmp_path: Path) -> None:
    chain = tmp_path / "chain"
    chain.mkdir()
    brains(chain / "prepared-1")
    (chain / "chain.json").write_text(json.dumps({"prepared": "prepared-1", "models": {}, "fields": {}}))
    assert open_real(chain).root == chain / "prepared-1"


def test_whether_the_generator_saw_the_test_patients_is_told(tmp_path: Path) -> None:
    real = Prepared(brains(tmp_path / "real"))
    exported(tmp_path / "made", real, "png")
    assert "of these very splits" in shared_origin(tmp_path / "made", real)
    other = Prepared(brains(tmp_path / "other", seed=1))
    assert "another preparation" in shared_origin(tmp_path / "made", other)
    assert "do not say" in shared_origin(tmp_path / "other", real)
