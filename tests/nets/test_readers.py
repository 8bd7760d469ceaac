import pytest
import torch
from torch import nn

from chromogen.nets.readers import PatchClassifier, ReaderPerModality, SegmentationUNet, VGG11Classifier, read_each


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("size", [(16, 16), (24, 40), (32, 64)])
def test_segmentation_keeps_the_size_and_has_a_plane_a_class(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    assert SegmentationUNet(3, 5, 8)(torch.rand(2, 3, *size)).shape == (2, 5, *size)


@pytest.mark.parametrize("size", [(8, 8), (20, 24), (24, 36)])
def test_segmentation_of_other_sizes_is_a_sentence(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"multiples of 8, from 16 px; got {size[1]}x{size[0]} px"):
        SegmentationUNet(1, 2, 4)(torch.rand(1, 1, *size))


def test_the_segmenter_has_the_layers_of_its_table() -> None:
    """Weights and biases counted layer by layer for 5 channels, 1 class, width 64; a norm has a gain and a shift a channel."""
    convolutions = [(5, 64), (64, 64), (64, 64), (64, 128), (128, 128), (128, 128), (128, 256), (256, 256)]
    convolutions += [(256, 256), (256, 256), (512, 128), (128, 128), (128, 128), (256, 64), (64, 64)]
    convolutions += [(64, 64), (128, 64), (64, 64)]
    without_norm = 256 * 256 * 9 + 256 + 64 * 9 + 1  # the last halving and the output
    expected = sum(9 * a * b + 2 * b for a, b in convolutions) + without_norm
    assert parameters(SegmentationUNet(5, 1, 64)) == expected
    assert expected == pytest.approx(4.33e6, rel=0.005)  # that of the generator, without its planes for the modality


def test_nothing_fixes_how_much_of_an_image_a_class_takes_up() -> None:
    """With a norm in front of the output the mean of each plane would be the same for every image."""
    torch.manual_seed(0)
    network = SegmentationUNet(1, 2, 8)
    nn.init.normal_(network.out.weight)
    with torch.no_grad():
        flat, busy = network(torch.full((1, 1, 32, 32), 0.5)), network(torch.rand(1, 1, 32, 32))
    assert float((flat.mean((2, 3)) - busy.mean((2, 3))).abs().max()) > 0.05


def test_vgg11_has_eight_convolutions_and_one_linear_layer() -> None:
    network = VGG11Classifier(1, 3, 64)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [64, 128, 256, 256, 512, 512, 512, 512]
    assert [m.out_features for m in network.modules() if isinstance(m, nn.Linear)] == [3]


@pytest.mark.parametrize(("kind", "least"), [(VGG11Classifier, 16), (PatchClassifier, 32)])
def test_classifiers_give_a_score_a_class_at_any_size(kind: type[nn.Module], least: int) -> None:
    torch.manual_seed(0)
    network = kind(1, 3, 8)
    for size in [(least, least), (least + 5, 2 * least + 3)]:
        assert network(torch.rand(2, 1, *size)).shape == (2, 3)
    with pytest.raises(ValueError, match=f"from {least} px; got {least}x{least - 1} px"):
        network(torch.rand(1, 1, least - 1, least))


def test_a_patch_classifier_is_the_mean_over_its_map() -> None:
    torch.manual_seed(0)
    network = PatchClassifier(1, 3, 8).eval()
    image = torch.rand(2, 1, 64, 48)
    score_map = network.body(image)
    assert score_map.shape == (2, 3, 4, 3)
    torch.testing.assert_close(network(image), score_map.sum((2, 3)) / 12)


@pytest.mark.parametrize("kind", [VGG11Classifier, SegmentationUNet])
def test_an_image_is_read_alone_as_in_a_batch(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    network, images = kind(1, 3, 8), torch.rand(3, 1, 32, 32)
    torch.testing.assert_close(network(images)[1:2], network(images[1:2]), atol=1e-5, rtol=1e-4)


def test_each_modality_has_a_network_of_its_own() -> None:
    torch.manual_seed(0)
    reader = ReaderPerModality([VGG11Classifier(1, 3, 4) for _ in range(2)])
    images = torch.rand(2, 2, 1, 32, 32)
    first, second = read_each(reader, images, 2)
    torch.testing.assert_close(first, reader.readers[0](images[:, 0]))
    torch.testing.assert_close(second, reader.readers[1](images[:, 1]))
    first.sum().backward()
    assert all(p.grad is None for p in reader.readers[1].parameters())
    for modality in (-1, 2):
        with pytest.raises(ValueError, match=f"knows the modalities 0-1, got {modality}"):
            reader(images[:, 0], modality)
    with pytest.raises(ValueError, match="knows 3 modalities and the cases have 2"):
        list(read_each(reader, images, 3))
