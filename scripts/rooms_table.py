"""Writes the table of rooms in CONTRIBUTING.md, from what each says of itself: .venv/bin/python scripts/rooms_table.py

A row for each package (the first line of its `__init__.py`) and for each single module of `chromogen/`, in the order in which
imports point: a row may import those below it. The order is the one that import-linter checks.
"""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE, PAGE = ROOT / "chromogen", ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- rooms: scripts/rooms_table.py -->\n", "<!-- end of rooms -->"


def said(file: Path) -> str:
    """The first line of a module's docstring. ValueError where there is none."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    if not text:
        raise ValueError(f"{file.relative_to(ROOT)} has no docstring; its first line belongs in {PAGE.name}")
    return text.splitlines()[0]


def layers() -> list[str]:
    """The names directly in `chromogen/`, highest first, as the contract of layers in pyproject.toml has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (order,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    (outside,) = [contract["exhaustive_ignores"] for contract in contracts if contract["type"] == "layers"]
    return [name.strip() for line in [*order, *outside] for name in line.split("|")]


def rooms() -> list[tuple[str, Path]]:
    """(what a reader calls it, the file that says what it is), each package directly followed by those inside it."""
    found = []
    for name in layers():
        if (PACKAGE / f"{name}.py").is_file():
            found.append((f"{name}.py", PACKAGE / f"{name}.py"))
        else:
            inside = sorted((PACKAGE / name).rglob("__init__.py"), key=lambda file: file.parent.parts)
            found += [(f"{file.parent.relative_to(PACKAGE).as_posix()}/", file) for file in inside]
    return found


def table() -> str:
    rows = [f"| `{name}` | {said(file)} |" for name, file in rooms()]
    return "\n".join(["| room | what is in it |", "|---|---|", *rows]) + "\n"


def with_table(text: str) -> str:
    """CONTRIBUTING's text with today's table between the marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
