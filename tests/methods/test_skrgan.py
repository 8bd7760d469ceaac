import numpy as np
import pytest
import torch
from scipy import ndimage

from chromogen.methods.skrgan import sketched
from tests.methods.test_samplers import cases, small


def smooth(seed: int, side: int = 24) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).random((side, side)), 2.0)


def test_a_sketch_equals_scipy() -> None:
    image = smooth(0)
    magnitude = np.hypot(*(ndimage.sobel(image, axis, mode="mirror") for axis in (0, 1)))
    low = ndimage.gaussian_filter(magnitude, 1.0, radius=1, mode="mirror")
    kept = ndimage.grey_opening(ndimage.grey_closing(low, size=3, mode="nearest"), size=3, mode="nearest")
    expected = (kept - kept.min()) / (kept.max() - kept.min())
    found = sketched(torch.from_numpy(image)[None, None].float())[0, 0].numpy()
    assert found == pytest.approx(expected, abs=1e-4)


def test_sketches_are_of_the_chosen_modality_or_the_lines() -> None:
    batch = cases(size=32)
    second = small("skrgan", 32, sketch_of=1)
    assert torch.allclose(second.sketches(batch), sketched(batch["images"][:, 1]), atol=1e-6)
    assert torch.equal(small("skrgan:lines", 32).sketches(batch), batch["lines"])


def test_the_renderer_sees_the_negative_of_real_sketches_and_has_an_l1_term() -> None:
    method, batch = small("skrgan"), cases()
    torch.manual_seed(0)
    nets = method.networks().train()
    seen = []
    nets["renderer"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    updates = method.step(nets, batch, 0.0)
    critics, makers = next(updates), next(updates)
    assert len(seen) == 1 and torch.equal(seen[0], 1 - method.sketches(batch))
    rendered = nets["renderer"](seen[0])
    expected = 100 * (rendered - batch["images"].flatten(1, 2)).abs().mean()
    assert makers["renderer"]["l1"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert set(critics) == {"critics"} and set(makers) == {"sketcher", "renderer"}


def test_a_sample_is_rendered_from_a_drawn_sketch() -> None:
    method = small("skrgan")
    torch.manual_seed(0)
    nets = method.networks().eval()
    seen = []
    nets["renderer"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    made = method.sample(nets, 2, torch.Generator().manual_seed(0))
    drawn = nets["sketcher"](torch.randn(2, 6, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(seen[0], 1 - drawn) and made.shape == (2, 2, 1, 16, 16)
