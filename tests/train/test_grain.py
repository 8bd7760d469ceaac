import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chromogen.tensors import Batch, uint8_from_signed
from chromogen.train.grain import grained


def of(images: np.ndarray) -> Batch:
    signed = torch.from_numpy(images.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2)
    return {"source": signed, "target": torch.zeros(1, 3, 4, 4).uniform_(-1, 1), "level": torch.tensor([2])}


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(0, 255)] * 3), st.integers(4, 40), st.integers(4, 40))
def test_a_flat_image_gets_noise_that_no_file_would_show(colour: tuple[int, int, int], height: int, width: int) -> None:
    flat = np.full((1, height, width, 3), colour, dtype=np.uint8)
    made = grained(of(flat))
    assert np.array_equal(uint8_from_signed(made["source"]), flat)
    assert float(made["source"].std(dim=(2, 3)).min()) > 0.0005 and float(made["source"].abs().max()) <= 1
    assert torch.equal(made["source"], grained(of(flat))["source"]), "chance must not depend on what was blank before"


def test_one_dark_pixel_in_a_blank_image_does_not_make_it_safe() -> None:
    """Deviation 0.04 grey levels: still nothing for a norm to divide by."""
    image = np.full((1, 256, 256, 3), 255, dtype=np.uint8)
    image[0, 100, 100] = 245
    assert float(grained(of(image))["source"][..., :50, :50].std()) > 0.0005


@pytest.mark.parametrize("side", ["source", "target"])
def test_other_images_keep_their_bits(side: str) -> None:
    """Also faint ones: stripes two grey levels apart."""
    image = np.full((1, 16, 16, 3), 240, dtype=np.uint8)
    image[:, ::2] += 2
    data = of(image)
    data[side] = torch.cat([data["source"], torch.full((1, 3, 16, 16), 0.25)])  # type: ignore[literal-required]
    made = grained(data)
    assert torch.equal(made[side][0], data[side][0]) and not torch.equal(made[side][1], data[side][1])  # type: ignore[literal-required]
    assert torch.equal(made["level"], data["level"])
