import dataclasses

import pytest
import torch

from chromogen.methods.cyclegan import CycleGAN
from chromogen.train.step import make_optimizers, train_step
from tests.methods.test_contract import batch, small
from tests.methods.test_plain import plain


def test_equals_the_hand_written_step_when_the_pools_are_full() -> None:
    method = dataclasses.replace(small("cyclegan"), pool_images=3)
    ends = []
    for by_hand in (False, True):
        torch.manual_seed(3)
        nets = method.networks().train()
        optimizers = make_optimizers(method.players(), nets)
        for number in range(6):
            torch.manual_seed(number)
            if by_hand:
                plain("cyclegan").step(nets, optimizers, batch(number), method, 0.0)
            else:
                train_step(method, nets, optimizers, [batch(number)], 0.0)
        ends.append(nets.state_dict())
    assert int(ends[0]["pool_target.count"]) == 3 and int(ends[0]["pool_source.count"]) == 3
    for key, value in ends[0].items():
        close = torch.isclose(value.float(), ends[1][key].float(), rtol=1e-3, atol=2e-5)
        assert float(close.float().mean()) > 0.99, key


def test_discriminators_see_older_images() -> None:
    """With one remembered image and a swap, the loss on made images is that of the image before."""
    method = dataclasses.replace(small("cyclegan"), pool_images=1)
    torch.manual_seed(0)
    nets = method.networks().train()
    one = {key: value[:1] for key, value in batch(0).items()}
    other = {key: value[:1] for key, value in batch(1).items()}
    seed = next(seed for seed in range(20) if float(torch.rand(1, generator=torch.Generator().manual_seed(seed))) < 0.5)
    for step, data in enumerate((one, other)):
        torch.manual_seed(seed)
        losses = list(method.step(nets, data, 0.0))[1]["discriminators"]
        if step == 0:
            first = losses["fake_target"]
    assert torch.allclose(losses["fake_target"], first), "the second step was shown the first image"
    assert torch.allclose(nets["pool_target"].images, nets["to_target"](other["source"]), atol=1e-5)


@pytest.mark.parametrize("fields", [{"width": 0}, {"blocks": -1}, {"pool_images": -1}, {"discriminator_layers": 9}])
def test_impossible_fields_are_refused(fields: dict) -> None:
    with pytest.raises(ValueError, match="cyclegan: "):
        CycleGAN(**fields)
