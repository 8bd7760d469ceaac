"""Trees of vessels that divide by Murray's law: the cube of a radius is the sum of the cubes of its two branches.

Murray 1926, The physiological principle of minimum work. In two dimensions for a fundus, in three for a lung.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

Pull = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (places, directions) in mm -> change of direction per mm

STEPS = 14  # of a branch, before it divides


@dataclass(frozen=True, eq=False)
class Tree:
    """Branches in the order they grew, each a line of STEPS + 1 places."""

    path_mm: Float[np.ndarray, "branches places dimensions"]
    radius_mm: Float[np.ndarray, " branches"]
    parent: Int[np.ndarray, " branches"]  # -1 for a stem

    def where(self, kept: Bool[np.ndarray, " branches"]) -> "Tree":
        """Some of the branches; `parent` still counts in the whole tree."""
        return Tree(self.path_mm[kept], self.radius_mm[kept], self.parent[kept])

    def points(self, apart_mm: float) -> tuple[Float[np.ndarray, "points dimensions"], Float[np.ndarray, " points"]]:
        """Places at most `apart_mm` apart along all branches, and their radii, which taper a tenth along a branch."""
        longest = np.linalg.norm(np.diff(self.path_mm, axis=1), axis=-1).max(initial=0)
        pieces = max(1, int(np.ceil(longest / apart_mm)))
        t = (np.arange(pieces) / pieces)[:, None]
        start, end = self.path_mm[:, :-1, None], self.path_mm[:, 1:, None]
        places = (start + t * (end - start)).reshape(len(self.path_mm), -1, self.path_mm.shape[-1])
        taper = np.linspace(1, 0.9, places.shape[1])
        radius = self.radius_mm[:, None] * taper
        return places.reshape(-1, places.shape[-1]), radius.ravel()


def grow(
    rng: np.random.Generator,
    start_mm: Float[np.ndarray, "stems dimensions"],
    direction: Float[np.ndarray, "stems dimensions"],
    radius_mm: Float[np.ndarray, " stems"],
    length: float,
    thinnest_mm: float,
    wander: float,
    pull: Pull,
) -> Tree:
    """Grow a tree from stems until branches are thinner than `thinnest_mm`.

    A branch is `length` radii long, give or take a third, with a part that does not shrink; `wander` is the deviation of its
    direction a mm.
    """
    tips, ways, radii = np.array(start_mm, float), _unit(np.array(direction, float)), np.array(radius_mm, float)
    parent, grown = np.full(len(tips), -1), 0
    paths, all_radii, parents = [], [], []
    while len(tips):
        step = length * (radii + radius_mm.mean() * 0.25) * rng.uniform(0.65, 1.35, len(tips)) / STEPS
        path = [tips]
        for _ in range(STEPS):
            drift = wander * rng.standard_normal(tips.shape) * np.sqrt(step)[:, None]
            ways = _unit(ways + drift + pull(tips, ways) * step[:, None])
            tips = tips + ways * step[:, None]
            path.append(tips)
        paths.append(np.stack(path, axis=1))
        all_radii.append(radii)
        parents.append(parent)
        tips, ways, radii, chosen = _divide(rng, tips, ways, radii, thinnest_mm)
        parent = grown + chosen
        grown += len(parents[-1])
    return Tree(np.concatenate(paths), np.concatenate(all_radii), np.concatenate(parents))


def _divide(
    rng: np.random.Generator, tips: np.ndarray, ways: np.ndarray, radii: np.ndarray, thinnest_mm: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two branches for each tip; the thinner one turns further. Also whose branch each is."""
    share = rng.uniform(0.55, 0.92, len(tips))
    across = rng.standard_normal(ways.shape)
    across = _unit(across - (across * ways).sum(axis=1, keepdims=True) * ways)
    made = []
    for part, side in ((share, 1), (1 - share, -1)):
        angle = np.deg2rad(78) * (1 - part)[:, None]
        made.append((np.cos(angle) * ways + side * np.sin(angle) * across, radii * np.cbrt(part)))
    new_ways, new_radii = np.concatenate([made[0][0], made[1][0]]), np.concatenate([made[0][1], made[1][1]])
    chosen = np.tile(np.arange(len(tips)), 2)
    kept = new_radii >= thinnest_mm
    return tips[chosen][kept], new_ways[kept], new_radii[kept], chosen[kept]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
