"""`chromogen synthesize`: an audited, labelled data set in a folder, the same for the same seed, resumable, of any length.

synthesis.json   what was asked for and of which models; manifest.json: all here is synthetic
cases.jsonl      one line a case, quarantined ones too: seed, latent vector, label, scores, audit, files and their sha256
quarantine/      cases that resemble a training case more than strangers do
audit.json, data_sheet.md, overview.png, grid.png, between.png
"""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import chromogen
from chromogen.checkpoint import file_sha256
from chromogen.config import to_fields
from chromogen.data.cases.source import MANIFEST
from chromogen.files import write_json, written_whole
from chromogen.synthesize import pictures, sheet
from chromogen.synthesize.export import NOTE, About, Exporter, exporter_named, read_records
from chromogen.synthesize.made import MadeCase
from chromogen.synthesize.maker import Maker, Synthesis
from chromogen.synthesize.parts import Parts

ASKED, LINES = "synthesis.json", "cases.jsonl"
FUTILE = 10  # batches in a row of which nothing was kept

Progress = Callable[[int, int], None]


@dataclass
class Outcome:
    """What came of it. `refused`: drawings and labels that went no further, by reason."""

    kept: int = 0
    quarantined: int = 0
    refused: Counter[str] = field(default_factory=Counter)


def synthesize(
    parts: Parts, wanted: Synthesis, out: Path, real_root: str = "", command: str = "", progress: Progress | None = None
) -> Outcome:
    """Make `wanted.count` cases in the folder `out`; a folder that holds a part of the same synthesis is completed.

    Memory does not grow with the number of cases. Raises ValueError for a folder that holds anything else or lies in the real
    data, for a layout that the label does not fit, and when nothing that is drawn can be used.
    """
    asked = {"settings": to_fields(wanted), "models": parts.hashes(), "prepared": parts.prepared.index.made_by}
    _check_folder(out, asked, real_root)
    index = parts.prepared.index
    about = About(index.modalities, index.classes, parts.label, parts.renderer.sha256, parts.axis, wanted.consecutive)
    exporter = exporter_named(wanted.layout, out, about)
    quarantine = exporter_named("png", out / "quarantine", about)
    facts = {"layout": wanted.layout, "label": about.label, "modalities": about.modalities, "classes": about.names}
    made_by = f"chromogen {chromogen.__version__}"
    write_json(out / MANIFEST, {"origin": "synthetic", "made_by": made_by, "note": NOTE, "cases": LINES, **facts})
    write_json(out / ASKED, {"command": command, **asked})
    maker = Maker(parts, wanted)
    records = _whole_batches(out / LINES)
    outcome = _outcome(records)
    batch, futile = 1 + max((record["batch"] for record in records), default=-1), 0
    while outcome.kept < wanted.count:
        cases, refused = maker.batch(batch)
        rows = []
        for case in cases[: _needed(cases, wanted.count - outcome.kept)]:
            to = quarantine if case.facts["audit"]["copy"] else exporter
            rows.append(_exported(case, to, out))
        marker = {"batch": batch, "refused": dict(refused), "done": True}
        _append(out / LINES, [*rows, marker])
        outcome = _added(outcome, rows, refused)
        futile = 0 if rows else futile + 1
        if futile == FUTILE:
            reasons = "; ".join(f"{reason} ({count})" for reason, count in outcome.refused.most_common())
            raise ValueError(f"{FUTILE} batches in a row gave no case that could be used: {reasons}")
        batch += 1
        if progress:
            progress(outcome.kept, wanted.count)
    _finish(out, exporter, maker, outcome)
    return outcome


def _exported(case: MadeCase, exporter: Exporter, out: Path) -> dict[str, Any]:
    files = exporter.add(case)
    hashes = {str(path.relative_to(out)): file_sha256(path) for path in files}
    size = [int(side) for side in case.images.shape[2:]]
    return {
        "name": case.name,
        "origin": "synthetic",
        "size_px": size,
        "channels": case.images.shape[1],
        **case.facts,
        "files": hashes,
    }


def _needed(cases: list[MadeCase], missing: int) -> int:
    """How many of a batch to take so that no more than `missing` of them are kept."""
    kept = np.cumsum([not case.facts["audit"]["copy"] for case in cases])
    return int(np.searchsorted(kept, missing)) + 1 if len(kept) and kept[-1] >= missing else len(cases)


def _added(outcome: Outcome, rows: list[dict[str, Any]], refused: Counter[str]) -> Outcome:
    copies = sum(row["audit"]["copy"] for row in rows)
    return Outcome(outcome.kept + len(rows) - copies, outcome.quarantined + copies, outcome.refused + refused)


def _whole_batches(path: Path) -> list[dict[str, Any]]:
    """The records of batches that were written to their end; what a kill left of another one is cut off."""
    records = read_records(path)
    done = {record["batch"] for record in records if record.get("done")}
    kept = [record for record in records if record["batch"] in done]
    if path.is_file():
        with written_whole(path) as partial:
            partial.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
    return kept


def _outcome(records: list[dict[str, Any]]) -> Outcome:
    outcome = Outcome()
    for record in records:
        done = bool(record.get("done"))
        outcome = _added(outcome, [] if done else [record], Counter(record["refused"] if done else {}))
    return outcome


def _append(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as handle:
        handle.write("".join(json.dumps(row) + "\n" for row in rows))
        handle.flush()
        os.fsync(handle.fileno())


def _finish(out: Path, exporter: Exporter, maker: Maker, outcome: Outcome) -> None:
    rows = [record for record in read_records(out / LINES) if not record.get("done")]
    exporter.finish([row for row in rows if not row["audit"]["copy"]])
    facts = maker.audit.summary(rows)
    write_json(out / "audit.json", facts)
    sheet.write(out / "data_sheet.md", maker.parts, replace(maker.wanted, filters=maker.filters), outcome, facts, rows)
    pictures.write(out, maker)


def _check_folder(out: Path, asked: dict[str, Any], real_root: str) -> None:
    if real_root:
        real, made = Path(real_root).expanduser().resolve(), out.expanduser().resolve()
        if made == real or made.is_relative_to(real) or (real.is_relative_to(made) and real.exists()):
            raise ValueError(
                f"{out} and the real data {real_root} lie in each other, and made cases never mix with real ones; "
                "choose another --out"
            )
    if not out.is_dir() or not any(out.iterdir()):
        out.mkdir(parents=True, exist_ok=True)
        return
    path = out / ASKED
    if not path.is_file():
        raise ValueError(f"{out} holds files that chromogen synthesize did not make; choose an empty folder")
    before = json.loads(path.read_text(encoding="utf-8"))
    if {key: before.get(key) for key in asked} != asked:
        raise ValueError(
            f"{out} holds another synthesis (other settings or models); repeat its command, or choose another --out"
        )
