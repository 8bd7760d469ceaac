import numpy as np
import pytest
import torch

from chromogen.color import H_DAB, combine
from chromogen.nets.level_aware import LevelAwareGenerator, LevelGrader, Staining

EVEN = 0.25


def awake(width: int, blocks: int) -> LevelAwareGenerator:
    """With modulation at full strength, as after training."""
    torch.manual_seed(0)
    net = LevelAwareGenerator(width, blocks).double()
    with torch.no_grad():
        for modulation in net.modulations:
            modulation.weight.mul_(10)
    return net


def levels(height: int, width: int, images: int = 1) -> torch.Tensor:
    return torch.full((images, 4, height // 16, width // 16), EVEN, dtype=torch.double)


@pytest.mark.parametrize("size", [(32, 32), (48, 64), (64, 32)])
@pytest.mark.parametrize("stained", [True, False])
def test_it_keeps_size_and_range_and_grades_every_sixteenth_pixel(size: tuple[int, int], stained: bool) -> None:
    image = torch.rand(2, 3, *size) * 2 - 1
    grade = LevelGrader(4).requires_grad_(False)(image)
    made = LevelAwareGenerator(4, 2, stained).requires_grad_(False)(image, grade.softmax(1))
    assert made.shape == (2, 3, *size) and float(made.abs().max()) <= 1
    assert grade.shape == (2, 4, size[0] // 16, size[1] // 16)


def test_a_fresh_network_neither_saturates_nor_is_sure_of_a_level() -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    grade = LevelGrader(16).requires_grad_(False)(image)
    made = LevelAwareGenerator(16, 9).requires_grad_(False)(image, grade.softmax(1))
    assert float(made.std()) > 0.01 and float(made.abs().max()) < 0.98
    assert float(grade.softmax(1).max()) < 0.5


def test_staining_is_the_law_of_lambert_and_beer() -> None:
    maps = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    found = Staining()(maps)
    x = maps.double().numpy()
    density = (x + np.sqrt(x**2 + 0.04)) / 2
    colours = np.array([*H_DAB.vectors, (1.0, 1.0, 1.0)])
    colours /= np.linalg.norm(colours, axis=1, keepdims=True)
    expected = 2 * 10 ** -np.einsum("nshw,sc->nchw", density, colours) - 1
    assert found.detach().numpy() == pytest.approx(expected, abs=1e-5)


def test_staining_paints_what_color_calls_haematoxylin_and_dab() -> None:
    """With little else, a map of one stain has the colour that `color.combine` gives this stain."""
    for stain in range(2):
        maps = torch.full((1, 3, 1, 1), -20.0)
        maps[:, stain] = 0.5
        amounts = np.zeros((1, 1, 2))
        amounts[..., stain] = (0.5 + np.sqrt(0.29)) / 2 / np.linalg.norm(H_DAB.vectors[stain])
        expected = combine(amounts, H_DAB)[0, 0]
        assert (Staining()(maps)[0, :, 0, 0].detach().numpy() + 1) / 2 == pytest.approx(expected, abs=5e-3)


def test_what_has_gone_white_still_has_a_slope_to_come_back_by() -> None:
    maps = torch.full((1, 3, 1, 1), -3.0, requires_grad=True)
    Staining()(maps).sum().backward()
    assert maps.grad is not None and float(maps.grad.abs().min()) > 1e-4


def test_reach_covers_the_receptive_field() -> None:
    """The gradient of an output pixel is zero beyond `reach_px`, and not far inside it, in every phase of the coarse grid."""
    net, reach, seen = awake(4, 2), LevelAwareGenerator.reach_px(2), 0
    for place in (128, 133, 138, 143):
        image = torch.randn(1, 3, 272, 272, dtype=torch.double, requires_grad=True)
        net(image, levels(272, 272))[0, :, place, place].sum().backward()
        assert image.grad is not None
        touched = image.grad.abs().sum((0, 1)).nonzero()
        seen = max(seen, int((touched - place).abs().max()))
    assert reach - 12 <= seen <= reach


@pytest.mark.parametrize("window", [1, 3])
def test_the_graders_reach_covers_its_receptive_field(window: int) -> None:
    """From any pixel of a position and the neighbours it is blended with, when its map is resized."""
    net, reach, seen = LevelGrader(4, window).double(), LevelGrader.reach_px(window), 0
    for position in (8, 9):
        image = torch.randn(1, 3, 272, 272, dtype=torch.double, requires_grad=True)
        net(image)[0, :, position, position].sum().backward()
        assert image.grad is not None
        touched = image.grad.abs().sum((0, 1)).nonzero()
        farthest = [16 * position - 8, 16 * position + 23]  # bilinear: the map of a position reaches 1.5 positions
        seen = max(seen, *(int((touched - place).abs().max()) for place in farthest))
    assert reach - 16 <= seen <= reach


def test_what_is_believed_of_the_level_changes_the_picture() -> None:
    net, image = awake(4, 2).requires_grad_(False), torch.rand(1, 3, 64, 64, dtype=torch.double) * 2 - 1
    sure = torch.zeros(1, 4, 4, 4, dtype=torch.double)
    sure[:, 3] = 1  # "this is 3+"
    assert float((net(image, sure) - net(image, levels(64, 64))).abs().mean()) > 1e-4


def test_evidence_is_local() -> None:
    """Tissue beyond the window leaves the grade as it was."""
    net, image = LevelGrader(4, 3).double(), torch.rand(1, 3, 64, 256, dtype=torch.double)
    other = image.clone()
    other[..., 192:] = -1
    a, b = net(image), net(other)
    assert torch.equal(a[..., :8], b[..., :8]) and not torch.equal(a[..., 12:], b[..., 12:])
