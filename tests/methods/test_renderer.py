from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from chromogen import methods
from chromogen.methods.renderer import Renderer
from chromogen.structure import labels
from chromogen.structure.placement import Placement
from tests.methods.synthesis_cases import Say, cases, lent, numbers, small, terms, updates

STILL = Placement(operations=0)  # labels change hands, and that is all


def twice(image: torch.Tensor, more: torch.Tensor | float = 0.0) -> torch.Tensor:
    """Two modalities, the second with `more` on top."""
    return torch.stack([image, image + more], dim=1)


def by_hand(told: float = 1.0) -> nn.ModuleDict:
    """Drawings are (0.3 + 0.3 i) of the fused lines plus 0.1 of the label's plane 1; the rest are plain functions of images.

    The critic says class 1 for what is brighter than `told` on average: with 1, class 0 for every image.
    """

    def critic(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bright = (x.mean((1, 2, 3), keepdim=True) - told).expand(-1, 1, 2, 2)
        return 0.5 * x, torch.cat([-bright, bright], dim=1)

    return nn.ModuleDict(
        {
            "renderer": Say(lambda fused, label: twice(0.3 * fused + 0.1 * label[:, 1:2], 0.3 * fused)),
            "critic": Say(critic),
            "reader": Say(lambda x, i: torch.cat([(1 + i) * x, 2 - x], dim=1)),
            "translator": Say(lambda x, i: x * (0.5 + i)),
        }
    )


def entropy(x: np.ndarray, i: int, told: float) -> float:
    bright = x.mean((1, 2, 3)) - told
    logits = np.stack([-bright, bright], axis=1)
    return float(np.mean(np.log(np.exp(logits).sum(1)) - logits[:, i]))


def drawn_by_hand(batch: dict, low: float = 0.55) -> list[np.ndarray]:
    """What `by_hand` draws where the noise is always `low`."""
    s, organ, mask = (batch[key].numpy() for key in ("lines", "organ", "mask"))
    fused = s + low * organ * (1 - s)
    return [(0.3 + 0.3 * i) * fused + 0.1 * (mask[:, None] == 1) for i in range(2)]


def test_equations_13_to_17_in_numpy() -> None:
    told = 0.3
    method = small(
        "renderer", placement=STILL, noise_low=0.55, noise_high=0.55, weight_real=1.5, weight_made=0.5, weight_gan=2.0,
        weight_class=0.7, weight_lesion=3.0, weight_registration=0.9, registration_from=0.0, registration_until=0.0,
    )  # fmt: skip
    batch = cases()
    x, x_g = [image.numpy() for image in batch["images"].unbind(1)], drawn_by_hand(batch)
    critic, renderer = updates(method, by_hand(told), batch)
    wanted = {
        "real": 1.5 * sum(np.mean((0.5 * x[i] - 1) ** 2) for i in range(2)),
        "made": 0.5 * sum(np.mean((0.5 * x_g[i]) ** 2) for i in range(2)),
        "class": 0.7 * sum(entropy(x[i], i, told) for i in range(2)),
    }
    assert numbers(critic["critic"]) == pytest.approx(wanted, rel=1e-4)

    lesion, mask = 0.0, batch["mask"].numpy()
    for i in range(2):
        logits = np.concatenate([(1 + i) * x_g[i], 2 - x_g[i]], axis=1)
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        lesion += -np.mean(np.log(np.where(mask == 1, p[:, 1], p[:, 0])))
        lesion += 1 - (2 * p[:, 1][mask == 1].sum() + 1) / (p[:, 1].sum() + mask.sum() + 1)
    wanted = {
        "gan": 2 * sum(np.mean((0.5 * x_g[i] - 1) ** 2) for i in range(2)),
        "class": 0.7 * sum(entropy(x_g[i], i, told) for i in range(2)),
        "lesion": 3 * lesion,
        "registration": 0.9 * (np.mean((x_g[0] - 0.5 * x_g[1]) ** 2) + np.mean((x_g[1] - 1.5 * x_g[0]) ** 2)),
    }
    assert numbers(renderer["renderer"]) == pytest.approx(wanted, rel=1e-4)


def test_the_thesis_weighs_squares_of_the_reader_by_class() -> None:
    """Equation 15 with weights, as its author has it."""
    method = small("renderer", placement=STILL, noise_low=0.55, noise_high=0.55, form="squares", class_weights=(0.5, 25.0))
    batch = cases()
    found = numbers(updates(method, by_hand(), batch)[1]["renderer"])["lesion"]
    wanted, mask = 0.0, batch["mask"].numpy()
    for i, x_g in enumerate(drawn_by_hand(batch)):
        for weight, logits, truth in ((0.5, (1 + i) * x_g, mask == 0), (25, 2 - x_g, mask == 1)):
            wanted += weight * np.mean((1 / (1 + np.exp(-logits[:, 0])) - truth) ** 2)
    assert found == pytest.approx(method.weight_lesion * wanted, rel=1e-4)


def test_the_label_that_is_drawn_is_the_one_that_is_asked_for() -> None:
    """This renderer draws its label, and this reader reads every bright pixel as lesion: nothing is amiss."""
    method, batch = small("renderer", registration=False), cases(count=4)
    for case in range(4):
        batch["mask"][case] = 0
        batch["mask"][case, 10 : 14 + case, 10 + 2 * case : 16 + 2 * case] = 1
    drawn: list[torch.Tensor] = []
    nets = by_hand()
    nets["renderer"] = Say(lambda fused, label: drawn.append(label) or twice(label[:, 1:2]))
    nets["reader"] = Say(lambda x, i: 60 * torch.cat([0.5 - x, x - 0.5], dim=1))
    assert numbers(updates(method, nets, batch)[1]["renderer"])["lesion"] < 1e-6
    assert bool(drawn[0][:, 1].any()) and not torch.equal(drawn[0][:, 1], batch["mask"].float())


def test_labels_outside_the_organ_are_drawn_only_without_the_filter() -> None:
    method, batch = small("renderer", registration=False, lesion=False), cases()
    batch["organ"] = torch.zeros_like(batch["organ"])
    drawn: list[torch.Tensor] = []
    nets = by_hand()
    nets["renderer"] = Say(lambda fused, label: drawn.append(label) or twice(fused + label[:, 1:2]))
    for mask_filter in (True, False):
        updates(replace(method, mask_filter=mask_filter), nets, batch)
        assert bool(drawn[-1][:, 1].any()) is not mask_filter


def test_rehearsal_is_equation_18_beside_all_else() -> None:
    fields = {"noise_low": 0.55, "noise_high": 0.55, "weight_pretrain": 2.0, "weight_pretrain_outside": 0.3}
    batch = cases()
    pretrained = numbers(updates(small("renderer", pretrain_until=1.0, **fields), by_hand(), batch)[0]["renderer"])
    with_it = numbers(updates(small("renderer", weight_rehearsal=0.5, **fields), by_hand(), batch)[1]["renderer"])
    without = numbers(updates(small("renderer", **fields), by_hand(), batch)[1]["renderer"])
    assert with_it.keys() - without.keys() == {"rehearsal_squared", "rehearsal_outside"}
    for name, value in pretrained.items():
        assert value > 0 and with_it[f"rehearsal_{name}"] == pytest.approx(0.5 * value, rel=1e-5)


def test_equation_18_in_numpy_and_nothing_else_while_it_lasts() -> None:
    method = small(
        "renderer", noise_low=0.55, noise_high=0.55, pretrain_until=0.5, weight_pretrain=2.0, weight_pretrain_outside=0.3
    )
    batch = cases()
    (update,) = updates(method, by_hand(), batch, progress=0.49)
    x, x_g = [image.numpy() for image in batch["images"].unbind(1)], drawn_by_hand(batch)
    m = 1 - batch["organ"].numpy()
    wanted = {
        "squared": 2 * sum(np.mean((x_g[i] - x[i]) ** 2) for i in range(2)),
        "outside": 0.3 * sum(np.mean((m * x_g[i] - m * x[i]) ** 2) for i in range(2)),
    }
    assert numbers(update["renderer"]) == pytest.approx(wanted, rel=1e-4)
    assert [[*update] for update in updates(method, by_hand(), batch, progress=0.5)] == [["critic"], ["renderer"]]


@pytest.mark.parametrize(
    ("progress", "told", "factor"),
    [
        (0.29, None, 0.0),
        (0.45, None, 0.5),
        (0.9, None, 1.0),
        (0.9, 0.0, 0.0),  # everything is brighter than that: called modality 1, half of it rightly, which is chance
    ],
)
def test_the_registration_loss_comes_late_and_trusts_the_critic(progress: float, told: float | None, factor: float) -> None:
    method = small("renderer", placement=STILL, noise_low=0.55, noise_high=0.55)
    batch = cases()
    means = [float(x_g.mean()) for x_g in drawn_by_hand(batch)]
    nets = by_hand(sum(means) / 2 if told is None else told)
    found = numbers(updates(method, nets, batch, progress)[1]["renderer"])["registration"]
    x_g = drawn_by_hand(batch)
    whole = 20 * (np.mean((x_g[0] - 0.5 * x_g[1]) ** 2) + np.mean((x_g[1] - 1.5 * x_g[0]) ** 2))
    assert found == pytest.approx(factor * whole, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("recognised", [0.5, 0.6, 0.9, 1.0])
def test_trust_rises_from_chance_to_nine_tenths(recognised: float) -> None:
    method = small("renderer")
    assert float(method._trust(0.9, torch.tensor(recognised))) == pytest.approx(min(1, (recognised - 0.5) / 0.4), abs=1e-6)


@pytest.mark.parametrize(("switch", "missing"), [("registration", {"renderer/registration"}), ("lesion", {"renderer/lesion"})])
def test_a_switch_takes_exactly_its_term_and_its_frozen_network_away(switch: str, missing: set[str]) -> None:
    whole = small("renderer")
    without = replace(whole, **{switch: False})
    assert terms(whole, lent(whole), cases()) - terms(without, lent(without), cases()) == missing
    assert set(whole.needs) - set(without.needs) == {"translator" if switch == "registration" else "reader"}


def test_table_1() -> None:
    switches = ("structure", "mask_filter", "noise", "registration", "lesion")
    rows = {"a": "00000", "b": "10001", "c": "11000", "d": "11100", "e": "11110", "f": "11111"}
    for letter, row in rows.items():
        method = methods.load(f"renderer:ablation-{letter}")
        assert "".join(str(int(getattr(method, switch))) for switch in switches) == row
        same = replace(method, **dict.fromkeys(switches, True))
        assert same == methods.load("renderer")


def test_without_structure_noise_stands_in_for_lines_and_without_noise_the_lines_are_bare() -> None:
    seen: list[torch.Tensor] = []
    nets = nn.ModuleDict({"renderer": Say(lambda fused, label: seen.append(fused) or twice(fused))})
    batch = cases()
    label = labels.planes(batch, "segmentation", 2)
    for fields in ({"structure": False}, {"noise": False}, {}):
        small("renderer", **fields).render(nets, batch["lines"], batch["organ"], label, torch.Generator().manual_seed(0))
    noise, bare, fused = seen
    assert abs(float(noise.mean())) < 0.1 and float(noise.std()) == pytest.approx(1, abs=0.05)
    assert torch.equal(bare, batch["lines"])
    inside = (batch["organ"] == 1) & (batch["lines"] == 0)
    assert torch.equal(fused[~inside], batch["lines"][~inside])
    assert 0.5 <= float(fused[inside].min()) < 0.51 and 0.59 < float(fused[inside].max()) < 0.6


def test_rendering_follows_its_generator_and_modalities_share_one_drawing() -> None:
    method = small("renderer")
    nets, batch = lent(method).eval(), cases()
    label = labels.planes(batch, "segmentation", 2)
    made = [method.render(nets, batch["lines"], batch["organ"], label, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert made[0].shape == (2, 2, 1, 32, 32) and 0 <= float(made[0].min()) <= float(made[0].max()) <= 1
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_drawn_lines_come_from_the_sampler_with_the_organ_read_off_them() -> None:
    method = small("renderer", lines_from="sampler")
    assert method.needs == ("decoder", "organ", "reader", "translator")
    nets, batch = lent(method), cases(size=48)
    drawn = torch.linspace(0, 1, 32).repeat(2, 1, 32, 1)
    nets["decoder"].forward = lambda latents: drawn[: len(latents)]
    nets["organ"] = Say(lambda lines: 0.8 * lines)
    lines, organ = method._lines_and_organ(nets, batch)
    assert torch.equal(lines, organ) and not lines.requires_grad
    assert torch.equal(lines[0, 0, 0], (torch.arange(48) >= 24).float())
    soft, _ = replace(method, round_lines=False)._lines_and_organ(nets, batch)
    assert 0 < float(soft[0, 0, 0, 10]) < 1
    assert all(
        torch.isfinite(value)
        for update in updates(method, nets, batch)
        for value in update["renderer" if "renderer" in update else "critic"].values()
    )


@pytest.mark.parametrize("kind", ["category", "boxes", "none"])
def test_other_kinds_of_labels(kind: str) -> None:
    method = small("renderer", label=kind, registration=False)
    assert ("reader" in method.needs) == (kind != "none") and method.planes == (0 if kind == "none" else 2)
    nets, batch = lent(method), cases()
    if kind == "category":
        nets["reader"] = Say(lambda x, i: torch.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], dim=1)).requires_grad_(False)
    elif kind == "boxes":
        places = torch.tensor([[14.0, 16, 19, 20], [0, 0, 8, 8], [24, 24, 32, 32], [0, 16, 8, 24]])

        def detector(x: torch.Tensor, i: int) -> tuple:
            bright = x.mean((1, 2, 3))[:, None, None]
            return bright * torch.ones(len(x), 4, 4), bright * torch.ones(len(x), 4, 2), places

        nets["reader"] = Say(detector).requires_grad_(False)
    else:
        for key in ("mask", "category", "boxes"):
            del batch[key]
    last = updates(method, nets, batch)[1]["renderer"]
    assert ("lesion" in last) == (kind != "none")
    if kind != "none":
        gradients = torch.autograd.grad(last["lesion"], [*nets["renderer"].parameters()])
        assert any(bool(gradient.any()) for gradient in gradients)
    nets.eval()
    found = method.measure(nets, batch)
    assert torch.isfinite(found["score"])
    assert kind != "none" or found["score"] == -found["squared_error"]


def test_one_modality_has_neither_classes_nor_registration() -> None:
    method = small("renderer:single")
    assert method.needs == ("reader",)
    assert terms(method, lent(method, modalities=1), cases(modalities=1)) == {
        "critic/real", "critic/made", "renderer/gan", "renderer/lesion",
    }  # fmt: skip


def test_gradients_pass_through_frozen_networks_and_reach_only_the_renderer() -> None:
    method = small("renderer", registration_from=0.0, registration_until=0.0)
    nets = lent(method)
    critic, renderer = updates(method, nets, cases())
    for term in ("gan", "class", "lesion", "registration"):
        gradients = torch.autograd.grad(renderer["renderer"][term], [*nets["renderer"].parameters()], retain_graph=True)
        assert any(bool(gradient.any()) for gradient in gradients), term
    of_critic = sum(critic["critic"].values())
    unused = torch.autograd.grad(of_critic, [*nets["renderer"].parameters()], allow_unused=True)
    assert all(gradient is None for gradient in unused)
    assert not any(p.requires_grad for name in ("reader", "translator") for p in nets[name].parameters())


def test_measures_by_hand() -> None:
    """A reader that sees the lesion in modality 0 and nothing in modality 1; drawings as bright as `drawn_by_hand`."""
    method = small("renderer", noise_low=0.55, noise_high=0.55)
    batch, nets = cases(), by_hand()
    wanted = F.one_hot(batch["mask"], 2).movedim(-1, 1).float()
    nets["reader"] = Say(lambda x, i: wanted if i == 0 else torch.cat([x * 0 + 1, x * 0], dim=1))
    found = method.measure(nets, batch)
    x, x_g = [image.numpy() for image in batch["images"].unbind(1)], drawn_by_hand(batch)
    assert float(found["score"]) == pytest.approx(0.5)
    assert float(found["squared_error"]) == pytest.approx(np.mean([np.mean((x[i] - x_g[i]) ** 2) for i in range(2)]), rel=1e-4)
    ratio = np.abs(x_g[0] - x_g[1]).mean() / np.abs(x[0] - x[1]).mean()
    assert float(found["contrast_ratio"]) == pytest.approx(ratio, rel=1e-4)
    registration = (np.mean((x_g[0] - 0.5 * x_g[1]) ** 2) + np.mean((x_g[1] - 1.5 * x_g[0]) ** 2)) / 2
    assert float(found["registration"]) == pytest.approx(registration, rel=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"modalities": 0}, "1-16 modalities"),
        ({"classes": 1}, "2 classes or more"),
        ({"registration_from": 0.7}, "shares of the run"),
        ({"pretrain_until": 1.5}, "pretrain_until"),
        ({"class_weights": (1.0,)}, "class_weights names 1 classes"),
        ({"width": 0}, "widths are 1-512"),
    ],
)
def test_impossible_fields_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Renderer(**fields)


def test_modalities_that_become_alike_raise_an_alarm() -> None:
    """A renderer that draws every modality alike, as `measure` sees it; and one that does not."""
    method, nets = small("renderer"), by_hand()
    for renderer, alarms in ((lambda fused, label: twice(fused), 1), (lambda fused, label: twice(fused, 0.5 - fused), 0)):
        nets["renderer"] = Say(renderer)
        scores = {name: float(value) for name, value in method.measure(nets, cases()).items()}
        found = method.alarms(scores)
        assert len(found) == alarms and all("becoming alike; let the registration loss begin later" in one for one in found)
    assert method.alarms({}) == []
