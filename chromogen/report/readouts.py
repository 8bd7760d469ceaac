"""HER2 read-outs of a folder as files, and reading the measured cells again with other thresholds.

For NAME.png: NAME.her2.json (the read-out), NAME.cells.csv (for people), NAME.geojson (detections for QuPath), NAME.rings.png
(the picture) and NAME.cells.npz, which alone is read again; with them summary.csv, one row an image.
"""

import csv
import io
import json
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chromogen.checkpoint import RESEARCH_USE
from chromogen.config import from_fields, to_fields
from chromogen.data.images import SUFFIXES, decode_image
from chromogen.data.inputs import Given, Inputs, find_inputs
from chromogen.evaluate.staining.her2.cells import Cells, View, measure
from chromogen.evaluate.staining.her2.guideline import CELL_CLASSES, PATTERNS, Thresholds, rings
from chromogen.evaluate.staining.her2.readout import DEFAULT_MPP, ReadOut, read
from chromogen.files import write_json, written_whole
from chromogen.report.rings import COLOURS, draw_rings, outlines
from chromogen.tensors import Uint8Image

SUMMARY = "summary.csv"
READ_OUT, TABLE, DETECTIONS, PICTURE, SAVED = ".her2.json", ".cells.csv", ".geojson", ".rings.png", ".cells.npz"
ARRAYS = ("y", "x", "own", "line", "radius_um", "cytoplasm", "nucleus")
COLUMNS = (
    *("image", "status", "class", *(f"prob_{name}" for name in PATTERNS), "cells", *(f"percent_{name}" for name in PATTERNS)),
    *("percent_positive", "h_score_cell", "h_score_pixel", "basis", "mpp", "reasons"),
)

Progress = Callable[[float, int, str], None]


@dataclass(frozen=True)
class Origin:
    """What the numbers of one image cannot tell: which file it was and how it came to be."""

    image: str
    basis: str
    assumed_mpp: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of one image; `readout` is None where `reason` says why it failed."""

    image: str
    readout: ReadOut | None
    reason: str = ""
    notes: tuple[str, ...] = ()  # what was converted on reading


def read_images(
    source: Path | Sequence[Path],
    out: Path,
    mpp: float | None,
    thresholds: Thresholds,
    basis: str,
    overwrite: bool = False,
    progress: Progress | None = None,
    subfolders: bool = False,
) -> list[Outcome]:
    """Read images, or every image of folders, into the folder `out`; a bad file is an outcome, not the end.

    `mpp` is um per pixel; None takes what each file states, and where it states nothing assumes 0.5 and says so. Raises
    ValueError when there is nothing to read or `out` is the source.
    """
    return read_inputs(inputs_of(source, out, subfolders), out, mpp, thresholds, basis, overwrite, progress)


def inputs_of(source: Path | Sequence[Path], out: Path, subfolders: bool = False) -> Inputs:
    """The images to read; ValueError for an `out` that is no folder, and whatever `find_inputs` raises."""
    if (out.exists() and not out.is_dir()) or (out.suffix.lower() in SUFFIXES and not out.is_dir()):
        raise ValueError(f"{out} is a file; -o names the folder that the read-outs go into")
    return find_inputs([source] if isinstance(source, Path) else source, out, subfolders)


def clashing(inputs: Inputs) -> dict[str, str]:
    """The names of images whose files would be written over each other, with the reason."""
    wanted = Counter(_key(one) for one in inputs.pictures)
    reason = "several images would all become {}" + READ_OUT + "; rename them"
    return {one.name: reason.format((one.below / one.path.stem).as_posix()) for one in inputs.pictures if wanted[_key(one)] > 1}


def read_inputs(
    inputs: Inputs,
    out: Path,
    mpp: float | None,
    thresholds: Thresholds,
    basis: str,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Outcome]:
    """See `read_images`; the images of subfolders are read into folders of the same names."""
    clashes = clashing(inputs)
    outcomes = []
    for index, one in enumerate(inputs.pictures):
        if progress is not None:
            progress(index, len(inputs.pictures), one.name)
        if one.name in clashes:
            outcomes.append(Outcome(one.name, None, clashes[one.name]))
        else:
            make = partial(_read_file, one, out / one.below, mpp, thresholds, basis, overwrite)
            outcomes.append(_outcome(one.name, make))
    _write_summary(out, outcomes)
    return outcomes


def _key(one: Given) -> str:
    return unicodedata.normalize("NFC", (one.below / one.path.stem).as_posix()).casefold()


def reread(out: Path, thresholds: Thresholds, progress: Progress | None = None) -> list[Outcome]:
    """Read every saved measurement in `out` again, without the images; the pictures are removed, for they show the old classes.

    Raises ValueError when `out` holds none.
    """
    paths = sorted(out.rglob(f"*{SAVED}"))
    if not paths:
        raise ValueError(f"{out} holds no NAME{SAVED}; name the folder that chromogen her2 wrote with -o")
    outcomes = []
    for index, path in enumerate(paths):
        if progress is not None:
            progress(index, len(paths), path.name)
        name = path.relative_to(out).as_posix()
        outcomes.append(_outcome(name, partial(_read_again, path, thresholds)))
    _write_summary(out, outcomes)
    return outcomes


def save_cells(path: Path, cells: Cells, origin: Origin) -> None:
    """All that `load_cells` needs: arrays and JSON, nothing that can run."""
    about = json.dumps({"view": to_fields(cells.view), "origin": to_fields(origin)})
    held = io.BytesIO()
    np.savez_compressed(held, about=np.array(about), **{name: getattr(cells, name) for name in ARRAYS})
    with written_whole(path) as unfinished:
        unfinished.write_bytes(held.getvalue())


def load_cells(path: Path) -> tuple[Cells, Origin]:
    """What `save_cells` wrote. Raises ValueError, naming the file, for anything else."""
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as held:
            about = json.loads(str(held["about"]))
            arrays = {name: held[name].astype(np.float32) for name in ARRAYS}
        view, origin = from_fields(View, about["view"]), from_fields(Origin, about["origin"])
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a measurement that chromogen her2 saved; read the image again") from error
    if any(len(array) != len(arrays["y"]) for array in arrays.values()) or arrays["own"].shape != arrays["radius_um"].shape:
        raise ValueError(f"{path} holds columns of unequal length; read the image again")
    return Cells(view=view, **arrays), origin


def detections(cells: Cells, readout: ReadOut) -> dict[str, Any]:
    """The cells as GeoJSON: QuPath detections with its own names and colours of classes, so that it can count them itself."""
    ring = rings(cells, readout.thresholds.complete_od)
    features = []
    for k, corners in enumerate(outlines(cells)):
        if len(corners) < 3:
            continue
        closed = [[round(float(x), 2), round(float(y), 2)] for x, y in [*corners, corners[0]]]
        level = int(readout.classes[k])
        measured = {
            "Membrane: own DAB OD, darker half": ring.darker[k],
            "Membrane: complete %": 100 * ring.complete[k],
            "Cytoplasm: DAB OD": cells.cytoplasm[k],
            "Nucleus: DAB OD": cells.nucleus[k],
        }
        properties = {
            "objectType": "detection",
            "classification": {"name": CELL_CLASSES[level], "color": list(COLOURS[level])},
            "measurements": {name: round(float(value), 4) for name, value in measured.items()},
        }
        features.append({"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [closed]}, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def _outcome(name: str, make: Callable[[], tuple[Origin, ReadOut]]) -> Outcome:
    try:
        origin, readout = make()
    except (ValueError, FileNotFoundError) as error:
        return Outcome(name, None, str(error))
    return Outcome(origin.image, readout, notes=origin.notes)


def _read_file(
    one: Given, out: Path, mpp: float | None, thresholds: Thresholds, basis: str, overwrite: bool
) -> tuple[Origin, ReadOut]:
    stem = one.path.stem
    target = out / f"{stem}{READ_OUT}"
    if target.exists() and not overwrite:
        raise ValueError(f"{target} is there already; add --overwrite to replace it, or --reread to try other thresholds")
    decoded = decode_image(one.path)
    used, said = _resolution(mpp, decoded.mpp)
    cells = measure(decoded.pixels, used)
    assumed = mpp is None and decoded.mpp is None
    origin = Origin(one.name, basis, assumed, (*decoded.notes, *said))
    readout = read(cells, thresholds, basis, assumed_mpp=assumed)
    save_cells(out / f"{stem}{SAVED}", cells, origin)
    _write_numbers(out, stem, cells, origin, readout)
    _write_picture(out / f"{stem}{PICTURE}", decoded.pixels, cells, readout)
    return origin, readout


def _resolution(given: float | None, stated: float | None) -> tuple[float, tuple[str, ...]]:
    """um per pixel to use, and what to say of it: the user's word first, then the file's."""
    if given is None:
        return (DEFAULT_MPP, ()) if stated is None else (stated, (f"{stated:.3g} um per pixel, as the file states",))
    differs = stated is not None and not 0.9 <= stated / given <= 1.1
    return given, (f"the file states {stated:.3g} um per pixel, --mpp {given:.3g} was used",) if differs else ()


def _read_again(path: Path, thresholds: Thresholds) -> tuple[Origin, ReadOut]:
    cells, origin = load_cells(path)
    readout = read(cells, thresholds, origin.basis, assumed_mpp=origin.assumed_mpp)
    stem = path.name.removesuffix(SAVED)
    _write_numbers(path.parent, stem, cells, origin, readout)
    (path.parent / f"{stem}{PICTURE}").unlink(missing_ok=True)
    return origin, readout


def _write_numbers(out: Path, stem: str, cells: Cells, origin: Origin, readout: ReadOut) -> None:
    record = {"image": origin.image, **readout.contract(), "notes": list(origin.notes), "intended_use": RESEARCH_USE}
    write_json(out / f"{stem}{READ_OUT}", record)
    with written_whole(out / f"{stem}{DETECTIONS}") as unfinished:
        unfinished.write_text(json.dumps(detections(cells, readout)), encoding="utf-8")
    ring = rings(cells, readout.thresholds.complete_od)
    columns = {"x_px": cells.x, "y_px": cells.y, "membrane_od": ring.darker, "complete": ring.complete}
    columns = {**columns, "line_od": _ring_mean(cells.line), "cytoplasm_od": cells.cytoplasm, "nucleus_od": cells.nucleus}
    rows = zip(readout.classes, *columns.values(), strict=True)
    text = [[CELL_CLASSES[level], *(f"{float(value):.4f}" for value in row)] for level, *row in rows]
    _write_csv(out / f"{stem}{TABLE}", ("class", *columns), text)


def _ring_mean(line: np.ndarray) -> np.ndarray:
    inside = np.isfinite(line)
    return np.where(inside, line, 0).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)


def _write_picture(path: Path, image: Uint8Image, cells: Cells, readout: ReadOut) -> None:
    legend = "Rings: " + ", ".join(
        f"{name} {colour}" for name, colour in zip(CELL_CLASSES, ("blue", "yellow", "orange", "red"), strict=True)
    )
    caption = (f"{readout.words} {legend}; bold where stained.", RESEARCH_USE)
    picture = draw_rings(image, cells, readout.classes, readout.thresholds.complete_od, caption)
    with written_whole(path) as unfinished:
        Image.fromarray(picture).save(unfinished, format="PNG", compress_level=3)


def _write_summary(out: Path, outcomes: list[Outcome]) -> None:
    _write_csv(out / SUMMARY, COLUMNS, [_row(outcome) for outcome in outcomes])


def _row(outcome: Outcome) -> list[Any]:
    if outcome.readout is None:
        return [outcome.image, "failed", *[""] * (len(COLUMNS) - 3), outcome.reason]
    record = outcome.readout.contract()
    her2, cells = record["her2"], record["cells"]
    probabilities = her2["probs"] or dict.fromkeys(PATTERNS, "")
    values = [outcome.image, record["status"], her2["class"] or "", *probabilities.values(), cells["count"]]
    values += [*cells["percent"].values(), cells["percent_positive"], cells["h_score_cell"], record["dab"]["h_score_pixel"]]
    return [*values, her2["basis"], record["mpp"], "; ".join(record["reasons"])]


def _write_csv(path: Path, header: tuple[str, ...], rows: list[list[Any]]) -> None:
    held = io.StringIO()
    csv.writer(held, lineterminator="\n").writerows([header, *rows])
    with written_whole(path) as unfinished:
        unfinished.write_text(held.getvalue(), encoding="utf-8", errors="backslashreplace")
