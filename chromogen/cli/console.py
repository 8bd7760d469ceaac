"""Where commands speak: results on stdout, everything else on stderr; exit codes; a progress bar."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tyro.conf import arg

FINE, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

# names of files and of systems are no markup, and ":b" in one is no emoji
out_console = Console(markup=False, highlight=False, emoji=False)
err_console = Console(stderr=True, markup=False, highlight=False, emoji=False)

Output = Annotated[Path, arg(aliases=["-o"])]


class Advance(Protocol):
    def __call__(self, done: float, total: int, item: str = "") -> None: ...


@contextmanager
def progress(label: str) -> Iterator[Advance]:
    """A bar on a terminal, nothing in a file."""
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), *times, TextColumn("{task.fields[item]}", markup=False))
    with Progress(*columns, console=err_console, disable=not err_console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=None, item="")

        def advance(done: float, total: int, item: str = "") -> None:
            bar.update(task, completed=done, total=total, item=item)

        yield advance


def tell_conversions(notes: Iterable[tuple[str, Iterable[str]]]) -> None:
    """What had to be converted on reading, each kind of note once: from (name, notes) of each file."""
    from chromogen.data.images import conversion_lines

    for line in conversion_lines(notes):
        err_console.print(f"note: {line}", soft_wrap=True)


def fail(sentence: str, code: int) -> int:
    """Say what is wrong, in one sentence, and give the exit code."""
    if not sentence:
        return code
    err_console.print(
        f"chromogen: {sentence}",
        style="red" if code != INTERRUPTED else "yellow",
        soft_wrap=True,
    )
    return code
