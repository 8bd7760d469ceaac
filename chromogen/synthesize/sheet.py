"""The data sheet of a made set: what it is, of what it was made, what was refused, what to know before using it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import chromogen
from chromogen.files import written_whole
from chromogen.synthesize.export import NOTE
from chromogen.synthesize.parts import Parts

LESIONS = {
    "blobs": "smooth random outlines, no patient's",
    "real": "varied from training cases; their outlines are, in part, patients' data",
}
MEASURES = {"mask": "Dice of the lesions", "category": "probability of the class", "boxes": "overlap of the boxes"}


def write(
    path: Path, parts: Parts, wanted: Any, outcome: Any, audit: dict[str, Any], records: Sequence[dict[str, Any]]
) -> None:
    """Write the sheet as Markdown, whole or not at all; `records` are those of all cases, quarantined ones too."""
    with written_whole(path) as partial:
        partial.write_text("\n".join(_lines(parts, wanted, outcome, audit, records)) + "\n", encoding="utf-8")


def _lines(parts: Parts, wanted: Any, outcome: Any, audit: dict[str, Any], records: Sequence[dict[str, Any]]) -> list[str]:
    kept = [record for record in records if not record["audit"]["copy"]]
    passed = sum(record["passed_filters"] for record in kept)
    return [
        f"# {outcome.kept} synthetic cases",
        "",
        f"> {NOTE}",
        "",
        *_what(parts, wanted),
        "",
        "## Kept and refused",
        f"{outcome.kept} kept, {outcome.quarantined} quarantined as copies of training cases (in `quarantine/`).",
        f"{passed} of the kept ones passed the filters (critic at least {wanted.filters.critic:.2f}, or outline and organ "
        f"within {wanted.filters.outline:g}); the others are the best of {wanted.filters.tries} tries.",
        f"A pixel is a line from a probability of {wanted.filters.level:.2f} on.",
        "",
        "| refused because | count |",
        "|---|---:|",
        *(f"| {reason} | {count} |" for reason, count in sorted(outcome.refused.items())),
        "",
        "## Are the labels true?",
        _reading(parts, kept),
        "",
        "## Does it repeat patients?",
        *_privacy(audit),
        "",
        "## Before you use it",
        *(
            [f"- Lesions: {LESIONS[wanted.labelling.lesions]}."]
            if parts.label in ("mask", "boxes") and not parts.lines_are_label
            else []
        ),
        "- Whether it helps is an experiment: `chromogen utility REAL SET --out USE`.",
        "- `cases.jsonl` has seed, latent vector (base64 of little-endian float32), scores and hashes of every case; the same",
        "  command makes the same files.",
    ]


def _what(parts: Parts, wanted: Any) -> list[str]:
    index, card = parts.prepared.index, parts.renderer.card
    size = " x ".join(str(side) for side in parts.prepared.size_px)
    label = f"{index.label} ({', '.join(index.classes)})" if index.classes else index.label
    return [
        f"- **What**: {', '.join(index.modalities)} in register, {size} px, label: {label}",
        f"- **Made by** chromogen {chromogen.__version__}, seed {wanted.seed}, layout {wanted.layout}",
        f"- **Model**: {card.title}; trained on {card.data}",
        f"- **Licence of the training data**: {card.data_licence}. What a model of patients makes is derived from them.",
        *(f"- sha256 of the {name}: `{digest}`" for name, digest in parts.hashes().items()),
    ]


def _privacy(audit: dict[str, Any]) -> list[str]:
    found = f"Compared with {audit['compared_with']}. Copies: {audit['copies']} of {audit['cases']}"
    if audit["threshold_ncc"] is not None:
        more = f", and {audit['margin_ncc']:.3f} above that with other patients" if audit["margin_ncc"] is not None else ""
        found += f" (correlation above {audit['threshold_ncc']:.3f}{more}: {audit['percentile']:g} of 100 strangers are below)"
    lines = [found + "."]
    if "nearness" in audit:
        near = audit["nearness"]
        lines.append(
            f"Nearer to a training case than to a stranger: {near['share']:.2f} ({near['low']:.2f} to {near['high']:.2f}); "
            f"0.5 is no memorisation. Authentic: {audit['authentic_share']:.2f}."
        )
    return [*lines, audit["note"]]


def _reading(parts: Parts, kept: Sequence[dict[str, Any]]) -> str:
    if parts.reader is None or not kept:
        return "No reader was trained, so nobody looked."
    names = parts.prepared.index.modalities
    means = ", ".join(f"{name} {np.mean([record['reader'][name] for record in kept]):.2f}" for name in names)
    dependent = "The reader that guided the renderer, so that this is no independent evidence,"
    who = "A reader that guided no training" if parts.independent else dependent
    return f"{who} finds them (mean {MEASURES.get(parts.label, 'agreement')}): {means}.{_lacking(parts, kept)}"


def _lacking(parts: Parts, kept: Sequence[dict[str, Any]]) -> str:
    """How many of the kept cases have no lesion, or lack a class of masks."""
    if parts.label != "mask":
        return ""
    named = list(enumerate(parts.prepared.index.classes))[1:]
    counted = [(sum(k not in record["classes"] for record in kept), name) for k, name in named]
    without = ", ".join(f"{count} lack {name}" for count, name in counted if count)
    return f" Of {len(kept)} cases {without or 'none lacks a class'}."
