import dataclasses

import pytest
import torch

from chromogen.method import Optimizer
from chromogen.methods.wecrest import WeCREST
from chromogen.train.step import make_optimizers, train_step
from tests.methods.test_contract import batch, small


def test_rho_stays_in_its_range_however_large_the_steps() -> None:
    torch.manual_seed(0)
    method = dataclasses.replace(small("wecrest"), optimizer=Optimizer(lr=0.3))
    nets = method.networks().train()
    optimizers = make_optimizers(method.players(), nets)
    for number in range(3):
        train_step(method, nets, optimizers, [batch(number)], 0.0)
    rhos = torch.cat([p.detach() for name, p in nets.named_parameters() if name.endswith("rho")])
    assert float(rhos.min()) == 0 and float(rhos.max()) == 1, "some were beyond their range and are at its ends now"
    assert len(rhos) == 2 * (2 * 16 + 8 + 4)


def test_unknown_levels_teach_nothing_and_known_ones_count_alone() -> None:
    method = small("wecrest")
    torch.manual_seed(0)
    nets = method.networks().eval()  # spectral norms stand still

    def classes(levels: list[int]) -> list[float]:
        updates = method.step(nets, {**batch(), "level": torch.tensor(levels)}, 0.0)
        return [float(terms["class"].detach()) for update in updates for terms in update.values()]

    assert classes([-1, -1]) == [0.0, 0.0]
    first, second, both = classes([1, -1]), classes([-1, 2]), classes([1, 2])
    assert both == pytest.approx([(a + b) / 2 for a, b in zip(first, second, strict=True)], rel=1e-5)


def test_a_generator_is_asked_for_the_style_of_its_own_target() -> None:
    """With no more styles than images, another number of the same pair is another demand on both players."""
    method = dataclasses.replace(small("wecrest"), styles=4)
    torch.manual_seed(0)
    nets = method.networks().eval()

    def adversarial(index: list[int]) -> list[float]:
        updates = method.step(nets, {**batch(), "index": torch.tensor(index)}, 0.0)
        return [float(terms["adversarial"].detach()) for update in updates for terms in update.values()]

    assert adversarial([0, 1]) == pytest.approx(adversarial([4, 5])), (
        "numbers are shared when there are more images than styles"
    )
    found, other = adversarial([0, 1]), adversarial([2, 3])
    assert all(abs(a - b) > 1e-5 for a, b in zip(found, other, strict=True))


@pytest.mark.parametrize("fields", [{"width": 0}, {"blocks": 0}, {"styles": 0}, {"local_layers": 2}, {"global_layers": 9}])
def test_impossible_fields_are_refused(fields: dict) -> None:
    with pytest.raises(ValueError, match="wecrest: "):
        WeCREST(**fields)
