"""A run in its folder: the loop of `train.step` with any method, one process or many, killed and resumed without a trace."""

import copy
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from chromogen.checkpoint import SUFFIX, Card, fit_or_explain, load_model, save_model
from chromogen.config import from_fields, to_fields
from chromogen.devices import bf16_is_fast
from chromogen.files import write_json
from chromogen.tensors import on_device
from chromogen.train import state as saving
from chromogen.train.feed import feed_of
from chromogen.train.frozen import load_frozen
from chromogen.train.logbook import Logbook
from chromogen.train.processes import Processes, started
from chromogen.train.recompute import recompute
from chromogen.train.run import Run
from chromogen.train.state import State
from chromogen.train.step import make_optimizers, steps_taken
from chromogen.train.validation import rule

STATE = f"state{SUFFIX}"


@dataclass(frozen=True)
class Outcome:
    """How a training ended: after all its steps, or `interrupted` (resumable)."""

    step: int
    interrupted: bool


def train(run: Run, out: Path, resume: bool = False, device: str = "auto", command: str = "", quiet: bool = False) -> Outcome:
    """Train `run` into the folder `out`: run.json, log.jsonl, tensorboard/, samples/, state, last and best models.

    `resume` continues from the last saved state and ends with the same bytes as a run that was never stopped (on a CPU, with
    the same number of threads). Raises ValueError for a folder in use or a run that differs, FloatingPointError when a loss
    stops being finite (what was saved before stays), OSError when the disk is full.
    """
    with started(device) as processes:
        console = Console(stderr=True, quiet=quiet or not processes.first, markup=False, highlight=False)
        _check_folder(out, resume)
        processes.wait()  # all have looked before one writes
        training = Training(run, out, processes, console, resume)
        if processes.first:
            for leftover in out.glob(".partial-*"):  # of a process that was killed while it wrote
                leftover.unlink()
            write_json(out / "run.json", {"command": command, **run.fields()})
        return training.go()


class Training:
    """One training in one process."""

    def __init__(self, run: Run, out: Path, processes: Processes, console: Console, resume: bool = False) -> None:
        self.run, self.loop, self.out, self.processes, self.console = run, run.loop, out, processes, console
        self.feed = feed_of(run)
        self.contents = self.feed.contents()
        torch.manual_seed(self.loop.seed)
        nets = run.method.networks().to(processes.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ancestor = _begin_with(run.start_from, nets) if run.start_from and not resume else None
        self.frozen, self.guides = load_frozen(run.frozen, set(nets), processes.device)
        average = _released(run, nets) if self.loop.ema else None
        if self.loop.recompute:
            recompute(nets)  # after the average was copied, which is never trained
        self.state = State(nets.train(), make_optimizers(run.method.players(), nets), average)
        self.lent = nn.ModuleDict({**nets, **self.frozen})  # what a step sees
        missing = [name for name in getattr(run.method, "needs", ()) if name not in self.lent]
        if missing:
            raise ValueError(
                f"{run.title}: this method is guided by the trained network {missing[0]!r}; name the model that holds it in "
                "Run.frozen, or train it as a stage of a chain"
            )
        self.bf16 = self.loop.precision == "bf16" or (self.loop.precision == "auto" and bf16_is_fast(processes.device))
        torch.manual_seed(self.loop.seed + 1 + processes.rank)  # dropout differs between processes, initial weights do not
        self.every = {"log": self.loop.log_every, "validate": self.loop.validate_every, "save": self.loop.save_every}
        self.pending: list[tuple[int, dict[str, Tensor]]] = []
        self.drawn: dict[int, list[Tensor]] = {}  # step: the numbers of its pairs or cases, since the last look at the losses
        self.since = time.monotonic()
        if resume:
            self._resume()

    def _resume(self) -> None:
        header, tensors = saving.read(self.out / STATE)
        changed = _differences(header["run"], self.run.fields())
        if changed:
            raise ValueError(
                f"{self.out} holds a run with other fields ({', '.join(changed)}); resume it unchanged, {self._anew()}"
            )
        there, before = self.contents, header.get("contents")  # a state of before has none
        if before and before["sha256"] != there["sha256"]:
            raise ValueError(
                f"{self.out} learned from other data than lies there now ({before['count']} pairs or cases then, "
                f"{there['count']} now; names or sizes differ); put the data back as they were, {self._anew()}"
            )
        saving.restore(self.state, self.out / STATE, header, tensors, self.processes)
        self.ancestor = from_fields(Card, header["ancestor"]) if header["ancestor"] else None
        saving.continue_random(self.state, self.processes)
        self.console.print(f"resuming at step {self.state.step} of {self.loop.steps}")

    def _anew(self) -> str:
        return f"or start anew from its weights: --start-from {self.out} with another --out"

    def go(self) -> Outcome:
        """Take the steps that remain; log, validate and save when due; stop when asked to."""
        self.console.print(f"{self.run.data.describe()}; {self._how()}", soft_wrap=True)
        with _stop_signal() as stopped, logbook(self) as log:
            for step in self.steps(log):
                last = step == self.loop.steps
                stop = self.processes.any(stopped()) and not last
                due = {name: last or step % every == 0 for name, every in self.every.items()}
                if stop or any(due.values()):  # before anything is saved: only finite states are
                    self.write_log(log)
                if due["validate"]:
                    self._validate(log)
                if stop or due["save"]:
                    self._save()
                if stop:
                    return Outcome(step, interrupted=True)
        return Outcome(self.state.step, interrupted=False)

    def steps(self, log: Logbook | None) -> Iterator[int]:
        """Take the steps that remain, one each time; gives the number of steps done."""
        taken = steps_taken(
            self.run.method,
            self.lent,
            self.state.optimizers,
            self._batches(),
            self.state.step,
            self.loop.steps,
            self.processes.average,
            self.bf16,
        )
        for step, terms in taken:
            self.state.step = step
            self._follow()
            self.pending.append((step, terms))
            if log:
                log.advance(step)
            yield step

    def _how(self) -> str:
        images = self.loop.batch_size * self.loop.accumulate * self.processes.world
        many = f" of {self.processes.world} processes" if self.processes.world > 1 else ""
        return (
            f"{self.loop.steps} steps of {images} images on {self.processes.device}{many} in {'bf16' if self.bf16 else 'fp32'}"
        )

    def _batches(self) -> Iterator[list[Any]]:
        """Lists of micro-batches on the device, one list a step, from the state's step on."""
        device, k, done = self.processes.device, self.loop.accumulate, self.state.step
        remaining = (self.loop.steps - done) * k
        micro: list[Any] = []
        for batch in self.feed.batches(done * k, remaining, self.processes.rank, self.processes.world):
            micro.append(on_device(batch, device))
            if len(micro) == k:
                self.drawn[self.state.step + 1] = [drawn["index"] for drawn in micro]
                yield micro
                micro = []

    def _follow(self) -> None:
        """Move the average towards the networks; the decay grows from 0 so that early steps are not remembered for ever."""
        if self.state.average is None:
            return
        decay = min(self.loop.ema, self.state.step / (self.state.step + 10))
        followed = self.state.nets.state_dict()
        with torch.no_grad():
            for key, mean in self.state.average.state_dict().items():
                if mean.is_floating_point():
                    mean.lerp_(followed[key], 1 - decay)
                else:
                    mean.copy_(followed[key])

    def write_log(self, log: Logbook | None) -> None:
        """Write the mean of each term since the last time; stop if a term or a weight is not finite, before anything is saved.

        A loss is computed before the update that may spoil the weights, so the weights are looked at too.
        """
        names = list(dict.fromkeys(name for _, terms in self.pending for name in terms))
        values = {name: [(step, terms[name]) for step, terms in self.pending if name in terms] for name in names}
        numbers = {name: torch.stack([value.float() for _, value in found]).cpu() for name, found in values.items()}
        spoilt = [
            (step, f"{name} was {number.item()} at step {step}")
            for name, found in values.items()
            for (step, _), number in zip(found, numbers[name], strict=True)
            if not bool(torch.isfinite(number))
        ]
        if not all(bool(torch.isfinite(weight).all()) for weight in self.state.nets.parameters()):
            spoilt.append((self.state.step, f"a weight is not finite after step {self.state.step}"))
        if self.processes.any(bool(spoilt)):
            first = min(spoilt, key=itemgetter(0)) if spoilt else (0, "another process met a value that is not finite")
            raise FloatingPointError(
                f"{first[1]}{self._learned_from(first[0])}. The last good state and models are in {self.out}; look at these "
                "images, try a smaller learning rate, or --loop.precision fp32, with another --out"
            )
        if log and self.pending:
            seconds = (time.monotonic() - self.since) / len(self.pending)
            rates = {f"rate/{name}": o.param_groups[0]["lr"] for name, o in self.state.optimizers.items()}
            means = {name: float(series.mean()) for name, series in numbers.items()}
            log.record(self.state.step, {**means, **rates, "seconds_per_step": seconds})
        self.pending.clear()
        self.drawn = {step: numbers for step, numbers in self.drawn.items() if step == self.state.step}
        self.since = time.monotonic()

    def _learned_from(self, step: int) -> str:
        """The names of what a step learned from, and those of the step before, whose update may have spoilt the weights."""
        found = []
        for number, which in ((step, "it"), (step - 1, "the step before")):
            drawn = [int(index) for indices in self.drawn.get(number, []) for index in indices]
            if drawn:
                found.append(f"{which} learned from {', '.join(dict.fromkeys(self.feed.names(drawn)))}")
        return f": {'; '.join(found)}" if found else ""

    def _validate(self, log: Logbook | None) -> None:
        """Score what is held out in the first process; keep the model if the rule likes it best so far."""
        if log and self.feed.held_out:
            nets = nn.ModuleDict({**self.lent, **self.state.translating()})
            scores, rows = self.feed.judge(nets, self.processes.device)
            if scores:
                log.record(self.state.step, {f"validation/{key}": value for key, value in scores.items()})
                log.picture(self.state.step, rows)
                log.say(f"step {self.state.step}: validation " + ", ".join(f"{k} {v:.3f}" for k, v in scores.items()))
                for alarm in self.feed.alarms(scores):
                    log.say(f"step {self.state.step}: ALARM: {alarm}")
                self._keep_best(scores)
        self.since = time.monotonic()

    def _keep_best(self, scores: dict[str, float]) -> None:
        value = rule(self.loop.select)({**scores, "step": float(self.state.step)})
        if self.state.best is None or value > self.state.best:
            self.state.best = value
            save_model(self.out / f"best{SUFFIX}", self.run.method, self.state.translating(), self._card(scores))

    def _save(self) -> None:
        ancestor = to_fields(self.ancestor) if self.ancestor else None
        belongs_to = {"run": self.run.fields(), "ancestor": ancestor, "contents": self.contents}
        saving.save(self.state, self.out / STATE, self.processes, belongs_to)
        if self.processes.first:
            nets = self.state.translating()
            save_model(self.out / f"last{SUFFIX}", self.run.method, nets, self._card({}))
            if self.state.best is None and (self.state.step == self.loop.steps or not self.feed.held_out):
                save_model(self.out / f"best{SUFFIX}", self.run.method, nets, self._card({}))

    def _card(self, scores: dict[str, float]) -> Card:
        """What the model is made of, with what the model it started from was made of."""
        data, before, facts = self.run.data, self.ancestor, self.feed.card()
        on = facts.pop("on")
        licence = data.stated_licence() or "not stated"
        return Card(
            title=self.run.title,
            data=f"{before.data}; then {data.describe()}" if before else data.describe(),
            data_licence=f"{before.data_licence}; then {licence}" if before else licence,
            step=self.state.step,
            scores={"on": on, **scores} if scores else {},
            frozen=self.guides,
            **facts,
        )


@contextmanager
def logbook(training: Training) -> Iterator[Logbook | None]:
    """The logbook in the first process, nothing in the others."""
    if not training.processes.first:
        yield None
        return
    with Logbook(training.out, training.state.step, training.loop.steps, training.console) as log:
        yield log


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask for a stop after the step in progress; a second Ctrl-C stops at once."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1 and number == signal.SIGINT:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _released(run: Run, nets: nn.ModuleDict) -> nn.ModuleDict:
    average = nn.ModuleDict({name: copy.deepcopy(nets[name]) for name in run.method.released})
    return average.eval().requires_grad_(False)


def _begin_with(name_or_path: str, nets: nn.ModuleDict) -> Card:
    """Copy a trained model's weights into the networks of the same name; its card. ValueError when shapes differ."""
    model = load_model(name_or_path)
    for name, trained in model.nets.items():
        fit_or_explain(nets[name], trained.state_dict(), Path(name_or_path))
        nets[name].load_state_dict(trained.state_dict())
    return model.card


def _check_folder(out: Path, resume: bool) -> None:
    if resume and not (out / STATE).is_file():
        raise ValueError(f"{out} holds no saved state to resume; leave out --resume to start, or check --out")
    if not resume and (out / STATE).exists():
        raise ValueError(f"{out} already holds a run; add --resume to continue it, or choose another --out")


# These decide how fast and how talkative a run is, and where its files lie, not what it learns.
_FREE_TO_CHANGE = {
    "loop.workers",
    "loop.log_every",
    "loop.save_every",
    "loop.validate_every",
    "loop.recompute",
    "data.cache_gib",
    "data.root",
    "start_from",
    "frozen.path",
}


def _differences(saved: object, wanted: object, where: str = "") -> list[str]:
    """Names of the fields whose values differ."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        keys = sorted(saved.keys() | wanted.keys())
        return [
            name for key in keys for name in _differences(saved.get(key), wanted.get(key), f"{where}.{key}" if where else key)
        ]
    if isinstance(saved, list) and isinstance(wanted, list) and len(saved) == len(wanted):
        return [name for one, other in zip(saved, wanted, strict=True) for name in _differences(one, other, where)]
    came_later = saved is None and wanted == []  # a field that the older record does not know, and that changes nothing
    return [] if saved == wanted or came_later or where in _FREE_TO_CHANGE else [where]
