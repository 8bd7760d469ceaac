"""From a file with whatever lies around the weights to a model with a card: which network, which fields, which sentence."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from chromogen.checkpoint import file_sha256, load_model
from chromogen.foreign.model import Statement, import_model
from chromogen.foreign.wrappers import candidates
from tests.methods.published_networks import Resnet, Stainer, Unet, randomised

pytestmark = pytest.mark.usefixtures("in_process")
Saved = Callable[..., Path]
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def weights() -> Weights:
    return dict(randomised(Resnet(4, 1, "batch", dropout=True)).state_dict())


def named(prefix: str, weights: Weights) -> Weights:
    return {f"{prefix}{name}": value for name, value in weights.items()}


def others(weights: Weights) -> Weights:
    return {name: value + 1 if value.is_floating_point() else value for name, value in weights.items()}


def first_weight(path: Path) -> Tensor:
    return load_model(path).nets.state_dict()["generator.0.weight"]


WRAPPERS: dict[str, Callable[[Weights], object]] = {
    "bare": lambda w: w,
    "ordered": lambda w: OrderedDict(w),
    "state_dict": lambda w: {"state_dict": w, "epoch": 5},
    "model": lambda w: {"model": w, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}},
    "netG and netD": lambda w: {"netG": w, "netD": {"model.0.weight": torch.zeros(4, 6, 4, 4)}},
    "G beside its optimiser": lambda w: {"G": w, "G_opt": {"state": {}}, "D": {"x.weight": torch.zeros(3)}},
    "lightning": lambda w: {"state_dict": named("netG.", w) | named("netD.", {"a.weight": torch.zeros(2)})},
    "deep": lambda w: {"checkpoint": {"nets": {"generator": w}}},
    "moving average alone": lambda w: named("ema_model.", w) | {"initted": torch.tensor(True), "step": torch.tensor(9)},
    "moving average beside its model": lambda w: named("online_model.", others(w)) | named("ema_model.", w),
    "averaged in the training state": lambda w: {
        "G": others(w),
        "Gema": named("online_model.", others(w)) | named("ema_model.", w),
    },
    "a list of networks": lambda w: {"nets": [{"model.0.weight": torch.zeros(4, 6, 4, 4)}, w], "epoch": 1},
    "parameters with ema in their name": lambda w: {"semantic_schema": others(w), "params_ema": w},
    "shadow of everything": lambda w: {"model": others(w), "shadow": w},
    "swa": lambda w: {"averaged": named("module.", w) | {"n_averaged": torch.tensor(3)}, "plain": others(w)},
}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    wrapper=st.sampled_from(sorted(WRAPPERS)),
    prefixes=st.lists(st.sampled_from(["module.", "_orig_mod.", "netG.", "model."]), max_size=2),
    half=st.booleans(),
)
def test_the_weights_are_found_in_any_wrapper(
    wrapper: str, prefixes: list[str], half: bool, weights: Weights, tmp_path: Path
) -> None:
    stored = {name: value.half() if half and value.is_floating_point() else value for name, value in weights.items()}
    torch.save(WRAPPERS[wrapper](named("".join(prefixes), stored)), tmp_path / "w.pth")
    import_model(tmp_path / "w.pth", "pyramid_pix2pix", tmp_path / "m.safetensors", {})
    assert torch.allclose(first_weight(tmp_path / "m.safetensors"), weights["model.1.weight"], atol=1e-3)


def test_a_shadow_of_parameters_takes_the_statistics_of_its_model_and_says_so(
    weights: Weights, saved: Saved, tmp_path: Path
) -> None:
    shadow = {name: value for name, value in others(weights).items() if "running" not in name and "tracked" not in name}
    done = import_model(saved({"netG": weights, "ema": shadow}), "pyramid_pix2pix", tmp_path / "m.safetensors", {})
    nets = load_model(tmp_path / "m.safetensors").nets.state_dict()
    assert torch.equal(nets["generator.0.weight"], weights["model.1.weight"] + 1)
    assert torch.equal(nets["generator.1.running_var"], weights["model.2.running_var"])
    assert "running statistics are those of netG" in done.card.notes


def test_a_shadow_alone_takes_the_statistics_of_each_image_and_says_so(weights: Weights, saved: Saved, tmp_path: Path) -> None:
    shadow = {name: value for name, value in weights.items() if "running" not in name and "tracked" not in name}
    done = import_model(saved({"shadow": shadow}), "pyramid_pix2pix", tmp_path / "m.safetensors", {})
    assert done.method.statistics == "image" and "no running statistics" in done.card.notes


def test_what_no_weight_tells_is_on_the_card(saved: Saved, tmp_path: Path) -> None:
    path = saved(Stainer(2, 1, 2).state_dict())
    for name, told in (("bcistainer", "SimAM is on"), ("bcistainer:mod", "SimAM is off")):
        assert told in import_model(path, name, tmp_path / "m.safetensors", {}).card.notes


def test_spectral_norm_of_the_oldest_pytorch_keeps_its_weight(saved: Saved, tmp_path: Path) -> None:
    """Before 1.0 there was no v, and the weight as it was used stood beside the one that was trained."""
    network = randomised(Resnet(4, 1, "instance", antialias="down up", spectral=True)).eval()
    network(torch.zeros(1, 3, 32, 32))  # computes the weights from u and v
    old = {name: value for name, value in network.state_dict().items() if not name.endswith("weight_v")}
    old |= {f"{name}.weight": part.weight for name, part in network.named_modules() if hasattr(part, "weight_orig")}
    done = import_model(saved(old), "asp", tmp_path / "m.safetensors", {})
    model, picture = load_model(tmp_path / "m.safetensors"), torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    with torch.no_grad():
        worst = float((model.method.translate(model.nets, picture) - network(picture)).abs().max())
    assert not done.method.spectral and worst <= 1e-4


def test_missing_counters_are_zero_and_the_card_says_so(weights: Weights, saved: Saved, tmp_path: Path) -> None:
    old = {name: value for name, value in weights.items() if not name.endswith("num_batches_tracked")}
    done = import_model(saved(old), "pyramid_pix2pix", tmp_path / "m.safetensors", {})
    assert int(load_model(tmp_path / "m.safetensors").nets.state_dict()["generator.1.num_batches_tracked"]) == 0
    assert "counters" in done.card.notes


def test_statistics_of_old_instance_norms_are_dropped(saved: Saved, tmp_path: Path) -> None:
    network = Resnet(4, 1, "instance")
    old = dict(network.state_dict())
    for number, channels in ((2, 4), (5, 8), (8, 16), (12, 8), (15, 4)):
        old |= {f"model.{number}.running_mean": torch.zeros(channels), f"model.{number}.running_var": torch.ones(channels)}
    old |= {f"model.10.conv_block.{number}.running_mean": torch.zeros(16) for number in (2, 6)}
    for name in ("cyclegan", "cut", "pyramid_pix2pix"):
        done = import_model(saved(old), name, tmp_path / f"{name}.safetensors", {})
        assert getattr(done.method, "norm", "instance") == "instance"


def test_of_both_directions_one_is_picked(saved: Saved, tmp_path: Path) -> None:
    there, back = (dict(randomised(Resnet(4, 1, "instance"), seed).state_dict()) for seed in (1, 2))
    path = saved({"G_A": there, "G_B": back, "D_A": {"model.0.weight": torch.zeros(4, 3, 4, 4)}})
    out = tmp_path / "m.safetensors"
    with pytest.raises(
        ValueError, match=r"several networks that fit cyclegan: G_A, G_B; pick one with --network \(.*G_A makes"
    ):
        import_model(path, "cyclegan", out, {})
    for name, weights in (("G_A", there), ("g_b", back)):
        import_model(path, "cyclegan", out, {}, network=name)
        assert torch.equal(load_model(out).nets.state_dict()["to_target.0.weight"], weights["model.1.weight"])
    with pytest.raises(ValueError, match="no network 'netG' that fits cyclegan; those that fit are: G_A, G_B"):
        import_model(path, "cyclegan", out, {}, network="netG")


@pytest.mark.parametrize(
    ("network", "asked", "told", "fits"),
    [
        (lambda: Unet(4, 5), "pyramid_pix2pix", "7x7 convolution", r"--as pix2pix \(width 4, depth 5, norm batch,"),
        (lambda: Resnet(4, 2, "batch"), "pix2pix", "4x4 convolution", r"--as pyramid_pix2pix \(width 4, blocks 2, norm batch"),
        (lambda: Resnet(4, 2, "batch"), "cyclegan", "batch norms", "--as pyramid_pix2pix"),
        (lambda: Resnet(4, 1, "instance", antialias="down up"), "cyclegan", "blurs or resizes", "--as cut"),
        (lambda: Resnet(4, 1, "instance", antialias="down up", spectral=True), "pix2pix", "4x4", "--as asp"),
        (lambda: Stainer(2, 1, 2), "performer_unet", "down1.0", r"--as bcistainer \(width 2, blocks 1, depth 8, modulation"),
    ],
)
def test_a_wrong_method_is_told_what_fits(network, asked: str, told: str, fits: str, saved: Saved, tmp_path: Path) -> None:
    path = saved(network().state_dict())
    with pytest.raises(ValueError, match=rf"holds no {asked}: .*{told}.*it fits .*{fits}"):
        import_model(path, asked, tmp_path / "m.safetensors", {})
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"model.0.weight": torch.Size((4, 6, 4, 4))}, r"discriminator \(net_D\)"),
        ({"module.model.0.weight": torch.Size((4, 3, 4, 4))}, r"discriminator \(net_D\)"),
        ({"mlp_0.0.weight": torch.Size((8, 3)), "mlp_0.0.bias": torch.Size((8,))}, r"head of features \(net_F\)"),
        ({"fc.weight": torch.Size((8, 3))}, "the generator's own file"),
    ],
)
def test_another_network_of_the_same_training_is_recognised(weights, told: str, saved: Saved, tmp_path: Path) -> None:
    path = saved({name: torch.zeros(size) for name, size in weights.items()})
    with pytest.raises(ValueError, match=f"its first names are .*no method here fits it.*{told}"):
        import_model(path, "cut", tmp_path / "m.safetensors", {})


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_name_too_few_too_many_or_misshapen_is_named(data: st.DataObject, weights: Weights, tmp_path: Path) -> None:
    inner = [name for name in sorted(weights) if "conv_block" in name and not name.endswith("tracked")]
    name = data.draw(st.sampled_from(inner))
    broken = dict(weights)
    what = data.draw(st.sampled_from(["gone", "more", "shape"]))
    if what == "gone":
        del broken[name]
    elif what == "more":
        name = f"{name}_and_more"
        broken[name] = torch.zeros(3)
    else:
        broken[name] = torch.zeros(3, 5)
    torch.save(broken, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="weights do not fit|begin with|no convolution") as caught:
        import_model(tmp_path / "w.pth", "pyramid_pix2pix", tmp_path / "m.safetensors", {})
    if "conv_block.1.weight" not in name and "conv_block.6.weight" not in name:  # those tell how many blocks there are
        assert name in str(caught.value)


def test_values_that_are_not_finite_are_named(weights: Weights, saved: Saved, tmp_path: Path) -> None:
    broken = weights | {"model.2.bias": torch.full((4,), torch.nan)}
    with pytest.raises(ValueError, match=r"model.2.bias holds values that are not finite"):
        import_model(saved(broken), "pyramid_pix2pix", tmp_path / "m.safetensors", {})


def test_another_filter_is_refused(saved: Saved, tmp_path: Path) -> None:
    weights = dict(Resnet(4, 1, "instance", antialias="down up").state_dict())
    weights["model.7.filt"] = torch.full_like(weights["model.7.filt"], 1 / 9)
    with pytest.raises(ValueError, match=r"model.7.filt is another filter"):
        import_model(saved(weights), "cut", tmp_path / "m.safetensors", {})


def test_a_width_that_no_method_has_is_a_sentence(saved: Saved, tmp_path: Path) -> None:
    huge = {"model.1.weight": torch.zeros(600, 3, 7, 7), "model.2.weight": torch.zeros(600)}
    huge |= {f"model.{number}.weight": torch.zeros(1) for number in (4, 7, 10, 13, 17)}
    with pytest.raises(ValueError, match="widths are 1-512"):
        import_model(saved(huge), "pyramid_pix2pix", tmp_path / "m.safetensors", {})


def test_fields_are_set_or_explained(weights: Weights, saved: Saved, tmp_path: Path) -> None:
    path, out = saved(weights), tmp_path / "m.safetensors"
    assert import_model(path, "pyramid_pix2pix", out, {"statistics": "image"}).method.statistics == "image"
    with pytest.raises(ValueError, match="has no field 'statistic'; did you mean 'statistics'"):
        import_model(path, "pyramid_pix2pix", out, {"statistic": "image"})
    with pytest.raises(ValueError, match="weights do not allow width=8: .* was expected"):
        import_model(path, "pyramid_pix2pix", out, {"width": 8})
    with pytest.raises(ValueError, match="no weights of others are known for a method 'unet'"):
        import_model(path, "unet", out, {})


def test_the_card_says_whence_it_is_and_what_nobody_knows(weights: Weights, saved: Saved, tmp_path: Path) -> None:
    path, out = saved(weights), tmp_path / "m.safetensors"
    card = import_model(path, "pyramid_pix2pix", out, {}).card
    assert card.data_licence.startswith("non-commercial") and card.target_stain == "HER2 IHC"
    assert file_sha256(path) in card.notes and "bupt-ai-cz/BCI" in card.title and "Research use only" in card.intended_use
    assert "Not known: the training data, um/px, where the file is from, its scores" in card.notes
    said = Statement("https://example.org/w.pth", "CC BY 4.0", "H&E", "Ki67 IHC", "MIST, Ki67", 0.4661)
    card = import_model(path, "pyramid_pix2pix", out, {}, statement=said).card
    assert (card.data_licence, card.target_stain, card.data, card.mpp) == ("CC BY 4.0", "Ki67 IHC", "MIST, Ki67", 0.4661)
    assert "Source: https://example.org/w.pth." in card.notes and "Not known: its scores" in card.notes
    assert load_model(out).card == card
    for mpp in (0.0, -0.5, float("nan"), 1e6):
        with pytest.raises(ValueError, match="um per pixel are above 0"):
            import_model(path, "pyramid_pix2pix", out, {}, statement=Statement(mpp=mpp))
    assert "licence" in import_model(saved(Unet(2, 5).state_dict()), "pix2pix", out, {}).card.notes


def test_safetensors_of_others_are_read_too_and_ours_need_no_import(weights: Weights, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path, out = tmp_path / "w.safetensors", tmp_path / "m.safetensors"
    save_file(named("module.", weights), path)
    import_model(path, "pyramid_pix2pix", out, {})
    assert torch.equal(first_weight(out), weights["model.1.weight"])
    with pytest.raises(ValueError, match="one of chromogen's files already"):
        import_model(out, "pyramid_pix2pix", tmp_path / "n.safetensors", {})


def test_nothing_to_unwrap_is_nothing() -> None:
    assert candidates(()) == []
