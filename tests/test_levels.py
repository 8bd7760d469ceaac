import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromogen.levels import LEVELS, level_from_name, level_from_text, name_without_level
from chromogen.phantom.tissue import phantom


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("00007_test_1+.png", 1),
        ("00118_test_0.png", 0),
        ("00011_train_3+", 3),
        ("HE/train/00011_Train_2+.PNG", 2),
        ("slide_2+.jpg", 2),
        ("patch_0.png", None),  # a number, not a level
        ("patch_3.png", None),
        ("00007_test_4+.png", None),
        ("00007_test_1+_virtual.png", None),
        ("1+.png", None),
        ("", None),
    ],
)
def test_names(name: str, level: int | None) -> None:
    assert level_from_name(name) == level


@given(
    st.integers(0, 99999), st.sampled_from(["train", "test", "val"]), st.sampled_from(range(4)), st.sampled_from(["", ".png"])
)
def test_every_bci_name_gives_its_level_and_loses_it(number: int, split: str, level: int, suffix: str) -> None:
    name = f"{number:05d}_{split}_{LEVELS[level]}{suffix}"
    assert level_from_name(name) == level
    assert name_without_level(name) == f"{number:05d}_{split}"


@pytest.mark.parametrize(
    ("text", "level"), [("0", 0), ("1+", 1), ("IHC 1+", 1), ("3", 3), (" her2 2+ ", 2), ("HER-2 IHC: 3+", 3), ("score 0", 0)]
)
def test_texts(text: str, level: int) -> None:
    assert level_from_text(text) == level


@pytest.mark.parametrize("text", ["", "4", "0+", "1-", "-1", "1++", "2.5", "positive", "12"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a HER2 level; write one of 0, 1\+, 2\+, 3\+"):
        level_from_text(text)


def test_there_is_one_list_of_levels() -> None:
    assert phantom.LEVELS is LEVELS
