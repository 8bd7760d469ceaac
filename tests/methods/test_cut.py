import dataclasses

import pytest
import torch
import torch.nn.functional as F

from chromogen.methods.cut import CUT, VARIANTS
from chromogen.train.step import make_optimizers, train_step
from tests.methods.test_contract import batch, small


def terms_of(method: CUT, data: dict | None = None) -> dict[str, float]:
    torch.manual_seed(0)
    nets = method.networks().train()
    optimizers = make_optimizers(method.players(), nets)
    torch.manual_seed(1)
    return {name: float(value) for name, value in train_step(method, nets, optimizers, [data or batch()], 0.0).items()}


def test_fast_has_no_identity_and_weighs_its_contrast_tenfold() -> None:
    assert VARIANTS["fast"] == CUT(identity=False, mirror=True, weight_nce=10.0, schedule=VARIANTS["fast"].schedule)
    fast = dataclasses.replace(small("cut:fast"), mirror=False)
    slow = dataclasses.replace(fast, identity=True, weight_nce=20.0)
    found, both = terms_of(fast), terms_of(slow)
    assert found.keys() == both.keys() - {"generator/identity"}
    assert found["generator/nce"] == pytest.approx(both["generator/nce"], rel=1e-4)  # half of twice


@torch.no_grad()
def test_made_images_of_mirrored_sources_are_turned_back_before_they_are_compared() -> None:
    """Here the features are mirrored back whole; the method looks at mirrored places instead."""
    method = small("cut:fast")
    torch.manual_seed(0)
    nets = method.networks().train()
    generator, head, source = nets["generator"], nets["head"], batch()["source"]
    torch.manual_seed(1)
    coins = torch.rand(2) < 0.5
    assert coins.tolist() == [False, True]
    made = torch.cat([generator(source[:1]), generator(source[1:].flip(3))])
    queries, keys = (generator.features(x, generator.contrast_taps) for x in (made, source))
    queries = [torch.cat([x[:1], x[1:].flip(3)]) for x in queries]
    layers = []
    places = [torch.randperm(x.shape[2] * x.shape[3])[:16] for x in keys]
    seen = [[x.flatten(2)[:, :, at].mT for x, at in zip(features, places, strict=True)] for features in (queries, keys)]
    for query, key in zip(head(seen[0]), head(seen[1]), strict=True):
        for n in range(2):
            layers.append(F.cross_entropy(query[n] @ key[n].mT / 0.07, torch.arange(16)))
    expected = 10 * float(torch.stack(layers).mean())
    with torch.enable_grad():
        assert terms_of(method)["generator/nce"] == pytest.approx(expected, rel=1e-4)


def test_wrong_fields_are_named() -> None:
    with pytest.raises(ValueError, match="blocks 1-32"):
        CUT(blocks=0)
    with pytest.raises(ValueError, match="patches at least 2"):
        CUT(patches=1)
