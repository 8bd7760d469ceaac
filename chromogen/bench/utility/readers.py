"""One reader of a study: what it is, what it is shown draw by draw, and its training, chosen early by real validation cases."""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from chromogen.bench.utility.measures import Measures, measured
from chromogen.data.cases.prepared import Prepared
from chromogen.evaluate.reading.usefulness import Mixture, draws
from chromogen.method import Trainable
from chromogen.methods import classifier, detector, segmenter
from chromogen.tensors import CaseBatch, on_device
from chromogen.train.step import make_optimizers, steps_taken

CHOICES = 10  # how often a reader is looked at while it trains
VALIDATION_CASES = 64  # at most, evenly spaced
SQUARE_TURNS, TURNS = tuple(range(1, 8)), (2, 4, 6)  # of 8: quarter turns, from 4 on of the mirrored case; 0 changes nothing
_AUGMENTATION = 97  # the random stream that says which turn a case gets


@dataclass(frozen=True)
class Reading:
    """How every reader of a study is trained: the same for all."""

    steps: int
    batch_size: int = 16
    width: int = 16

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or not 4 <= self.width <= 512:
            raise ValueError(f"readers need at least 1 step and 1 case in a batch, and widths of 4-512, got {self}")


@dataclass(eq=False)
class Reader:
    """A trained reader. `step` is where it was best on real validation cases (the last one where there are none)."""

    method: Trainable
    nets: nn.ModuleDict
    step: int
    seconds_per_step: float  # with reading the cases, without looking at validation cases
    curve: list[tuple[int, float]]  # step and score on validation cases


def reader_of(real: Prepared, width: int) -> Trainable:
    """The reader of the label's kind, for the modalities, channels and classes of the cases."""
    modalities, channels, classes = len(real.index.modalities), real.channels, len(real.index.classes)
    if real.index.label == "mask":
        return segmenter.Segmenter(modalities, channels, classes, width)
    if real.index.label == "category":
        return classifier.Classifier(modalities, channels, classes, width)
    return detector.Detector(modalities, channels, classes - 1, width, min(real.size_px))


def batches_of(real: Prepared, made: Prepared | None, mixture: Mixture, reading: Reading, seed: int) -> Iterator[CaseBatch]:
    """The batches that the reader of one mixture and seed is shown, in order, `reading.steps` in all."""
    members = real.of_split("train")
    square = real.size_px[0] == real.size_px[1]
    shown = draws(mixture, len(members), reading.steps * reading.batch_size, seed)
    for first in range(0, len(shown.item), reading.batch_size):
        drawn = zip(*(part[first : first + reading.batch_size].tolist() for part in (shown.origin, shown.item)), strict=True)
        cases = []
        for origin, item in drawn:
            if origin == 1:
                assert made is not None  # the study looks before it starts
                cases.append(made.batch([item]))
                continue
            case = real.batch([int(members[item % len(members)])])
            cases.append(turned(case, turn_of(item, len(members), square)) if origin == 2 else case)
        yield _together(cases)


def turn_of(item: int, cases: int, square: bool) -> int:
    """Which turn the augmented image `item` is of its case; those of one case differ as long as there are turns left."""
    possible = SQUARE_TURNS if square else TURNS
    order = np.random.default_rng([_AUGMENTATION, item % cases]).permutation(possible)
    return int(order[(item // cases) % len(possible)])


def turned(case: CaseBatch, turn: int) -> CaseBatch:
    """Cases mirrored left-right (turns 4 to 7) and then turned by turn % 4 quarters counter-clockwise, labels alike."""
    width = case["images"].shape[-1]
    found: dict[str, Any] = dict(case)
    for name in ("images", "lines", "organ", "mask"):
        if name in found:
            planes = found[name].flip(-1) if turn >= 4 else found[name]
            found[name] = torch.rot90(planes, turn % 4, (-2, -1))
    if "boxes" in found:
        kind, x0, y0, x1, y1 = found["boxes"].unbind(-1)
        if turn >= 4:
            x0, x1 = width - x1, width - x0
        side = [width, case["images"].shape[-2]]
        for quarter in range(turn % 4):
            # what lay at column x lies in row (width - x) then, and what lay in row y at column y
            x0, y0, x1, y1 = y0, side[quarter % 2] - x1, y1, side[quarter % 2] - x0
        corners = torch.stack([kind, x0, y0, x1, y1], dim=-1)
        found["boxes"] = torch.where(kind[..., None] > 0, corners, torch.zeros_like(corners))
    return cast(CaseBatch, found)


def trained(
    real: Prepared,
    made: Prepared | None,
    mixture: Mixture,
    reading: Reading,
    seed: int,
    score: str,
    device: torch.device,
) -> Reader:
    """Train a reader on one mixture; `score`, one of `MEASURES`, says where on the way it was best on real validation cases.

    FloatingPointError when a loss stops being finite.
    """
    method = reader_of(real, reading.width)
    torch.manual_seed(seed)
    nets = method.networks().to(device).train()
    optimizers = make_optimizers(method.players(), nets)
    held_out = real.of_split("val")
    held_out = held_out[np.linspace(0, len(held_out) - 1, min(len(held_out), VALIDATION_CASES)).round().astype(int)]
    looks = {max(1, round(reading.steps * k / CHOICES)) for k in range(1, CHOICES + 1)}
    best, chosen, times = -math.inf, None, []
    reader = Reader(method, nets, reading.steps, math.nan, curve=[])
    batches = ([on_device(batch, device)] for batch in batches_of(real, made, mixture, reading, seed))
    since = time.perf_counter()
    for step, terms in steps_taken(method, nets, optimizers, batches, 0, reading.steps):
        total = float(sum(terms.values()))  # waits for a GPU
        times.append(time.perf_counter() - since)
        if not math.isfinite(total):
            raise FloatingPointError(f"the reader's loss is not finite at step {step}")
        if step in looks and len(held_out):
            value = _score(method, nets, real, held_out, score, device)
            reader.curve.append((step, value))
            if value > best or chosen is None:
                best, chosen, reader.step = value, copy.deepcopy(nets.state_dict()), step
        since = time.perf_counter()
    if chosen is not None:
        nets.load_state_dict(chosen)
    nets.eval()
    reader.seconds_per_step = median(times[len(times) // 3 :])
    return reader


def scored(reader: Reader, prepared: Prepared, numbers: np.ndarray, device: torch.device) -> Measures:
    """All measures of a reader over cases."""
    return measured(reader.method, reader.nets, prepared, numbers, device)


def _score(method: Any, nets: nn.ModuleDict, real: Prepared, held_out: Any, score: str, device: torch.device) -> float:
    """On validation cases; without any lesion among them nothing speaks for one step or another."""
    nets.eval()
    value = measured(method, nets, real, held_out, device)[score]
    nets.train()
    return -math.inf if math.isnan(value) else value


def _together(cases: list[CaseBatch]) -> CaseBatch:
    """Cases one behind the other; boxes filled up to the same number."""
    found: dict[str, Tensor] = {}
    for name in cases[0]:
        parts = [case[name] for case in cases]  # type: ignore[literal-required]
        if name == "boxes":
            most = max(part.shape[1] for part in parts)
            parts = [torch.cat([part, part.new_zeros(1, most - part.shape[1], 5)], dim=1) for part in parts]
        found[name] = torch.cat(parts)
    return cast(CaseBatch, found)
