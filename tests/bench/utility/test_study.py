import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chromogen.bench.utility import study as studies
from chromogen.bench.utility.measures import MEASURES
from chromogen.bench.utility.readers import Reading
from chromogen.bench.utility.study import SHORT, TABLES, Result, Study, rows_from_words, run
from chromogen.bench.utility.table import write_result
from chromogen.cli import main
from chromogen.evaluate.reading.usefulness import MIXTURES, Outcome, summaries
from tests.bench.prepared_sets import squares

SPLITS = ("train",) * 4 + ("val",) * 2 + ("test",) * 4


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("sets")
    return squares(root / "real", "category", SPLITS), squares(root / "made", "category", ("train",) * 8, "synthetic")


def wanted(sets: tuple[Path, Path], **changes: object) -> Study:
    fields = {"rows": (13, 19), "seeds": 2, "steps": 2, "batch_size": 2, "width": 4, "table": 7, "device": "cpu"} | changes
    return Study(*sets, **fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(sets: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result, list[str]]:
    out, lines = tmp_path_factory.mktemp("study"), list[str]()
    result = run(wanted(sets), out, lines.append)
    write_result(out, result, "chromogen utility REAL MADE")
    return out, result, lines


def test_every_row_has_a_result_a_seed_and_row_1_is_always_there(finished: tuple[Path, Result, list[str]]) -> None:
    out, result, lines = finished
    assert [row.mixture.row for row in result.rows] == [1, 13, 19] and all(row.seeds == 2 for row in result.rows)
    assert len(list((out / "results").iterdir())) == 6 == len(lines)
    assert result.score == "accuracy" and result.cases == {"made": 8, "train": 4, "val": 2, "test": 4}
    for row in result.rows:
        scores = [one["accuracy"] for one in result.measures[row.mixture.row]]
        assert row.mean == pytest.approx(np.mean(scores)) and row.sd == pytest.approx(np.std(scores, ddof=1))
    assert len(result.trts) == 2  # row 1 is also tested on made cases
    assert result.sentence.startswith("Do not decide yet: 2 seeds")


def test_a_deleted_result_is_trained_again_to_the_same_numbers_and_nothing_else(
    finished: tuple[Path, Result, list[str]], sets: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, before, _ = finished
    (lost,) = (out / "results").glob("row-13-seed-1-*.json")
    whole = json.loads(lost.read_text())
    lost.unlink()
    trained: list[tuple[int, int]] = []
    original = studies.trained

    def seen(real: object, made: object, mixture: object, reading: object, seed: int, *rest: object) -> object:
        trained.append((mixture.row, seed))  # type: ignore[attr-defined]
        return original(real, made, mixture, reading, seed, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(studies, "trained", seen)
    lines: list[str] = []
    again = run(wanted(sets), out, lines.append)
    assert trained == [(13, 1)] and sum("done already" in line for line in lines) == 5
    now = json.loads(lost.read_text())
    assert {key: now[key] for key in whole if key != "seconds_per_step"} == {
        key: whole[key] for key in whole if key != "seconds_per_step"
    }
    assert again.measures == before.measures


def test_what_decides_a_result_is_in_its_name(
    finished: tuple[Path, Result, list[str]], sets: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = finished[0]
    other = squares(tmp_path / "other", "category", ("train",) * 9, "synthetic")
    started: list[int] = []

    def stopped(real: object, made: object, mixture: object, *rest: object) -> None:
        started.append(mixture.row)  # type: ignore[attr-defined]
        raise FloatingPointError("stopped here")

    monkeypatch.setattr(studies, "trained", stopped)
    with pytest.raises(ValueError, match="row 1, real cases alone, failed"):
        run(wanted((sets[0], other)), out)
    assert started == [1, 13]  # augmented real cases do not depend on the made ones
    started.clear()
    with pytest.raises(ValueError, match="row 1"):
        run(wanted(sets, steps=3), out)
    assert started == [1, 13, 19]


def test_one_failing_row_does_not_stop_the_rest(
    finished: tuple[Path, Result, list[str]], sets: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = studies.trained

    def breaks(real: object, made: object, mixture: object, *rest: object) -> object:
        if mixture.row == 13:  # type: ignore[attr-defined]
            raise FloatingPointError("the reader's loss is not finite at step 1")
        return original(real, made, mixture, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(studies, "trained", breaks)
    result = run(wanted(sets, seeds=1), tmp_path)
    assert [row.mixture.row for row in result.rows] == [1, 19] and "not finite" in result.failed[13]
    text = write_result(tmp_path, result).read_text()
    assert "- row 13: the reader's loss is not finite" in text and "whether these help in training was not tried" in text


def test_the_files_say_the_same_as_the_result(finished: tuple[Path, Result, list[str]]) -> None:
    out, result, _ = finished
    fields = json.loads((out / "utility.json").read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert fields["recommendation"] == result.sentence and fields["floor"]["accuracy"] == 0.5
    assert [row["row"] for row in fields["rows"]] == [1, 13, 19] and fields["rows"][0]["p"] is None
    with (out / "table.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [float(row["mean"]) for row in rows] == [row.mean for row in result.rows]
    assert {f"mean_{name}" for name in MEASURES["category"]} <= rows[0].keys()
    text = (out / "table.md").read_text()
    assert f"**{result.sentence}**" in text and "TRTS" in text and "| 19 | 1 real + 0.5 augmented | augmented |" in text
    picture = np.asarray(Image.open(out / "plot.png"))
    assert picture.shape[0] == 34 + 3 * 26 + 34 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def planted(scores: dict[int, tuple[float, ...]]) -> Result:
    rows = summaries([Outcome(MIXTURES[row - 1], values) for row, values in scores.items()])
    measures = {row: [dict.fromkeys(MEASURES["category"], value) for value in values] for row, values in scores.items()}
    cases = {"made": 12, "train": 4, "val": 2, "test": 4}
    least = dict.fromkeys(MEASURES["category"], 0.5)
    seconds = dict.fromkeys(scores, 0.1)
    return Result(TABLES[5], "balanced_accuracy", "category", cases, Reading(2), least, rows, measures, measures[1], seconds)


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ({1: (0.70, 0.71, 0.72), 13: (0.80, 0.811, 0.82), 19: (0.72, 0.735, 0.74)}, "Use row 13: 1 real + 0.5 synthetic"),
        ({1: (0.70, 0.71, 0.72), 13: (0.65, 0.66, 0.67), 19: (0.72, 0.73, 0.74)}, "Do not use the synthetic images: every"),
        ({1: (0.70, 0.71, 0.72), 13: (0.75, 0.70, 0.72), 19: (0.72, 0.73, 0.74)}, "Do not use the synthetic images: no mix"),
        ({1: (0.70, 0.71, 0.72), 13: (0.80, 0.811, 0.82), 19: (0.9, 0.91, 0.92)}, "Do not use the synthetic images: ordinary"),
    ],
)
def test_one_sentence_recommends_or_does_not(scores: dict[int, tuple[float, ...]], says: str, tmp_path: Path) -> None:
    result = planted(scores)
    result.sentence = studies._sentence(result)
    assert result.sentence.startswith(says)
    assert result.sentence in write_result(tmp_path, result).read_text()


def test_the_gap_is_that_of_made_cases_alone(sets: tuple[Path, Path], tmp_path: Path) -> None:
    result = run(wanted(sets, rows=(1, 3), seeds=1), tmp_path)
    one, three = (row.mean for row in result.rows)
    expected = (three - 0.5) / (one - 0.5) if one > 0.5 else float("nan")
    assert result.gaps == pytest.approx({3: expected}, nan_ok=True)


def test_impossible_studies_are_explained_before_training(sets: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"row 5 \(3 synthetic\) needs 12 made cases for 4 real training cases, and there are 8"
    ):
        run(wanted(sets, rows=(5,)), tmp_path)
    with pytest.raises(ValueError, match="table 8 .* is not for cases with label category; take --table 4 or 5 or 7"):
        run(wanted(sets, table=8), tmp_path)
    with pytest.raises(ValueError, match="no row 26"):
        run(wanted(sets, rows=(26,)), tmp_path)
    with pytest.raises(ValueError, match="no table 9"):
        wanted(sets, table=9)
    assert not (tmp_path / "results").exists()


def test_the_command_prints_its_sentence_and_goes_on_where_it_was(
    finished: tuple[Path, Result, list[str]], sets: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out, result, _ = finished
    words = ["utility", *map(str, sets), "--out", str(out), "--rows", "13", "19", "--seeds", "2", "--budget", "2"]
    assert main([*words, "--batch-size", "2", "--width", "4", "--table", "7", "--device", "cpu"]) == 0
    said = capsys.readouterr()
    assert result.sentence in said.out and said.err.count("done already") == 6
    assert main([*words, "--table", "8"]) == 2 and "--table 4 or 5 or 7" in capsys.readouterr().err


def test_table_4_asks_readers_of_real_cases_about_made_ones(sets: tuple[Path, Path], tmp_path: Path) -> None:
    result = run(wanted(sets, rows=(), table=4, seeds=1), tmp_path)
    assert [row.mixture.row for row in result.rows] == [1] and result.score == "balanced_accuracy"
    on_made = result.trts[0]["balanced_accuracy"]
    assert f"{result.rows[0].mean:.3f} on real test cases and {on_made:.3f} on made ones" in result.sentence
    assert f"*{on_made:.3f}*" in write_result(tmp_path, result).read_text()


def test_rows_are_named_by_words_and_numbers() -> None:
    assert rows_from_words(["all"]) == tuple(range(1, 26))
    assert rows_from_words(["short"]) == SHORT and rows_from_words(["1", "25"]) == (1, 25)
    with pytest.raises(ValueError, match="write all, short"):
        rows_from_words(["first"])
