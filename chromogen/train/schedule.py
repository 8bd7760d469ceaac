"""The learning rate over a run."""

import math

from chromogen.method import Schedule


def factor(schedule: Schedule, progress: float) -> float:
    """What the learning rate is multiplied by when `progress` in [0, 1] of the run is done."""
    if progress < schedule.warmup:
        return progress / schedule.warmup
    if progress <= schedule.decay_start:
        return 1.0
    done = min(1.0, (progress - schedule.decay_start) / (1.0 - schedule.decay_start))
    remaining = 1.0 - done if schedule.shape == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))
    return schedule.floor + (1.0 - schedule.floor) * remaining
