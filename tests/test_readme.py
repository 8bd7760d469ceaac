"""What the documents list is what the code says: written by scripts, and still so."""

import importlib.util
from pathlib import Path
from types import ModuleType

from chromogen import methods

ROOT = Path(__file__).parents[1]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_the_documents_say_of_the_methods_is_what_the_code_says() -> None:
    module = script("methods_table")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run .venv/bin/python scripts/methods_table.py"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert module.with_table(readme) == readme, "run .venv/bin/python scripts/methods_table.py"
    assert all(f"| `{name}` |" in readme for name in methods.available())
    assert all(f"### {name}\n" in module.page() for name in methods.available())


def test_the_table_of_rooms_is_what_the_rooms_say() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert script("rooms_table").with_table(page) == page, "run .venv/bin/python scripts/rooms_table.py"
    package = ROOT / "chromogen"
    held = {f"`{file.parent.relative_to(package).as_posix()}/`" for file in package.rglob("__init__.py")} - {"`./`"}
    held |= {f"`{file.name}`" for file in package.glob("*.py") if file.name != "__init__.py"}
    assert len(held) > 30 and all(f"| {name} |" in page for name in held), [name for name in held if f"| {name} |" not in page]
