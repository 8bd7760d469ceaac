"""What the pictures of pairs show: H&E and IHC on the right sides, and lying alike."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from chromogen.data.images import read_image
from chromogen.data.looks import FileFacts
from chromogen.data.pairs.sampling import thumbnail
from chromogen.data.pairs.table import Pair, PairTable
from chromogen.data.pairs.turned import ORIENTATIONS, agreements, of_all, of_one
from chromogen.data.strangers import is_prediction
from chromogen.kind import WORDS, Name, kind_of
from chromogen.tensors import Uint8Image

Member = TypeVar("Member", Pair, Path)

LOOKED_AT = 48  # pairs, evenly spaced in the set: decoding and naming pictures takes longer than all else
THUMBNAIL_PX = 128  # shorter side, at least
LEAST_PX = 80  # shorter side from which on it can be told whether a picture is turned
FEW, BEYOND_CHANCE = 0.03, 1.3  # share of the pairs, and the agreement, from which on a turned pair is no chance
NAMED = 3  # examples in a sentence


@dataclass(frozen=True, eq=False)
class Seen:
    """What one pair shows; `target` and `agreement` are None where there is no target to look at."""

    name: str
    source: Name | None
    target: Name | None
    agreement: Float[np.ndarray, "8"] | None


@dataclass(frozen=True)
class Content:
    """What was seen in the pictures, as sentences of a check."""

    facts: tuple[str, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def look_into(table: PairTable, files: Mapping[Path, FileFacts]) -> Content:
    """Look at up to `LOOKED_AT` pairs, evenly spaced among those that can be read."""
    pairs = [pair for pair in table.pairs if not any(files[path].error for path in (pair.source, pair.target) if path)]
    lone = [path for _, path in table.unpaired_targets if not files[path].error]
    with ThreadPoolExecutor(max_workers=2) as pool:
        seen = list(pool.map(_seen, _spaced(pairs)))
        alone = list(pool.map(_kind_in, _spaced(lone)))
    sources = Counter(one.source for one in seen if one.source)
    targets = Counter(kind for kind in [*(one.target for one in seen), *alone] if kind)
    facts = [f"{side} look like: {_counted(counts)}" for side, counts in (("sources", sources), ("targets", targets)) if counts]
    notes = [f"colours and orientation were looked at in {len(seen)} of {len(pairs)} pairs"] if len(seen) < len(pairs) else []
    made = [path for pair in _spaced(pairs) for path in (pair.source, pair.target) if path and is_prediction(path)]
    problems = [f"{_names(made)}: predictions that `chromogen translate` made; real pictures belong there"] if made else []
    problems += [*_sides(seen, sources, targets), *_turned(seen)]
    return Content(tuple(facts), (*notes, *_odd(seen, sources, targets)), tuple(problems))


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths[:NAMED])) + (f" and {len(paths) - NAMED} more" if len(paths) > NAMED else "")


def _spaced(members: Sequence[Member]) -> list[Member]:
    if len(members) <= LOOKED_AT:
        return list(members)
    return [members[round(k * (len(members) - 1) / (LOOKED_AT - 1))] for k in range(LOOKED_AT)]


def _seen(pair: Pair) -> Seen:
    try:
        source = read_image(pair.source)
        target = read_image(pair.target) if pair.target and not pair.side_by_side else None
    except (ValueError, OSError):  # the check has said so already, or the file changed meanwhile
        return Seen(pair.name, None, None, None)
    if pair.side_by_side:
        half = source.shape[1] // 2
        if not half:
            return Seen(pair.name, None, None, None)
        source, target = source[:, :half], source[:, half : 2 * half]
    if target is None:
        return Seen(pair.name, _kind(source), None, None)
    comparable = source.shape == target.shape and min(source.shape[:2]) >= LEAST_PX
    agreement = agreements(source, target) if comparable else None
    return Seen(pair.name, _kind(source), _kind(target), agreement)


def _kind(image: Uint8Image) -> Name:
    return kind_of(thumbnail(image, THUMBNAIL_PX)).name


def _kind_in(path: Path) -> Name | None:
    try:
        return _kind(read_image(path))
    except (ValueError, OSError):
        return None


def _sides(seen: Sequence[Seen], sources: Counter[Name], targets: Counter[Name]) -> Iterator[str]:
    """Pairs that are swapped, and pairs of one stain on both sides."""
    swapped = [one.name for one in seen if (one.source, one.target) == ("ihc", "he")]
    if swapped:
        yield (
            f"source and target look swapped in {_of(swapped, seen)}: the source looks like IHC and the target like H&E; "
            "exchange the folders or names, or the columns of the manifest"
        )
    if _most(sources) == _most(targets) and _most(sources) in ("he", "ihc"):
        yield f"sources and targets both look like {WORDS[_most(sources)]}: a pair needs two stains"  # type: ignore[index]
    elif _most(targets) == "ihc":
        twice = [one.name for one in seen if (one.source, one.target) == ("he", "he")]
        if twice:
            yield f"the target looks like H&E, as the source does, in {_of(twice, seen)}; put the IHC there"
    for side, counts, other in (("sources", sources, targets), ("targets", targets, sources)):
        if _most(counts) in ("grey", "blank") and _most(other) in ("he", "ihc"):
            yield f"the {side} look like {WORDS[_most(counts)]}, beside {WORDS[_most(other)]}: they show no stain"  # type: ignore[index]


def _odd(seen: Sequence[Seen], sources: Counter[Name], targets: Counter[Name]) -> Iterator[str]:
    """Pictures that are not what most of their side are, where most are stained."""
    for side, counts in (("source", sources), ("target", targets)):
        usual = _most(counts)
        if usual not in ("he", "ihc"):
            continue
        for kind in counts:
            names = [one.name for one in seen if getattr(one, side) == kind]
            if kind != usual and names and not (side == "target" and kind == "he"):
                yield f"the {side} looks like {WORDS[kind]} in {_of(names, seen)}"


def _turned(seen: Sequence[Seen]) -> Iterator[str]:
    compared = [one for one in seen if one.agreement is not None]
    if not compared:
        return
    table = np.stack([one.agreement for one in compared if one.agreement is not None])
    single = [of_one(row) for row in table]
    if sum(turn > 0 for turn in single) < FEW * len(single):  # among many one may agree by chance: only the clearest count
        single = [turn if row[turn] > BEYOND_CHANCE else 0 for turn, row in zip(single, table, strict=True)]
    most = of_all(table) or next((turn for turn in set(single) if turn and single.count(turn) > len(single) / 2), 0)
    cure = "turn them back so that both images of a pair show the place alike"
    if most:
        yield f"most targets lie {_lying(most)} beside their sources ({_of([one.name for one in compared], seen)}); {cure}"
    for turn in sorted(set(single) - {0, most}):
        names = [one.name for one, found in zip(compared, single, strict=True) if found == turn]
        yield f"the target lies {_lying(turn)} beside its source in {_of(names, seen)}; {cure}"


def _lying(turn: int) -> str:
    return ORIENTATIONS[turn] if turn >= 4 else f"turned by {ORIENTATIONS[turn]}"


def _most(counts: Counter[Name]) -> Name | None:
    """What more than half of them are."""
    kind, count = counts.most_common(1)[0] if counts else (None, 0)
    return kind if 2 * count > counts.total() else None


def _of(names: Sequence[str], seen: Sequence[Seen]) -> str:
    more = ", ..." if len(names) > NAMED else ""
    return f"{len(names)} of {len(seen)} pairs looked at: {', '.join(names[:NAMED])}{more}"


def _counted(counts: Counter[Name]) -> str:
    return ", ".join(f"{WORDS[kind]} x{count}" for kind, count in counts.most_common())
