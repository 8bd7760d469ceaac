import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from chromogen import methods
from chromogen.config import from_fields, to_fields
from chromogen.evaluate.pixels.modality_registration import registration
from chromogen.method import Measured, Renderer
from chromogen.methods.random_contrast import VARIANTS, RandomContrast
from chromogen.train.step import train_step

PLAIN = VARIANTS["plain"]
SIDE = 24


def drawing() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An organ of 16x16 px, cut in two by a line, with a lesion of 4x4 px in its lower half."""
    lines, organ = torch.zeros(1, 1, SIDE, SIDE), torch.zeros(1, 1, SIDE, SIDE)
    organ[..., 4:20, 4:20] = 1
    lines[..., 11, 4:20] = 1
    mask = torch.zeros(1, SIDE, SIDE, dtype=torch.long)
    mask[:, 14:18, 8:12] = 1
    return lines, organ, nn.functional.one_hot(mask).permute(0, 3, 1, 2).float()


def render(method: RandomContrast, seed: int = 0, label: torch.Tensor | None = None) -> torch.Tensor:
    lines, organ, planes = drawing()
    generator = torch.Generator().manual_seed(seed)
    return method.render(nn.ModuleDict(), lines, organ, planes if label is None else label, generator)


def test_regions_classes_and_outside_have_intensities_of_their_own() -> None:
    images = render(PLAIN)
    assert images.shape == (1, 4, 1, SIDE, SIDE)
    for image in images[0, :, 0].numpy():
        upper, lower, lesion = image[4:11, 4:20], image[13:20, 13:20], image[14:18, 8:12]
        for part in (upper, lower, lesion):
            assert np.ptp(part) == 0 and 0.15 <= part[0, 0] <= 0.95
        assert len({float(part[0, 0]) for part in (upper, lower, lesion)}) == 3
        assert set(np.unique(image[11, 4:20])) <= {upper[0, 0], lower[0, 0]}  # a line is a border, not a region
        outside = image.copy()
        outside[4:20, 4:20] = 0
        assert not outside.any() and len(np.unique(image)) == 4


def test_modalities_differ_and_lie_on_each_other() -> None:
    images = render(PLAIN, seed=3)[0, :, 0]
    assert len({float(image[5, 5]) for image in images}) == 4
    fields = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(5, 1, 64, 64)), (0, 0, 4, 4))
    tissues = torch.from_numpy(np.digitize(fields, np.quantile(fields, [0.3, 0.6, 0.8])))
    lines = ((tissues != tissues.roll(1, 2)) | (tissues != tissues.roll(1, 3))).float()
    organ = torch.zeros(5, 1, 64, 64)
    organ[..., 8:56, 8:56] = 1
    made = RandomContrast(modalities=2).render(nn.ModuleDict(), lines, organ, lines[:, :0], torch.Generator().manual_seed(0))
    assert registration(made[:, :, 0].numpy())[0].shift_px < 0.5


def test_images_depend_on_the_generator_alone_and_stay_in_range() -> None:
    method = RandomContrast(noise=0.5, texture=0.5, bias=2.0, channels=3)
    first, again, other = (render(method, seed) for seed in (1, 1, 2))
    assert first.shape == (1, 4, 3, SIDE, SIDE) and torch.equal(first, again) and not torch.allclose(first, other, atol=0.1)
    assert float(first.min()) == 0 and float(first.max()) == 1


@pytest.mark.parametrize("field", ["texture", "bias", "blur_px", "noise"])
def test_every_disturbance_changes_the_image(field: str) -> None:
    changed = render(dataclasses.replace(PLAIN, **{field: 0.5}))
    assert not torch.allclose(changed, render(PLAIN), atol=1e-3)


def test_an_image_class_and_no_label_are_no_regions() -> None:
    lines, _, _ = drawing()
    everywhere = torch.cat([torch.zeros_like(lines), torch.ones_like(lines)], dim=1)
    assert torch.equal(render(PLAIN, label=everywhere), render(PLAIN, label=lines[:, :0]))
    assert len(render(PLAIN, label=everywhere)[0, 0].unique()) == 3


def test_an_organ_full_of_lines_is_one_region() -> None:
    _, organ, _ = drawing()
    images = PLAIN.render(nn.ModuleDict(), organ, organ, organ[:, :0], torch.Generator().manual_seed(0))
    assert [len(image.unique()) for image in images[0]] == [2] * 4


def test_there_is_nothing_to_train() -> None:
    method = methods.load("random_contrast")
    assert (
        isinstance(method, Renderer)
        and isinstance(method, Measured)
        and methods.source_of("random_contrast").task == "synthesis"
    )
    assert len(method.networks()) == 0 and method.players() == {} and method.released == ()
    lines, organ, _ = drawing()
    batch = {"images": torch.rand(1, 4, 1, SIDE, SIDE), "lines": lines, "organ": organ, "index": torch.tensor([3])}
    assert train_step(method, method.networks(), {}, [batch], 0.0) == {}
    assert from_fields(RandomContrast, json.loads(json.dumps(to_fields(method)))) == method
    found = method.measure(method.networks(), batch)
    assert found == method.measure(method.networks(), batch) and found["score"] == -found["energy_distance"]
    with_mask = batch | {"mask": torch.ones(1, SIDE, SIDE, dtype=torch.long).tril()}
    assert method.pictures(nn.ModuleDict(), batch).shape == (1, 3, SIDE, 5 * SIDE)
    assert not torch.equal(method.pictures(nn.ModuleDict(), with_mask), method.pictures(nn.ModuleDict(), batch))


def test_wrong_fields_and_cases_are_named() -> None:
    with pytest.raises(ValueError, match="0 <= darkest <= brightest <= 1"):
        RandomContrast(darkest=0.5, brightest=0.2)
    with pytest.raises(ValueError, match="no strength may be negative"):
        RandomContrast(noise=-1.0)
    with pytest.raises(ValueError, match="belong to the same cases"):
        render(PLAIN, label=torch.zeros(2, 1, SIDE, SIDE))
