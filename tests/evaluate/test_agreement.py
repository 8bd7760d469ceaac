import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from chromogen.evaluate.agreement import (
    auc,
    class_aucs,
    confusion,
    dice,
    kendall,
    macro_auc,
    spearman,
)

CLASSES = ("0", "1+", "2+", "3+")


def readers(seed: int, cases: int, classes: int = 4) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    real = rng.integers(0, classes, cases)
    called = np.clip(real + rng.integers(-1, 2, cases), 0, classes - 1)
    return [CLASSES[k] for k in real], [CLASSES[k] for k in called]


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), cases=st.integers(30, 80))
def test_equals_scikit_learn(seed: int, cases: int) -> None:
    real, called = readers(seed, cases)
    found = confusion(real, called, CLASSES)
    assert np.array_equal(found.counts, metrics.confusion_matrix(real, called, labels=CLASSES))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(real, called))
    for weights in ("none", "linear", "quadratic"):
        expected = metrics.cohen_kappa_score(real, called, labels=CLASSES, weights=None if weights == "none" else weights)
        assert found.kappa(weights) == pytest.approx(expected)
    options = {"labels": CLASSES, "average": None, "zero_division": np.nan}
    assert [*found.recall.values()] == pytest.approx(metrics.recall_score(real, called, **options), nan_ok=True)
    assert [*found.precision.values()] == pytest.approx(metrics.precision_score(real, called, **options), nan_ok=True)
    if set(called) <= set(real):  # scikit-learn warns otherwise
        assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(real, called))


def test_confusion_by_hand() -> None:
    found = confusion(["0", "0", "3+", "1+"], ["0", "1+", "3+", "3+"], CLASSES)
    assert found.counts.tolist() == [[1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert found.accuracy == 0.5
    assert found.recall == pytest.approx({"0": 0.5, "1+": 0.0, "2+": math.nan, "3+": 1.0}, nan_ok=True)
    assert found.precision == pytest.approx({"0": 1.0, "1+": 0.0, "2+": math.nan, "3+": 0.5}, nan_ok=True)
    assert found.balanced_accuracy == 0.5  # of the three that occur
    # squared distances: found 1 + 4 = 5 over 4 cases; expected (2x1 + 2x2x9 + 1x1 + 1x2x4 + 1x1x9 + 1x1x4) = 60 over 16
    assert found.kappa("quadratic") == pytest.approx(1 - (5 / 4) / (60 / 16))


def test_absent_classes_keep_their_distance() -> None:
    """0 against 3+ is three steps also where 1+ and 2+ do not occur, so one such error weighs more than one of a step."""
    real, far, near = ["0", "0", "3+", "1+"], ["0", "3+", "3+", "1+"], ["0", "1+", "3+", "1+"]
    assert confusion(real, far, CLASSES).kappa("quadratic") < confusion(real, near, CLASSES).kappa("quadratic")
    only_ends = (["0", "0", "2+", "2+"], ["0", "2+", "2+", "2+"])
    squeezed = metrics.cohen_kappa_score(*only_ends, weights="linear")  # labels as they occur: 0 and 2+ are neighbours
    assert confusion(*only_ends, CLASSES).kappa("linear") == pytest.approx(squeezed)  # with two classes scale cancels
    three = (["0", "0", "1+", "3+", "3+"], ["0", "3+", "1+", "3+", "1+"])
    assert confusion(*three, CLASSES).kappa("quadratic") != pytest.approx(
        metrics.cohen_kappa_score(*three, weights="quadratic")
    )


def test_what_is_not_defined_is_nan() -> None:
    one = confusion(["0", "0"], ["0", "0"], CLASSES)
    assert one.accuracy == one.balanced_accuracy == 1.0
    assert all(math.isnan(one.kappa(weights)) for weights in ("none", "linear", "quadratic"))
    none = confusion([], [], CLASSES)
    assert math.isnan(none.accuracy) and math.isnan(none.balanced_accuracy) and math.isnan(none.kappa())
    assert math.isnan(auc([True, True], [0.1, 0.2])) and math.isnan(auc([False], [0.1])) and math.isnan(auc([], []))
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3])) and math.isnan(kendall([1, 2, 3], [2, 2, 2]))
    assert math.isnan(spearman([1, 2], [1, 2])) and math.isnan(kendall([1, 2], [2, 1]))
    assert math.isnan(macro_auc(["0", "0"], np.zeros((2, 4)), CLASSES))


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), cases=st.integers(4, 60), steps=st.integers(2, 30))
def test_rank_measures_equal_scikit_learn_scipy_and_plain_pairs(seed: int, cases: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, steps, (2, cases)).astype(float)  # few steps: many ties
    positive = rng.random(cases) < 0.5
    positive[:2] = True, False
    wins = [(a > b) + 0.5 * (a == b) for a in x[positive] for b in x[~positive]]
    assert auc(positive, x) == pytest.approx(np.mean(wins)) == pytest.approx(metrics.roc_auc_score(positive, x))
    if np.ptp(x) and np.ptp(y):
        pearson_of_ranks = np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1]
        assert spearman(x, y) == pytest.approx(pearson_of_ranks)
        signs = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i in range(cases) for j in range(i)]
        untied = math.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))
        assert kendall(x, y) == pytest.approx(sum(a * b for a, b in signs) / untied)


def test_macro_auc_equals_scikit_learn_where_all_classes_occur() -> None:
    rng = np.random.default_rng(0)
    real = [CLASSES[k] for k in [0, 1, 2, 3, *rng.integers(0, 4, 50)]]
    scores = rng.dirichlet(np.ones(4), len(real))
    expected = metrics.roc_auc_score(real, scores, multi_class="ovr", average="macro", labels=CLASSES)
    assert macro_auc(real, scores, CLASSES) == pytest.approx(expected)


def test_macro_auc_leaves_out_absent_classes() -> None:
    real, scores = ["0", "3+", "0"], np.array([[0.9, 0, 0, 0.5], [0.2, 0, 0, 0.4], [0.1, 0, 0, 0.3]])
    assert class_aucs(real, scores, CLASSES) == pytest.approx(
        {"0": 0.5, "1+": math.nan, "2+": math.nan, "3+": 0.5}, nan_ok=True
    )
    assert macro_auc(real, scores, CLASSES) == 0.5


def test_dice_by_hand() -> None:
    a, b = np.array([[True, True], [False, False]]), np.array([[True, False], [True, True]])
    assert dice(a, b) == pytest.approx(2 / 5) == pytest.approx(metrics.f1_score(a.ravel(), b.ravel()))
    assert dice(a, a) == 1.0 and dice(a, ~a) == 0.0
    assert math.isnan(dice(a & ~a, a & ~a)) and dice(a, a & ~a) == 0.0


def test_wrong_input_is_named() -> None:
    for call, sentence in [
        (lambda: confusion(["0"], ["4+"], CLASSES), r"case 0 has the predicted class '4\+'; there are: 0, 1\+"),
        (lambda: confusion(["0"], [], CLASSES), "got 0 and 1"),
        (lambda: confusion(["0"], ["0"], ["0", "0"]), "each class is named once"),
        (lambda: auc([True, False], [0.1]), "got 2 and 1"),
        (lambda: auc([True, False], [0.1, math.nan]), "score must be one number a case without NaN"),
        (lambda: spearman([1, 2, math.nan], [1, 2, 3]), "x must be one number a case"),
        (lambda: macro_auc(["0"], np.zeros((1, 3)), CLASSES), r"shape \(1 cases, 4 classes\), got \(1, 3\)"),
        (lambda: macro_auc(["5"], np.zeros((1, 4)), CLASSES), "no class is called 5"),
        (lambda: dice(np.zeros((2, 2)), np.zeros((2, 2))), "two boolean masks"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            call()
