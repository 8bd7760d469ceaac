import json
import pickle
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from chromogen.checkpoint import Card, Model, interpolated, load_model, read_tensors, save_model, write_tensors
from chromogen.method import Method, Optimizer
from chromogen.methods.chromogen import Chromogen
from chromogen.methods.pix2pix import Pix2pix
from chromogen.methods.pyramid_pix2pix import PyramidPix2pix

METHOD = PyramidPix2pix(width=2, blocks=1, discriminator_width=2)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "m.safetensors"
    save_model(path, METHOD, METHOD.networks(), Card(title="t", mpp=0.5, data="d", data_licence="l", scores={"psnr": 20.0}))
    return path


def changed_header(path: Path, **changes: Any) -> None:
    header, tensors = read_tensors(path)
    save_file(tensors, path, {"chromogen": json.dumps(header | changes)})


def test_a_file_explains_itself(model_file: Path) -> None:
    model = load_model(model_file)
    assert model.method == METHOD and model.name == "m"
    assert model.card == Card(title="t", mpp=0.5, data="d", data_licence="l", scores={"psnr": 20.0})
    header, _ = read_tensors(model_file)
    assert (header["method"], header["value_range"], header["format"]) == ("pyramid_pix2pix", "signed", 1)
    assert not any(parameter.requires_grad for parameter in model.nets.parameters()) and not model.nets.training


def test_the_same_model_is_the_same_bytes(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.safetensors", "b.safetensors")]
    for file in files:
        torch.manual_seed(0)
        save_model(file, METHOD, METHOD.networks(), Card())
    assert files[0].read_bytes() == files[1].read_bytes()


def test_half_precision_files_load_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    nets = METHOD.networks()
    save_model(path, METHOD, nets, Card(), dtype=torch.float16)
    loaded = load_model(path).nets["generator"][0].weight
    assert loaded.dtype == torch.float32 and torch.allclose(loaded, nets["generator"][0].weight, atol=1e-4)


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_file_cut_short_says_so(model_file: Path, kept: int) -> None:
    model_file.write_bytes(model_file.read_bytes()[:kept])
    with pytest.raises(ValueError, match="damaged or cut short"):
        load_model(model_file)


class Canary:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("canary"),))


@pytest.mark.parametrize("torch_zip", [False, True])
def test_a_pickle_in_disguise_is_refused_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch_zip: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.safetensors"
    if torch_zip:
        torch.save(Canary(), path)
    else:
        path.write_bytes(pickle.dumps(Canary()))
    with pytest.raises(ValueError, match="pickled PyTorch file"):
        load_model(path)
    assert not (tmp_path / "canary").exists()


def test_a_header_whose_length_looks_like_a_pickle_is_still_ours(tmp_path: Path) -> None:
    """The first byte of a safetensors file is the low byte of a length; 0x80 is also how a pickle begins."""
    path = tmp_path / "odd.safetensors"
    for padding in range(300):
        write_tensors(path, {"x": torch.zeros(1)}, {"kind": "model", "padding": "p" * padding})
        if path.read_bytes()[:1] == b"\x80":
            break
    assert path.read_bytes()[:1] == b"\x80"
    assert read_tensors(path)[0]["kind"] == "model"


def test_foreign_newer_and_altered_files_each_have_their_sentence(model_file: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, foreign)
    with pytest.raises(ValueError, match="not written by chromogen"):
        load_model(foreign)
    (tmp_path / "text.safetensors").write_text("hello, this is not a model at all")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_model(tmp_path / "text.safetensors")
    original = model_file.read_bytes()
    for changes, sentence in [
        ({"format": 99, "version": "9.9"}, r"newer chromogen \(9.9, format 99"),
        ({"method": "pyramid_pix2pixx"}, "does not have; did you mean 'pyramid_pix2pix'"),
        ({"method": "os.system"}, "does not have"),
        ({"fields": {"width": 4, "blocks": 1}}, "do not fit the networks"),
        ({"fields": {"widht": 4}}, "no field 'widht'; did you mean 'width'"),
        ({"fields": {"width": "wide"}}, "expected int"),
        ({"fields": {"width": 10**9}}, "widths are 1-512"),
        ({"fields": {"blocks": 10**9}}, "blocks 0-32"),
        ({"card": {"mpp": "half"}}, "card does not read"),
        ({"fields": {"width": 2, "dropout": 7.0}}, "dropout is a probability"),
        ({"fields": {"weight_l1": 10**400}}, "do not fit"),
        ({"kind": "training state"}, "holds a training state, not a model"),
        ({"value_range": "unit"}, "range 'unit'; this chromogen computes in 'signed'"),
        ({"format": True}, "no format number"),
        ({"format": -5}, "no format number"),
    ]:
        model_file.write_bytes(original)
        changed_header(model_file, **changes)
        with pytest.raises(ValueError, match=sentence):
            load_model(model_file)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda weight: weight * float("nan"), "weights that are not finite"),
        (lambda weight: weight.to(torch.int64), "expected .*float32.*, found .*int64"),
        (lambda weight: weight.to(torch.complex64), "found .*complex64"),
        (lambda weight: weight[:1], "do not fit the networks"),
    ],
)
def test_weights_of_another_kind_are_refused(model_file: Path, change: Any, sentence: str) -> None:
    header, tensors = read_tensors(model_file)
    tensors["generator.0.weight"] = change(tensors["generator.0.weight"])
    save_file(tensors, model_file, {"chromogen": json.dumps(header)})
    with pytest.raises(ValueError, match=sentence):
        load_model(model_file)


def test_a_header_nested_without_end_is_refused(model_file: Path) -> None:
    save_file(read_tensors(model_file)[1], model_file, {"chromogen": "[" * 100_000 + "]" * 100_000})
    with pytest.raises(ValueError, match="not written by chromogen"):
        load_model(model_file)


def test_a_header_cannot_claim_more_than_the_file_holds(tmp_path: Path) -> None:
    """A terabyte tensor in a file of a hundred bytes."""
    header = json.dumps({"x": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}}).encode()
    path = tmp_path / "bomb.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 16)
    with pytest.raises(ValueError, match="damaged or cut short"):
        load_model(path)


def test_unknown_model_names_list_what_there_is() -> None:
    with pytest.raises(ValueError, match="no model 'her3-demo': not a file, and not a shipped model"):
        load_model("her3-demo")


def test_only_the_networks_that_translate_travel(tmp_path: Path) -> None:
    method = Pix2pix(width=2, depth=2, discriminator_width=2)
    save_model(tmp_path / "p.safetensors", method, method.networks(), Card())
    assert all(key.startswith("generator.") for key in read_tensors(tmp_path / "p.safetensors")[1])


def model(name: str, seed: int, method: Method = METHOD, **card: Any) -> Model:
    torch.manual_seed(seed)
    nets = torch.nn.ModuleDict({key: net for key, net in method.networks().items() if key in method.released})
    stated = {"title": f"title of {name}", "data_licence": f"licence of {name}", "mpp": 0.5, "step": 7} | card
    return Model(name, method, nets.eval().requires_grad_(False), Card(**stated), sha256=name * 4)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_weights_between_two_models_and_a_card_that_names_both(share: float, tmp_path: Path) -> None:
    a, b = model("a", 1), model("b", 2, replace(METHOD, weight_gan=9.0, optimizer=Optimizer(lr=1e-5)), notes="careful")
    before = {key: value.clone() for key, value in a.nets.state_dict().items()}
    made = interpolated(a, b, share)
    found = 0
    for key, value in made.nets.named_parameters():
        assert torch.allclose(value, (1 - share) * before[key] + share * b.nets.state_dict()[key], atol=1e-7), key
        found += 1
    assert all(torch.equal(value, before[key]) for key, value in a.nets.state_dict().items()), "the parents stay as they were"
    assert found >= 10
    ends = {0.0: a, 1.0: b}
    if share in ends:
        parts = zip(made.nets.parameters(), ends[share].nets.parameters(), strict=True)
        assert all(torch.equal(x, y) for x, y in parts), "the ends are the parents, to the bit"
    assert made.method == METHOD and made.name == f"a-b-{share:g}" and not made.nets.training
    card = made.card
    assert card.data_licence == "licence of a; licence of b" and card.mpp == 0.5 and card.scores == {}
    for fact in (
        f"{1 - share:g} of a (title of a, step 7, sha256 aaaa",
        f"{share:g} of b (title of b",
        "sha256 bbbb",
        "careful",
    ):
        assert fact in card.notes
    save_model(tmp_path / "between.safetensors", made.method, made.nets, made.card)
    assert load_model(tmp_path / "between.safetensors").card == card


@pytest.mark.parametrize(
    ("method", "stated", "sentence"),
    [
        (Pix2pix(width=2, depth=2), {}, "different methods, pyramid_pix2pix and pix2pix"),
        (replace(METHOD, width=3), {}, r"generator.0.weight is \(2, .* and \(3, .*differ in width \(2 and 3\)"),
        (replace(METHOD, blocks=2), {}, r"is absent and .*differ in blocks \(1 and 2\)|blocks \(1 and 2\)"),
        (METHOD, {"mpp": 1.0}, "differ in mpp: 0.5 and 1.0"),
        (METHOD, {"target_stain": "ER IHC"}, "differ in target_stain: HER2 IHC and ER IHC"),
    ],
)
def test_models_with_nothing_between_them_say_why(method: Method, stated: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        interpolated(model("a", 1), model("b", 2, method, **stated), 0.5)


def test_a_field_without_a_shape_that_changes_the_picture_is_noticed() -> None:
    narrow = Chromogen(width=2, blocks=1, grader_width=2, weight_gan=0.0)
    a, b = model("a", 1, narrow), model("b", 1, replace(narrow, level_window=1, weight_l1=1.0))
    with pytest.raises(ValueError, match=r"different pictures of the same weights.*level_window \(5 and 1\)"):
        interpolated(a, b, 0.5)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(ValueError, match="must be from 0"):
        interpolated(model("a", 1), model("b", 2), share)
