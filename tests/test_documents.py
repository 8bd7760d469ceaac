"""Every command that a document shows is one: the real parser takes its words, and its links lead somewhere.

`tests/end_to_end/test_tour.py` runs those of the tour. Here only the parser runs: commands are functions with their own
signatures that do nothing, and trainings are shown.
"""

import functools
import importlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import chromogen
from chromogen import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "chromogen" / "models" / "her2-demo.md"])
PAGES = [page for page in PAGES if not page.name.startswith("set-")]  # data sheets as a command of that day wrote them
CODE = re.compile(r"```[^\n]*\n(.*?)```|^ {4}(\S[^\n]*)$|`([^`\n]+)`", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^(?:\$ |[A-Z_]+=\S+ |\.venv/bin/)*(?:chromogen|torchrun \S+ \S+ -m chromogen) (.*)$")
SCRIPT = re.compile(r"^(?:\$ |[A-Z_]+=\S+ )*(?:(?:\.venv/bin/)?python3? )?((?:scripts|benchmarks)/[\w./-]+)(.*)$")
NAMES = {"NAME": "pix2pix", "RECIPE": "recipes/bci.py:tiny", "COMMAND": "translate"}


def lines_of_code(page: Path) -> list[str]:
    """The lines of blocks and of pieces in backticks, without comments; two commands on a line are two."""
    found = []
    for block, indented, piece in CODE.findall(page.read_text(encoding="utf-8")):
        for line in (block or indented or piece).splitlines():
            found += [part.strip() for part in re.split(r";(?= )| \.\.\.$|\s#\s", line)]
    return [line for line in found if line]


def commands() -> dict[str, list[str]]:
    """Words behind `chromogen` of every command shown -> the pages that show it."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        assigned = dict(re.findall(r'^([A-Z])="(.*)"$', page.read_text(encoding="utf-8"), re.MULTILINE))
        for line in lines_of_code(page):
            if (said := COMMAND.match(line)) is not None:
                words = re.sub(r"\$([A-Z])\b", lambda name: assigned[name[1]], said[1])  # noqa: B023 - used at once
                found.setdefault(words, []).append(page.relative_to(ROOT).as_posix())
    return found


def test_commands_are_found_where_documents_show_them() -> None:
    found = commands()
    assert len(found) > 60
    for words, page in (
        ("data check ~/BCI", "README.md"),
        ("her2 --reread read/ --intense-od 0.5", "docs/her2.md"),
        ("challenge init evaluation --profile bci2022 --example", "docs/challenge.md"),
    ):
        assert page in found[words]
    assert any(
        words.startswith("data phantom -o displaced-data/test -n 40") and "--white-spread 0.1" in words for words in found
    )


def idle(function: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(function)  # with its signature, from which the parser is made
    def does_nothing(*_: object, **__: object) -> int:
        return 0

    return does_nothing


@pytest.fixture
def parser(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], int]:
    """The command line whose commands do nothing; a training is shown, a refusal is an AssertionError with its sentence."""
    groups = {name: (about, {key: idle(each) for key, each in inside.items()}) for name, (about, inside) in cli.GROUPS.items()}
    monkeypatch.setattr(cli, "COMMANDS", {name: idle(each) for name, each in cli.COMMANDS.items()})
    monkeypatch.setattr(cli, "GROUPS", groups)
    monkeypatch.chdir(ROOT)

    def parse(words: list[str]) -> int:
        return cli.main([*words, "--show"] if words[0] == "train" and "--help" not in words else words)

    return parse


@pytest.mark.parametrize("told", commands())
def test_a_command_of_the_documents_has_the_flags_it_shows(told: str, parser: Callable[[list[str]], int], capfd) -> None:  # type: ignore[no-untyped-def]
    words = shlex.split(re.sub(r"\b(NAME|RECIPE|COMMAND)\b", lambda name: NAMES[name[0]], told))
    known = {*cli.COMMANDS, *cli.GROUPS, "train"}
    assert words[0] in known | {"--version", "version"}, f"{commands()[told]}: there is no chromogen {words[0]}"
    named = len(words) == 1 or (len(words) == 2 and words[0] in cli.GROUPS)  # `chromogen bench staining` in a sentence
    if named:
        assert len(words) == 1 or words[1] in cli.GROUPS[words[0]][1], told
        return
    try:
        code = parser(words)
    except SystemExit as stopped:  # tyro's own way out, as for --help
        code = int(stopped.code or 0)
    assert code == 0, f"{commands()[told]}: chromogen {told}\n{capfd.readouterr()}"


def test_a_flag_that_is_not_there_is_noticed(parser: Callable[[list[str]], int], capfd) -> None:  # type: ignore[no-untyped-def]
    for words in (["translate", "-i", "a", "-o", "b", "--modle", "c"], ["train", "recipes/bci.py:tiny", "--data.rot", "x"]):
        with pytest.raises(SystemExit) as stopped:
            raise SystemExit(parser(words))
        assert stopped.value.code == 2, capfd.readouterr()


def test_scripts_and_benchmarks_of_the_documents_are_there_and_know_their_flags() -> None:
    found = 0
    for page in PAGES:
        for line in lines_of_code(page):
            if (said := SCRIPT.match(line)) is None or said[1].endswith("/"):
                continue
            file = ROOT / said[1].replace("NAME", "unet")
            assert file.exists(), f"{page.name}: {line}"
            found += 1
            if file.is_file():
                text = file.read_text(encoding="utf-8")
                for flag in re.findall(r"--([a-z][\w-]*)", said[2]):
                    assert re.search(rf"--{flag}\b|\b{flag.replace('-', '_')}\b", text), f"{page.name}: {line} has no --{flag}"
    assert found > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_and_names_in_backticks_are_there(page: Path) -> None:
    """`chromogen/data/images.py` is a file, `chromogen.levels` a module or a name in one, also where rooms have moved."""
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:docs|recipes|scripts|benchmarks|tests|chromogen|findings)/[\w./-]+)(?::\w+)?`", text):
        assert "NAME" in name or (ROOT / name).exists(), name
    for name in re.findall(r"`(chromogen(?:\.\w+)+)", text):
        module, _, last = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), last), name


def heading(line: str) -> str:
    """The address of a heading inside its page, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().casefold()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for address in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", address):
            continue
        file, _, part = address.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), f"{page.name}: {address}"
        if part:
            titles = [heading(line) for line in target.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
            assert part in titles, f"{page.name}: {address}; there are {titles}"


def test_the_python_of_the_readme_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, object] = {"he": np.full((20, 30, 3), 200, np.uint8)}
    exec(block, names)  # noqa: S102
    made = names["ihc"]
    assert isinstance(made, np.ndarray) and made.shape == (20, 30, 3) and names["chromogen"] is chromogen
