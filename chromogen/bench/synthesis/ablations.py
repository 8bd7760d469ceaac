"""The six chains of Table 1 of Qu's thesis, derived from one: they differ in the renderer's switches and share all else.

A draws from noise alone; B and C add what the table says, up to F, which is the whole system.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from chromogen.checkpoint import method_from
from chromogen.config import from_fields
from chromogen.data.cases.prepared import PreparedData
from chromogen.data.cases.source import CaseSource
from chromogen.methods.renderer import Renderer
from chromogen.train.chain import Chain, Stage, read_chain, train_chain
from chromogen.train.prepare import Drawing
from chromogen.train.run import Loop

SWITCHES = ("structure", "mask_filter", "noise", "registration", "lesion")
TABLE_1 = {"A": "00000", "B": "10001", "C": "11000", "D": "11100", "E": "11110", "F": "11111"}


def ablations(chain: Chain) -> dict[str, Chain]:
    """The chains A to F. ValueError for a chain without exactly one renderer."""
    name = renderer_of(chain)
    stage = chain.stages[name]
    found = {}
    for letter, row in TABLE_1.items():
        switches: dict[str, Any] = {switch: digit == "1" for switch, digit in zip(SWITCHES, row, strict=True)}
        changed = replace(stage, method=replace(stage.method, **switches))  # type: ignore[type-var]
        # the title stays: it is part of what a stage's folder is called by
        found[letter] = replace(chain, stages={**chain.stages, name: changed})
    return found


def renderer_of(chain: Chain) -> str:
    """The name of the stage that renders."""
    names = [name for name, stage in chain.stages.items() if isinstance(stage.method, Renderer)]
    if len(names) != 1:
        raise ValueError(f"Table 1 switches parts of the one renderer of a chain; this one has {len(names)}")
    return names[0]


def train_ablations(
    run: Path, out: Path, letters: tuple[str, ...] = tuple(TABLE_1), device: str = "auto", quiet: bool = False
) -> dict[str, Path] | None:
    """Train the renderers of these letters beside the other stages of a chain that is trained already; a folder of each.

    What is shared lies in each folder as a link (as a copy where there are no links), so that every folder is one that
    `chromogen synthesize` and the bench can use. None when it was interrupted; the same call goes on.
    """
    chain = chain_of(run)
    wanted, name, record = ablations(chain), renderer_of(chain), read_chain(run)
    missing = [stage for stage in chain.stages if stage != name and stage not in record["models"]]
    if missing:
        raise ValueError(f"{run} has not trained its stage {missing[0]!r}; complete the chain first")
    found = {}
    for letter in letters:
        found[letter] = out / letter
        found[letter].mkdir(parents=True, exist_ok=True)
        for folder in (Path(record["prepared"]), *(Path(file).parent for file in record["models"].values())):
            _link(folder, found[letter] / folder.name)
        if not train_chain(wanted[letter], found[letter], (), device, quiet=quiet):
            return None
    return found


def chain_of(run: Path) -> Chain:
    """The chain that a folder was trained from, from its record."""
    record = read_chain(run)
    try:
        fields = record["fields"]
        stages = {name: _stage(stage, run) for name, stage in fields["stages"].items()}
        return Chain(
            from_fields(CaseSource, fields["cases"]),
            from_fields(Drawing, fields["drawing"]),
            stages,
            str(fields["title"]),
            from_fields(PreparedData, fields["data"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{run} does not say which chain it was trained from: {error}") from error


def _stage(fields: Mapping[str, Any], run: Path) -> Stage:
    method = method_from({"method": fields["method_name"], "fields": fields["method"]}, run)
    loop, only = from_fields(Loop, fields["loop"]), tuple(fields.get("only", ()))  # older records have no choice of classes
    return Stage(method, loop, tuple(fields["lent"]), str(fields["start_from"]), only)


def _link(folder: Path, place: Path) -> None:
    if place.exists():
        return
    try:
        place.symlink_to(os.path.relpath(folder.resolve(), place.parent.resolve()), target_is_directory=True)
    except OSError:  # no links here
        shutil.copytree(folder, place)
