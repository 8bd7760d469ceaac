"""Every method, stopped and resumed, ends with the bytes of a run that was never stopped."""

import os
import signal
from pathlib import Path

import pytest

from chromogen import methods
from chromogen.checkpoint import file_sha256
from chromogen.data.pairs.sets import PhantomData
from chromogen.phantom.tissue.phantom import Phantom
from chromogen.train import step as step_module
from chromogen.train.loop import train
from chromogen.train.run import Loop, Run
from tests.methods.test_contract import small

DATA = PhantomData(phantom=Phantom(size_px=64), train_pairs=4, validation_pairs=0)


@pytest.mark.parametrize("name", methods.available("staining"))
def test_stopped_after_two_steps_of_three(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(small(name), DATA, Loop(steps=3, batch_size=2, save_every=100, validation_px=64, precision="fp32", select="last"))
    train(run, tmp_path / "whole", quiet=True, device="cpu")
    real_step, calls = step_module.train_step, []

    def stopping_step(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real_step(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(step_module, "train_step", stopping_step)
        assert train(run, tmp_path / "parts", quiet=True, device="cpu").step == 2
    train(run, tmp_path / "parts", resume=True, quiet=True, device="cpu")
    ends = [file_sha256(tmp_path / part / "state.safetensors") for part in ("whole", "parts")]
    assert ends[0] == ends[1]
