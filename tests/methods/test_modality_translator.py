from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from chromogen.methods.modality_translator import ModalityTranslator
from tests.methods.synthesis_cases import Say, cases, lent, numbers, small, terms, updates

PAIRS = [(j, i) for j in range(3) for i in range(3) if i != j]


def by_hand() -> nn.ModuleDict:
    """G_t(x, j) = (0.9 - 0.2 j) x + 0.1 j; the critic's score is a quarter of the image, its classes are multiples of it."""

    def critic(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return 0.25 * x, torch.cat([x, 2 * x, -x], dim=1)

    return nn.ModuleDict({"translator": Say(lambda x, j: (0.9 - 0.2 * j) * x + 0.1 * j), "critic": Say(critic)})


def translated(x: np.ndarray, j: int) -> np.ndarray:
    return (0.9 - 0.2 * j) * x + 0.1 * j


def entropy(x: np.ndarray, i: int) -> float:
    mean = x.mean((1, 2, 3))
    logits = np.stack([mean, 2 * mean, -mean], axis=1)
    return float(np.mean(np.log(np.exp(logits).sum(1)) - logits[:, i]))


def test_equations_19_to_21_and_ours_in_numpy() -> None:
    method = small(
        "modality_translator", modalities=3, weight_real=1.5, weight_made=0.5, weight_gan=2.0, weight_class=0.7,
        weight_cycle=3.0, weight_agreement=0.9, weight_pair=0.4,
    )  # fmt: skip
    batch = cases(modalities=3)
    x = [image.numpy() for image in batch["images"].unbind(1)]
    made = {(i, j): translated(x[i], j) for i, j in PAIRS}
    critic, translator = updates(method, by_hand(), batch)
    wanted = {
        "real": 1.5 * sum(np.mean((0.25 * x[i] - 1) ** 2) for i in range(3)),
        "made": 0.5 * sum(np.mean((0.25 * made[pair]) ** 2) for pair in PAIRS),
        "class": 0.7 * sum(entropy(x[i], i) for i in range(3)),
    }
    assert numbers(critic["critic"]) == pytest.approx(wanted, rel=1e-4)
    into = {i: [made[j, i] for j in range(3) if j != i] for i in range(3)}
    wanted = {
        "gan": 2 * sum(np.mean((0.25 * made[pair] - 1) ** 2) for pair in PAIRS),
        "class": 0.7 * sum(entropy(made[i, j], j) for i, j in PAIRS),
        "cycle": 3 * sum(np.mean((x[i] - translated(made[i, j], i)) ** 2) for i, j in PAIRS),
        "agreement": 0.9 * sum(np.mean((a - b) ** 2) for a, b in into.values()),
        "pair": 0.4 * sum(np.mean((x[i] - made[j, i]) ** 2) for j, i in PAIRS),
    }
    assert numbers(translator["translator"]) == pytest.approx(wanted, rel=1e-4)


def test_the_thesis_regresses_the_number_of_the_modality_of_real_and_made_images() -> None:
    method = small("modality_translator:thesis")
    nets = nn.ModuleDict({"translator": Say(lambda x, j: x / (j + 2)), "critic": Say(lambda x: (x, 3 * x))})
    batch = cases()
    method = replace(method, registered=True)
    x = [image.numpy() for image in batch["images"].unbind(1)]
    critic, translator = updates(method, nets, batch)
    real = sum(np.mean((3 * x[i] - i) ** 2) for i in range(2))
    made = sum(np.mean((3 * x[i] / (j + 2) - j) ** 2) for i, j in ((0, 1), (1, 0)))
    assert numbers(critic["critic"])["class"] == pytest.approx(real + made, rel=1e-5)
    assert numbers(translator["translator"])["class"] == pytest.approx(made, rel=1e-5)


def test_unpaired_shuffles_each_modality_by_itself() -> None:
    """The networks see every image of every modality once, but modalities of one case no longer at one place."""
    method, batch, seen = small("modality_translator:unpaired"), cases(count=6), []
    nets = by_hand()
    nets["translator"] = Say(lambda x, j: seen.append(x) or x)
    torch.manual_seed(0)
    updates(method, nets, batch)
    orders = []
    for i, images in enumerate(seen[:2]):
        places = [[torch.equal(image, one) for one in batch["images"][:, i]].index(True) for image in images]
        assert sorted(places) == list(range(6))
        orders.append(places)
    assert orders[0] != orders[1]
    seen.clear()
    updates(replace(method, registered=True), nets, batch)
    assert torch.equal(seen[0], batch["images"][:, 0]) and torch.equal(seen[1], batch["images"][:, 1])


@pytest.mark.parametrize(("weight", "missing"), [("weight_agreement", "agreement"), ("weight_pair", "pair")])
def test_a_weight_of_zero_takes_exactly_its_term_away(weight: str, missing: str) -> None:
    whole = small("modality_translator", modalities=3, weight_pair=1.0)
    without, batch = replace(whole, **{weight: 0.0}), cases(modalities=3)
    assert terms(whole, lent(whole), batch) - terms(without, lent(without), batch) == {f"translator/{missing}"}


def test_the_score_is_minus_the_share_of_the_error_of_doing_nothing() -> None:
    method, batch = small("modality_translator"), cases()
    nets = by_hand()
    nets["translator"] = Say(lambda x, j: x)
    found = method.measure(nets, batch)
    assert float(found["score"]) == pytest.approx(-1)
    first, second = batch["images"].unbind(1)
    assert float(found["of_doing_nothing"]) == pytest.approx(float((first - second).square().mean()), rel=1e-5)
    nets["translator"] = Say(lambda x, j: second if j else first)
    assert float(method.measure(nets, batch)["score"]) == 0


def test_losses_teach_only_their_own_player() -> None:
    method = small("modality_translator")
    nets = lent(method)
    critic, translator = updates(method, nets, cases())
    of_critic = sum(critic["critic"].values())
    unused = torch.autograd.grad(of_critic, [*nets["translator"].parameters()], retain_graph=True, allow_unused=True)
    assert all(gradient is None for gradient in unused)
    for term in ("gan", "class", "cycle"):
        gradients = torch.autograd.grad(translator["translator"][term], [*nets["translator"].parameters()], retain_graph=True)
        assert any(bool(gradient.any()) for gradient in gradients)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"modalities": 1}, "2-16 modalities"),
        ({"channels": 2}, "1 or 3 channels"),
        ({"width": 0}, "widths are 1-512"),
        ({"registered": False}, "weight_agreement=0 and weight_pair=0"),
    ],
)
def test_impossible_fields_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModalityTranslator(**fields)
