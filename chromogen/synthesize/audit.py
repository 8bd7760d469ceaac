"""Does a made case repeat a patient? Evidence, case by case and for the set; no guarantee of privacy.

Every made case is compared with all training cases by correlation under mirroring, turns and shifts, and by its distance in
features; validation cases say how alike strangers are, or, where there are none, training cases of different patients. The
test split has no say: what is kept must not be chosen by the cases that judge it. A copy resembles a training case more than
the chosen percentile of strangers do, and by more than it resembles other patients: a blurred mean of all patients resembles
all, and copies none.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chromogen.data.cases.prepared import Prepared
from chromogen.evaluate.privacy.copies import detail, nearest_by_correlation, reduced
from chromogen.evaluate.privacy.nearness import authenticity, nearness
from chromogen.synthesize.made import MadeCase

FEATURES_PX = 8  # side of the area means that distances are taken between


@dataclass(frozen=True, kw_only=True)
class Gate:
    """When a made case counts as a copy of a training case."""

    percentile: float = 95.0  # of how much strangers resemble their nearest training case
    shift_px: int = 2  # at `side_px`
    side_px: int = 32
    band_px: tuple[float, float] = (0.5, 2.0)  # detail between these Gaussians is compared: all chests are alike at a glance
    real_cases: int = 2000  # at most, of each side, evenly spaced


class Audit:
    """Compares made cases, a batch at a time, with the training cases, by limits that strangers to these set."""

    def __init__(self, prepared: Prepared, gate: Gate) -> None:
        self.gate, self.prepared = gate, prepared
        self.train, self.held_out = self._some("train"), self._some("val")
        self.real = {"train": self._pictures(self.train), "held_out": self._pictures(self.held_out)}
        self.features = {split: _features(images) for split, images in self.real.items()}
        self._details: dict[str, np.ndarray] = {}
        self.patients = {"train": self._patients(self.train), "held_out": self._patients(self.held_out)}
        strangers = f"{len(self.held_out)} validation cases" if len(self.held_out) else "training cases of other patients"
        self.against = f"{len(self.train)} training cases; strangers are {strangers}, the test split has no say"
        self.threshold: float | None = None  # None: a single patient in all
        self.margin: float | None = None  # None: too few patients, so that only the threshold counts
        near, apart = self._of_strangers()
        if len(near):
            self.threshold = float(np.percentile(near, gate.percentile))
        if len(apart):
            self.margin = float(np.percentile(apart, gate.percentile))

    def look(self, cases: Sequence[MadeCase]) -> list[dict[str, Any]]:
        """Of each case the training case it resembles most, how much, how moved, and whether it is a copy."""
        images = reduced(np.stack([_channels_last(case.images) for case in cases]), self.gate.side_px)
        details = detail(images, self.gate.band_px)
        found = nearest_by_correlation(details, self._detail("train"), self.gate.shift_px)
        copies = np.zeros(len(cases), bool)
        if self.threshold is not None:
            copies = found.ncc > self.threshold
        if self.margin is not None:
            others = self._resembling_others(details, self.patients["train"][found.real], np.full(len(cases), ""))
            copies &= found.ncc - others > self.margin
        near = authenticity(_features(images), self.features["train"])
        return [
            {
                "nearest": self.prepared.index.cases[int(self.train[real])].name,
                "ncc": round(float(ncc), 4),
                "moved": transform,
                "copy": bool(copy),
                "authentic": bool(authentic),
                "features": [round(float(value), 4) for value in row],
            }
            for real, ncc, transform, authentic, row, copy in zip(
                found.real, found.ncc, found.transform, near.authentic, _features(images), copies, strict=True
            )
        ]

    def summary(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Of the whole set, copies included: nearness (0.5: training cases are no nearer than strangers), authenticity."""
        found = [record["audit"] for record in records]
        facts: dict[str, Any] = {
            "compared_with": self.against,
            "threshold_ncc": self.threshold,
            "margin_ncc": self.margin,
            "percentile": self.gate.percentile,
            "copies": sum(one["copy"] for one in found),
            "cases": len(found),
            "authentic_share": float(np.mean([one["authentic"] for one in found])) if found else None,
            "features": f"area means of every modality, about {FEATURES_PX} a side",
            "note": "Evidence, not a guarantee of privacy. Labels varied from real ones keep something of their outlines.",
        }
        if self.threshold is None:
            facts["note"] = (
                "A single patient and no validation cases: nothing says how alike strangers are, no case was called a copy. "
                f"{facts['note']}"
            )
        elif found and len(self.held_out):
            rows = np.array([one["features"] for one in found])
            facts["nearness"] = asdict(nearness(rows, self.features["train"], self.features["held_out"]))
        return facts

    def _of_strangers(self) -> tuple[np.ndarray, np.ndarray]:
        """How much strangers resemble the nearest training case; and how much more than the nearest case of another patient.

        Strangers are validation cases. Without any, they are training cases, compared with those of other patients.
        """
        split = "held_out" if len(self.held_out) else "train"
        own, train, of = self.patients[split], self._detail("train"), self.patients["train"]
        details, near, taken = self._detail(split), np.full(len(own), -np.inf), own.copy()
        for patient in np.unique(own):
            at, known = own == patient, np.flatnonzero(of != patient)
            if len(known):
                found = nearest_by_correlation(details[at], train[known], self.gate.shift_px)
                near[at], taken[at] = found.ncc, of[known][found.real]
        other = self._resembling_others(details, taken, own)
        both = np.isfinite(near) & np.isfinite(other)
        return near[np.isfinite(near)], near[both] - other[both]

    def _resembling_others(self, details: np.ndarray, taken: np.ndarray, own: np.ndarray) -> np.ndarray:
        """How much images resemble the nearest case of a patient who is neither `taken`, the nearest one's, nor their `own`.

        Looked for among validation cases, where they are of two patients or more, else among training cases too; -inf for none.
        """
        splits = ("held_out",) if len(np.unique(self.patients["held_out"])) > 1 else ("held_out", "train")
        there = [split for split in splits if len(self.patients[split])]
        pool = np.concatenate([self._detail(split) for split in there])
        of = np.concatenate([self.patients[split] for split in there])
        found = np.full(len(details), -np.inf)
        for one, other in set(zip(taken.tolist(), own.tolist(), strict=True)):
            at, rest = (taken == one) & (own == other), (of != one) & (of != other)
            if rest.any():
                found[at] = nearest_by_correlation(details[at], pool[rest], self.gate.shift_px).ncc
        return found

    def _patients(self, numbers: np.ndarray) -> np.ndarray:
        return np.array([self.prepared.index.cases[int(number)].patient for number in numbers], dtype=str)

    def _detail(self, split: str) -> np.ndarray:
        if split not in self._details:
            self._details[split] = detail(self.real[split], self.gate.band_px)
        return self._details[split]

    def _some(self, split: str) -> np.ndarray:
        numbers = self.prepared.of_split(split)
        if len(numbers) <= self.gate.real_cases:
            return numbers
        return numbers[np.linspace(0, len(numbers) - 1, self.gate.real_cases).round().astype(int)]

    def _pictures(self, numbers: np.ndarray) -> np.ndarray:
        """(N, H, W, modalities x channels) at the side of the gate."""
        images = self.prepared.arrays["images"]
        if not len(numbers):
            return np.zeros((0, 1, 1, 1), np.float32)
        return np.concatenate(
            [reduced(_channels_last(np.asarray(images[k], np.float32))[None], self.gate.side_px) for k in numbers]
        )


def _channels_last(images: np.ndarray) -> np.ndarray:
    """(K, C, H, W) as (H, W, K C)."""
    return images.reshape(-1, *images.shape[2:]).transpose(1, 2, 0)


def _features(images: np.ndarray) -> np.ndarray:
    """Coarse area means of every channel: what is where, without grain."""
    if not len(images):
        return np.zeros((0, 1))
    return reduced(images, FEATURES_PX).reshape(len(images), -1).astype(np.float64)
