import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from chromogen.evaluate.agreement import confusion
from chromogen.evaluate.reading.classification import class_scores, f1_of_classes, macro_f1

CLASSES = ("normal", "bacterial", "viral")


def read(seed: int, images: int) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    real = np.concatenate([[0, 1, 2], rng.integers(0, 3, images)])
    likely = rng.random((len(real), 3)) + 0.5 * np.eye(3)[real]
    return [CLASSES[k] for k in real], likely / likely.sum(axis=1, keepdims=True)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), images=st.integers(10, 40))
def test_scores_equal_scikit_learn(seed: int, images: int) -> None:
    real, likely = read(seed, images)
    called = [CLASSES[k] for k in likely.argmax(axis=1)]
    found = class_scores(real, likely, CLASSES, draws=20)
    assert found.accuracy.estimate == pytest.approx(metrics.accuracy_score(real, called))
    assert found.balanced_accuracy.estimate == pytest.approx(metrics.balanced_accuracy_score(real, called))
    f1 = metrics.f1_score(real, called, labels=CLASSES, average=None, zero_division=0)
    assert [*f1_of_classes(confusion(real, called, CLASSES)).values()] == pytest.approx(f1)
    assert found.macro_f1.estimate == pytest.approx(f1.mean())
    aucs = [metrics.roc_auc_score([one == name for one in real], likely[:, k]) for k, name in enumerate(CLASSES)]
    assert [one.estimate for one in found.auc.values()] == pytest.approx(aucs)
    assert found.macro_auc.estimate == pytest.approx(np.mean(aucs))
    for score in (found.accuracy, found.macro_f1, *found.auc.values()):
        assert score.low <= score.estimate <= score.high


def test_f1_of_a_class_that_is_absent_and_never_called_does_not_count() -> None:
    counts = confusion(["a", "a", "b"], ["a", "b", "b"], ("a", "b", "c"))
    assert f1_of_classes(counts) == pytest.approx({"a": 2 / 3, "b": 2 / 3, "c": math.nan}, nan_ok=True)
    assert macro_f1(counts) == pytest.approx(2 / 3)
    assert math.isnan(macro_f1(confusion([], [], CLASSES)))


def test_whole_patients_are_drawn() -> None:
    """Ten copies of a patient's images say no more than one: with patients named, intervals stay as wide."""
    real, likely = read(3, 27)
    patients = [f"p{k}" for k in range(len(real))]
    once = class_scores(real, likely, CLASSES, patients, draws=200).accuracy
    copied = class_scores(real * 10, np.tile(likely, (10, 1)), CLASSES, patients * 10, draws=200).accuracy
    images = class_scores(real * 10, np.tile(likely, (10, 1)), CLASSES, draws=200).accuracy
    assert copied.estimate == pytest.approx(once.estimate) and copied.units == once.units == len(real)
    assert copied.high - copied.low == pytest.approx(once.high - once.low)
    assert images.high - images.low < 0.5 * (once.high - once.low)


def test_an_absent_class_has_no_auc() -> None:
    likely = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.6, 0.3, 0.1], [0.5, 0.4, 0.1]])
    found = class_scores(["normal", "bacterial", "normal", "bacterial"], likely, CLASSES, draws=50)
    assert math.isnan(found.auc["viral"].estimate) and found.auc["normal"].estimate == found.macro_auc.estimate == 1.0


def test_wrong_arguments_are_sentences() -> None:
    with pytest.raises(ValueError, match="of shape \\(1 images, 3 classes\\), got \\(1, 2\\)"):
        class_scores(["viral"], np.ones((1, 2)), CLASSES)
    with pytest.raises(ValueError, match="no class is called fungal"):
        class_scores(["fungal"], np.ones((1, 3)), CLASSES)
