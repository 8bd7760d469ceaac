"""Training batches as a pure function of seed and step, so that a resumed run needs only its step number.

Draw n of a run is decided by (seed, n) alone: which pair (place n % N in the permutation of epoch n // N) and how it is
augmented. So neither the number of workers, nor where the run was resumed, nor how many processes share it changes a byte.
"""

import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from chromogen.data.augment import augment
from chromogen.data.images import PairImages
from chromogen.data.levels import LEVELS
from chromogen.data.pairs import Data, PairSet
from chromogen.tensors import Batch, Uint8Image, signed_from_uint8

# First word after the seed: what a random stream is for.
_ORDER, _AUGMENTATION, _TARGETS = range(3)


def train_batches(
    data: Data, batch_size: int, seed: int, first_step: int, steps: int, workers: int = 0, rank: int = 0, world: int = 1
) -> Iterator[Batch]:
    """The batches of steps first_step ... first_step + steps - 1 for process `rank` of `world`.

    A batch holds `batch_size` images for this process; all processes together see batch_size * world of them, of which this
    one takes every world-th. With `workers`, as many processes read ahead. The global random state of torch is not touched.
    Raises ValueError for what is wrong with the data, in one sentence even when a worker found it.
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
        self.by_level = _by_level(pairs) if data.class_balanced else [list(range(len(pairs)))]

    def __getitem__(self, step: int) -> Batch | str:
        first = step * self.batch_size * self.world
        try:
            return _stacked([self.draw(first + self.rank + k * self.world) for k in range(self.batch_size)])
        except (ValueError, OSError) as error:
            return str(error)

    def draw(self, n: int) -> PairImages:
        """Draw n of the run, counted over all processes."""
        turn, k = divmod(n, len(self.by_level))
        members = self.by_level[k]
        images = self.pairs[members[_shuffled(len(members), turn, self.seed, _ORDER, k)]]
        if self.data.unpaired:
            target = self.pairs.target(_shuffled(self.pairs.target_count, n, self.seed, _TARGETS))
            images = replace(images, target=target)
        return augment(images, self.data, np.random.default_rng([self.seed, _AUGMENTATION, n]))


def _shuffled(count: int, n: int, *stream: int) -> int:
    """Member n of an endless sequence that goes through range(count) in a new order every time."""
    epoch, place = divmod(n, count)
    return int(_order(count, epoch, stream)[place])


@lru_cache(maxsize=16)
def _order(count: int, epoch: int, stream: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng([*stream, epoch]).permutation(count)


def _by_level(pairs: PairSet) -> list[list[int]]:
    unknown = [name for name, level in zip(pairs.names, pairs.levels, strict=True) if level is None]
    if unknown:
        raise ValueError(
            f"class_balanced needs the HER2 level of every pair; {len(unknown)} of {len(pairs)} have none, for example "
            f"{unknown[0]}; name them as in 00007_train_1+.png or add a her2 column to the manifest"
        )
    members = [[index for index, found in enumerate(pairs.levels) if found == level] for level in range(len(LEVELS))]
    return [indices for indices in members if indices]


def _stacked(pairs: list[PairImages]) -> Batch:
    return {
        "source": signed_from_uint8(_stack([(pair.name, pair.source) for pair in pairs])),
        "target": signed_from_uint8(_stack([(pair.name, pair.target) for pair in pairs if pair.target is not None])),
        "level": torch.tensor([-1 if pair.level is None else pair.level for pair in pairs]),
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
