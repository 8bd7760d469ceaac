import unicodedata
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromogen.data.names import comparable, is_split_like, natural_order, split_of_word, splits_spoken_of

NAMES = st.text(st.characters(blacklist_characters="/\0"), min_size=1, max_size=8) | st.text(
    "aAß1²٣⅓\uff10_ .", min_size=1, max_size=5
)


@given(st.lists(NAMES.filter(lambda name: name not in (".", "..")), max_size=6))
def test_the_order_is_total_and_forgets_where_names_came_from(names: list[str]) -> None:
    expected = sorted({Path(name) for name in names}, key=natural_order)
    assert sorted(reversed(expected), key=natural_order) == expected
    assert all(natural_order(a) < natural_order(b) or natural_order(b) < natural_order(a) for a, b in permutations(expected, 2))


@pytest.mark.parametrize(
    "names",
    [
        ("HE", "HE2"),
        ("Patient", "Patient2", "Patient10"),
        ("2.png", "10.png"),
        ("a1b", "A1b", "a1b2"),
        ("x²", "x³"),
        ("7", "a7"),
    ],
)
def test_natural_order(names: tuple[str, ...]) -> None:
    """None stands before a number behind it, small numbers before large; the digits of other scripts are text."""
    for mixed in permutations(map(Path, names)):
        found = [path.name for path in sorted(mixed, key=natural_order)]
        assert found == sorted(found, key=found.index) and set(found) == set(names)
        if names != ("a1b", "A1b", "a1b2"):
            assert found == list(names)


@pytest.mark.parametrize(
    "word, split",
    [
        ("train", "train"), ("Training", "train"), ("TRAIN", "train"), ("trainset", "train"), ("training_set", "train"),
        ("Testing", "test"), ("testset", "test"), ("testing_set", "test"), ("Test-Set", "test"), ("val", "val"),
        ("valid", "val"), ("Validation", "val"), ("validation set", "val"),
        ("", None), ("tests", None), ("test2", None), ("trainer", None), ("contest", None), ("TrainValAB", None),
    ],
)  # fmt: skip
def test_only_exact_words_are_splits(word: str, split: str | None) -> None:
    assert split_of_word(word) == split


@pytest.mark.parametrize(
    "word, splits",
    [
        ("test_images", {"test"}), ("TestData", {"test"}), ("testdata", {"test"}), ("test2", {"test"}), ("my-test", {"test"}),
        ("TrainValAB", {"train", "val"}), ("holdout", {"test"}), ("train_1", {"train"}), ("validation_images", {"val"}),
        ("testis", set()), ("contest", set()), ("trainer", set()), ("latest", set()), ("HE", set()), ("valley", set()),
    ],
)  # fmt: skip
def test_words_that_speak_of_a_split(word: str, splits: set[str]) -> None:
    assert splits_spoken_of(word) == splits and is_split_like(word) == bool(splits)


def test_names_are_compared_in_one_form() -> None:
    assert comparable(unicodedata.normalize("NFD", "Gewebe_ä")) == comparable(unicodedata.normalize("NFC", "Gewebe_ä"))
