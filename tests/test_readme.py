import importlib.util
from pathlib import Path

from chromogen import methods

ROOT = Path(__file__).parents[1]


def test_what_the_documents_say_of_the_methods_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("methods_table", ROOT / "scripts" / "methods_table.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run .venv/bin/python scripts/methods_table.py"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert module.with_table(readme) == readme, "run .venv/bin/python scripts/methods_table.py"
    assert all(f"| `{name}` |" in readme for name in methods.available())
    assert all(f"### {name}\n" in module.page() for name in methods.available())
