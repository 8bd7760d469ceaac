"""Patients into training, validation and test; no patient in two of them, no synthetic case in the test split."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

SPLITS = ("train", "val", "test")


def shuffled(patients: Iterable[str], shares: tuple[float, float, float], seed: int) -> dict[str, str]:
    """Every patient's split: sorted by name, shuffled by `seed`, the first go to test, the next to val, the rest to train.

    A share above 0 gets at least one patient while one is left to train on; with too few patients val goes without first.
    """
    names = sorted(set(patients))
    order = [names[k] for k in np.random.default_rng([seed]).permutation(len(names))]
    total, left, sizes = sum(shares), len(names), {}
    for split, share in (("test", shares[2]), ("val", shares[1])):
        wanted = max(1, round(share / total * len(names))) if share > 0 else 0
        sizes[split] = min(wanted, left - 1 if shares[0] > 0 else left)
        left -= sizes[split]
    first = sizes["test"]
    return {
        name: "test" if place < first else "val" if place < first + sizes["val"] else "train"
        for place, name in enumerate(order)
    }


def divided(stated: Mapping[str, str], shares: tuple[float, float, float], seed: int, keep: bool) -> dict[str, str]:
    """Every patient's split, from what the layout states ("" for nothing). `keep` keeps the layout's own split.

    A layout that has a train and a test split but no val one gives `shares`' part of its training patients to val. Patients
    of no stated split are shuffled among themselves.
    """
    if not keep or not any(stated.values()):
        return shuffled(stated, shares, seed)
    given = {patient: split for patient, split in stated.items() if split}
    free = [patient for patient, split in stated.items() if not split]
    if "val" not in given.values() and shares[1] > 0:
        training = [patient for patient, split in given.items() if split == "train"]
        if len(training) > 1:
            part = shares[1] / (shares[0] + shares[1])
            given |= shuffled(training, (1 - part, part, 0.0), seed)
    return given | (shuffled(free, shares, seed) if free else {})


def parted(members: Iterable[tuple[str, str]]) -> list[str]:
    """A sentence for every patient that (patient, split) pairs put into several splits."""
    splits: dict[str, set[str]] = defaultdict(set)
    for patient, split in members:
        splits[patient].add(split)
    return [
        f"patient {patient!r} is in {' and '.join(sorted(found))}: what is learned would be tested on the same person; "
        "keep each patient in one split"
        for patient, found in splits.items()
        if len(found - {""}) > 1
    ]


def synthetic_tests(members: Sequence[tuple[str, str, str]]) -> list[str]:
    """A sentence for every synthetic case of the test split among (name, split, origin)."""
    return [
        f"{name} is synthetic and stands in the test split; a test on made images says nothing about patients: take it out"
        for name, split, origin in members
        if split == "test" and origin == "synthetic"
    ]
