import pytest
import torch

from chromogen.nets.level_aware import LevelAwareGenerator


def awake(width: int, blocks: int, window: int) -> LevelAwareGenerator:
    """With modulation and blocks at full strength, as after training."""
    torch.manual_seed(0)
    net = LevelAwareGenerator(width, blocks, 8, window).double()
    with torch.no_grad():
        for modulation in net.modulations:
            modulation.weight.mul_(10)
    return net


@pytest.mark.parametrize("size", [(32, 32), (48, 64), (64, 32)])
def test_it_keeps_size_and_range_and_grades_every_sixteenth_pixel(size: tuple[int, int]) -> None:
    made, levels = LevelAwareGenerator(4, 2, 4).requires_grad_(False)(torch.rand(2, 3, *size) * 2 - 1)
    assert made.shape == (2, 3, *size) and float(made.abs().max()) <= 1
    assert levels.shape == (2, 4, size[0] // 16, size[1] // 16)


def test_a_fresh_network_neither_saturates_nor_is_sure_of_a_level() -> None:
    torch.manual_seed(0)
    made, levels = LevelAwareGenerator(16, 9, 16).requires_grad_(False)(torch.rand(2, 3, 64, 64) * 2 - 1)
    assert float(made.std()) > 0.01 and float(made.abs().max()) < 0.98
    assert float(levels.softmax(1).max()) < 0.5


@pytest.mark.parametrize("window", [1, 3])
def test_reach_covers_the_receptive_field(window: int) -> None:
    """The gradient of an output pixel is zero beyond `reach_px`, and not far inside it, in every phase of the coarse grid."""
    net, reach, seen = awake(4, 2, window), LevelAwareGenerator.reach_px(2, window), 0
    for place in (128, 133, 138, 143):
        image = torch.randn(1, 3, 272, 272, dtype=torch.double, requires_grad=True)
        net(image)[0][0, :, place, place].sum().backward()
        assert image.grad is not None
        touched = image.grad.abs().sum((0, 1)).nonzero()
        seen = max(seen, int((touched - place).abs().max()))
    assert reach - 12 <= seen <= reach


def test_what_it_believes_of_the_level_changes_the_picture() -> None:
    net, image = awake(4, 2, 1).requires_grad_(False), torch.rand(1, 3, 64, 64, dtype=torch.double) * 2 - 1
    before, _ = net(image)
    with torch.no_grad():
        net.reader.grade.bias[3] += 5  # "this is 3+"
    after, levels = net(image)
    assert bool((levels.argmax(1) == 3).all()) and float((after - before).abs().mean()) > 1e-4


def test_evidence_is_local() -> None:
    """Tissue beyond the window leaves the grade as it was."""
    net, image = awake(4, 1, 3), torch.rand(1, 3, 64, 256, dtype=torch.double)
    other = image.clone()
    other[..., 192:] = -1
    (_, a), (_, b) = net(image), net(other)
    assert torch.equal(a[..., :8], b[..., :8]) and not torch.equal(a[..., 12:], b[..., 12:])
