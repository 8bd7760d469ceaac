"""Whatever lies in a folder, the commands answer: an exit code of ours and sentences, never a traceback, within seconds.

The fast test tries a few dozen folders; `pytest -m slow tests/end_to_end/test_mutated_inputs.py` tries 2,000.
"""

import contextlib
import io
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from chromogen import cli
from chromogen.checkpoint import Card, save_model
from chromogen.cli import console
from chromogen.methods.pyramid_pix2pix import PyramidPix2pix
from tests.end_to_end.mutations import MESSES, Mess

SECONDS_A_FILE = 5
FAST, ALL = 25, 2000
# without Phase.explain, which would try hundreds of folders more to word a failure
LIMITS = {"deadline": None, "suppress_health_check": [*HealthCheck], "phases": [Phase.reuse, Phase.generate, Phase.shrink]}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    method = PyramidPix2pix(width=2, blocks=1, discriminator_width=2, dropout=0.0)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    save_model(path, method, method.networks(), Card(title="tiny", data_licence="none"))
    return str(path)


def answers(mess: Mess, model: str, seconds: float = SECONDS_A_FILE) -> dict[str, int]:
    """The exit code of each command on the same mess; AssertionError for an answer that is none, or that takes too long."""
    codes = {}
    with _written(mess) as root:
        files = 1 + sum(path.is_file() for path in root.rglob("*"))
        folders = sorted(path for path in root.iterdir() if path.is_dir()) or [root]
        out = str(root.parent / "out")
        commands = {
            "data check": ["data", "check", str(root)],
            **({"data check pairs.csv": ["data", "check", str(root / "pairs.csv")]} if mess.table else {}),
            "translate": ["translate", *map(str, folders), "-o", out + "-translate", "--model", model],
            "her2": ["her2", "-i", str(folders[0]), "-o", out + "-her2"],
            "evaluate": ["evaluate", "--pred", str(folders[0]), "--target", str(folders[-1]), "--out", out, "--workers", "1"],
        }
        for name, words in commands.items():
            started = time.process_time()  # not of the clock: other tests run beside this one
            codes[name], told = _answer(words)
            took = time.process_time() - started
            assert codes[name] in (cli.FINE, cli.SOME_FAILED, cli.USAGE), (name, codes[name], told)
            assert codes[name] == cli.FINE or told.strip(), f"{name} failed without a word"
            assert "Traceback" not in told, (name, told)
            assert took < seconds * files, f"{name} took {took:.1f} s for {files} files"
    return codes


@contextlib.contextmanager
def _written(mess: Mess) -> Iterator[Path]:
    top = Path(tempfile.mkdtemp())
    try:
        mess.write(top / "mess")
        yield top / "mess"
    finally:
        shutil.rmtree(top)


def _answer(words: list[str]) -> tuple[int, str]:
    told = io.StringIO()
    before = console.out_console.file, console.err_console.file
    console.out_console.file = console.err_console.file = told  # type: ignore[assignment]
    try:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            return cli.main(words), told.getvalue()
    finally:
        console.out_console.file, console.err_console.file = before


def _trial(examples: int) -> Callable[[str], None]:
    @settings(max_examples=examples, **LIMITS)  # type: ignore[arg-type]
    @given(mess=MESSES)
    def trial(mess: Mess, model: str) -> None:
        answers(mess, model)

    return lambda model: trial(model=model)


@pytest.fixture(scope="module", autouse=True)
def _imported(model: str) -> None:
    """What the first command of a process takes longer, imports above all, is no file's."""
    answers(Mess((), (), None), model, seconds=60)


def test_commands_answer_whatever_lies_in_a_folder(model: str) -> None:
    _trial(FAST)(model)


@pytest.mark.slow
def test_two_thousand_mutated_inputs(model: str) -> None:
    _trial(ALL)(model)
