import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from chromogen.checkpoint import Card, save_model
from chromogen.infer import tiles
from chromogen.infer.stainer import load
from chromogen.methods.pix2pix import Pix2pix
from chromogen.methods.pyramid_pix2pix import PyramidPix2pix

TINY = {"pyramid": PyramidPix2pix(width=2, blocks=1), "unet": Pix2pix(width=2, depth=8)}


@pytest.fixture(scope="module", params=TINY)
def model_file(request, tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / f"{request.param}.safetensors"
    save_model(path, TINY[request.param], TINY[request.param].networks(), Card())
    return path


@settings(max_examples=10, deadline=None)
@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_any_size_from_one_pixel_up_keeps_its_size(model_file, he, height, width):
    stain = load(model_file, "cpu")
    image = he(height, width)
    before = image.copy()
    fake = stain(image)
    assert fake.shape == image.shape and fake.dtype == np.uint8
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(stain(image), fake)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2, 1), (3, 5), (65, 64)])
def test_the_smallest_sizes(model_file, he, size):
    assert load(model_file, "cpu")(he(*size)).shape == (*size, 3)


def test_dropout_and_batch_statistics_are_off(stainer_of, conv_net, he):
    """In training mode both would make the result depend on chance and on the other tiles of the batch."""
    net = conv_net().train()
    stain = stainer_of(net)
    whole = stain(he(100, 120))
    with torch.inference_mode():
        source = torch.from_numpy(he(100, 120)).permute(2, 0, 1)[None].float() / 127.5 - 1
        expected = conv_net()(source)[0].permute(1, 2, 0).numpy()
    assert np.abs(whole - (expected + 1) * 127.5).max() < 0.51
    assert net.training, "the caller's network was changed"


def test_gradients_are_not_kept(stainer_of, conv_net):
    prepared = stainer_of(conv_net()).prepared
    assert not prepared.translate(torch.zeros(1, 3, 8, 8)).requires_grad


def test_bf16_stays_within_a_grey_level_of_fp32(stainer_of, conv_net, he):
    image = he(200, 200)
    exact, quick = (stainer_of(conv_net(), precision=p)(image).astype(int) for p in ("fp32", "bf16"))
    assert 0 < np.abs(exact - quick).mean() < 1


def test_sides_may_be_views(stainer_of, conv_net, he):
    image, stain = he(130, 260), stainer_of(conv_net(), tile_px=96)
    np.testing.assert_array_equal(stain(image[::2, ::-1]), stain(image[::2, ::-1].copy()))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (np.zeros((8, 8), np.uint8), r"got a grey one \(8x8\); repeat it with numpy.dstack"),
        (np.zeros((8, 8, 1), np.uint8), "grey"),
        (np.zeros((8, 8, 4), np.uint8), r"got 8x8x4; keep the colours with he\[..., :3\]"),
        (np.zeros((2, 8, 8, 3), np.uint8), "one image at a time"),
        (np.zeros((8, 8, 3), np.uint16), r"got uint16; 16-bit values become uint8 with \(he >> 8\)"),
        (np.zeros((8, 8, 3), np.float32), r"got float32; values in \[0, 1\]"),
        (np.zeros((0, 8, 3), np.uint8), "at least one pixel"),
        (Image.new("RGB", (8, 8)), r"got Image; a Pillow image becomes one with numpy.asarray"),
        (torch.zeros(8, 8, 3, dtype=torch.uint8), "got Tensor"),
    ],
)
def test_other_arrays_are_refused_with_the_cure(stainer_of, conv_net, wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        stainer_of(conv_net())(wrong)


def test_the_cures_work(stainer_of, conv_net, he):
    stain, grey, deep = stainer_of(conv_net()), he(9, 9)[..., 0], he(9, 9).astype(np.uint16) << 8
    np.testing.assert_array_equal(stain(np.dstack([grey] * 3)).shape, (9, 9, 3))
    np.testing.assert_array_equal(stain((deep >> 8).astype("uint8")), stain(he(9, 9)))


def test_tile_and_batch_size_start_at_one(stainer_of):
    for fields in ({"tile_px": 0}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="start at 1"):
            stainer_of(nn.Identity(), **fields)


@pytest.mark.parametrize(
    "method", [PyramidPix2pix(width=4, blocks=1, norm="instance"), Pix2pix(width=4, depth=4, norm="instance")], ids=TINY
)
def test_instance_norm_sees_the_whole_image_whatever_the_tiles(method, tmp_path, he, monkeypatch):
    """Tile by tile, each tile would be normalised by its own mean and spread."""
    torch.manual_seed(0)
    nets = method.networks()
    for weights in nets["generator"].parameters():
        weights.data.mul_(5)  # fresh weights give an image that is almost flat
    save_model(tmp_path / "model.safetensors", method, nets, Card())
    image = he(300, 420)
    image[:, 200:] //= 3
    whole, tiled = (load(tmp_path / "model.safetensors", "cpu", "fp32", tile_px)(image) for tile_px in (1024, 96))
    assert whole.std() > 3
    np.testing.assert_array_equal(whole, tiled)
    monkeypatch.setattr(tiles, "WHOLE_PIXELS", 300 * 420 - 1)
    with pytest.raises(ValueError, match="420 x 300 pixels.*statistics of the whole image.*cut the image into smaller"):
        load(tmp_path / "model.safetensors", "cpu")(image)


def test_batch_norm_is_tiled():
    assert not any(method.tiling.whole_image for method in TINY.values())


@pytest.mark.gpu
def test_cuda_agrees_with_the_cpu(model_file, he):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    image = he(300, 280)
    here, there = (load(model_file, device, "fp32", tile_px=200)(image).astype(int) for device in ("cpu", "cuda"))
    assert np.abs(here - there).mean() < 0.1
