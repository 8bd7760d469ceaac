"""Every recipe is a run that starts, and every method has a recipe for BCI."""

import dataclasses
import re
from pathlib import Path

import pytest

from chromogen import methods
from chromogen.data.pairs.sets import FolderData
from chromogen.phantom.tissue.folder import write_phantoms
from chromogen.phantom.tissue.phantom import Phantom
from chromogen.train.chain import Chain
from chromogen.train.loop import train
from chromogen.train.recipe import changed_from_flags, load_recipe
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


SYNTHESIS = Path(__file__).parents[1] / "recipes" / "synthesis.py"
CHAINS = re.findall(r"^def (\w+)\(\) -> Chain:", SYNTHESIS.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", CHAINS)
def test_every_chain_starts_with_what_its_methods_need(name: str) -> None:
    """Each network that a stage asks for is lent by an earlier one, and nobody is judged by the reader that taught it."""
    chain = load_recipe(f"{SYNTHESIS}:{name}")
    assert isinstance(chain, Chain) and "renderer" in chain.stages
    for stage in chain.stages.values():
        lent = {network for other in stage.lent for network in chain.stages[other].method.released}
        assert set(getattr(stage.method, "needs", ())) <= lent
        assert "check" not in stage.lent
    assert (name == "finding_lungs") == ("check" not in chain.stages)


def test_the_chain_of_the_thesis_has_its_settings() -> None:
    chain = load_recipe(f"{SYNTHESIS}:thesis")
    assert isinstance(chain, Chain) and chain.cases.size_px == 240
    assert (chain.cases.slices.first, chain.cases.slices.last, chain.cases.slices.every) == (55, 104, 1)  # section 3.1
    for stage in chain.stages.values():
        published = methods.load(f"{methods.name_of(stage.method)}:thesis")
        shape = {"modalities": 4, "classes": 5, "pretrain_until": getattr(stage.method, "pretrain_until", 0.0)}
        known = {field.name for field in dataclasses.fields(published)}
        assert stage.method == dataclasses.replace(published, **{k: v for k, v in shape.items() if k in known})


PIX2PIX, XRAY = f"{BCI}:pix2pix", f"{SYNTHESIS}:xray"


@pytest.mark.parametrize(
    "recipe, flags, lacking",
    [
        (PIX2PIX, [], ["--title", "--data.licence"]),
        (PIX2PIX, ["--title", "pix2pix on ours"], ["--data.licence"]),
        (PIX2PIX, ["--data.licence=CC0"], ["--title"]),
        (XRAY, [], ["--title", "--cases.licence"]),
        (f"{SYNTHESIS}:phantom_brain", [], ["--title", "--cases.licence"]),
    ],
)
def test_another_folder_says_its_own_title_and_licence(
    recipe: str, flags: list[str], lacking: list[str], tmp_path: Path
) -> None:
    root = "--data.root" if recipe == PIX2PIX else "--cases.root"
    with pytest.raises(ValueError, match="is another folder than") as caught:
        changed_from_flags(load_recipe(recipe), [root, str(tmp_path / "ours"), *flags], "test")
    assert all(flag in str(caught.value) for flag in lacking)
    assert all(flag.partition("=")[0] not in str(caught.value) for flag in flags if flag.startswith("--"))


@pytest.mark.parametrize("recipe, root", [(PIX2PIX, "data"), (XRAY, "cases")])
def test_what_is_said_of_another_folder_is_believed(recipe: str, root: str, tmp_path: Path) -> None:
    flags = [f"--{root}.root", str(tmp_path / "ours"), "--title", "ours", f"--{root}.licence", "CC0"]
    run = changed_from_flags(load_recipe(recipe), flags, "test")
    assert run.title == "ours" and getattr(run, root).licence == "CC0"


def test_the_folder_of_the_recipe_may_lie_anywhere(tmp_path: Path) -> None:
    run = changed_from_flags(load_recipe(PIX2PIX), ["--data.root", str(tmp_path / "BCI")], "test")
    assert isinstance(run.data, FolderData) and "BCI" in run.data.licence
    changed_from_flags(load_recipe(f"{BCI}:tiny"), ["--data.root", str(tmp_path)], "test")  # it states nothing


@pytest.mark.parametrize("name", CHAINS)
def test_no_chain_says_of_another_folder_what_it_says_of_its_own(name: str, tmp_path: Path) -> None:
    """A chain that asks for no title has one that names no data set: cards and data sheets say it."""
    try:
        run = changed_from_flags(load_recipe(f"{SYNTHESIS}:{name}"), ["--cases.root", str(tmp_path / "ours")], "test")
    except ValueError as error:
        assert "--title" in str(error) and "--cases.licence" in str(error)
        return
    assert isinstance(run, Chain) and run.cases.licence == "" and "brats" not in run.title.casefold()


def test_phantoms_are_not_asked_and_no_licence_is_said_of_them(pairs: Path) -> None:
    run = changed_from_flags(load_recipe(PIX2PIX), ["--data.root", str(pairs)], "test")
    assert isinstance(run.data, FolderData) and run.data.licence.startswith("none needed") and "but phantoms" in run.title
