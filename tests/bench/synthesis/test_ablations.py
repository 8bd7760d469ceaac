import dataclasses
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from chromogen.bench.synthesis import making
from chromogen.bench.synthesis.ablations import SWITCHES, TABLE_1, ablations, chain_of, train_ablations
from chromogen.bench.synthesis.making import make
from chromogen.bench.synthesis.plan import Plan, check_system
from chromogen.data.cases.prepared import Prepared
from chromogen.data.cases.source import CaseSource
from chromogen.methods.organ_reader import OrganReader
from chromogen.methods.renderer import VARIANTS, Renderer
from chromogen.methods.segmenter import Segmenter
from chromogen.methods.structure_sampler import StructureSampler
from chromogen.phantom.anatomy import Brain, write_anatomy
from chromogen.synthesize.drawing import Filters
from chromogen.synthesize.maker import Synthesis
from chromogen.synthesize.parts import Parts, load_parts
from chromogen.train.chain import Chain, Stage, read_chain, train_chain
from chromogen.train.prepare import Drawing
from chromogen.train.run import Loop
from tests.bench.prepared_sets import brains

LOOP = Loop(steps=2, batch_size=2, select="last", precision="fp32", log_every=1, save_every=2, validate_every=2)
ANYTHING = Filters(critic=-1e9, lines=(0.0, 1e9), tries=3)  # networks of two steps draw what they like


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder = tmp_path_factory.mktemp("data") / "brains"
    write_anatomy(folder, Brain(size_px=32, lesion_rate=12.0), patients=10, slices=1, seed=3)
    stages = {
        "organ": Stage(OrganReader(width=2), LOOP),
        "structure": Stage(
            StructureSampler(size_px=32, latents=4, width=2, critic_width=2, latent_critic_width=4), LOOP, lent=("organ",)
        ),
        "reader": Stage(Segmenter(modalities=4, width=2), LOOP),
        "renderer": Stage(Renderer(modalities=4, width=2, critic_width=2, registration=False), LOOP, lent=("reader",)),
    }
    source = CaseSource(str(folder), classes=("none", "lesion"), licence="phantoms")
    return Chain(source, Drawing(lines_of="T1"), stages, title="tiny")


@pytest.fixture(scope="module")
def done(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("chain") / "run"
    assert train_chain(chain, out, device="cpu", quiet=True)
    return out


def test_the_six_chains_are_those_of_table_1(chain: Chain) -> None:
    found = ablations(chain)
    assert list(found) == list("ABCDEF")
    for letter, one in found.items():
        method = one.stages["renderer"].method
        published = VARIANTS[f"ablation-{letter.lower()}"]
        assert all(getattr(method, switch) == getattr(published, switch) for switch in SWITCHES)
        kept = {field.name for field in dataclasses.fields(Renderer)} - set(SWITCHES)
        assert all(getattr(method, name) == getattr(chain.stages["renderer"].method, name) for name in kept)
        assert {name: stage for name, stage in one.stages.items() if name != "renderer"} == {
            name: stage for name, stage in chain.stages.items() if name != "renderer"
        }
    assert len({str(one.fields()) for one in found.values()}) == 6 and TABLE_1["F"] == "11111"


def test_a_chain_without_one_renderer_has_no_ablations(chain: Chain) -> None:
    with pytest.raises(ValueError, match="this one has 0"):
        ablations(replace(chain, stages={"organ": chain.stages["organ"]}))


def test_a_folder_says_which_chain_it_was_trained_from(chain: Chain, done: Path) -> None:
    assert chain_of(done) == chain


def test_only_the_renderers_of_ablations_are_trained(chain: Chain, done: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*.safetensors")}
    found = train_ablations(done, tmp_path, ("A", "C"), "cpu", quiet=True)
    assert found == {"A": tmp_path / "A", "C": tmp_path / "C"}
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*.safetensors")} == before
    models = {letter: read_chain(folder)["models"] for letter, folder in found.items()}
    for stage in ("organ", "structure", "reader"):
        assert (
            len({file.resolve() for file in (models["A"][stage], models["C"][stage], read_chain(done)["models"][stage])}) == 1
        )
    assert models["A"]["renderer"].parent.name != models["C"]["renderer"].parent.name
    assert not load_parts(found["A"], torch.device("cpu")).renderer.method.structure  # type: ignore[attr-defined]
    again = train_ablations(done, tmp_path, ("A", "C"), "cpu", quiet=True)
    assert again == found


def test_an_unfinished_chain_is_refused(chain: Chain, tmp_path: Path) -> None:
    assert train_chain(chain, tmp_path / "run", ("organ",), device="cpu", quiet=True)
    with pytest.raises(ValueError, match="has not trained its stage 'structure'"):
        train_ablations(tmp_path / "run", tmp_path / "out")


def test_a_chain_takes_part_in_a_bench(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_organ_everywhere(run: Path, device: torch.device) -> Parts:
        parts = load_parts(run, device)
        monkeypatch.setattr(parts.organ.nets["organ"], "forward", lambda lines, *_: torch.ones_like(lines))
        return parts

    monkeypatch.setattr(making, "load_parts", with_organ_everywhere)
    monkeypatch.setattr(making, "Synthesis", partial(Synthesis, filters=ANYTHING, batch=2, precision="fp32"))
    plan = Plan(done, count=5, chains=(done,), device="cpu")
    check_system("chain:run", plan)
    cost = make(plan, "chain:run", tmp_path)
    made = Prepared(tmp_path / "made")
    assert len(made) == 5 and made.index.label == "mask" and {case.origin for case in made.index.cases} == {"synthetic"}
    assert len({np.asarray(image).tobytes() for image in made.arrays["images"]}) == 5
    assert cost["steps"] == 2 and cost["seconds_per_step"] > 0 and cost["parameters"] > 0
    other = Plan(brains(tmp_path / "other"), chains=(done,))
    with pytest.raises(ValueError, match="was trained on other cases"):
        check_system("chain:run", other)
