"""Every recipe is a run that starts, and every method has a recipe for BCI."""

import dataclasses
from pathlib import Path

import pytest

from chromogen import methods
from chromogen.data.pairs import FolderData
from chromogen.data.phantom import Phantom
from chromogen.data.phantom_folder import write_phantoms
from chromogen.train.loop import train
from chromogen.train.recipe import load_recipe
from tests.methods.test_contract import SMALL

BCI = Path(__file__).parents[1] / "recipes" / "bci.py"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_phantoms(folder, Phantom(size_px=96), pairs=6, seed=0)
    return folder


def test_the_recipes_of_bci_are_one_a_method() -> None:
    source = BCI.read_text(encoding="utf-8")
    missing = [name for name in methods.available("staining") if f"def {name}()" not in source]
    assert not missing, f"recipes/bci.py lacks {missing}"


@pytest.mark.parametrize("name", methods.available("staining"))
def test_two_steps_of_the_bci_recipe_on_tiny_pairs(name: str, pairs: Path, tmp_path: Path) -> None:
    run = load_recipe(f"{BCI}:{name}")
    method = methods.narrowed(run.method, 1000, crop_px=64)
    fields = {field.name for field in dataclasses.fields(method)}
    method = dataclasses.replace(method, **{key: value for key, value in SMALL.items() if key in fields})
    assert isinstance(run.data, FolderData)
    data = dataclasses.replace(run.data, root=pairs, layout="auto", crop_px=64, resize_px=None, validation_share=0.0)
    loop = dataclasses.replace(run.loop, steps=2, batch_size=2, workers=0, save_every=2, validate_every=2)
    outcome = train(dataclasses.replace(run, method=method, data=data, loop=loop), tmp_path / "run", device="cpu", quiet=True)
    assert outcome.step == 2 and (tmp_path / "run" / "last.safetensors").is_file()
