import numpy as np
import pytest
import skimage.color
import torch
import torch.nn.functional as F
from torch import nn

from chromogen.nets.wavelet_resnet import Bands, StridedDiscriminator, WaveletResnetGenerator, _BasicBlock, luma


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("bands, channels", [("grey", 4), ("colour", 12)])
def test_the_published_generator(bands: Bands, channels: int) -> None:
    """Counted by hand; no convolution before a norm has a bias. A block: two 3x3, two norms; 1x1 and a norm at a new width."""

    def block(c_in: int, c_out: int) -> int:
        shortcut = c_in * c_out + 2 * c_out if c_in != c_out else 0
        return 9 * c_in * c_out + 9 * c_out * c_out + 4 * c_out + shortcut

    edge = 49 * channels * 64
    stages = [block(64, 64), block(64, 64), block(64, 64), block(64, 128), *2 * [block(128, 128)]]
    stages += [block(128, 256), *2 * [block(256, 256)]]
    assert len(stages) == 9  # residual blocks, as told
    network = WaveletResnetGenerator(bands=bands)
    assert parameters(network) == edge + sum(stages) + 16 * 256 * 128 + 16 * 128 * 3 + 3
    strides = [m.stride for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert strides.count((2, 2)) == 2 and strides[0] == (1, 1)
    assert sum(isinstance(m, nn.ConvTranspose2d) for m in network.modules()) == 2


def test_the_published_discriminator() -> None:
    network = StridedDiscriminator()
    convolutions = [m for m in network if isinstance(m, nn.Conv2d)]
    assert [(m.kernel_size, m.stride) for m in convolutions] == 5 * [((4, 4), (2, 2))]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network) == sum(isinstance(m, nn.LeakyReLU) for m in network) == 4
    assert parameters(network) == 16 * (6 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 1 + 2 * (64 + 128 + 256 + 512)
    assert network(torch.zeros(1, 6, 64, 64)).shape == (1, 1, 2, 2)


def test_luma_against_scikit_image() -> None:
    image = np.random.default_rng(0).uniform(-1, 1, (2, 3, 5, 4)).astype(np.float32)
    expected = skimage.color.rgb2ycbcr(np.moveaxis(image, 1, -1))[..., 0]  # 16 + 219 * (weighted sum), its weights rounded
    assert np.allclose(luma(torch.from_numpy(image))[:, 0], (expected - 16) / 219, atol=1e-5)


@pytest.mark.parametrize("blocks", [1, 3])
def test_reach_is_the_receptive_field(blocks: int) -> None:
    """By the gradient of one pixel's sum, through positive weights so that no path cancels or is cut by a ReLU."""
    torch.manual_seed(0)
    network = WaveletResnetGenerator(4, blocks, edge_norm="batch").eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    found = 0
    for row in range(80, 84):  # rows differ: the network repeats itself every 4 px
        source = (0.01 + 0.001 * torch.rand(1, 3, 160, 160)).requires_grad_()
        network(source)[0, 0, row, 80].backward()
        assert source.grad is not None
        rows = source.grad.abs().sum((0, 1, 3)).nonzero()
        found = max(found, row - int(rows.min()), int(rows.max()) - row)
    assert found == WaveletResnetGenerator.reach_px(blocks)


def test_dropout_stands_in_the_last_stage_alone() -> None:
    drops = [name for name, m in WaveletResnetGenerator(8, 3, dropout=0.5).named_modules() if isinstance(m, nn.Dropout)]
    assert drops == [f"body.{k}.body.3" for k in (9, 10, 11)]


@torch.no_grad()
def test_widths_of_four_and_single_images() -> None:
    network = WaveletResnetGenerator(4, 1, "colour")
    made = network(torch.rand(1, 3, 64, 68) * 2 - 1)
    assert made.shape == (1, 3, 64, 68) and float(made.abs().max()) <= 1


def test_a_block_against_one_with_a_strided_shortcut() -> None:
    """He et al.'s form, written out; and its gradient with the channels last in memory, where that form corrupts memory."""
    torch.manual_seed(0)
    block = _BasicBlock(4, 8, 2, 0.0).eval()
    x = torch.randn(2, 4, 64, 62)
    conv1, norm1, relu, conv2, norm2 = block.body
    strided = F.conv2d(x, block.shortcut[0].weight, stride=2)  # type: ignore[index]
    expected = relu(norm2(conv2(relu(norm1(conv1(x))))) + block.shortcut[1](strided))  # type: ignore[index]
    assert torch.allclose(block(x), expected, atol=1e-6)

    gradients = []
    for order in (torch.contiguous_format, torch.channels_last):
        block = block.to(memory_format=order)  # type: ignore[call-overload]
        block.zero_grad()
        for _ in range(30):
            block(x.to(memory_format=order)).square().mean().backward()
        gradients.append([p.grad.clone() for p in block.parameters() if p.grad is not None])
    assert len(gradients[0]) == 9
    assert all(torch.allclose(one, other, rtol=1e-3, atol=1e-5) for one, other in zip(*gradients, strict=True))
