"""`chromogen bench staining`: every system on the same pairs, same budget, same protocol, beside controls."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from chromogen import methods
from chromogen.bench.one import folder_of
from chromogen.bench.plan import PROFILE, READER, Plan, differences
from chromogen.data.pairs.sets import PairSet
from chromogen.evaluate import controls
from chromogen.files import write_json, written_whole
from chromogen.judge.folder import score_folder
from chromogen.judge.sets import train_reader
from chromogen.judge.written import write_scores
from chromogen.levels import LEVELS, level_from_name
from chromogen.tensors import Uint8Image

Say = Callable[[str], None]
SOURCE_BLUR_PX = 8.0
CONTROLS = {
    "constant": "one flat colour, the mean of this real image",
    "training-mean": "one flat colour, the mean of the training targets",
    "source": "the H&E image itself",
    "blurred-source": f"the H&E image, blurred (sigma {SOURCE_BLUR_PX:g} px)",
    "blurred-target": f"the real image, blurred (sigma {controls.BLUR_PX:g} px)",
}


@dataclass(frozen=True)
class Outcome:
    """What became of one system. `reason` is empty when it was trained and scored."""

    system: str
    reason: str = ""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: every process has saved its state; the same command continues."""


def bench(plan: Plan, systems: Sequence[str], out: Path, jobs: int, say: Say, command: str = "") -> list[Outcome]:
    """Train and score every system in its own process, `jobs` at a time; skips what is done, survives what fails.

    Raises ValueError for an unknown system, a folder of another plan, or data that cannot be split, before anything is trained.
    """
    for system in systems:
        methods.load(system)
    _begin(plan, out, command)
    test = plan.test_pairs()
    write_test(test, out / "test")
    _write_reader(plan, out)
    _write_controls(plan, out)
    waiting = [system for system in systems if not _judged(folder_of(out, system) / "result.json", plan.judged(out))]
    if len(waiting) < len(systems):
        say(f"{len(systems) - len(waiting)} of {len(systems)} systems are done already")
    _run_all(waiting, out, jobs, say)
    return [_outcome(out, system) for system in systems]


def _begin(plan: Plan, out: Path, command: str) -> None:
    file, fields = out / "bench.json", plan.fields()
    if file.is_file():
        changed = differences(json.loads(file.read_text(encoding="utf-8"))["plan"], json.loads(json.dumps(fields)))
        if changed:
            raise ValueError(
                f"{out} holds a bench with another {', '.join(changed)}; choose another --out, or the same settings"
            )
    write_json(file, {"command": command, "plan": fields, "title": plan.title(), "profile": PROFILE})


def write_test(pairs: PairSet, folder: Path) -> None:
    """The test images as files, so that every system and every control is read and scored in the same way."""
    for index in range(len(pairs)):
        pair = pairs[index]
        name = pair.name
        if pair.level is not None and level_from_name(name) != pair.level:
            name = f"{name}_test_{LEVELS[pair.level]}"
        assert pair.target is not None  # test_pairs() gives pairs
        for stain, image in (("HE", pair.source), ("IHC", pair.target)):
            _write(folder / stain / f"{name}.png", image)


def _write_reader(plan: Plan, out: Path) -> None:
    """A reader of HER2 levels, trained on the real IHC that trains the systems; none where these know too few levels."""
    if (out / READER).is_file():
        return
    pairs = plan.training_data(methods.Practice()).open("train")
    levels = [pairs.levels[k] for k in range(len(pairs))]
    if len(set(levels) - {None}) > 1:
        with suppress(ValueError):  # one image a level teaches nothing
            train_reader((pairs.target(k) for k in range(len(pairs))), levels).save(out / READER)


def _judged(record: Path, wanted: dict[str, Any]) -> bool:
    """Whether what the file records was scored in this manner."""
    return record.is_file() and json.loads(record.read_text(encoding="utf-8")).get("judged") == json.loads(json.dumps(wanted))


def _write_controls(plan: Plan, out: Path) -> None:
    judging, judged = plan.judging(out), plan.judged(out)
    wanted = [name for name in CONTROLS if not _judged(out / "controls" / name / "result.json", judged)]
    if not wanted:
        return
    mean = _training_mean(plan) if "training-mean" in wanted else None
    for path in sorted((out / "test" / "IHC").iterdir()):
        target, source = (np.asarray(Image.open(out / "test" / stain / path.name)) for stain in ("IHC", "HE"))
        for name in wanted:
            _write(out / "controls" / name / path.name, _control(name, target, source, mean))
    for name in wanted:
        folder = out / "controls" / name
        write_scores(score_folder(folder, out / "test" / "IHC", out / "test" / "HE", judging), folder)
        write_json(folder / "result.json", {"judged": judged})


def _control(name: str, target: Uint8Image, source: Uint8Image, mean: Uint8Image | None) -> Uint8Image:
    if name == "training-mean":
        assert mean is not None
        return np.broadcast_to(mean, target.shape)
    if name == "blurred-source":
        smooth = ndimage.gaussian_filter(source.astype(np.float32), (SOURCE_BLUR_PX, SOURCE_BLUR_PX, 0))
        return np.rint(smooth).astype(np.uint8)
    return controls.controls(target, source)[name.replace("-", "_")]


def _training_mean(plan: Plan) -> Uint8Image:
    """Mean colour of at most 64 training targets, (3,) uint8."""
    pairs = plan.training_data(methods.Practice()).open("train")
    chosen = np.unique(np.linspace(0, len(pairs) - 1, 64).round().astype(int))
    return np.rint(np.mean([pairs.target(int(k)).mean(axis=(0, 1)) for k in chosen], axis=0)).astype(np.uint8)


def _write(path: Path, image: Uint8Image) -> None:
    if not path.exists():
        with written_whole(path) as partial:
            Image.fromarray(np.ascontiguousarray(image)).save(partial, format="PNG")


def _run_all(systems: list[str], out: Path, jobs: int, say: Say) -> None:
    waiting, running = list(systems), dict[str, subprocess.Popen[bytes]]()
    since, began = time.monotonic(), dict[str, float]()
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        while waiting or running:
            while waiting and len(running) < max(1, jobs):
                system = waiting.pop(0)
                running[system], began[system] = _started(system, out, jobs), time.monotonic()
            time.sleep(0.2)
            for system in [name for name, process in running.items() if process.poll() is not None]:
                code = running.pop(system).returncode
                if code == 130:
                    raise KeyboardInterrupt
                done = len(systems) - len(waiting) - len(running)
                reason = _outcome(out, system).reason
                minutes, all_minutes = ((time.monotonic() - t) / 60 for t in (began[system], since))
                left = all_minutes / done * (len(systems) - done)
                how = f"FAILED: {reason}" if reason else "done"
                say(f"[{done}/{len(systems)}] {system}: {how} after {minutes:.1f} min; about {left:.0f} min left")
    except KeyboardInterrupt:
        for process in running.values():
            process.terminate()  # SIGTERM asks the training to save and stop
        for process in running.values():
            process.wait()
        raise Interrupted from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _started(system: str, out: Path, jobs: int) -> subprocess.Popen[bytes]:
    folder = folder_of(out, system)
    folder.mkdir(parents=True, exist_ok=True)
    threads = str(max(1, (os.cpu_count() or 1) // max(1, jobs)))
    environment = os.environ | {"OMP_NUM_THREADS": threads}
    with (folder / "log.txt").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "chromogen.bench.one", str(out), system],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True,
        )  # fmt: skip


def _outcome(out: Path, system: str) -> Outcome:
    folder = folder_of(out, system)
    if (folder / "result.json").is_file():
        return Outcome(system)
    log = folder / "log.txt"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return Outcome(system, (lines[-1] if lines else "its process ended without a word")[:300])


def repeat_command(plan: Plan, systems: Sequence[str], out: Path) -> str:
    """The command line that makes or continues this bench."""
    words = ["chromogen", "bench", "staining", "--data", str(plan.data), "--budget", str(plan.budget).replace(" ", "")]
    words += ["--methods", *systems, "--crop-px", str(plan.crop_px), "--batch-size", str(plan.batch_size)]
    words += ["--narrow", str(plan.narrow), "--seed", str(plan.seed)]
    words += ["--held-out", *plan.held_out] if plan.held_out else []
    words += ["--resize-px", str(plan.resize_px)] if plan.resize_px else []
    words += ["--mpp", f"{plan.mpp:g}"] if plan.mpp else []
    words += ["--device", plan.device] if plan.device != "auto" else []
    words += ["--precision", plan.precision] if plan.precision != "auto" else []
    return shlex.join([*words, "--out", str(out)])
