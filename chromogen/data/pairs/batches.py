"""Training batches as a pure function of seed and step, so that a resumed run needs only its step number.

Draw n of a run is decided by (seed, n) alone: which pair (place n % N in the order of epoch n // N) and how it is augmented.
So neither the number of workers, nor where the run was resumed, nor how many processes share it changes a byte. An order is a
permutation of the pairs, or with `sampling="weighted"` a shuffled sample in which each pair stands as often as its weight says.
"""

import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from chromogen.data.images import PairImages
from chromogen.data.order import Members, Order
from chromogen.data.pairs import quality, sampling
from chromogen.data.pairs.augment import augment
from chromogen.data.pairs.sets import Data, PairSet
from chromogen.levels import LEVELS
from chromogen.tensors import Batch, Uint8Image, signed_from_uint8

# First word after the seed: what a random stream is for.
_ORDER, _AUGMENTATION, _TARGETS = range(3)


def train_batches(
    data: Data, batch_size: int, seed: int, first_step: int, steps: int, workers: int = 0, rank: int = 0, world: int = 1
) -> Iterator[Batch]:
    """The batches of steps first_step ... first_step + steps - 1 for process `rank` of `world`.

    A batch holds `batch_size` images for this process; all processes together see batch_size * world of them, of which this
    one takes every world-th. With `workers`, as many processes read ahead. The global random state of torch is not touched.
    Raises ValueError for what is wrong with the data, in one sentence even when a worker found it. `sampling="weighted"` and
    `drop_worst` first look at every image once, in this process; the workers get their numbers.
    """
    pairs = data.open("train", readers=max(1, workers))
    batches = _Batches(data, pairs, batch_size, seed, rank, world)
    loader: DataLoader[Any] = DataLoader(
        batches,
        batch_size=None,  # an item of the dataset is already a batch
        sampler=range(first_step, first_step + steps),
        num_workers=workers,
        collate_fn=_unchanged,
        worker_init_fn=_leave_signals_to_the_parent,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else the loader draws its base seed from the global state
    )
    return _raising(loader)


def _raising(loader: "DataLoader[Any]") -> Iterator[Batch]:
    for batch in loader:
        if isinstance(batch, str):
            raise ValueError(batch)
        yield batch


class _Batches(Dataset[Batch | str]):
    """Batches by step; an error in the data is returned as its sentence, because workers wrap what they raise."""

    def __init__(self, data: Data, pairs: PairSet, batch_size: int, seed: int, rank: int, world: int) -> None:
        if batch_size < 1 or seed < 0 or not 0 <= rank < world:
            raise ValueError(f"batch_size {batch_size}, seed {seed} or rank {rank} of {world} is not possible")
        self.data, self.pairs, self.seed = data, pairs, seed
        self.batch_size, self.rank, self.world = batch_size, rank, world
        self.sources = _orders(data, pairs, seed)
        self.groups = np.unique(np.array(pairs.groups, dtype=str), return_inverse=True)[1]
        self.targets = Order(np.arange(pairs.target_count), (seed, _TARGETS))

    def __getitem__(self, step: int) -> Batch | str:
        first = step * self.batch_size * self.world
        try:
            return _stacked([self.draw(first + self.rank + k * self.world) for k in range(self.batch_size)], self.groups)
        except (ValueError, OSError) as error:
            return str(error)

    def draw(self, n: int) -> tuple[int, PairImages]:
        """Draw n of the run, counted over all processes: the pair's number in the set, and its augmented images."""
        turn, k = divmod(n, len(self.sources))
        index = self.sources[k].member(turn)
        images = self.pairs[index]
        if self.data.unpaired:
            images = replace(images, target=self.pairs.target(self.targets.member(n)))
        return index, augment(images, self.data, np.random.default_rng([self.seed, _AUGMENTATION, n]))


def _orders(data: Data, pairs: PairSet, seed: int) -> list[Order]:
    """The orders that take turns: one of all pairs that train, or with `class_balanced` one for every level that occurs."""
    members = np.setdiff1d(np.arange(len(pairs)), quality.worst(pairs, data.drop_worst))
    weights = sampling.weights(pairs, members) if data.sampling == "weighted" else None
    groups = _by_level(pairs, members) if data.class_balanced else [np.arange(len(members))]
    return [
        Order(members[places], (seed, _ORDER, k), None if weights is None else weights[places])
        for k, places in enumerate(groups)
    ]


def _by_level(pairs: PairSet, members: Members) -> list[Members]:
    """For every level that occurs, the places of its pairs among `members`."""
    unknown = [pairs.names[index] for index in members if pairs.levels[index] is None]
    if unknown:
        raise ValueError(
            f"class_balanced needs the HER2 level of every pair; {len(unknown)} of {len(members)} have none, for example "
            f"{unknown[0]}; name them as in 00007_train_1+.png or add a her2 column to the manifest"
        )
    levels = np.array([pairs.levels[index] for index in members])
    places = [np.flatnonzero(levels == level) for level in range(len(LEVELS))]
    return [found for found in places if len(found)]


def _stacked(drawn: list[tuple[int, PairImages]], groups: np.ndarray) -> Batch:
    pairs = [images for _, images in drawn]
    return {
        "source": signed_from_uint8(_stack([(pair.name, pair.source) for pair in pairs])),
        "target": signed_from_uint8(_stack([(pair.name, pair.target) for pair in pairs if pair.target is not None])),
        "level": torch.tensor([-1 if pair.level is None else pair.level for pair in pairs]),
        "index": torch.tensor([index for index, _ in drawn]),
        "group": torch.tensor([int(groups[index]) for index, _ in drawn]),
    }


def _stack(images: list[tuple[str, Uint8Image]]) -> np.ndarray:
    first_name, first = images[0]
    for name, image in images:
        if image.shape != first.shape:
            sizes = " and ".join(f"{n} of {i.shape[1]} x {i.shape[0]} px" for n, i in ((first_name, first), (name, image)))
            raise ValueError(f"one batch cannot hold {sizes}; set data.crop-px, or loop.batch-size 1")
    return np.stack([image for _, image in images])


def _unchanged(batch: Any) -> Any:
    return batch


def _leave_signals_to_the_parent(worker: int) -> None:
    """Ctrl-C reaches every process of the terminal, but only the training process may decide to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
