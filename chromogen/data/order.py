"""The order in which training meets the members of a set: a function of seed and draw number, without state to save."""

import numpy as np
from jaxtyping import Float, Int

Members = Int[np.ndarray, " members"]
Weights = Float[np.ndarray, " members"]


class Order:
    """An endless sequence of members: every epoch shuffles them anew, each once, or each as often as its weight says."""

    def __init__(self, members: Members, stream: tuple[int, ...], weights: Weights | None = None) -> None:
        self.members, self.stream, self.weights = members, stream, weights
        self._latest: tuple[int, np.ndarray] = (-1, self.members)  # epoch and its order

    def member(self, n: int) -> int:
        epoch, place = divmod(n, len(self.members))
        if self._latest[0] != epoch:
            self._latest = (epoch, self._order(epoch))
        return int(self._latest[1][place])

    def _order(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([*self.stream, epoch])
        if self.weights is None:
            return self.members[rng.permutation(len(self.members))]
        picks = systematic(self.weights, rng.random(), len(self.members))
        return self.members[rng.permutation(picks)]


def systematic(weights: Float[np.ndarray, " members"], offset: float, count: int) -> Int[np.ndarray, " count"]:
    """`count` places, member i as often as count * weights[i] / sum(weights) says, rounded up or down.

    The members stand in a row, each as long as its weight; marks at equal distances, the first at `offset` (in [0, 1)) of one
    distance, pick whom they hit. Over uniform offsets the mean is exactly in proportion to the weights, with the least spread
    that whole numbers allow. Raises ValueError when no weight is positive.
    """
    ends = np.cumsum(weights)
    if not ends[-1] > 0:
        raise ValueError("every pair has weight 0: each source is the exact negative of its target; set data.sampling even")
    marks = (np.arange(count) + offset) * (ends[-1] / count)
    return np.minimum(np.searchsorted(ends, marks, side="right"), np.flatnonzero(weights)[-1])
