import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.train.validation import _centre


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([4, 16, 32, 64]), st.integers(64, 100))
def test_a_validation_image_has_sides_a_network_takes_however_small_it_is(h: int, w: int, multiple: int, crop: int) -> None:
    image = np.random.default_rng(h).integers(0, 256, (h, w, 3), dtype=np.uint8)
    made = _centre(image, crop, multiple)
    wanted = [max(multiple, min(side, crop) // multiple * multiple) for side in (h, w)]
    assert list(made.shape[:2]) == wanted
    top, left = (max(0, (side - size) // 2) for side, size in zip((h, w), wanted, strict=True))
    inside = image[top : top + wanted[0], left : left + wanted[1]]
    assert np.array_equal(made[: inside.shape[0], : inside.shape[1]], inside)
