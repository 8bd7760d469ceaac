import pytest
import torch

from chromogen import methods
from chromogen.evaluate.reading.segmentation import dice_of_classes
from chromogen.losses import segmentation
from chromogen.losses.reading import Form
from chromogen.method import Measured, Optimizer, Source
from chromogen.methods.segmenter import METHOD, SOURCE, VARIANTS, Segmenter
from chromogen.tensors import CaseBatch
from chromogen.train.step import make_optimizers, train_step


def cases(count: int = 4, modalities: int = 2, channels: int = 1, size: int = 32) -> CaseBatch:
    """A bright box of class 1, and on it or beside it a dark one of class 2; in the second modality bright is dark."""
    generator = torch.Generator().manual_seed(0)
    images = 0.4 + 0.2 * torch.rand(count, modalities, channels, size, size, generator=generator)
    mask = torch.zeros(count, size, size, dtype=torch.int64)
    for number in range(count):
        for category, value in ((1, 0.9), (2, 0.1)):
            y, x = torch.randint(0, size - 10, (2,), generator=generator).tolist()
            mask[number, y : y + 8, x : x + 10] = category
            for modality in range(modalities):
                images[number, modality, :, y : y + 8, x : x + 10] = value if modality == 0 else 1 - value
    plain = torch.ones(count, 1, size, size)
    return {"images": images, "lines": plain, "organ": plain, "mask": mask, "index": torch.arange(count)}


@pytest.mark.parametrize("form", ["native", "squares"])
def test_it_learns_a_small_batch_and_every_weight_learns(form: Form) -> None:
    torch.manual_seed(0)
    weights = (0.5, 5.0, 25.0) if form == "squares" else ()
    method = Segmenter(classes=3, width=8, form=form, class_weights=weights, optimizer=Optimizer(lr=5e-3))
    nets, batch = method.networks().train(), cases(modalities=1)
    optimizers = make_optimizers(method.players(), nets)
    before = {name: p.detach().clone() for name, p in nets.named_parameters()}
    start = float(method.measure(nets, batch)["score"])
    for _ in range(70):
        terms = train_step(method, nets, optimizers, [batch], 0.0)
    assert not [name for name, p in nets.named_parameters() if torch.equal(p, before[name])]
    found = method.measure(nets.eval(), batch)
    assert start < 0.5 and float(found["score"]) > 0.9, (start, found, terms)


def test_the_score_is_the_mean_dice_of_lesion_classes() -> None:
    torch.manual_seed(0)
    method = Segmenter(modalities=2, classes=3, width=4)
    nets, batch = method.networks().eval(), cases(3)
    batch["mask"][0] = 0
    found = method.measure(nets, batch)
    each = []
    for modality in range(2):
        called = method.read(nets, batch["images"][:, modality], modality).argmax(1).numpy()
        each.append([dice_of_classes(called[n], batch["mask"][n].numpy(), 3)[k] for n in range(3) for k in (1, 2)])
        assert float(found[f"dice_{modality}"]) == pytest.approx(sum(each[-1]) / 6)
    assert float(found["score"]) == pytest.approx(sum(map(sum, each)) / 12)


def test_probabilities_and_pictures_stay_in_their_range() -> None:
    torch.manual_seed(0)
    for channels in (1, 3):
        method = Segmenter(modalities=2, channels=channels, classes=3, width=4)
        nets, batch = method.networks().eval(), cases(channels=channels)
        probability = method.read(nets, batch["images"][:, 1], 1)
        assert probability.shape == (4, 3, 32, 32)
        torch.testing.assert_close(probability.sum(1), torch.ones(4, 32, 32))
        shown = method.pictures(nets, batch)
        assert shown.shape == (4, 3, 32, 2 * 3 * 32) and 0 <= float(shown.min()) <= float(shown.max()) <= 1
        torch.testing.assert_close(shown[:, 0, :, :32], batch["images"][:, 0, 0])
        lesion = batch["mask"] > 0
        changed = (shown[:, :, :, 32:64] != shown[:, :, :, :32]).any(1)
        assert torch.equal(changed, lesion)


def test_presets_have_the_weights_of_the_specification() -> None:
    thesis = VARIANTS["thesis"]
    assert (thesis.modalities, thesis.classes, thesis.width) == (4, 5, 64)
    assert (thesis.weight_squares, thesis.class_weights) == (5.0, (0.5, 5.0, 25.0, 25.0, 25.0))
    assert (thesis.optimizer.lr, thesis.optimizer.betas, thesis.optimizer.weight_decay) == (1e-5, (0.5, 0.999), 0.0)
    assert METHOD.form == "native" and METHOD.weight_cross_entropy == METHOD.weight_dice == 1
    assert isinstance(METHOD, Measured) and METHOD.released == ("reader",)
    assert isinstance(SOURCE, Source) and SOURCE.task == "reading" and "segmenter" in methods.available("reading")


def test_terms_of_a_step_are_the_equations_times_their_weights() -> None:
    torch.manual_seed(0)
    batch = cases()
    for method in (
        Segmenter(modalities=2, classes=3, width=4, weight_cross_entropy=2.0, weight_dice=3.0),
        Segmenter(modalities=2, classes=3, width=4, form="squares", class_weights=(0.5, 5.0, 25.0)),
    ):
        nets = method.networks()
        (update,) = list(method.step(nets, batch, 0.0))
        logits = [nets["reader"](batch["images"][:, m], m) for m in range(2)]
        if method.form == "native":
            entropy = sum(segmentation.cross_entropy(one, batch["mask"]) for one in logits)
            dice = sum(segmentation.dice(one, batch["mask"]) for one in logits)
            expected = {"cross_entropy": 2.0 * entropy, "dice": 3.0 * dice}
        else:
            squares = sum(segmentation.weighted_squares(one, batch["mask"], (0.5, 5, 25)) for one in logits)
            expected = {"squares": 5.0 * squares}
        assert list(update) == ["reader"] and list(update["reader"]) == list(expected)
        for name, value in expected.items():
            torch.testing.assert_close(update["reader"][name], value)


def test_wrong_values_and_cases_are_sentences() -> None:
    with pytest.raises(ValueError, match="classes 2-256"):
        Segmenter(classes=1)
    with pytest.raises(ValueError, match="3 classes need as many class_weights \\(or none\\), got 2"):
        Segmenter(classes=3, class_weights=(1.0, 2.0))
    method = Segmenter(modalities=2, classes=2, width=4)
    nets = method.networks()
    with pytest.raises(ValueError, match="holds class 2; this segmenter knows 0-1: set `classes`"):
        next(method.step(nets, cases(), 0.0))
    unlabelled = cases()
    del unlabelled["mask"]
    with pytest.raises(ValueError, match="have no mask"):
        next(method.step(nets, unlabelled, 0.0))
    batch = cases(modalities=1)
    batch["mask"].clamp_(max=1)
    with pytest.raises(ValueError, match="knows 2 modalities and the cases have 1"):
        next(method.step(nets, batch, 0.0))


def test_a_small_start_is_small() -> None:
    torch.manual_seed(0)
    for small in (False, True):
        weight = Segmenter(width=16, small_start=small).networks()["reader"].readers[0].up4[0][0].weight
        assert (weight.std().item() == pytest.approx(0.02, rel=0.05)) == small
    assert VARIANTS["thesis"].small_start and not METHOD.small_start
