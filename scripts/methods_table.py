"""Writes the table of methods into README.md, between its two marks: .venv/bin/python scripts/methods_table.py"""

import contextlib
import io
from pathlib import Path

from chromogen import cli

README = Path(__file__).parents[1] / "README.md"
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


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
