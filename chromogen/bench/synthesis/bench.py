"""The bench: every system in a process of its own; what is done is skipped, and what fails does not stop the rest."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chromogen.bench.one import folder_of
from chromogen.bench.synthesis.plan import CONTROL_PREFIX, CONTROLS, Plan, check_system, differences
from chromogen.bench.synthesis.scores import READER, train_the_reader
from chromogen.files import write_json

Say = Callable[[str], None]
CONTROL_SYSTEMS = tuple(f"{CONTROL_PREFIX}{name}" for name in CONTROLS)


@dataclass(frozen=True)
class Outcome:
    """What became of one system. `reason` is empty when it made its cases and they were scored."""

    system: str
    reason: str = ""


def bench(plan: Plan, systems: Sequence[str], out: Path, say: Say, command: str = "") -> list[Outcome]:
    """Make and score every system and control; skips what is done, survives what fails.

    Raises ValueError for a system that cannot take part, a folder of another plan, or cases that cannot be split, before
    anything is trained; KeyboardInterrupt when it was stopped, after which the same call goes on.
    """
    for system in systems:
        check_system(system, plan)
    judged = plan.judged()
    _begin(plan, out, command)
    everything = [*CONTROL_SYSTEMS, *systems]
    waiting = [system for system in everything if not _done(out, system, judged)]
    if len(waiting) < len(everything):
        say(f"{len(everything) - len(waiting)} of {len(everything)} systems and controls are done already")
    train_the_reader(plan, out / READER)
    for number, system in enumerate(waiting, start=1):
        since = time.monotonic()
        if _run(system, out) == 130:
            raise KeyboardInterrupt
        reason = _outcome(out, system).reason
        how = f"FAILED: {reason}" if reason else "done"
        say(f"[{number}/{len(waiting)}] {system}: {how} after {(time.monotonic() - since) / 60:.1f} min")
    return [_outcome(out, system) for system in everything]


def _begin(plan: Plan, out: Path, command: str) -> None:
    file, fields = out / "bench.json", json.loads(json.dumps(plan.fields()))
    if file.is_file():
        changed = differences(json.loads(file.read_text(encoding="utf-8"))["plan"], fields)
        if changed:
            raise ValueError(
                f"{out} holds a bench with another {', '.join(changed)}; choose another --out, or the same settings"
            )
    write_json(file, {"command": command, "plan": fields, "title": plan.title()})


def _done(out: Path, system: str, judged: dict[str, object]) -> bool:
    record = folder_of(out, system) / "result.json"
    if not record.is_file():
        return False
    known: dict[str, object] = json.loads(record.read_text(encoding="utf-8"))["judged"]
    return known == json.loads(json.dumps(judged))


def _run(system: str, out: Path) -> int:
    """The exit code of the system's process. Ctrl-C reaches it too, and it saves its state before it ends."""
    folder = folder_of(out, system)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").unlink(missing_ok=True)  # of another plan
    environment = {"OMP_NUM_THREADS": str(os.cpu_count() or 1)} | os.environ
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "chromogen.bench.synthesis.one", str(out), system],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise


def _outcome(out: Path, system: str) -> Outcome:
    folder = folder_of(out, system)
    if (folder / "result.json").is_file():
        return Outcome(system)
    log = folder / "log.txt"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return Outcome(system, (lines[-1] if lines else "its process ended without a word")[:300])
