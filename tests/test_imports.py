"""Modules import each other one way only, imports for types included; and there is one training loop."""

import ast
import graphlib
from pathlib import Path

import chromogen

ROOT = Path(chromogen.__file__).parent


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """Modules of ours that a file names in its imports, wherever they stand."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & known.keys() or {node.module}
    return (found & known.keys()) - {name, "chromogen"}


def test_no_modules_import_each_other() -> None:
    known = modules()
    graph = {name: imported(name, path, known) for name, path in known.items()}
    assert len(graph) > 150 and sum(map(len, graph.values())) > 500
    order = list(graphlib.TopologicalSorter(graph).static_order())  # CycleError names the circle
    assert len(order) == len(graph)


def test_one_loop_trains() -> None:
    """Whoever calls `train_step` again and again is a second loop; the trial of a bench times steps that it throws away."""
    calls = {
        name
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("train_step", ".backward"))
    }
    assert calls == {"chromogen.train.step", "chromogen.bench.one"}
