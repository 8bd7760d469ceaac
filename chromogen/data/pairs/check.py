"""What a folder of pairs holds and what is wrong with it, before a training finds out: `chromogen data check DIR`."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chromogen.data.findings import Findings
from chromogen.data.looks import FileFacts, copies, look_at
from chromogen.data.pairs.content import look_into
from chromogen.data.pairs.layouts import find_pairs
from chromogen.data.pairs.table import Pair, PairTable
from chromogen.levels import LEVELS, name_without_level

_SUFFIXES = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff"), "BMP": (".bmp",)}


@dataclass(frozen=True)
class CheckReport(Findings):
    """What `check` found in pairs."""

    table: PairTable
    files: Mapping[Path, FileFacts]


def check(root: Path | str, layout: str = "auto") -> CheckReport:
    """Read every file that `find_pairs` finds under `root` and report; unreadable files are reported, not raised.

    Raises what `find_pairs` raises when the folder as a whole makes no sense (empty, no known layout).
    """
    table = find_pairs(root, layout)
    splits = _uses_by_file(table)
    files = look_at(list(splits))
    content = look_into(table, files)
    problems = [
        *(f"{path} has no partner of the same name" for path in table.unpaired),
        *(facts.error for facts in files.values() if facts.error),
        *(sentence for pair in table.pairs for sentence in _unequal(pair, files)),
        *_used_again(table.root, splits),
        *copies(files, splits, table.root, "the splits leak"),
        *_parted_groups(table),
        *content.problems,
    ]
    facts, notes = (*_facts(table, files), *content.facts), (*_notes(table, files), *content.notes)
    return CheckReport(facts, notes, tuple(problems), table, files)


def _uses_by_file(table: PairTable) -> dict[Path, Counter[str]]:
    """Every file of the table with the splits that use it, and how often; files without a partner count to none."""
    uses = {path: Counter([""]) for path in table.unpaired}
    for split, path in table.unpaired_targets:
        uses.setdefault(path, Counter())[split] += 1
    for pair in table.pairs:
        for image in dict.fromkeys((pair.source, pair.target)):  # once where both are one file
            if image:
                uses.setdefault(image, Counter())[pair.split] += 1
    return uses


def _facts(table: PairTable, files: Mapping[Path, FileFacts]) -> list[str]:
    kind = "pairs" if table.paired else "source images without pairs"
    levels = Counter(pair.level for pair in table.pairs)
    known = [(LEVELS[level], levels[level]) for level in range(len(LEVELS)) if levels[level]]
    if levels[None]:
        known.append(("unknown", levels[None]))
    readable = [facts for facts in files.values() if not facts.error]
    lines = [
        f"{table.root}: {table.layout} layout, {len(table.pairs)} {kind}, {len(files)} files",
        f"splits: {_counted(Counter(_split_name(pair.split) for pair in table.pairs).items())}",
        f"HER2 level of the slide: {_counted(known)}",
        f"sizes: {_counted(Counter(f'{f.width} x {f.height} px' for f in readable).most_common(6))}",
        f"formats: {_counted(Counter(f.format for f in readable).most_common())}",
    ]
    if table.unpaired_targets:
        targets = Counter(_split_name(split) for split, _ in table.unpaired_targets)
        lines.insert(2, f"targets: {_counted(targets.items())}")
    return lines


def _notes(table: PairTable, files: Mapping[Path, FileFacts]) -> list[str]:
    notes = list(table.notes)
    if table.layout == "bci" and all(pair.group == name_without_level(pair.name) for pair in table.pairs):
        notes.append("these names hold no patient or slide id: that no patient is in two splits cannot be verified")
    if table.layout == "bci" and any(pair.level is not None for pair in table.pairs):
        notes.append("the HER2 level in a name is the slide's, not the patch's")
    dressed = Counter(
        f"{facts.format} inside {path.suffix.lower()}"
        for path, facts in files.items()
        if facts.format and path.suffix.lower() not in _SUFFIXES[facts.format]
    )
    notes += [f"{text}: {count} files (the content decides)" for text, count in dressed.items()]
    conversions = Counter(note for facts in files.values() for note in facts.conversions)
    notes += [f"{text}: {count} files" for text, count in conversions.most_common()]
    resolutions = sorted({pair.mpp for pair in table.pairs if pair.mpp is not None})
    if resolutions:
        notes.append(f"resolution in um/px: {', '.join(map(str, resolutions))}")
    licences = sorted({pair.licence for pair in table.pairs if pair.licence})
    if licences:
        notes.append(f"licences: {'; '.join(licences)}")
    if table.ignored:
        more = ", ..." if len(table.ignored) > 5 else ""
        notes.append(f"not part of the layout: {', '.join(path.name for path in table.ignored[:5])}{more}")
    return notes


def _unequal(pair: Pair, files: Mapping[Path, FileFacts]) -> Iterable[str]:
    source = files[pair.source]
    if pair.side_by_side:
        if source.width % 2:
            yield f"{pair.source} is {source.width} px wide, which does not halve"
        return
    target = files[pair.target] if pair.target else source
    if source.error or target.error:
        return
    if (source.width, source.height) != (target.width, target.height):
        sizes = f"{source.width} x {source.height} px, {pair.target} is {target.width} x {target.height} px"
        yield f"{pair.source} is {sizes}; a pair has one size"


def _used_again(root: Path, splits: Mapping[Path, Counter[str]]) -> Iterable[str]:
    for path, uses in splits.items():
        if uses.total() > 1:
            leak = ": the splits leak" if len(uses) > 1 else ""
            where = _counted((_split_name(split), count) for split, count in uses.items())
            yield f"{_shown(path, root)} is used {uses.total()} times ({where}){leak}"


def _parted_groups(table: PairTable) -> Iterable[str]:
    """Patients or slides in more than one split; a group that is merely the file's own name is none."""
    by_group: dict[str, set[str]] = defaultdict(set)
    for pair in table.pairs:
        if pair.group != name_without_level(pair.name):
            by_group[pair.group].add(_split_name(pair.split))
    for group, splits in by_group.items():
        if len(splits) > 1:
            yield f"patient or slide {group!r} is in {' and '.join(sorted(splits))}: the splits leak"


def _shown(path: Path, root: Path) -> str:
    """`path` below `root`; a manifest may give it absolutely while `root` is relative."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _split_name(split: str) -> str:
    return split or "no split"


def _counted(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} x{count}" for name, count in counts) or "none"
