import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chromogen.bench.synthesis.ablations import chain_of
from chromogen.checkpoint import file_sha256, load_model
from chromogen.data.cases.source import CaseSource
from chromogen.methods.modality_translator import ModalityTranslator
from chromogen.methods.organ_reader import OrganReader
from chromogen.methods.segmenter import Segmenter
from chromogen.methods.structure_sampler import StructureSampler
from chromogen.phantom.anatomy import Brain, write_anatomy
from chromogen.train.chain import Chain, Stage, read_chain, train_chain
from chromogen.train.loop import train
from chromogen.train.prepare import LEFT_OUT, Drawing, prepare
from chromogen.train.recipe import changed_from_flags
from chromogen.train.run import Frozen, Loop

LOOP = Loop(
    steps=2, batch_size=2, select="score", precision="fp32", log_every=1, save_every=1, validate_every=2, validation_images=2
)
STAGES: Mapping[str, Stage] = {
    "organ": Stage(OrganReader(width=2), LOOP),
    "structure": Stage(
        StructureSampler(size_px=32, latents=4, width=2, critic_width=2, latent_critic_width=4), LOOP, lent=("organ",)
    ),
    "reader": Stage(Segmenter(modalities=4, width=2), LOOP),
    "longer": Stage(Segmenter(modalities=4, width=2), LOOP, start_from="reader"),
}


@pytest.fixture(scope="module")
def brains(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "brains"
    write_anatomy(folder, Brain(size_px=32), patients=10, slices=2, seed=3)
    return folder


@pytest.fixture(scope="module")
def chain(brains: Path) -> Chain:
    return Chain(
        CaseSource(str(brains), classes=("none", "lesion"), licence="phantoms"), Drawing(lines_of="T1"), STAGES, title="tiny"
    )


@pytest.fixture(scope="module")
def done(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("chain") / "run"
    assert train_chain(chain, out, device="cpu", quiet=True)
    return out


def test_every_stage_leaves_a_model_that_says_what_it_is_of(done: Path) -> None:
    found = read_chain(done)
    assert list(found["models"]) == list(STAGES)
    for stage, file in found["models"].items():
        card = load_model(file).card
        licence = "phantoms; then phantoms" if stage == "longer" else "phantoms"
        assert (card.title, card.data_licence) == (f"tiny: {stage}", licence)
        assert card.modalities == ("T1", "T1c", "T2", "FLAIR")
    structure = load_model(found["models"]["structure"])
    assert structure.card.frozen == {"organ": file_sha256(found["models"]["organ"])}


def test_what_is_done_is_not_done_again_and_what_changed_gets_its_own_folder(chain: Chain, done: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in done.rglob("*.safetensors")}
    assert train_chain(chain, done, device="cpu", quiet=True)
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*.safetensors")} == before
    longer = replace(LOOP, steps=3)
    changed = replace(chain, stages={**STAGES, "organ": replace(STAGES["organ"], loop=longer)})
    assert train_chain(changed, done, device="cpu", quiet=True)
    folders = {path.parent.name for path in done.rglob("best.safetensors")} - {path.parent.name for path in before}
    assert sorted(name.split("-")[0] for name in folders) == ["organ", "structure"]  # what leans on it is done again too
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_only_the_stages_that_are_wanted_and_what_they_lean_on(chain: Chain, tmp_path: Path) -> None:
    assert train_chain(chain, tmp_path / "run", only=("structure",), device="cpu", quiet=True)
    assert list(read_chain(tmp_path / "run")["models"]) == ["organ", "structure"]
    with pytest.raises(ValueError, match="no stage 'structur'; did you mean 'structure'"):
        train_chain(chain, tmp_path / "run", only=("structur",), device="cpu", quiet=True)


def test_a_frozen_model_must_be_the_one_that_was_named(chain: Chain, done: Path, tmp_path: Path) -> None:
    found = read_chain(done)
    data = replace(chain.data, root=str(found["prepared"]))
    from chromogen.train.run import Run

    run = Run(STAGES["structure"].method, data, LOOP, frozen=(Frozen(str(found["models"]["organ"]), "0" * 64),))
    with pytest.raises(ValueError, match=r"is not the model this run was set up with \(its sha256 begins"):
        train(run, tmp_path / "a", device="cpu", quiet=True)
    with pytest.raises(ValueError, match="guided by the trained network 'organ'"):
        train(replace(run, frozen=()), tmp_path / "b", device="cpu", quiet=True)
    with pytest.raises(ValueError, match=r"Segmenter is set up for 3 classes, and the cases have 2 \(none, lesion\)"):
        train(
            replace(run, method=Segmenter(modalities=4, classes=3, width=2), frozen=()),
            tmp_path / "d",
            device="cpu",
            quiet=True,
        )
    with pytest.raises(ValueError, match="judges stains"):
        train(replace(run, loop=Loop(steps=1)), tmp_path / "c", device="cpu", quiet=True)


def test_a_frozen_model_is_lent_and_not_changed(done: Path) -> None:
    state = json.loads((done / "chain.json").read_text())
    organ = load_model(done / state["models"]["organ"])
    assert file_sha256(done / state["models"]["organ"]) == state["sha256"]["organ"] == organ.sha256
    structure = load_model(done / state["models"]["structure"])
    assert set(structure.nets) == {"decoder", "line_critic"}


def test_preparing_leaves_out_with_a_sentence_and_keeps_lines_off_lesions(brains: Path, tmp_path: Path) -> None:
    source = CaseSource(str(brains))
    assert prepare(source, Drawing(), tmp_path / "p") == ()
    arrays = {name: np.load(tmp_path / "p" / f"{name}.npy") for name in ("images", "lines", "organ", "mask")}
    assert arrays["images"].shape == (20, 4, 1, 32, 32)
    assert arrays["lines"].any() and not (arrays["lines"] * (arrays["mask"] > 0)).any()
    assert not (arrays["lines"] * (1 - arrays["organ"])).any()
    strict = Drawing(organ=replace(Drawing().organ, threshold=0.99, smallest_share=0.9))
    with pytest.raises(ValueError, match="none of 20 cases could be prepared, first: .*organ"):
        prepare(source, strict, tmp_path / "q")
    assert not (tmp_path / "q").exists() and json.loads((tmp_path / "p" / LEFT_OUT).read_text()) == []


def test_flags_reach_into_a_stage(chain: Chain) -> None:
    changed = changed_from_flags(
        chain, ["--stages.organ.loop.steps", "7", "--cases.seed", "4", "--stages.reader.method.width", "6"], "x"
    )
    assert isinstance(changed, Chain)
    assert changed.stages["organ"].loop.steps == 7 and changed.cases.seed == 4
    assert changed.stages["reader"].method == Segmenter(modalities=4, width=6)
    assert changed.stages["structure"] == chain.stages["structure"]


def test_a_stage_leans_only_on_earlier_ones(chain: Chain) -> None:
    with pytest.raises(
        ValueError, match="stage 'translator' needs 'raeder', which is no stage before it; did you mean 'reader'"
    ):
        replace(chain, stages={**STAGES, "translator": Stage(ModalityTranslator(), LOOP, lent=("raeder",))})


def test_a_folder_of_something_else_is_left_alone(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds files and no chain.json"):
        train_chain(chain, tmp_path, device="cpu", quiet=True)
    with pytest.raises(ValueError, match="holds no chain.json"):
        read_chain(tmp_path)
    (tmp_path / "chain.json").write_text('{"prepared": "../elsewhere", "models": {}}')
    with pytest.raises(ValueError, match="leaves the chain's folder"):
        read_chain(tmp_path)


def test_alarms_of_a_method_are_said(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(OrganReader, "alarms", lambda self, scores: [f"score {scores['score']:.0f}, look"], raising=False)
    assert train_chain(replace(chain, stages={"organ": chain.stages["organ"]}), tmp_path / "run", device="cpu")
    said = capsys.readouterr()
    assert "step 2: ALARM: score" in said.out + said.err


def test_a_stage_may_learn_from_one_image_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the line maps of X-rays, which healthy ones teach; what is trained without such a choice keeps its folder."""
    rng = np.random.default_rng(0)
    for number in range(12):
        path = tmp_path / "lungs" / ("PNEUMONIA" if number % 2 else "NORMAL") / f"p{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32), np.uint8)).save(path)
    seen: dict[str, set[int]] = {"StructureSampler": set(), "OrganReader": set()}
    for method in (StructureSampler, OrganReader):

        def step(self: Any, nets: Any, batch: Any, progress: float, real: Any = method.step) -> Any:
            seen[type(self).__name__] |= set(batch["category"].tolist())
            return real(self, nets, batch, progress)

        monkeypatch.setattr(method, "step", step)
    stages = {"organ": STAGES["organ"], "structure": replace(STAGES["structure"], only=("normal",))}
    stages = {name: replace(stage, loop=replace(LOOP, steps=4)) for name, stage in stages.items()}
    lungs = CaseSource(str(tmp_path / "lungs"), size_px=32, shares=(1, 0, 0))
    chain = Chain(lungs, Drawing(whole_image=True), stages, title="lungs")
    assert train_chain(chain, tmp_path / "run", device="cpu", quiet=True)
    assert seen == {"StructureSampler": {0}, "OrganReader": {0, 1}}
    assert chain_of(tmp_path / "run") == chain
    changed = changed_from_flags(chain, ["--stages.structure.only"], "x")
    assert isinstance(changed, Chain) and changed.stages["structure"].only == ()
    with pytest.raises(ValueError, match="set --stages.structure.only"):
        wrong = {**stages, "structure": replace(stages["structure"], only=("healthy",))}
        train_chain(replace(chain, stages=wrong), tmp_path / "wrong", device="cpu", quiet=True)
    assert not list((tmp_path / "wrong").glob("organ-*"))
