"""Training runs end to end, on phantoms of 64 px."""

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from chromogen.checkpoint import file_sha256, load_model, read_tensors
from chromogen.data.pairs.batches import train_batches
from chromogen.data.pairs.sets import FolderData, PhantomData
from chromogen.methods import pyramid_pix2pix
from chromogen.phantom.tissue.phantom import Phantom
from chromogen.train import loop as looping
from chromogen.train import step as step_module
from chromogen.train.logbook import Logbook
from chromogen.train.loop import train
from chromogen.train.recipe import changed_from_flags, load_recipe
from chromogen.train.run import Loop, Run

REPOSITORY = Path(__file__).resolve().parents[2]
METHOD = dataclasses.replace(pyramid_pix2pix.METHOD, width=4, blocks=1, discriminator_width=4)  # with dropout: chance matters
DATA = PhantomData(phantom=Phantom(size_px=64), train_pairs=8, validation_pairs=2)
LOOP = Loop(
    steps=6, batch_size=2, ema=0.9, log_every=2, save_every=2, validate_every=3, validation_images=2, validation_px=64,
    precision="fp32",
)  # fmt: skip
RUN = Run(METHOD, DATA, LOOP)
RECIPE = """
from chromogen.data.pairs.sets import PhantomData
from chromogen.phantom.tissue.phantom import Phantom
from chromogen.methods import pyramid_pix2pix
from chromogen.train.run import Loop, Run
from dataclasses import replace

def small() -> Run:
    method = replace(pyramid_pix2pix.METHOD, width=4, blocks=1, discriminator_width=4)
    data = PhantomData(phantom=Phantom(size_px=64), train_pairs=8, validation_pairs=2)
    return Run(method, data, Loop(steps=6, batch_size=2, ema=0.9, log_every=2, save_every=2, validate_every=3,
                                  validation_images=2, validation_px=64, precision="fp32"))
"""


def hashes(out: Path) -> dict[str, str]:
    return {name: file_sha256(out / f"{name}.safetensors") for name in ("state", "last", "best")}


def command(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        text=True,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        cwd=REPOSITORY,
        start_new_session=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and stderr."""
    _, err = process.communicate(timeout=900)  # a machine with other work is slow, not wrong
    return process.returncode, err


def test_a_run_leaves_what_a_person_needs(tmp_path: Path) -> None:
    outcome = train(RUN, tmp_path / "run", quiet=True)
    assert outcome.step == 6 and not outcome.interrupted
    out = tmp_path / "run"
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "generator/l1" in line] == [2, 3, 4, 6]
    assert [line["step"] for line in lines if "validation/ssim" in line] == [3, 6]
    assert sorted(path.name for path in (out / "samples").iterdir()) == ["step_000003.png", "step_000006.png"]
    assert list((out / "tensorboard").iterdir())
    model = load_model(out)
    assert model.card.step in (3, 6) and "2 validation pairs" in model.card.scores["on"]
    assert "discriminator" not in model.nets
    assert json.loads((out / "run.json").read_text())["method_name"] == "pyramid_pix2pix"


@pytest.mark.parametrize("accumulate", [1, 2])
def test_interrupted_and_resumed_ends_with_the_same_bytes(tmp_path: Path, accumulate: int) -> None:
    run = dataclasses.replace(RUN, loop=dataclasses.replace(LOOP, accumulate=accumulate))
    train(run, tmp_path / "whole", quiet=True)

    real_step, calls = step_module.train_step, []

    def stopping_step(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return real_step(*arguments)  # type: ignore[arg-type]

    step_module.train_step = stopping_step  # type: ignore[assignment]
    try:
        outcome = train(run, tmp_path / "parts", quiet=True)
    finally:
        step_module.train_step = real_step
    assert outcome.interrupted and outcome.step == 3
    train(run, tmp_path / "parts", resume=True, quiet=True)
    assert hashes(tmp_path / "parts") == hashes(tmp_path / "whole")


def test_killed_without_warning_and_resumed_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """`kill -9` after the first save, through the command line."""
    recipe = tmp_path / "mine.py"
    recipe.write_text(RECIPE)
    words = ("chromogen", "train", f"{recipe}:small", "--loop.steps", "40", "--device", "cpu")
    assert finished(command(*words, "--out", str(tmp_path / "whole")))[0] == 0
    process = command(*words, "--out", str(tmp_path / "parts"))
    while not (tmp_path / "parts" / "state.safetensors").exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert finished(process)[0] == -signal.SIGKILL
    assert read_tensors(tmp_path / "parts" / "state.safetensors")[0]["step"] < 40
    assert finished(command(*words, "--out", str(tmp_path / "parts"), "--resume"))[0] == 0
    assert hashes(tmp_path / "parts") == hashes(tmp_path / "whole")


def test_sigterm_saves_and_exits_130(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.py"
    recipe.write_text(RECIPE)
    words = (
        "chromogen",
        "train",
        f"{recipe}:small",
        "--loop.steps",
        "100000",
        "--loop.workers",
        "1",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "run"),
    )
    process = command(*words)
    while not (tmp_path / "run" / "state.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)  # as torchrun, SLURM and systemd do: the loader's workers hear it too
    code, err = finished(process)
    assert code == 130, err
    assert "--resume" in err and "saved" in err


def test_two_processes_train_together(tmp_path: Path) -> None:
    """Two processes of one image see what one process of two sees; without norms or dropout they learn the same."""
    recipe = tmp_path / "mine.py"
    recipe.write_text(RECIPE)
    same = ("--method.norm", "none", "--method.dropout", "0.0", "--loop.steps", "3", "--device", "cpu")
    one = command("chromogen", "train", f"{recipe}:small", "--out", str(tmp_path / "one"), *same)
    assert finished(one)[0] == 0
    two = command(
        "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m",
        "chromogen", "train", f"{recipe}:small", "--out", str(tmp_path / "two"), *same, "--loop.batch-size", "1",
    )  # fmt: skip
    code, err = finished(two)
    assert code == 0, err
    a, b = (read_tensors(tmp_path / name / "last.safetensors")[1] for name in ("one", "two"))
    assert a.keys() == b.keys()
    for key in a:
        assert torch.allclose(a[key], b[key], atol=1e-3), key


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    steps: list[int] = []

    class Spoilt(type(METHOD)):  # type: ignore[misc]
        __module__ = "chromogen.methods.pyramid_pix2pix"

        def step(self, nets: nn.ModuleDict, batch: dict, progress: float) -> object:
            steps.append(1)
            for update in super().step(nets, batch, progress):
                yield {p: {k: v * (float("nan") if len(steps) == 5 else 1.0) for k, v in x.items()} for p, x in update.items()}

    run = dataclasses.replace(RUN, method=Spoilt(**{f.name: getattr(METHOD, f.name) for f in dataclasses.fields(METHOD)}))
    with pytest.raises(FloatingPointError, match="discriminator/real was nan at step 5") as raised:
        train(run, tmp_path / "bad", quiet=True)
    names = DATA.open("train").names
    before, at = ([names[int(k)] for k in batch["index"]] for batch in train_batches(DATA, 2, LOOP.seed, 3, 2))
    said = f": it learned from {', '.join(dict.fromkeys(at))}; the step before learned from {', '.join(dict.fromkeys(before))}."
    assert said in str(raised.value)
    assert read_tensors(tmp_path / "bad" / "state.safetensors")[0]["step"] == 4
    assert all(bool(torch.isfinite(p).all()) for p in load_model(tmp_path / "bad" / "last.safetensors").nets.parameters())


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    """A loss is computed before the update that spoils the weights: the last update before a save needs a look of its own."""
    real_step, calls = step_module.train_step, []

    def spoiling(method: object, nets: nn.ModuleDict, *rest: object) -> object:
        calls.append(1)
        terms = real_step(method, nets, *rest)  # type: ignore[arg-type]
        if len(calls) == 4:
            next(nets.parameters()).data.fill_(float("nan"))
        return terms

    step_module.train_step = spoiling  # type: ignore[assignment]
    try:
        with pytest.raises(FloatingPointError, match="a weight is not finite after step 4"):
            train(RUN, tmp_path / "run", quiet=True)
    finally:
        step_module.train_step = real_step
    assert read_tensors(tmp_path / "run" / "state.safetensors")[0]["step"] == 2


def test_a_run_that_died_before_its_first_save_can_be_started_again(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text("{}")
    (out / ".partial-1-state.safetensors").write_text("left by a kill")
    assert train(RUN, out, quiet=True).step == 6
    assert not list(out.glob(".*"))


def test_sizes_that_a_method_cannot_take_are_refused_before_the_first_step(tmp_path: Path) -> None:
    crop = dataclasses.replace(RUN, data=dataclasses.replace(DATA, crop_px=50))
    with pytest.raises(ValueError, match="crop_px is 50; this method takes multiples of 4"):
        train(crop, tmp_path / "a", quiet=True)
    small = dataclasses.replace(RUN, loop=dataclasses.replace(LOOP, validation_px=2))
    with pytest.raises(ValueError, match="validation_px is 2; this method takes 4 px at least"):
        train(small, tmp_path / "b", quiet=True)


def test_the_card_says_what_was_scored_and_what_the_model_came_from(tmp_path: Path) -> None:
    data = dataclasses.replace(DATA, validation_pairs=5)
    train(Run(METHOD, data, dataclasses.replace(LOOP, steps=3)), tmp_path / "first", quiet=True)
    assert "2 validation pairs, centre crops of at most 64 px" in load_model(tmp_path / "first").card.scores["on"]
    second = Run(METHOD, DATA, dataclasses.replace(LOOP, steps=3), start_from=str(tmp_path / "first"))
    train(second, tmp_path / "second", quiet=True)
    card = load_model(tmp_path / "second").card
    assert card.data.count("phantom tissue") == 2 and "; then " in card.data_licence


def test_the_logs_of_a_resumed_run_have_every_point_once(tmp_path: Path) -> None:
    out = tmp_path / "run"
    real_save = looping.Training._save

    def dying_save(self: looping.Training) -> None:
        real_save(self)
        if self.state.step == 4:
            raise KeyboardInterrupt

    looping.Training._save = dying_save  # type: ignore[method-assign]
    try:
        with pytest.raises(KeyboardInterrupt):
            train(RUN, out, quiet=True)
    finally:
        looping.Training._save = real_save  # type: ignore[method-assign]
    train(RUN, out, resume=True, quiet=True)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "generator/l1" in line] == [2, 3, 4, 6]
    curves = EventAccumulator(str(out / "tensorboard"))
    curves.Reload()
    assert [point.step for point in curves.Scalars("generator/l1")] == [2, 3, 4, 6]


def test_pictures_of_different_sizes_make_one_grid(tmp_path: Path) -> None:
    with Logbook(tmp_path, 0, 1, Console(quiet=True)) as log:
        log.picture(1, [[np.zeros((8, 8, 3), np.uint8)] * 3, [np.ones((4, 6, 3), np.uint8)] * 3])
    with Image.open(tmp_path / "samples" / "step_000001.png") as grid:
        assert grid.size == (24, 12)


def test_a_folder_in_use_and_a_changed_run_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(ValueError, match="no saved state to resume"):
        train(RUN, out, resume=True, quiet=True)
    train(RUN, out, quiet=True)
    with pytest.raises(ValueError, match="already holds a run; add --resume"):
        train(RUN, out, quiet=True)
    other = dataclasses.replace(RUN, method=dataclasses.replace(METHOD, weight_l1=1.0))
    with pytest.raises(ValueError, match="method.weight_l1"):
        train(other, out, resume=True, quiet=True)
    moved = dataclasses.replace(RUN, loop=dataclasses.replace(LOOP, workers=1, log_every=5, save_every=9, validate_every=4))
    assert train(moved, out, resume=True, quiet=True).step == 6  # what cannot change a byte may change
    wider = dataclasses.replace(RUN, method=dataclasses.replace(METHOD, width=5))
    with pytest.raises(ValueError, match=f"method.width.*start anew from its weights: --start-from {re.escape(str(out))}"):
        train(wider, out, resume=True, quiet=True)


def test_a_folder_that_changed_is_noticed_on_resume_and_one_that_moved_is_not(tmp_path: Path) -> None:
    def write(number: int, side_px: int = 40) -> None:
        for side in ("HE", "IHC"):
            (tmp_path / "data" / side).mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(number).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / side / f"{number:05d}_train_1+.png")

    for number in range(3):
        write(number)
    data = FolderData(tmp_path / "data", crop_px=32, validation_share=0)
    run = dataclasses.replace(RUN, data=data, loop=dataclasses.replace(LOOP, steps=1))
    train(run, tmp_path / "run", quiet=True)
    assert train(run, tmp_path / "run", resume=True, quiet=True).step == 1
    write(3)
    with pytest.raises(ValueError, match=r"other data than lies there now \(3 pairs or cases then, 4 now.*--start-from"):
        train(run, tmp_path / "run", resume=True, quiet=True)
    for side in ("HE", "IHC"):
        (tmp_path / "data" / side / "00003_train_1+.png").unlink()
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    moved = dataclasses.replace(run, data=dataclasses.replace(data, root=tmp_path / "elsewhere"))
    assert train(moved, tmp_path / "run", resume=True, quiet=True).step == 1
    (tmp_path / "elsewhere").rename(tmp_path / "data")
    write(2, side_px=44)
    with pytest.raises(ValueError, match="3 now; names or sizes differ"):
        train(run, tmp_path / "run", resume=True, quiet=True)


def test_a_full_disk_is_one_sentence_and_the_last_state_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    train(dataclasses.replace(RUN, loop=dataclasses.replace(LOOP, steps=2)), out, quiet=True)
    (out / "state.safetensors").unlink()
    before = [file_sha256(out / f"{name}.safetensors") for name in ("last", "best")]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("chromogen.checkpoint.save_file", full)
    with pytest.raises(OSError, match="disk is full"):
        train(dataclasses.replace(RUN, loop=dataclasses.replace(LOOP, steps=2)), out, quiet=True)
    assert [file_sha256(out / f"{name}.safetensors") for name in ("last", "best")] == before
    assert not [path for path in out.iterdir() if "partial" in path.name]


def test_every_field_can_be_changed_from_the_command_line() -> None:
    run = changed_from_flags(
        RUN,
        [
            "--start-from",
            "her2-demo",
            "--method.weight-l1",
            "7",
            "--loop.steps",
            "9",
            "--data.phantom.size-px",
            "96",
            "--method.schedule.decay-start",
            "1",
        ],
        "t",
    )
    assert run.start_from == "her2-demo"
    assert (run.method.weight_l1, run.loop.steps, run.data.phantom.size_px, run.method.schedule.decay_start) == (7, 9, 96, 1.0)
    with pytest.raises(SystemExit):
        changed_from_flags(RUN, ["--method.no-such-field", "1"], "t")


@pytest.mark.parametrize("name", ["bci.py:pyramid_pix2pix", "bci.py:pix2pix", "bci.py:tiny", "phantom.py:demo"])
def test_shipped_recipes_load(name: str) -> None:
    assert isinstance(load_recipe(str(REPOSITORY / "recipes" / name)), Run)


def test_unknown_recipes_suggest_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'pyramid_pix2pix'"):
        load_recipe(str(REPOSITORY / "recipes" / "bci.py:pyramid_pix2pixx"))
    with pytest.raises(ValueError, match="no recipe file"):
        load_recipe("nowhere.py:f")


def test_a_run_can_start_from_a_trained_model(tmp_path: Path) -> None:
    train(dataclasses.replace(RUN, loop=dataclasses.replace(LOOP, steps=2)), tmp_path / "first", quiet=True)
    short = dataclasses.replace(LOOP, steps=1, ema=0.0)
    frozen = dataclasses.replace(METHOD, optimizer=dataclasses.replace(METHOD.optimizer, lr=0.0))
    train(Run(frozen, DATA, short, start_from=str(tmp_path / "first" / "last.safetensors")), tmp_path / "second", quiet=True)
    a, b = (load_model(tmp_path / name / "last.safetensors").nets for name in ("first", "second"))
    for (key, value), other in zip(a.named_parameters(), b.parameters(), strict=True):
        assert torch.equal(value, other), key
