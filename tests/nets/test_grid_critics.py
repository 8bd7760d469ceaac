import pytest
import torch

from chromogen.nets.grid_critics import TileCritic, tiles


def test_tiles_written_out() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    cut = tiles(torch.cat([image, image + 100]), 2)
    assert cut.shape == (8, 1, 2, 2)
    assert cut[:4, 0].flatten(1).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert torch.equal(cut[4:], cut[:4] + 100)
    assert torch.equal(tiles(image, 1), image)


def test_tiles_of_several_channels_and_unequal_sides() -> None:
    image = torch.randn(2, 3, 8, 12)
    cut = tiles(image, 4)
    for number, tile in enumerate(cut):
        n, row, column = number // 16, number // 4 % 4, number % 4
        assert torch.equal(tile, image[n, :, 2 * row : 2 * row + 2, 3 * column : 3 * column + 3])
    with pytest.raises(ValueError, match="12x8 px cannot be cut into 3x3"):
        tiles(image, 3)


def test_a_score_is_that_of_one_tile_alone() -> None:
    torch.manual_seed(0)
    critic, x = TileCritic(3, 4, 2), torch.randn(5, 3, 16, 16, requires_grad=True)
    scores = critic(x)
    assert scores.shape == (5,)
    scores[2].backward()
    assert x.grad is not None and [bool((g != 0).any()) for g in x.grad] == [False, False, True, False, False]


@pytest.mark.parametrize("layers", [2, 3])
def test_reach_and_least_size(layers: int) -> None:
    critic = TileCritic(3, 4, layers).double()
    assert critic(torch.zeros(1, 3, 2**layers, 2**layers, dtype=torch.double)).shape == (1,)
    with pytest.raises(ValueError, match=f"at least {2**layers} px"):
        critic(torch.zeros(1, 3, 2**layers - 1, 64, dtype=torch.double))
    image = torch.randn(1, 3, 128, 128, dtype=torch.double, requires_grad=True)
    critic.body(image)[0, 0, 8, 8].backward()
    rows = image.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 5 * 2**layers - 2
