import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from chromogen.foreign import child, pickles


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read files as the child process does, without the process and its limits: for tests of what comes after."""

    def read(path: Path, copy: Path) -> list[dict]:
        answer = json.loads(json.dumps(child.main(path, copy, 2**30, 300, 2**30)))
        if "refused" in answer:
            raise ValueError(f"{path} is not taken: {answer['refused']}")
        return answer["groups"]

    monkeypatch.setattr(child, "_limit", lambda *_: None)
    monkeypatch.setattr(pickles, "_read_apart", read)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Write something with torch.save and give the file."""

    def save(value: object, name: str = "latest_net_G.pth") -> Path:
        torch.save(value, tmp_path / name)
        return tmp_path / name

    return save
