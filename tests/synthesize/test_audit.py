"""What the audit's limits are taken from: validation patients, or training patients among themselves; never the test split."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chromogen.data.cases.prepared import Prepared
from chromogen.evaluate.privacy.copies import detail, nearest_by_correlation, reduced
from chromogen.synthesize.audit import Audit, Gate
from chromogen.synthesize.made import MadeCase
from tests.bench.prepared_sets import brains

GATE = Gate(percentile=90.0)


def opened(folder: Path, *splits: str) -> Prepared:
    return Prepared(brains(folder, splits))


def as_made(prepared: Prepared, number: int) -> MadeCase:
    plane = np.zeros(prepared.size_px, np.uint8)
    images = np.asarray(prepared.arrays["images"][number], np.float32)
    return MadeCase("made", np.ascontiguousarray(images[..., ::-1]), plane, plane)


@pytest.mark.parametrize("validation", [0, 1, 3])
def test_the_test_split_has_no_say(tmp_path: Path, validation: int) -> None:
    splits = ("train",) * 5 + ("val",) * validation
    without = opened(tmp_path / "without", *splits)
    images = [np.array(without.arrays["images"])]
    with_test = opened(tmp_path / "with", *splits, "test", "test", "test")
    changed = np.array(with_test.arrays["images"])
    changed[: len(images[0])] = images[0]
    with_test.arrays["images"] = changed
    probe = (0, 5 - (validation == 0))
    found = []
    for prepared in (without, with_test):
        audit = Audit(prepared, GATE)
        rows = audit.look([as_made(prepared, number) for number in probe])
        found.append((audit.threshold, audit.margin, rows, audit.summary([{"audit": row} for row in rows])))
    assert found[0] == found[1] and found[0][0] is not None


def test_without_validation_cases_training_patients_are_strangers_to_each_other(tmp_path: Path) -> None:
    prepared = opened(tmp_path / "set", *("train",) * 6, "test")
    audit = Audit(prepared, GATE)
    images = np.asarray(prepared.arrays["images"][:6], np.float32)
    small = detail(reduced(images.reshape(6, -1, *images.shape[3:]).transpose(0, 2, 3, 1), GATE.side_px), GATE.band_px)
    near, apart = [], []
    for k in range(6):
        rest = [j for j in range(6) if j != k]
        found = nearest_by_correlation(small[[k]], small[rest], GATE.shift_px)
        near.append(found.ncc[0])
        third = [j for j in rest if j != rest[found.real[0]]]
        apart.append(found.ncc[0] - nearest_by_correlation(small[[k]], small[third], GATE.shift_px).ncc[0])
    assert audit.threshold == pytest.approx(np.percentile(near, 90), abs=1e-5)
    assert audit.margin == pytest.approx(np.percentile(apart, 90), abs=1e-5)
    (copied,) = audit.look([as_made(prepared, 2)])
    assert copied["copy"] and copied["nearest"] == "real-2"


def test_a_single_patient_gives_no_limit_and_the_sheet_says_so(tmp_path: Path) -> None:
    prepared = opened(tmp_path / "one", "train", "train", "test")
    cases = prepared.index.cases
    prepared.index.__dict__.update(cases=(cases[0], replace(cases[1], patient=cases[0].patient), cases[2]))
    audit = Audit(prepared, GATE)
    (row,) = audit.look([as_made(audit.prepared, 0)])
    facts = audit.summary([{"audit": row}])
    assert audit.threshold is None and not row["copy"] and facts["note"].startswith("A single patient and no validation cases")
    assert "the test split has no say" in facts["compared_with"]
