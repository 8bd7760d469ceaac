"""The study: readers trained on mixtures of real and made cases, with several seeds, and judged on real test patients.

Every result of a mixture and a seed is a file whose name holds a hash of all that decides it, so that a study that was cut off
goes on where it was, rows can be added, and another set of made cases leaves the rows of real cases as they are.

Deviations from the source, Qu's thesis
- Table 8 is decided by average precision; there by IOU, which stands beside it.
- Missing: Table 4 on unfiltered cases; what `chromogen synthesize` writes has passed its filters.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from chromogen.bench.utility.measures import MEASURES, TOLD, Measures, floor, lacking_sentence
from chromogen.bench.utility.readers import Reading, reader_of, scored, trained
from chromogen.bench.utility.sets import open_made, open_real, shared_origin
from chromogen.config import nearest, to_fields
from chromogen.data.cases.prepared import Prepared
from chromogen.devices import pick_device
from chromogen.evaluate.reading.usefulness import MIXTURES, Mixture, Outcome, Summary, budget, gap, recommendation, summaries
from chromogen.files import write_json

FORMAT = 2  # 1 had no mse
SHORT = (1, 3, 7, 13, 19, 24, 25)  # 19 is the control of 13: as many more images, by ordinary augmentation

Say = Callable[[str], None]


@dataclass(frozen=True)
class Table:
    """One of the published tables of use: for which labels, by which measure it is decided."""

    number: int
    about: str
    scores: dict[str, str]  # kind of label -> the measure that counts; other kinds cannot be asked
    rows: tuple[int, ...] = SHORT

    def score(self, label: str) -> str:
        if label not in self.scores:
            possible = " or ".join(str(table.number) for table in TABLES.values() if label in table.scores)
            raise ValueError(f"table {self.number} ({self.about}) is not for cases with label {label}; take --table {possible}")
        return self.scores[label]


_DECIDING = {"mask": "dice", "category": "balanced_accuracy", "boxes": "average_precision"}
TABLES = {
    table.number: table
    for table in (
        Table(4, "readers of real cases on made ones", _DECIDING, (1,)),
        Table(5, "mixtures of real and made cases", _DECIDING),
        Table(6, "vessels, pixel by pixel inside the field of view", {"mask": "auc"}),
        Table(7, "image classes", {"category": "accuracy"}),
        Table(8, "lesion boxes", {"boxes": "average_precision"}),
    )
}


@dataclass(frozen=True)
class Study:
    """What is asked for. `rows` are numbers of Table 5's rows; () takes the table's own. `steps` None: the published budget,
    100 images for every real training case."""

    real: Path
    made: Path
    rows: tuple[int, ...] = ()
    seeds: int = 3
    steps: int | None = None
    batch_size: int = 16
    width: int = 16
    table: int = 5
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"a study needs at least 1 seed, and 3 to decide anything, got {self.seeds}")
        if self.table not in TABLES:
            raise ValueError(f"no table {self.table}; {nearest(str(self.table), map(str, TABLES))}")

    def mixtures(self) -> list[Mixture]:
        """The rows that are trained, in order; row 1, to which all are compared, is always among them."""
        unknown = [row for row in self.rows if not 1 <= row <= len(MIXTURES)]
        if unknown:
            raise ValueError(f"there is no row {unknown[0]}; rows are 1 to {len(MIXTURES)}")
        return [MIXTURES[row - 1] for row in sorted({1, *(self.rows or TABLES[self.table].rows)})]


@dataclass
class Result:
    """What came of a study. `measures` are those of each finished row, one entry a seed; `trts` those of row 1 on made ones."""

    table: Table
    score: str
    label: str
    cases: dict[str, int]
    reading: Reading
    floor: Measures
    rows: list[Summary]
    measures: dict[int, list[Measures]]
    trts: list[Measures]
    seconds_per_step: dict[int, float]
    gaps: dict[int, float] = field(default_factory=dict)  # of the rows without real cases
    sentence: str = ""
    notes: list[str] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)  # row -> why


def rows_from_words(words: Sequence[str]) -> tuple[int, ...]:
    """`short` is the table's own rows, `all` every row, else numbers. ValueError for anything else."""
    found: list[int] = []
    for word in words:
        if word == "all":
            found += [mixture.row for mixture in MIXTURES]
        elif word == "short":
            found += SHORT
        elif word.isdigit():
            found.append(int(word))
        else:
            raise ValueError(f"no rows {word!r}; write all, short, or numbers such as --rows 1 3 13 25")
    return tuple(found)


def run(study: Study, out: Path, say: Say = lambda line: None) -> Result:
    """Train and judge what is not yet in `out`; a row that fails is told and does not stop the rest.

    Raises ValueError before any training when the sets do not go together, the made ones are too few for a row, or the test
    cases hold nothing to read; and when row 1 itself fails.
    """
    mixtures = study.mixtures()
    real = open_real(study.real)
    table = TABLES[study.table]
    score = table.score(real.index.label)
    made = open_made(study.made, real, out)
    cases = {"made": len(made), **{split: len(real.of_split(split)) for split in ("train", "val", "test")}}
    _check_enough(mixtures, cases)
    least = floor(real, real.of_split("train"), real.of_split("test"))
    steps = study.steps or max(1, round(budget(cases["train"]) / study.batch_size))
    reading = Reading(steps, study.batch_size, study.width)
    found, failed = _results(study, reading, (real, made), mixtures, score, out, say)
    if 1 not in found:
        raise ValueError(f"row 1, real cases alone, failed, and all rows are compared to it: {failed[1]}")
    outcomes = [Outcome(mixture, _values(found[mixture.row], score)) for mixture in mixtures if mixture.row in found]
    measures = {row: [one["measures"] for one in rows] for row, rows in found.items()}
    trts = [one["on_made"] for one in found[1]]
    seconds = {row: float(np.median([one["seconds_per_step"] for one in rows])) for row, rows in found.items()}
    result = Result(
        table, score, real.index.label, cases, reading, least, summaries(outcomes), measures, trts, seconds, failed=failed
    )
    result.notes = [
        shared_origin(study.made, real),
        f"{lacking_sentence(real, real.of_split('test'), 'real test cases')} {TOLD[real.index.label]}",
        lacking_sentence(made, np.arange(len(made)), "made cases"),
        *([] if cases["val"] else ["No validation cases: every reader is the one of its last step."]),
    ]
    reference = result.rows[0].mean
    result.gaps = {
        row.mixture.row: gap(row.mean, reference, least[score]) for row in result.rows if row.mixture.protocol == "TSTR"
    }
    result.sentence = _sentence(result)
    return result


def _results(
    study: Study,
    reading: Reading,
    sets: tuple[Prepared, Prepared],
    mixtures: Sequence[Mixture],
    score: str,
    out: Path,
    say: Say,
) -> tuple[dict[int, list[dict[str, Any]]], dict[int, str]]:
    """The records of each row, one a seed, and why the others have none. All rows of one seed before the next seed."""
    found: dict[int, list[dict[str, Any]]] = {}
    failed: dict[int, str] = {}
    total = len(mixtures) * study.seeds
    for number in range(total):
        seed, mixture = number // len(mixtures), mixtures[number % len(mixtures)]
        if mixture.row in failed:
            continue
        path = _place(out, reading, sets, mixture, score, seed)
        try:
            record, how = _record(study, reading, sets, mixture, score, seed, path)
        except (ValueError, FloatingPointError) as error:
            failed[mixture.row] = str(error)
            found.pop(mixture.row, None)
            say(f"[{number + 1}/{total}] row {mixture.row}: {mixture}, seed {seed}: FAILED: {error}")
            continue
        found.setdefault(mixture.row, []).append(record)
        value = record["measures"][score]
        say(f"[{number + 1}/{total}] row {mixture.row}: {mixture}, seed {seed}: {score} {value:.3f} ({how})")
    return found, failed


def _record(
    study: Study,
    reading: Reading,
    sets: tuple[Prepared, Prepared],
    mixture: Mixture,
    score: str,
    seed: int,
    path: Path,
) -> tuple[dict[str, Any], str]:
    """The record of one row and seed, from its file or from a training that then writes it; how it came."""
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8")), "done already"
    real, made = sets
    device = pick_device(study.device)
    reader = trained(real, made, mixture, reading, seed, score, device)
    measures = scored(reader, real, real.of_split("test"), device)
    record = {
        "format": FORMAT,
        "row": mixture.row,
        "mixture": str(mixture),
        "seed": seed,
        "measures": measures,
        "step": reader.step,
        "steps": reading.steps,
        "seconds_per_step": reader.seconds_per_step,
        "validation": reader.curve,
    }
    if mixture.row == 1:
        record["on_made"] = scored(reader, made, np.arange(len(made)), device)
    write_json(path, record)
    return record, f"{reader.seconds_per_step:.3f} s a step"


def _place(out: Path, reading: Reading, sets: tuple[Prepared, Prepared], mixture: Mixture, score: str, seed: int) -> Path:
    """The file of one row and seed. The made cases are part of its key where they train, or are read (row 1)."""
    real, made = sets
    with_made = mixture.synthetic > 0 or mixture.row == 1
    facts = [
        FORMAT,
        real.identity,
        made.identity if with_made else "",
        to_fields(mixture),
        to_fields(reading),
        to_fields(reader_of(real, reading.width)),
        score,
        seed,
    ]
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return out / "results" / f"row-{mixture.row:02d}-seed-{seed}-{key[:10]}.json"


def _check_enough(mixtures: Sequence[Mixture], cases: dict[str, int]) -> None:
    for mixture in mixtures:
        wanted = mixture.counts(cases["train"])[1]
        if wanted > cases["made"]:
            possible = [one.row for one in MIXTURES if one.counts(cases["train"])[1] <= cases["made"]]
            raise ValueError(
                f"row {mixture.row} ({mixture}) needs {wanted} made cases for {cases['train']} real training cases, and there "
                f"are {cases['made']}; make more, or choose among the rows {', '.join(map(str, possible))}"
            )


def _values(records: Sequence[dict[str, Any]], score: str) -> tuple[float, ...]:
    return tuple(float(record["measures"][score]) for record in records)


def _sentence(result: Result) -> str:
    """The recommendation; of a study without mixtures, what a reader of real cases makes of made ones."""
    if any(row.mixture.synthetic > 0 for row in result.rows):
        return recommendation(result.rows, f"mean {result.score}", result.floor[result.score])
    on_made = float(np.mean([one[result.score] for one in result.trts]))
    return (
        f"Readers of real cases have a {result.score} of {result.rows[0].mean:.3f} on real test cases and {on_made:.3f} on "
        "made ones; whether these help in training was not tried."
    )


assert all(
    set(table.scores.items()) <= {(kind, one) for kind, names in MEASURES.items() for one in names} for table in TABLES.values()
)
