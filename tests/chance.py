"""No test passes or fails by chance: a pytest plugin, loaded by `conftest.py` for every test.

Three rules, none of which a test has to remember:

- Before each test, and before each fixture of any scope, the global random states of Python, NumPy and PyTorch are the same, so
  that nothing depends on which tests ran before, in which order, or in which process.
- Collecting draws no number. A layer in a list of parameters has weights that nobody seeded; write a function that makes it.
- Properties are tried on the same examples each time, without a limit of time an example. `HYPOTHESIS_PROFILE=search` looks for
  new ones, and what it finds becomes an `@example`.
"""

import os
import random
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

settings.register_profile("repository", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repository"))


def seed() -> None:
    """The three global random states, each the same whenever this is called."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def state() -> bytes:
    """The global random states of NumPy and PyTorch, to be compared; libraries draw from Python's when they are imported."""
    keys, position = np.random.get_state()[1:3]
    return keys.tobytes() + int(position).to_bytes(4, "big") + torch.get_rng_state().numpy().tobytes()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    seed()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    seed()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """An error in a module that draws numbers when it is imported or when its tests are listed."""
    before = state()
    report = yield
    if isinstance(collector, pytest.Module) and state() != before:
        report.outcome = "failed"
        report.longrepr = (
            f"{collector.nodeid} draws random numbers while it is collected, which no seed holds still: make what needs them "
            "(a layer, a tensor) in a fixture or in a function that the test calls"
        )
        report.result = []
    return report
