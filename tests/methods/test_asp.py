import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from chromogen.methods.asp import ASP, METHOD
from chromogen.train.step import make_optimizers, train_step
from tests.methods.test_contract import batch, small


def test_trust_lasts_30_of_40_epochs_and_is_gone_at_the_end() -> None:
    found = [METHOD.trust(progress) for progress in (0.0, 0.5, 0.75, 0.8, 0.875, 1.0)]
    assert found == pytest.approx([1, 1, 1, 0.8, 0.5, 0])


@pytest.mark.parametrize(("progress", "alike"), [(0.7, True), (0.95, False)])
def test_late_in_training_pairs_that_agree_count_more(progress: float, alike: bool) -> None:
    """Until trust falls, the term is that of the start of training to the last digit."""
    method = small("asp")
    found = []
    for share in (0.0, progress):
        torch.manual_seed(0)
        nets = method.networks().train()
        terms = train_step(method, nets, make_optimizers(method.players(), nets), [batch()], share)
        found.append({name: float(value) for name, value in terms.items()})
    changed = {name for name in found[0] if found[0][name] != found[1][name]}
    assert changed == (set() if alike else {"generator/asp"})


def test_every_convolution_of_both_networks_has_spectral_norm() -> None:
    nets = small("asp").networks()
    convolutions = [m for name in ("generator", "discriminator") for m in nets[name].modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 3 + 2 + 2 + 1 + 7 and all(is_parametrized(m, "weight") for m in convolutions)
    assert not any(is_parametrized(m) for m in nets["head"].modules())


def test_wrong_fields_are_named() -> None:
    with pytest.raises(ValueError, match="trusted_share is a share of the run below 1"):
        ASP(trusted_share=1.0)
