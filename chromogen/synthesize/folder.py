"""`chromogen synthesize`: an audited, labelled data set in a folder, the same for the same seed, resumable, of any length.

synthesis.json   what was asked for and of which models; manifest.json: all here is synthetic
cases.jsonl      one line a case, quarantined ones too: seed, latent vector, label, scores, audit, files and their sha256
quarantine/      cases that resemble a training case more than strangers do
audit.json, data_sheet.md, overview.png, grid.png, between.png
"""

import base64
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import chromogen
from chromogen.checkpoint import file_sha256
from chromogen.config import to_fields
from chromogen.data.cases.source import MANIFEST
from chromogen.devices import bf16_is_fast
from chromogen.files import write_json, written_whole
from chromogen.synthesize import pictures, sheet
from chromogen.synthesize.audit import Audit, Gate
from chromogen.synthesize.drawing import Drawn, Filters, draw_lines, settled
from chromogen.synthesize.export import NOTE, About, Exporter, exporter_named, read_records
from chromogen.synthesize.labelling import Label, Labelling, Labels
from chromogen.synthesize.made import MadeCase
from chromogen.synthesize.parts import Parts
from chromogen.synthesize.reading import agreement

ASKED, LINES = "synthesis.json", "cases.jsonl"
FUTILE = 10  # batches in a row of which nothing was kept

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """What is asked for."""

    count: int
    seed: int = 0
    layout: str = "png"
    batch: int = 8  # cases drawn together; it is part of what decides them
    filters: Filters = Filters()
    labelling: Labelling = Labelling()
    gate: Gate = Gate()
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.count < 1 or self.batch < 1 or self.seed < 0:
            raise ValueError(f"count and batch start at 1 and seeds at 0, got {self.count}, {self.batch} and {self.seed}")


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
    about = About(index.modalities, index.classes, parts.label, parts.renderer.sha256)
    exporter = exporter_named(wanted.layout, out, about)
    quarantine = exporter_named("png", out / "quarantine", about)
    write_json(
        out / MANIFEST, {"origin": "synthetic", "made_by": f"chromogen {chromogen.__version__}", "note": NOTE, "cases": LINES}
    )
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


class Maker:
    """Makes batches of cases, each from the seed and its number alone."""

    def __init__(self, parts: Parts, wanted: Synthesis) -> None:
        self.parts, self.wanted = parts, wanted
        self.filters = settled(parts, wanted.filters)
        self.labels = Labels(parts, wanted.labelling)
        self.audit = Audit(parts.prepared, wanted.gate)
        spacings = Counter(case.spacing_mm for case in parts.prepared.index.cases)
        self.spacing_mm = spacings.most_common(1)[0][0]
        self.bf16 = wanted.precision == "bf16" or (wanted.precision == "auto" and bf16_is_fast(parts.device))

    def batch(self, number: int) -> tuple[list[MadeCase], Counter[str]]:
        """The cases of a batch, audited, and what was refused on the way."""
        words = np.random.SeedSequence([self.wanted.seed, number]).generate_state(2)
        generator = torch.Generator().manual_seed(int(words[0]))
        rng = np.random.default_rng(int(words[1]))
        with torch.autocast(self.parts.device.type, torch.bfloat16, enabled=self.bf16):
            drawn = draw_lines(self.parts, self.filters, self.wanted.batch, generator)
            pairs = zip(drawn.lines, drawn.organ, strict=True)
            labels = [self.labels.draw(_plane(lines), _plane(organ), rng) for lines, organ in pairs]
            placed = [place for place, label in enumerate(labels) if label is not None]
            refused = drawn.refused
            if len(placed) < len(labels):
                refused["the label fits nowhere in the organ"] += len(labels) - len(placed)
            if not placed:
                return [], refused
            given = [label for label in labels if label is not None]
            cases = self._rendered(number, drawn, placed, given, generator)
        for case, found in zip(cases, self.audit.look(cases), strict=True):
            case.facts["audit"] = found
        return cases, refused

    @torch.inference_mode()
    def _rendered(
        self, number: int, drawn: Drawn, placed: list[int], labels: list[Label], generator: torch.Generator
    ) -> list[MadeCase]:
        parts = self.parts
        lines, organ = drawn.lines[placed], drawn.organ[placed]
        planes = self.labels.planes(labels, *parts.prepared.size_px).to(parts.device)
        images = parts.rendering.render(parts.renderer.nets, lines, organ, planes, generator).float().clamp(0, 1)
        read = agreement(parts, images, labels)
        cases = []
        for row, (place, label) in enumerate(zip(placed, labels, strict=True)):
            facts = {
                "batch": number,
                "place": place,
                "seed": self.wanted.seed,
                "latent": base64.b64encode(drawn.latents[place].astype("<f4").tobytes()).decode(),
                "tries": drawn.tries[place],
                "passed_filters": drawn.passed[place],
                "critic": round(drawn.critic[place], 4),
                "outline": round(drawn.outline[place], 4),
                "label_source": label.source,
                "reader": read[row],
                "category": label.category,
                "boxes": None if label.boxes is None else [[round(float(v), 2) for v in box] for box in label.boxes],
            }
            name = f"synthetic-{self.wanted.seed}-{number:06d}-{place:02d}"
            cases.append(
                MadeCase(
                    name, images[row].cpu().numpy(), _plane(lines[row]), _plane(organ[row]), label.mask, label.category,
                    label.boxes, self.spacing_mm, facts,
                )
            )  # fmt: skip
        return cases


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


def _plane(plane: torch.Tensor) -> np.ndarray:
    return (plane[0] > 0.5).cpu().numpy().astype(np.uint8)
