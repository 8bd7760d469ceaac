import dataclasses

import pytest
import torch

from chromogen import methods
from chromogen.losses import classification
from chromogen.method import Measured
from chromogen.methods.classifier import METHOD, RIGHT, SOURCE, UNKNOWN, VARIANTS, WRONG, Classifier
from chromogen.tensors import CaseBatch
from chromogen.train.step import make_optimizers, train_step


def cases(count: int = 6, modalities: int = 1, channels: int = 1, size: int = 32) -> CaseBatch:
    """Stripes of class 0 lie, those of class 1 stand, class 2 has none."""
    generator = torch.Generator().manual_seed(0)
    images = 0.3 * torch.rand(count, modalities, channels, size, size, generator=generator)
    category = torch.arange(count) % 3
    images[category == 0, :, :, ::4] += 0.7
    images[category == 1, :, :, :, ::4] += 0.7
    images[category == 2] += 0.35
    plain = torch.ones(count, 1, size, size)
    return {"images": images, "lines": plain, "organ": plain, "category": category, "index": torch.arange(count)}


@pytest.mark.parametrize("variant", ["", "thesis"])
def test_it_learns_a_small_batch_and_every_weight_learns(variant: str) -> None:
    torch.manual_seed(0)
    method = VARIANTS[variant] if variant else METHOD
    optimizer = dataclasses.replace(method.optimizer, lr=2e-3)
    method = dataclasses.replace(method, modalities=2, width=8, optimizer=optimizer)
    nets, batch = method.networks().train(), cases(modalities=2)
    optimizers = make_optimizers(method.players(), nets)
    before = {name: p.detach().clone() for name, p in nets.named_parameters()}
    for _ in range(60):
        terms = train_step(method, nets, optimizers, [batch], 0.0)
    assert not [name for name, p in nets.named_parameters() if torch.equal(p, before[name])]
    found = method.measure(nets.eval(), batch)
    assert float(found["score"]) == 1.0, (found, terms)
    probability = method.read(nets, batch["images"][:, 1], 1)
    assert probability.shape == (6, 3) and float(probability.min()) >= 0
    torch.testing.assert_close(probability.sum(1), torch.ones(6))
    assert torch.equal(probability.argmax(1), batch["category"])


def test_the_score_is_the_mean_recall_of_classes_that_occur() -> None:
    torch.manual_seed(0)
    method = Classifier(width=4)
    nets, batch = method.networks().eval(), cases()
    called = method.read(nets, batch["images"][:, 0], 0).argmax(1)
    batch["category"] = called.clone()
    batch["category"][0] = -1
    assert float(method.measure(nets, batch)["score"]) == 1.0
    one = int(called[1])
    batch["category"] = torch.tensor([-1, one, one, one, (one + 1) % 3, (one + 1) % 3])
    assert bool((called == one).all()), "this test needs a network that says one class of every image"
    found = method.measure(nets, batch)
    assert float(found["score"]) == 0.5 and float(found["accuracy_0"]) == pytest.approx(0.6)
    batch["category"][:] = -1
    assert bool(method.measure(nets, batch)["score"].isnan())


def test_pictures_say_right_wrong_or_unknown() -> None:
    torch.manual_seed(0)
    for channels in (1, 3):
        method = Classifier(channels=channels, width=4)
        nets, batch = method.networks().eval(), cases(3, channels=channels)
        called = method.read(nets, batch["images"][:, 0], 0).argmax(1)
        batch["category"] = torch.tensor([int(called[0]), (int(called[1]) + 1) % 3, -1])
        shown = method.pictures(nets, batch)
        assert shown.shape == (3, 3, 32, 32)
        torch.testing.assert_close(shown[:, :, -1, 0], torch.tensor([RIGHT, WRONG, UNKNOWN]))
        torch.testing.assert_close(shown[:, :1, :30], batch["images"][:, 0, :1, :30])


def test_presets_have_the_weights_of_the_specification() -> None:
    thesis = VARIANTS["thesis"]
    assert (thesis.network, thesis.form, thesis.classes, thesis.width) == ("patches", "squares", 3, 64)
    assert thesis.weight_squares == 0.5 and thesis.optimizer.lr == 1e-5 and thesis.optimizer.betas == (0.5, 0.999)
    assert METHOD.network == "vgg11" and METHOD.form == "native" and METHOD.weight_cross_entropy == 1
    assert isinstance(METHOD, Measured) and METHOD.released == ("reader",)
    assert SOURCE.task == "reading" and "classifier" in methods.available("reading")


def test_terms_of_a_step_are_the_equations_times_their_weights() -> None:
    torch.manual_seed(0)
    batch = cases(modalities=2)
    for method in (
        Classifier(modalities=2, width=4, weight_cross_entropy=2.0),
        Classifier(modalities=2, width=4, form="squares"),
    ):
        nets = method.networks()
        (update,) = list(method.step(nets, batch, 0.0))
        scores = [nets["reader"](batch["images"][:, m], m) for m in range(2)]
        if method.form == "native":
            expected = {"cross_entropy": 2.0 * sum(classification.cross_entropy(one, batch["category"]) for one in scores)}
        else:
            expected = {"squares": 0.5 * sum(classification.squares(one, batch["category"]) for one in scores)}
        assert list(update["reader"]) == list(expected)
        for name, value in expected.items():
            torch.testing.assert_close(update["reader"][name], value)


def test_wrong_values_and_cases_are_sentences() -> None:
    with pytest.raises(ValueError, match="classes 2-1000"):
        Classifier(classes=1)
    method = Classifier(classes=2, width=4)
    with pytest.raises(ValueError, match="of class 2; this classifier knows 0-1"):
        next(method.step(method.networks(), cases(), 0.0))
    unlabelled = cases()
    del unlabelled["category"]
    with pytest.raises(ValueError, match="have no category"):
        next(method.step(method.networks(), unlabelled, 0.0))
