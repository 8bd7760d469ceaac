"""A chain of trainings that lean on each other: cases are prepared, readers and translators trained, then what they guide.

A stage's folder carries the first letters of a hash of all that goes into it: fields, data, the models it is lent. What is
done and unchanged is skipped; what was interrupted goes on; what changed gets a folder of its own, and nothing is overwritten.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from chromogen import methods
from chromogen.checkpoint import SUFFIX, file_sha256
from chromogen.config import nearest, to_fields
from chromogen.data.cases.prepared import Prepared, PreparedData
from chromogen.data.cases.source import CaseSource
from chromogen.files import write_json
from chromogen.method import Trainable
from chromogen.train.loop import STATE, train
from chromogen.train.prepare import Drawing, made_by, prepare
from chromogen.train.run import Frozen, Loop, Run
from chromogen.train.suits import check_only, check_sizes, check_stages, told

FILE = "chain.json"
FORMAT = 1


@dataclass(frozen=True)
class Stage:
    """One training of a chain."""

    method: Trainable
    loop: Loop
    lent: tuple[str, ...] = ()  # earlier stages whose networks it sees, frozen
    start_from: str = ""  # an earlier stage whose weights it begins with
    only: tuple[str, ...] = ()  # image classes it learns from, such as the healthy one; () learns from all


@dataclass(frozen=True)
class Chain:
    """Everything that decides what a chain of trainings ends with; a recipe may return one instead of a `Run`."""

    cases: CaseSource
    drawing: Drawing
    stages: Mapping[str, Stage]  # in order
    title: str = "unnamed chain"
    data: PreparedData = PreparedData(root="")  # how training draws from the prepared cases; its root is the chain's own

    def __post_init__(self) -> None:
        known: list[str] = []
        for name, stage in self.stages.items():
            for before in (*stage.lent, *filter(None, (stage.start_from,))):
                if before not in known:
                    raise ValueError(f"stage {name!r} needs {before!r}, which is no stage before it; {nearest(before, known)}")
            known.append(name)

    def fields(self) -> dict[str, Any]:
        """The chain as JSON values, with the names of the methods."""
        stages = {name: {"method_name": methods.name_of(stage.method), **_fields(stage)} for name, stage in self.stages.items()}
        return {
            "title": self.title,
            "cases": to_fields(self.cases),
            "drawing": to_fields(self.drawing),
            "data": to_fields(self.data),
            "stages": stages,
        }


@dataclass
class Done:
    """What is done of a chain, as `chain.json` says it."""

    prepared: str = ""
    models: dict[str, str] = field(default_factory=dict)  # stage -> file, relative to the chain's folder
    hashes: dict[str, str] = field(default_factory=dict)  # stage -> sha256 of the file


def train_chain(
    chain: Chain, out: Path, only: tuple[str, ...] = (), device: str = "auto", command: str = "", quiet: bool = False
) -> bool:
    """Do what is not done of a chain, in the folder `out`; False when it was interrupted (the same call goes on).

    `only` names the stages that are wanted; what they lean on is done too. Raises ValueError for a folder that holds something
    else, and for what `train` and the preparation raise it for.
    """
    console = Console(stderr=True, quiet=quiet, markup=False, highlight=False, emoji=False)
    wanted = _with_ancestors(chain, only)
    _check_folder(out)
    trained = {name: chain.stages[name].method for name in wanted}
    if chain.cases.size_px is not None:
        size = chain.cases.size_px
        check_sizes(trained, (size, size) if isinstance(size, int) else size)
    done = Done()
    key = made_by(chain.cases, chain.drawing)[:10]
    folder = out / f"prepared-{key}"
    _prepare(chain, folder, console)
    prepared = Prepared(folder)
    check_stages(trained, prepared)
    for name in wanted:
        check_only(name, chain.stages[name].only, prepared)
    for sentence in told(prepared):
        console.print(sentence, soft_wrap=True)
    done.prepared = folder.name
    _write(out, chain, done, command)
    for number, name in enumerate(wanted, start=1):
        run = _run_of(chain, name, out, done)
        folder = out / f"{name}-{_hash(_decisive(run), key)}"
        model = folder / f"best{SUFFIX}"
        finished = folder / "finished.json"
        if finished.is_file() and model.is_file():
            console.print(f"[{number}/{len(wanted)}] {name}: done already")
        else:
            console.print(f"[{number}/{len(wanted)}] {name}: {run.title}")
            outcome = train(run, folder, (folder / STATE).is_file(), device, command, quiet)
            if outcome.interrupted:
                return False
            write_json(finished, {"step": outcome.step, "sha256": file_sha256(model)})
        done.models[name] = f"{folder.name}/{model.name}"
        done.hashes[name] = file_sha256(model)
        _write(out, chain, done, command)
    return True


def _prepare(chain: Chain, folder: Path, console: Console) -> None:
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("reading cases", total=None)
        left_out = prepare(chain.cases, chain.drawing, folder, lambda done, of: bar.update(task, completed=done, total=of))
    console.print(PreparedData(root=str(folder)).describe(), soft_wrap=True)
    for sentence in left_out:
        console.print(f"left out: {sentence}", soft_wrap=True)


def read_chain(out: Path) -> dict[str, Any]:
    """What `chain.json` of a chain's folder says, with "prepared" and "models" as paths; ValueError when it does not read."""
    path = out / FILE
    if not path.is_file():
        raise ValueError(f"{out} holds no {FILE}; name the folder that `chromogen train` made from a chain's recipe")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        prepared, models = out / _inside(found["prepared"]), found["models"]
        return {**found, "prepared": prepared, "models": {name: out / _inside(file) for name, file in models.items()}}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} does not read as the record of a chain: {error}") from error


def _inside(name: str) -> str:
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name!r} leaves the chain's folder")
    return name


def _write(out: Path, chain: Chain, done: Done, command: str) -> None:
    record = {
        "format": FORMAT, "command": command, "title": chain.title, "prepared": done.prepared, "models": done.models,
        "sha256": done.hashes, "fields": chain.fields(),
    }  # fmt: skip
    write_json(out / FILE, record)


def _run_of(chain: Chain, name: str, out: Path, done: Done) -> Run:
    stage = chain.stages[name]
    data = replace(chain.data, root=str(out / done.prepared), only=stage.only or chain.data.only)
    frozen = tuple(Frozen(str(out / done.models[lent]), done.hashes[lent]) for lent in stage.lent)
    start = str(out / done.models[stage.start_from]) if stage.start_from else None
    return Run(stage.method, data, stage.loop, f"{chain.title}: {name}", start, frozen)


def _decisive(run: Run) -> dict[str, Any]:
    """What of a run decides its weights, without the paths of this machine."""
    assert isinstance(run.data, PreparedData)
    fields = replace(run, data=replace(run.data, root=""), frozen=()).fields()
    if not run.data.only:
        del fields["data"]["only"]  # so that what was trained before there was such a choice is still done
    start = file_sha256(Path(run.start_from)) if run.start_from else ""
    loop = {key: value for key, value in fields["loop"].items() if key not in ("workers", "log_every", "recompute")}
    return {**fields, "loop": loop, "start_from": start, "frozen": [one.sha256 for one in run.frozen]}


def _with_ancestors(chain: Chain, only: tuple[str, ...]) -> list[str]:
    for name in only:
        if name not in chain.stages:
            raise ValueError(f"no stage {name!r}; {nearest(name, chain.stages)}")
    needed = set(only or chain.stages)
    for name in reversed(list(chain.stages)):
        if name in needed:
            stage = chain.stages[name]
            needed |= {*stage.lent, *filter(None, (stage.start_from,))}
    return [name for name in chain.stages if name in needed]


def _fields(stage: Stage) -> dict[str, Any]:
    fields = to_fields(stage)
    assert isinstance(fields, dict)
    return fields


def _hash(*values: Any) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _check_folder(out: Path) -> None:
    if out.is_dir() and any(out.iterdir()) and not (out / FILE).is_file() and not list(out.glob("prepared-*")):
        raise ValueError(f"{out} holds files and no {FILE}; choose a folder that is empty or holds this chain")
