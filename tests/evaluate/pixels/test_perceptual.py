from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from chromogen.evaluate.distribution.extractors import network_named
from chromogen.evaluate.distribution.extractors.network import IMAGENET_MEAN, IMAGENET_STD, FrozenNetwork
from chromogen.evaluate.distribution.extractors.vgg16 import VGG16
from chromogen.evaluate.pixels.perceptual import LPIPS_SCALE, LPIPS_SHIFT, Lpips, lpips, phv

CHANNELS = (64, 128, 256, 512, 512)


def noise(height: int, width: int, seed: int = 0, highest: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, highest, (height, width, 3), dtype=np.uint8)


def flat(*colour: int) -> np.ndarray:
    return np.broadcast_to(np.array(colour, dtype=np.uint8), (32, 40, 3)).copy()


class Echo:
    """A network whose first stage is its input and whose second is a hundredth of it, as (n, 3, h, w)."""

    def stages(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield "layer1", images
        yield "layer2", images / 100

    def pooled(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


def frozen(net: object, name: str) -> FrozenNetwork:
    return FrozenNetwork(name, net, 3, IMAGENET_MEAN, IMAGENET_STD, "0" * 64, lambda images: images, "as it is")  # type: ignore[arg-type]


def test_phv_by_hand() -> None:
    """Normalised means differ by 10 / 255 / 0.229 = 0.17 in red, by 0.0039 / 0.224 = 0.0175 in green, not in blue."""
    found = phv(flat(110, 101, 30), flat(100, 100, 30), frozen(Echo(), "resnet50"))
    assert found == {
        "phv[resnet50].layer1": pytest.approx(2 / 3),
        "phv[resnet50].layer2": 0.0,
        "phv[resnet50]": pytest.approx(1 / 3),
    }


def test_phv_looks_at_means_only() -> None:
    image = noise(32, 40)
    assert set(phv(image, image[::-1, ::-1], frozen(Echo(), "resnet50")).values()) == {0.0}
    board = flat(100, 100, 100)
    board[::2], board[1::2] = 80, 120
    assert set(phv(board, flat(100, 100, 100), frozen(Echo(), "resnet50")).values()) == {0.0}
    assert phv(image, noise(32, 40, highest=200), frozen(Echo(), "resnet50"))["phv[resnet50].layer1"] == 1.0


def test_the_range_bug_halves_every_difference() -> None:
    """(x + 1) / 2 for x in [0, 1]: green's 0.0175 falls under the threshold, red's 0.17 does not. The name tells."""
    network = frozen(Echo(), "resnet50@12345678")
    found = phv(flat(110, 101, 30), flat(100, 100, 30), network, compat_range_bug=True)
    assert found["phv-range-bug[resnet50@12345678].layer1"] == pytest.approx(1 / 3)
    assert all(name.startswith("phv-range-bug[") for name in found)
    with pytest.raises(ValueError, match="used resnet50; leave it out with efficientnet-lite0"):
        phv(flat(1, 2, 3), flat(1, 2, 3), frozen(Echo(), "efficientnet-lite0"), compat_range_bug=True)


def test_phv_of_efficientnet_lite0() -> None:
    network = network_named("efficientnet-lite0")
    image = noise(48, 64)
    found = phv(image, (image * 0.5).astype(np.uint8), network)
    stages = [*(f"phv[efficientnet-lite0].stage{k}" for k in range(1, 6)), "phv[efficientnet-lite0].head"]
    assert list(found) == [*stages, "phv[efficientnet-lite0]"]
    assert found["phv[efficientnet-lite0]"] == pytest.approx(np.mean([found[stage] for stage in stages]))
    assert set(phv(image, image, network).values()) == {0.0} and 0.1 < found["phv[efficientnet-lite0]"] <= 1.0
    means = []
    with torch.inference_mode():
        for one in (image, (image * 0.5).astype(np.uint8)):
            x = (torch.from_numpy(one).permute(2, 0, 1)[None].float() - 127) / 128
            means.append(dict(network.net.stages(x))["stage5"].numpy().mean(axis=(2, 3)))
    assert found["phv[efficientnet-lite0].stage5"] == pytest.approx((abs(means[0] - means[1]) > 0.01).mean(), abs=1e-2)


@pytest.fixture(scope="module")
def lpips_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Random weights under the names of the published files."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("lpips")
    save_file(VGG16().state_dict() | {"classifier.6.bias": torch.zeros(1000)}, folder / "vgg16.safetensors")
    heads = {f"lin{k}.model.1.weight": torch.rand(1, channels, 1, 1) for k, channels in enumerate(CHANNELS)}
    save_file(heads, folder / "heads.safetensors")
    return folder / "vgg16.safetensors", folder / "heads.safetensors"


def test_lpips_by_plain_loops(lpips_files: tuple[Path, Path]) -> None:
    measure = lpips(*lpips_files)
    images = noise(32, 48, 1), noise(32, 48, 2)
    stages = []
    for image in images:
        signed = image / 127.5 - 1
        x = (signed - np.array([-0.030, -0.088, -0.188])) / np.array([0.458, 0.448, 0.450])
        with torch.inference_mode():
            found = measure.network.net.stages(torch.from_numpy(x).permute(2, 0, 1)[None].float())
            stages.append([values[0].double().numpy() for _, values in found])
    expected = 0.0
    for ours, theirs, head in zip(*stages, measure.heads, strict=True):
        weights, (_, height, width) = head.flatten().double().numpy(), ours.shape
        for y in range(height):
            for x in range(width):
                a, b = ours[:, y, x], theirs[:, y, x]
                difference = a / (np.linalg.norm(a) + 1e-10) - b / (np.linalg.norm(b) + 1e-10)
                expected += float(weights @ difference**2) / (height * width)
    assert measure(*images) == pytest.approx(expected, rel=1e-4) and expected > 0
    assert measure(images[0], images[0]) == 0.0
    assert measure.name == f"lpips[vgg16@{measure.sha256[0][:8]}@{measure.sha256[1][:8]}]"


def test_lpips_in_one_place_by_hand() -> None:
    """Opposite corners of unit length differ by 1 in two channels, weights 0.5 and 0.25; five such stages."""

    class Corners:
        def stages(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
            bright = images.mean(dim=(2, 3))[:, 0] > (-LPIPS_SHIFT[0]) / LPIPS_SCALE[0]
            for k in range(5):
                yield str(k), torch.stack([bright.float(), 1 - bright.float()], dim=1)[:, :, None, None] * (k + 2)

    heads = (torch.tensor([0.5, 0.25]).view(1, 2, 1, 1),) * 5
    measure = Lpips("lpips[corners]", frozen(Corners(), "corners"), heads, ("", ""))
    assert measure(flat(255, 255, 255), flat(0, 0, 0)) == pytest.approx(5 * 0.75, rel=1e-6)


def test_heads_that_do_not_fit_are_refused(lpips_files: tuple[Path, Path], tmp_path: Path) -> None:
    save_file({"lin0.model.1.weight": torch.zeros(1, 64, 1, 1)}, tmp_path / "few.safetensors")
    with pytest.raises(ValueError, match="few.safetensors does not hold the weights of Heads: 4 differ"):
        lpips(lpips_files[0], tmp_path / "few.safetensors")
    with pytest.raises(ValueError, match="does not hold the weights of VGG16"):
        lpips(lpips_files[1], lpips_files[1])


@pytest.mark.parametrize(
    ("prediction", "sentence"),
    [
        (np.zeros((32, 40, 3)), "the prediction must be uint8 RGB.*float64"),
        (np.zeros((32, 40), dtype=np.uint8), r"the prediction must be uint8 RGB.*\(32, 40\)"),
        (np.zeros((31, 40, 3), dtype=np.uint8), r"at least 32 px a side, got uint8 \(31, 40, 3\)"),
        (np.zeros((40, 32, 3), dtype=np.uint8), "the prediction is 32x40 px, its target 40x32 px"),
    ],
)
def test_other_images_are_refused(prediction: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        phv(prediction, flat(0, 0, 0), frozen(Echo(), "resnet50"))
    with pytest.raises(ValueError, match=sentence):
        Lpips("lpips[echo]", frozen(Echo(), "echo"), (), ("", ""))(prediction, flat(0, 0, 0))
