import pytest
import torch
from torch import nn

from chromogen.nets.antialias import BlurDown
from chromogen.nets.discriminators import PatchDiscriminator, read_classes


@pytest.mark.parametrize("size", [64, 70, 256])
def test_blurred_and_strided_give_maps_of_one_size_and_have_the_same_weights(size: int) -> None:
    blurred, strided = (PatchDiscriminator(3, 4, 3, "instance", kind) for kind in ("blurred", "strided"))
    image = torch.rand(1, 3, size, size)
    assert blurred(image).shape == strided(image).shape == (1, 1, size // 8 - 2, size // 8 - 2)
    assert [p.shape for p in blurred.parameters()] == [p.shape for p in strided.parameters()]
    assert sum(isinstance(layer, BlurDown) for layer in blurred) == 3
    assert all(layer.stride == (1, 1) for layer in blurred if isinstance(layer, nn.Conv2d))


@pytest.mark.parametrize(("size", "layers"), [((64, 64), 5), ((16, 24), 3), ((96, 40), 5)])
def test_small_images_are_mirrored_up_to_what_the_last_convolutions_need(size: tuple[int, int], layers: int) -> None:
    net = PatchDiscriminator(3, 4, layers, "instance")
    image = torch.rand(1, 3, *size)
    least = 3 * 2**layers
    rows, columns = ((least - side) // 2 if side < least else 0 for side in size)
    padded = nn.functional.pad(image, (columns, columns, rows, rows), mode="reflect")
    assert min(padded.shape[2:]) == least and torch.equal(net(image), net(padded))
    assert net(image).shape[2:] == tuple(side // 2**layers - 2 for side in padded.shape[2:])


def test_large_enough_images_pass_untouched() -> None:
    net = PatchDiscriminator(3, 4, 3, "instance")
    image = torch.rand(1, 3, 24, 32)
    assert torch.equal(net(image), nn.Sequential.forward(net, image))


def test_classes_are_means_over_patches_behind_the_first_map() -> None:
    net = PatchDiscriminator(3, 4, 2, "instance", classes=4)
    maps = net(torch.rand(2, 3, 32, 32)).detach()
    verdict, classes = read_classes(maps)
    assert maps.shape == (2, 5, 6, 6) and torch.equal(verdict, maps[:, :1])
    by_hand = [[float(maps[n, 1 + c].sum()) / 36 for c in range(4)] for n in range(2)]
    assert torch.allclose(classes, torch.tensor(by_hand), atol=1e-6)
