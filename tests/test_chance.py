"""The plugin of `chance.py`, in a run of pytest of its own on test files written here."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DRAWS = {  # a file -> one line of it that draws while tests are collected
    "test_a_layer_in_a_list.py": "@pytest.mark.parametrize('layer', [torch.nn.Conv2d(3, 8, 4)])\ndef test_it(layer): pass",
    "test_a_module_level_tensor.py": "NOISE = torch.rand(3)\ndef test_it(): pass",
    "test_an_array.py": "NOISE = np.random.rand(3)\ndef test_it(): pass",
}
SAME = """
@pytest.fixture(scope='module')
def wide(): return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()
@pytest.fixture
def narrow(): return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()
@pytest.mark.parametrize('made', [lambda: torch.nn.Linear(2, 1).weight.tolist()])
@pytest.mark.parametrize('turn', range(3))
def test_all_see_the_same(made, turn, wide, narrow):
    here = torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()
    torch.manual_seed(0)
    assert wide == narrow == here and torch.nn.Linear(2, 1).weight.tolist() == (torch.manual_seed(0), made())[1]
def test_properties_are_tried_alike(): assert settings().derandomize and settings().deadline is None
"""
HEAD = "import random, pytest, torch, numpy as np\nfrom hypothesis import settings\n"


def test_what_is_drawn_in_a_test_has_a_seed_and_nothing_is_drawn_while_tests_are_collected(tmp_path: Path) -> None:
    for name, text in {**DRAWS, "test_same.py": SAME}.items():
        (tmp_path / name).write_text(HEAD + text, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.chance",
        "--continue-on-collection-errors",
        "--rootdir",
        tmp_path,
        tmp_path,
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    for name in DRAWS:
        assert f"{name} draws random numbers while it is collected" in done.stdout, done.stdout
    assert "test_same.py draws" not in done.stdout
    assert "4 passed, 3 errors" in done.stdout, done.stdout
