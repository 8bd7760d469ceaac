"""One system of a bench in a process of its own: train, translate the test images, score them.

    python -m chromogen.bench.one OUT SYSTEM

Reads OUT/bench.json, works in OUT/SYSTEM, and ends by writing OUT/SYSTEM/result.json. Killed, it continues where it was.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch

from chromogen.bench.plan import NEVER, Plan
from chromogen.config import from_fields
from chromogen.devices import bf16_is_fast, pick_device
from chromogen.files import write_json
from chromogen.infer.folder import translate_folder
from chromogen.infer.stainer import load
from chromogen.judge.folder import score_folder
from chromogen.judge.written import write_scores
from chromogen.tensors import on_device
from chromogen.train.feed import feed_of
from chromogen.train.loop import STATE, train
from chromogen.train.run import Run
from chromogen.train.step import make_optimizers, train_step

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TRIAL_STEPS = 12  # timed before a budget in minutes becomes steps; the first four are not counted


def main(out: Path, system: str) -> int:
    """Everything one system needs; its exit code (130 when interrupted)."""
    plan = from_fields(Plan, json.loads((out / "bench.json").read_text(encoding="utf-8"))["plan"])
    with _alone(folder_of(out, system)) as folder:
        return _trained_and_scored(plan, system, out, folder)


def _trained_and_scored(plan: Plan, system: str, out: Path, folder: Path) -> int:
    before = resident_mib()
    steps = _steps(plan, system, folder)
    run = plan.run(system, steps)
    if not _trained(folder):
        outcome = train(run, folder / "run", resume=(folder / "run" / STATE).exists(), device=plan.device)
        if outcome.interrupted:
            return 130
        write_json(folder / "cost.json", _cost(run, folder, before))
    stained = translate_folder(
        load(folder / "run" / "last.safetensors", plan.device, "fp32"), out / "test" / "HE", folder / "made"
    )
    scores = score_folder(folder / "made", out / "test" / "IHC", out / "test" / "HE", plan.judging(out))
    write_scores(scores, folder)
    if stained.failed or not scores.complete:
        reasons = [file.reason for file in stained.failed] or [image.reason for image in scores.failures]
        raise ValueError(f"{len(reasons)} test images could not be stained or scored: {reasons[0]}")
    cost = json.loads((folder / "cost.json").read_text(encoding="utf-8"))
    write_json(folder / "result.json", {"system": system, "judged": plan.judged(out), **cost})
    return 0


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """The folder, for this process only: an earlier bench that was killed may have left one at work."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        if fcntl is not None:  # where there is none, nobody looks
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ValueError(f"another process is at work in {folder}; wait for it, or stop it") from error
        yield folder


def folder_of(out: Path, system: str) -> Path:
    """Where a system's files lie; a colon is no letter of a file name on every machine."""
    return out / system.replace(":", "-")


def _trained(folder: Path) -> bool:
    return (folder / "cost.json").is_file() and (folder / "run" / "last.safetensors").is_file()


def _steps(plan: Plan, system: str, folder: Path) -> int:
    """The length of the training: the budget itself, or what fits into its minutes, timed once and then kept."""
    if plan.budget.unit == "steps":
        return int(plan.budget.amount)
    kept = folder / "steps.json"
    if not kept.is_file():
        seconds = _seconds_per_step(plan.run(system, NEVER), plan.device)
        write_json(kept, {"steps": max(1, round(60 * plan.budget.amount / seconds)), "seconds_per_step_of_the_trial": seconds})
    return int(json.loads(kept.read_text(encoding="utf-8"))["steps"])


def _seconds_per_step(run: Run, device_name: str) -> float:
    device = pick_device(device_name)
    torch.manual_seed(run.loop.seed)
    nets = run.method.networks().to(device).train()
    optimizers = make_optimizers(run.method.players(), nets)
    bf16 = run.loop.precision == "bf16" or (run.loop.precision == "auto" and bf16_is_fast(device))
    times = []
    for batch in feed_of(run).batches(0, TRIAL_STEPS, rank=0, world=1):
        since = time.perf_counter()
        terms = train_step(run.method, nets, optimizers, [on_device(batch, device)], 0.5, bf16=bf16)
        float(sum(terms.values()))  # waits for a GPU
        times.append(time.perf_counter() - since)
    return median(times[4:])


def _cost(run: Run, folder: Path, before_mib: float) -> dict[str, Any]:
    """What the training took: seconds a step (of the fastest stretch of the log, which other work disturbed least), peak
    memory, parameters."""
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    times = [line["seconds_per_step"] for line in lines if "seconds_per_step" in line]
    nets = run.method.networks()
    count = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
    on_gpu = torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0
    return {
        "steps": run.loop.steps,
        "seconds_per_step": min(times[1:] or times),
        "parameters": sum(count.values()),
        "parameters_of_the_translator": sum(count[name] for name in run.method.released),
        "memory_mib": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else resident_mib(peak=True) - before_mib,
        "memory": "peak of GPU memory" if on_gpu else "peak resident memory of the training process above its start",
    }


def resident_mib(peak: bool = False) -> float:
    """Resident memory of this process, now or at its peak; NaN where the system does not tell (it is not Linux)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    key = "VmHWM:" if peak else "VmRSS:"
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(key))


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
    except (ValueError, OSError, FloatingPointError, torch.OutOfMemoryError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
