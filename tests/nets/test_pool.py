import pytest
import torch
from torch import Tensor

from chromogen.nets.pool import ImagePool


def numbered(first: int, count: int, side: int = 2) -> Tensor:
    """Images that can be told apart: image k is filled with k."""
    return torch.arange(first, first + count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, side, side)


def numbers(images: Tensor) -> list[int]:
    return [int(value) for value in images[:, 0, 0, 0]]


def test_the_first_images_pass_through_and_are_remembered() -> None:
    pool = ImagePool(5)
    assert numbers(pool(numbered(0, 3))) == [0, 1, 2]
    assert numbers(pool(numbered(3, 2))) == [3, 4]
    assert numbers(pool.images) == [0, 1, 2, 3, 4] and int(pool.count) == 5


def test_once_full_half_of_what_is_shown_is_older_and_nothing_is_shown_twice() -> None:
    torch.manual_seed(0)
    pool = ImagePool(50)
    pool(numbered(0, 50))
    shown = [number for first in range(50, 4050, 4) for number in numbers(pool(numbered(first, 4)))]
    old = sum(number != now for now, number in enumerate(shown, start=50))
    assert 0.47 < old / 4000 < 0.53  # two standard deviations are 0.016
    left = numbers(pool.images)
    assert sorted(shown + left) == list(range(4050)), "each image is shown once or waits in the pool"
    ages = [now - number for now, number in enumerate(shown, start=50) if number != now]
    assert 85 < sum(ages) / len(ages) < 115  # a place is drawn with probability 1/2 * 1/50: 100 images wait on average


@pytest.mark.parametrize("count", [1, 3, 8])
def test_equals_a_list_and_a_loop_for_the_same_draws(count: int) -> None:
    """The memory of the source as a script keeps it: a list, and one image after the other."""
    pool, memory = ImagePool(4), []
    for turn in range(30):
        images = numbered(count * turn, count)
        torch.manual_seed(turn)
        shown = numbers(pool(images))
        torch.manual_seed(turn)
        swaps, places = torch.rand(count).tolist(), torch.randint(4, (count,)).tolist()
        expected = []
        for number, swap, place in zip(numbers(images), swaps, places, strict=True):
            if len(memory) < 4:
                memory.append(number)
                expected.append(number)
            elif swap < 0.5:
                expected.append(memory[place])
                memory[place] = number
            else:
                expected.append(number)
        assert shown == expected and numbers(pool.images)[: len(memory)] == memory


def test_it_is_saved_with_a_training_and_taken_up_by_a_fresh_pool() -> None:
    pool = ImagePool(4)
    pool(numbered(1, 3))
    fresh = ImagePool(4)
    fresh.load_state_dict(pool.state_dict())
    assert torch.equal(fresh.images, pool.images) and int(fresh.count) == 3
    assert numbers(fresh(numbered(9, 1))) == [9] and numbers(fresh.images) == [1, 2, 3, 9]
    assert numbers(pool.images) == [1, 2, 3, 0], "they share no memory"
    with pytest.raises(RuntimeError, match="size mismatch"):
        ImagePool(5).load_state_dict(pool.state_dict())


def test_it_starts_anew_when_the_size_changes_and_carries_no_graph() -> None:
    pool = ImagePool(2)
    pool(numbered(1, 2))
    made = (numbered(7, 1, side=3) * torch.ones(1, requires_grad=True)).bfloat16()
    shown = pool(made)
    assert not shown.requires_grad and torch.equal(shown, made)
    assert pool.images.shape == (2, 3, 3, 3) and int(pool.count) == 1


def test_a_pool_of_none_hands_everything_through() -> None:
    images = numbered(0, 6)
    assert torch.equal(ImagePool(0)(images), images)
    with pytest.raises(ValueError, match="0 or more"):
        ImagePool(-1)
