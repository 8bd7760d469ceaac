import importlib.util
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_document_holds_the_presets_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("benchmark_of_structure", REPOSITORY / "benchmarks" / "structure.py")
    assert spec is not None and spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    benchmark.presets()
    rows = [line for line in capsys.readouterr().out.split("\n") if line]
    written = (REPOSITORY / "docs" / "structure.md").read_text(encoding="utf-8").split("\n")
    assert len(rows) == 16 and not set(rows) - set(written)
