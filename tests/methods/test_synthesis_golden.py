"""Golden losses of every method of synthesis and reading."""

import pytest
import torch

from chromogen import methods
from chromogen.train.step import make_optimizers, train_step
from tests.methods import golden
from tests.methods.synthesis_cases import DISTINCT, cases, lent, small


def twenty_losses(name: str) -> list[float]:
    method = small(name)
    modalities = getattr(method, "modalities", 1)
    nets = lent(method, modalities=modalities)
    optimizers = make_optimizers(method.players(), nets)
    torch.manual_seed(0)
    found = []
    for step in range(20):
        batch = cases(step, modalities=modalities)
        terms = train_step(method, nets, optimizers, [batch], step / 20)
        # what trains nothing has no losses: what it makes is scored in their place
        found.append(float(sum(terms.values())) if terms else float(method.measure(nets, batch)["score"]))
    return found


@pytest.mark.parametrize("name", DISTINCT)
def test_losses_of_twenty_steps_are_the_golden_ones(name: str) -> None:
    """The first are of fresh networks and sharp; Adam's first steps, of one length whatever the gradient, amplify rounding."""
    assert golden.disagreement(name, twenty_losses(name), first=2e-5, early=1e-2) == ""


def test_no_golden_losses_are_of_a_method_that_is_gone() -> None:
    staining = [
        f"{name}{v}" for name in methods.available("staining") for v in ["", *(f":{v}" for v in methods.variants(name))]
    ]
    known = {golden.file_of(name).name for name in (*staining, *DISTINCT)}
    assert {file.name for file in golden.FOLDER.iterdir()} <= known
