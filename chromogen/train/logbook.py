"""What a run leaves to read: log.jsonl, TensorBoard curves, pictures, and progress on the terminal."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from chromogen.files import written_whole
from chromogen.tensors import Uint8Image


class Logbook:
    """Writes a run's log. Opened at `step` after a resume, it first forgets lines that the resumed steps will write again."""

    def __init__(self, folder: Path, step: int, steps: int, console: Console) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        _forget_after(folder / "log.jsonl", step)
        self._lines = (folder / "log.jsonl").open("a", encoding="utf-8")
        self._curves = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        self._console = console
        self._progress = Progress(
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._progress.add_task("training", total=steps, completed=step, rate="", note="")
        self._steps = steps
        self._began = (step, time.monotonic())
        self._spoke = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()
        self._curves.close()
        self._lines.close()

    def advance(self, step: int) -> None:
        """Move the progress bar; without a terminal, say a line a minute."""
        began, since = self._began
        rate = (step - began) / max(time.monotonic() - since, 1e-9)
        self._progress.update(self._task, completed=step, rate=f"{rate:.2f} steps/s")
        if not self._console.is_terminal and time.monotonic() - self._spoke > 60:
            self._spoke = time.monotonic()
            left = (self._steps - step) / max(rate, 1e-9)
            self.say(f"step {step} of {self._steps}, {rate:.2f} steps/s, about {left / 60:.0f} min left")

    def say(self, sentence: str) -> None:
        self._progress.console.print(sentence, soft_wrap=True)

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """One line of log.jsonl and one point on each TensorBoard curve."""
        self._lines.write(json.dumps({"step": step, **{key: round(value, 6) for key, value in values.items()}}) + "\n")
        self._lines.flush()
        for key, value in values.items():
            self._curves.add_scalar(key, value, step)
        total = sum(value for key, value in values.items() if key.startswith("generator/"))
        self._progress.update(self._task, note=f"generator {total:.2f}" if total else "")

    def picture(self, step: int, pictures: Sequence[Sequence[Uint8Image]]) -> None:
        """A grid of images, one row a list, as samples/step_000100.png."""
        rows = [np.concatenate(list(row), axis=1) for row in pictures]
        widest = max(row.shape[1] for row in rows)
        grid = np.concatenate([np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0))) for row in rows], axis=0)
        with written_whole(self.folder / "samples" / f"step_{step:06d}.png") as partial:
            Image.fromarray(grid).save(partial, format="PNG")
        self._curves.add_image("samples", grid, step, dataformats="HWC")


def _forget_after(log: Path, step: int) -> None:
    if not log.exists():
        return
    kept = [line for line in log.read_text(encoding="utf-8").splitlines(keepends=True) if _step_of(line) <= step]
    with written_whole(log) as partial:
        partial.write_text("".join(kept), encoding="utf-8")


def _step_of(line: str) -> float:
    """The step of a log line; a line cut short by a kill is later than any step."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
