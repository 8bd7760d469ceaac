import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chromogen.config import from_fields, nearest, to_fields
from chromogen.method import Optimizer


@dataclass(frozen=True)
class Inner:
    betas: tuple[float, float] = (0.5, 0.9)


@dataclass(frozen=True)
class Outer:
    count: int = 1
    rate: float = 0.5
    name: str = "x"
    kind: Literal["a", "b"] = "a"
    where: Path | None = None
    weights: tuple[float, ...] = ()
    inner: Inner = Inner()
    scores: dict[str, float] = field(default_factory=dict)


@given(
    st.builds(
        Outer, count=st.integers(), rate=st.floats(allow_nan=False, allow_infinity=False), name=st.text(),
        kind=st.sampled_from(["a", "b"]), where=st.none() | st.just(Path("a/b")),
        weights=st.lists(st.floats(allow_nan=False, allow_infinity=False)).map(tuple), scores=st.just({"s": 1.0}),
    )
)  # fmt: skip
def test_json_and_back_is_the_same_value(value: Outer) -> None:
    assert from_fields(Outer, json.loads(json.dumps(to_fields(value)))) == value


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"cuont": 1}, "no field 'cuont'; did you mean 'count'"),
        ({"count": 1.5}, "count: expected int, got 1.5"),
        ({"count": True}, "count: expected int"),
        ({"kind": "c"}, "kind: 'c' is not possible"),
        ({"inner": {"betas": [1.0]}}, "inner.betas: expected 2 values"),
        ({"inner": {"beta": 1}}, "no field 'inner.beta'"),
        ({"weights": [1, "x"]}, r"weights\[1\]: expected float"),
    ],
)
def test_a_wrong_field_is_named(fields: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        from_fields(Outer, fields)


def test_an_integer_is_a_fine_float() -> None:
    value = from_fields(Outer, {"rate": 2})
    assert value.rate == 2.0 and isinstance(value.rate, float)


def test_nearest_suggests_only_what_is_near() -> None:
    assert nearest("pix2pxi", ["pix2pix", "cut"]).startswith("did you mean 'pix2pix'?")
    assert nearest("zzzz", ["pix2pix", "cut"]) == "there are: cut, pix2pix"


def test_a_whole_number_in_a_field_of_floats_is_written_as_one() -> None:
    """What was written by hand and what was read back have one hash."""
    by_hand = to_fields(Optimizer(lr=1))
    assert (
        json.dumps(by_hand)
        == json.dumps(to_fields(from_fields(Optimizer, by_hand)))
        == json.dumps(to_fields(Optimizer(lr=1.0)))
    )
    assert '"lr": 1.0' in json.dumps(by_hand)
