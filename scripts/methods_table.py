"""Writes what the code says of the methods: README's table and docs/methods.md: .venv/bin/python scripts/methods_table.py"""

import contextlib
import importlib
import io
from pathlib import Path

from chromogen import cli, methods
from chromogen.cli.lists import WHAT

ROOT = Path(__file__).parents[1]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "methods.md"
BEGIN, END = "<!-- methods: scripts/methods_table.py -->\n", "<!-- end of methods -->"


def table() -> str:
    """What `chromogen methods --markdown` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        cli.out_console.file = printed
        try:
            cli.main(["methods", "--markdown"])
        finally:
            cli.out_console.file = None  # type: ignore[assignment]
    return printed.getvalue()


def with_table(text: str) -> str:
    """README's text with today's table between the marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


def page() -> str:
    """Every method's own words, by task: what it is, where it deviates from its source, which numbers are ours."""
    parts = ["# Methods", "The heads of the files in `chromogen/methods/`, written here by `scripts/methods_table.py`."]
    for task, what in WHAT.items():
        parts.append(f"## {task.capitalize()}: {what}")
        trained = "Trained on BCI" if task == "staining" else "Trained"
        for name in methods.available(task):
            practice = methods.practice_of(name)
            told = (importlib.import_module(f"chromogen.methods.{name}").__doc__ or "").strip()
            parts += [f"### {name}", f"```text\n{told}\n```"]
            parts.append(f"{trained} with `{practice}`." if methods.load(name).players() else "Not trained.")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
