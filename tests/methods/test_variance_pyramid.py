from dataclasses import replace

import numpy as np
import pytest
import torch

from chromogen.method import Losses, Method
from chromogen.methods import pyramid_pix2pix, variance_pyramid
from chromogen.methods.variance_pyramid import VariancePyramid
from chromogen.tensors import Batch
from tests.methods.test_contract import batch

SMALL = VariancePyramid(width=4, blocks=1, discriminator_width=4)


def generator_terms(method: Method, data: Batch) -> Losses:
    torch.manual_seed(0)
    nets = method.networks().train()
    *_, last = method.step(nets, data, 0.0)
    return last["generator"]


def test_it_is_pyramid_pix2pix_and_one_term() -> None:
    plain = replace(pyramid_pix2pix.METHOD, width=4, blocks=1, discriminator_width=4)
    before, after = (generator_terms(method, batch()) for method in (plain, SMALL))
    assert set(after) - set(before) == {"variance"}
    assert all(torch.equal(before[term], after[term]) for term in before)


def test_the_term_is_the_weighted_difference_of_variances() -> None:
    data = batch()
    torch.manual_seed(0)  # weights and dropout are drawn as in `generator_terms`
    fake = SMALL.networks().train()["generator"](data["source"]).detach().numpy()
    expected = 80 * np.abs(data["target"].numpy().var(0) - fake.var(0)).mean()
    assert float(generator_terms(SMALL, data)["variance"].detach()) == pytest.approx(expected, rel=1e-4)


def test_a_batch_of_one_trains_without_the_term() -> None:
    data: Batch = {"source": batch()["source"][:1], "target": batch()["target"][:1]}
    terms = generator_terms(SMALL, data)
    assert float(terms["variance"].detach()) == 0 and float(terms["l1"].detach()) > 0


def test_practice_mixes_the_levels_in_a_batch() -> None:
    practice = variance_pyramid.PRACTICE
    assert practice.class_balanced and practice.batch_size % 4 == 0


def test_impossible_fields_say_so() -> None:
    with pytest.raises(ValueError, match="weight_variance is 0 or more"):
        VariancePyramid(weight_variance=-1.0)
