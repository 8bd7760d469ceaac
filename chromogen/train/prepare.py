"""The first stage of a synthesis: cases are read, their organ found and their lines drawn, once, into a folder of arrays."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from chromogen.config import nearest, to_fields
from chromogen.data.cases.prepared import PreparedCase
from chromogen.data.cases.prepared_writer import PreparedWriter, written_prepared
from chromogen.data.cases.source import Case, CaseSet, CaseSource, open_cases
from chromogen.files import write_json
from chromogen.structure.labels import planes_of_boxes
from chromogen.structure.lines import LineMap, lines
from chromogen.structure.organ import OrganMask, organ

LEFT_OUT = "left_out.json"  # beside the arrays: the sentence of every case that could not be prepared
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Drawing:
    """How the lines and the organ of a case are drawn."""

    lines: LineMap = LineMap()
    organ: OrganMask = OrganMask()
    lines_of: str = ""  # the modality whose lines are drawn; "": the first
    organ_of: str = ""  # the modality that shows the organ; "": the same
    without_lesions: bool = True  # lines on and around lesions go, so that what is drawn is healthy
    lines_are_label: bool = False  # the mask itself is the drawing: vessels, which are lines already; made cases take it so too
    whole_image: bool = False  # the organ is all of the image, for pictures without a background


def prepare(source: CaseSource, drawing: Drawing, folder: Path, told: Told = lambda done, of: None) -> tuple[str, ...]:
    """Prepare the cases of `source` into `folder`, whole or not at all; the sentences of those that were left out.

    Nothing is done when the folder is there. Memory does not grow with the number of cases. Raises ValueError when a modality
    is not in the data, when a patient is in two splits, or when no case could be prepared.
    """
    if folder.is_dir():
        return tuple(json.loads((folder / LEFT_OUT).read_text(encoding="utf-8")))
    left_out: list[str] = []
    cases = open_cases(source, on_fault=left_out.append)
    for wanted in (drawing.lines_of, drawing.organ_of):
        if wanted and wanted not in cases.modalities:
            raise ValueError(f"the cases have no modality {wanted!r}; {nearest(wanted, cases.modalities)}")
    title = Path(source.root).expanduser().resolve().name
    with written_prepared(
        folder, title, cases.modalities, cases.label, cases.classes, source.licence, made_by(source, drawing)
    ) as writer:
        for number in range(len(cases)):
            try:
                _add(writer, cases, number, drawing)
            except (ValueError, OSError) as error:
                left_out.append(f"{cases.members[number].name}: {error}")
            told(number + 1, len(cases))
        if not writer.cases:
            raise ValueError(f"none of {len(cases)} cases could be prepared, first: {left_out[0]}")
        write_json(writer.folder / LEFT_OUT, left_out)
    return tuple(left_out)


def made_by(source: CaseSource, drawing: Drawing) -> str:
    """A hash of the settings and of the names, sizes and times of the files: it changes when the result may."""
    root = Path(source.root).expanduser()
    files = sorted((str(path.relative_to(root)), path.stat()) for path in root.rglob("*") if path.is_file())
    facts = [to_fields(source), to_fields(drawing), [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]]
    return hashlib.sha256(json.dumps(facts, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _add(writer: PreparedWriter, cases: CaseSet, number: int, drawing: Drawing) -> None:
    case = cases[number]
    first = cases.modalities[0]
    shown = _tensor(case.images[drawing.organ_of or drawing.lines_of or first])
    inside = torch.ones_like(shown[:, :1]) if drawing.whole_image else organ(shown, drawing.organ)
    lesion = _lesion(case, len(cases.classes))
    if drawing.lines_are_label:
        if case.mask is None or lesion is None:
            raise ValueError("it has no mask, and drawing.lines_are_label draws the mask; leave that out")
        drawn = lesion * inside
    else:
        kept_off = lesion if drawing.without_lesions else None
        drawn = lines(_tensor(case.images[drawing.lines_of or first]), inside, drawing.lines, kept_off)
    writer.add(
        PreparedCase(case.name, case.patient, case.split or "train", case.spacing_mm, case.origin),
        np.stack([_tensor(case.images[name])[0].numpy() for name in cases.modalities]),
        drawn[0, 0].numpy().astype(np.uint8),
        inside[0, 0].numpy().astype(np.uint8),
        case.mask,
        case.category,
        case.boxes,
    )


def _tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W) or (H, W, 3) as (1, C, H, W)."""
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    return torch.from_numpy(np.array(planes, dtype=np.float32, order="C"))[None]  # a copy: an open picture is read-only


def _lesion(case: Case, classes: int) -> torch.Tensor | None:
    if case.mask is not None:
        return torch.from_numpy((case.mask > 0).astype(np.float32))[None, None]
    if case.boxes is not None and len(case.boxes):
        height, width = next(iter(case.images.values())).shape[:2]
        return 1 - planes_of_boxes(torch.from_numpy(case.boxes)[None], classes, height, width)[:, :1]
    return None
