from pathlib import Path

import pytest

from chromogen import methods
from chromogen.bench.plan import Budget, Plan, budget_from_text, differences
from chromogen.phantom.tissue.folder import write_phantoms
from chromogen.phantom.tissue.phantom import Phantom


@pytest.mark.parametrize(
    ("text", "budget"),
    [("400", Budget(400, "steps")), ("400 steps", Budget(400, "steps")), ("1.5min", Budget(1.5, "minutes"))],
)
def test_a_budget_is_steps_or_minutes(text: str, budget: Budget) -> None:
    assert budget_from_text(text) == budget
    assert budget_from_text(str(budget)) == budget


@pytest.mark.parametrize("text", ["", "0", "-3", "1.5", "ten", "3 hours", "inf"])
def test_an_impossible_budget_is_explained(text: str) -> None:
    with pytest.raises(ValueError, match="--budget 400"):
        budget_from_text(text)


def test_held_out_pairs_are_scored_and_never_train(tmp_path: Path) -> None:
    write_phantoms(tmp_path, Phantom(size_px=32), pairs=4, seed=0)
    plan = Plan(tmp_path, Budget(2, "steps"), held_out=("phantom-00001_test_1+",), crop_px=16)
    test, train = plan.test_pairs(), plan.training_data(methods.Practice()).open("train")
    assert list(test.names) == ["phantom-00001_test_1+"]
    assert len(train.names) == 3 and not set(train.names) & set(test.names)


def test_a_test_split_is_scored_and_without_one_the_cure_is_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_phantoms(tmp_path / "split" / split, Phantom(size_px=32), pairs=2, seed=len(split))
    write_phantoms(tmp_path / "flat", Phantom(size_px=32), pairs=2, seed=0)
    plan = Plan(tmp_path / "split", Budget(2, "steps"), crop_px=16)
    assert len(plan.test_pairs()) == 2 and len(plan.training_data(methods.Practice()).open("train")) == 2
    with pytest.raises(ValueError, match="--held-out"):
        Plan(tmp_path / "flat", Budget(2, "steps"), crop_px=16).test_pairs()


def test_every_system_gets_the_same_crops_batches_and_length(tmp_path: Path) -> None:
    plan = Plan(tmp_path, Budget(7, "steps"), crop_px=64, batch_size=3, narrow=16, seed=5)
    for name in methods.available("staining"):
        run = plan.run(name, 7)
        assert (run.loop.steps, run.loop.batch_size, run.loop.seed, run.data.crop_px) == (7, 3, 5, 64)
        assert run.data.crop_px % run.method.tiling.multiple_px == 0
        assert not run.data.flip_only and run.loop.select == "last"


def test_differences_name_the_fields_that_change_a_result(tmp_path: Path) -> None:
    one, other = Plan(tmp_path, Budget(7, "steps")), Plan(tmp_path, Budget(8, "steps"), workers=3, crop_px=64)
    assert differences(one.fields(), other.fields()) == ["budget", "crop_px"]
