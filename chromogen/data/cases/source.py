"""Cases: registered images of one place of one patient, with what is known to be wrong there; from any folder people have.

A `CaseSource` in a recipe says where the files are and what is made of them; `open_cases` looks at names and headers and gives
a `CaseSet`, which reads one case at a time, so that memory does not grow with the set. Of volumes only the latest patient's
are kept: go through a set in its order.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from chromogen.config import nearest
from chromogen.data.cases.fit import Boxes, Fit, Fitting, Normalise, fit_to
from chromogen.data.cases.layouts import LAYOUTS, find_studies
from chromogen.data.cases.provenance import MANIFEST as MANIFEST
from chromogen.data.cases.provenance import SOURCE_TYPE_KEYWORD as SOURCE_TYPE_KEYWORD
from chromogen.data.cases.provenance import SYNTHETIC_DESCRIP as SYNTHETIC_DESCRIP
from chromogen.data.cases.provenance import SYNTHETIC_SOURCE_TYPE as SYNTHETIC_SOURCE_TYPE
from chromogen.data.cases.provenance import Origin
from chromogen.data.cases.reading import Raw, Reader, SliceRule
from chromogen.data.cases.split import divided, parted, synthetic_tests
from chromogen.data.cases.studies import Found, Label, Study
from chromogen.data.cases.twins import Twin, merged, told, twins_in

Plane = Float[np.ndarray, "height width *colour"]


@dataclass(frozen=True, eq=False)
class Case:
    """One registered set of images, in [0, 1], float32, (H, W) or (H, W, 3), all of one size.

    `split` is train, val or test. `spacing_mm` is between rows and between columns; `affine` takes (column, row, 0, 1) to mm in
    the patient (right, front, head); both None where the files do not tell. `mask` holds the class of every pixel, `category`
    the class of the image, `boxes` (n, 5) class (from 1), x0, y0, x1, y1 in px; the set says which of them there are.
    """

    name: str
    patient: str
    split: str | None
    images: dict[str, Plane]
    spacing_mm: tuple[float, float] | None
    affine: Float[np.ndarray, "4 4"] | None
    mask: UInt8[np.ndarray, "height width"] | None
    category: int | None
    boxes: Boxes | None
    origin: Origin
    files: tuple[Path, ...]


@dataclass(frozen=True)
class CaseSource:
    """Where cases come from and what is made of them.

    `normalise`: `minmax` takes darkest and brightest of each picture or slice to 0 and 1, as the thesis of this task does;
    `percentile` the 0.5th percentile and the 99.5th of what lies above it, of the whole volume (of the picture, where there
    is none); `window` the centre and width of `window_hu`. `auto`: window for CT in DICOM, percentile for volumes and other
    DICOM, minmax for pictures.
    `split`: `layout` keeps the splits that folders are called by, `shuffle` divides the patients anew, `auto` keeps them where
    there are any. What is left to divide is shuffled by `seed` into `shares` of train, val and test, patient by patient.
    """

    root: str
    layout: str = "auto"  # or a name of chromogen.data.cases.layouts
    modalities: tuple[str, ...] = ()  # () takes all of the layout
    classes: tuple[str, ...] = ()  # of masks: ("none", ...) by number; () takes the layout's
    patient_pattern: str = ""  # a regular expression that finds the patient in a file's name; "" for the layout's rule
    size_px: int | tuple[int, int] | None = None  # rows and columns; None leaves the files' size
    fit: Fitting = "resize"  # resize: as large as it fits, aspect kept; stretch: both sides; crop: centre, not resampled
    slices: SliceRule = SliceRule()  # of volumes
    neighbours: bool = False  # three channels: the slices below, at and above
    colour: Literal["auto", "grey", "colour"] = "auto"  # of pictures; auto: what the first one is
    normalise: Normalise = "auto"
    window_hu: tuple[float, float] = (-600.0, 1500.0)  # centre and width; this one shows lungs
    split: Literal["auto", "layout", "shuffle"] = "auto"
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)  # of the patients: train, val, test
    seed: int = 0
    licence: str = ""

    def __post_init__(self) -> None:
        if self.layout != "auto" and self.layout not in LAYOUTS:
            raise ValueError(f"no layout is called {self.layout!r}; {nearest(self.layout, ('auto', *LAYOUTS))}")
        sides = (self.size_px,) if isinstance(self.size_px, int) else self.size_px or ()
        if any(side < 1 for side in sides):
            raise ValueError(f"size_px is {self.size_px}; it must be at least 1, or None to keep the files' size")
        if (
            min(self.shares) < 0
            or not 0 < sum(self.shares) < float("inf")
            or self.shares[0] + self.shares[1] <= 0
            or self.seed < 0
        ):
            raise ValueError(
                f"shares {self.shares} (train, val, test) or seed {self.seed} is not possible; write (0.8, 0.1, 0.1) and 0"
            )
        if not self.window_hu[1] > 0:
            raise ValueError(
                f"window_hu is {self.window_hu}; write a centre and a width above 0, such as (-600, 1500) for lungs"
            )
        if len(set(self.modalities)) < len(self.modalities):
            raise ValueError(f"modalities names one twice: {', '.join(self.modalities)}")
        if self.classes and len(self.classes) < 2:
            raise ValueError(f"classes is {self.classes}; name what 0 and 1 stand for, such as ('none', 'lesion')")
        try:
            re.compile(self.patient_pattern)
        except re.error as error:
            raise ValueError(f"patient_pattern {self.patient_pattern!r} is no regular expression ({error})") from error
        if self.neighbours and self.colour == "colour":
            raise ValueError("neighbours and colour both want the three channels; leave out one of them")


@dataclass(frozen=True)
class Member:
    """One case of a set before it is read: `number` is the slice of a volume, None for a picture."""

    name: str
    patient: str
    split: str
    origin: Origin
    study: Study
    number: int | None = None


def open_cases(source: CaseSource, on_fault: Callable[[str], None] | None = None) -> "CaseSet":
    """The cases of `source`; looks at every header, and at the voxels of volumes where the slice rule asks what they show.

    Without `on_fault` the first fault is a ValueError (OSError for a missing file). With it, every fault is told and what has
    it is left out. A patient in two splits, a synthetic case in the test split and a set without cases always are errors.
    """
    layout, found = find_studies(source.root, source.layout, source.modalities, source.patient_pattern)

    def tell(sentence: str) -> None:
        if on_fault is None:
            raise ValueError(sentence)
        on_fault(sentence)

    for problem in found.problems:
        tell(problem)
    reader = Reader(source, found, source.classes)
    looked: list[tuple[Study, Origin, list[int] | None]] = []
    without = []
    for study in found.studies:
        try:
            looked.append((study, *reader.look(study)))
        except (ValueError, OSError) as error:
            tell(str(error))
    twins = twins_in(found.studies)
    splits = splits_of(source, found, twins, {study.name for study, origin, _ in looked if origin == "synthetic"})
    members: list[Member] = []
    for study, origin, numbers in looked:
        cases: list[tuple[str, int | None]] = [(study.name, None)]
        if numbers is not None:
            cases = [(f"{study.name}/{source.slices.axis}_{number:03d}", number) for number in numbers]
        without += [] if cases else [study.name]
        members += [Member(name, study.patient, splits[study.name], origin, study, number) for name, number in cases]
    problems, notes = told(twins, splits)
    faults = [
        *parted((member.patient, member.split) for member in members),
        *synthetic_tests([(member.name, member.split, member.origin) for member in members]),
        *problems,
    ]
    if faults:
        raise ValueError(faults[0])
    if not members:
        why = "; ".join(reader.notes()[-1:]) if reader.ignored else "loosen slices"
        raise ValueError(f"{source.root} ({layout} layout): no slice or picture meets the slice rule; {why}")
    if without:
        found.notes.append(f"{len(without)} studies have nothing that meets the slice rule, for example {without[0]}")
    found.notes += [*notes, *reader.notes()]
    return CaseSet(source, layout, found, tuple(members), reader)


def splits_of(
    source: CaseSource, found: Found, twins: Sequence[Twin] = (), synthetic: Set[str] = frozenset()
) -> dict[str, str]:
    """The split of every study by name.

    Patients who share an image are one patient here. One whom the layout itself puts into two splits keeps what is stated.
    Made cases (`synthetic` are their studies' names) that nobody put elsewhere are for training.
    """
    if found.made:
        return {study.name: "train" for study in found.studies}
    one = merged([study.patient for study in found.studies], twins)
    made = {one[study.patient] for study in found.studies} - {
        one[study.patient] for study in found.studies if study.name not in synthetic
    }
    stated: dict[str, str] = {}
    twice = set()
    for study in found.studies:
        patient = one[study.patient]
        if patient in made:
            continue
        if stated.setdefault(patient, study.split) != study.split:
            twice.add(patient)
    if source.split == "layout" and not any(study.split for study in found.studies):
        raise ValueError(f"{source.root}: no folder is called train, val or test; set split to auto or shuffle")
    keep = source.split != "shuffle"
    if keep:
        stated = {patient: split for patient, split in stated.items() if patient not in twice}
    splits = divided(stated, source.shares, source.seed, keep) if stated else {}

    def split_for(study: Study) -> str:
        if one[study.patient] in made:
            return (keep and study.split) or "train"
        return splits.get(one[study.patient], study.split)

    return {study.name: split_for(study) for study in found.studies}


class CaseSet:
    """Cases by number, read when asked for; `members` says what they are without reading."""

    def __init__(self, source: CaseSource, layout: str, found: Found, members: tuple[Member, ...], reader: Reader) -> None:
        self.source, self.layout, self.members = source, layout, members
        self.label: Label = found.label
        self.classes = found.classes  # by number; number 0 of masks and boxes is none
        self.modalities = found.modalities
        self.notes = tuple(found.notes)
        self._reader = reader

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Case]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Case:
        """Read a case. ValueError with a sentence when its files do not hold what their headers promised; OSError."""
        member = self.members[index]
        raw = self._reader.read(member.study, member.number)
        rows, columns = raw.tissue.shape
        return self._fitted(member, raw, fit_to(rows, columns, self.source.size_px, self.source.fit))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.members)

    @property
    def patients(self) -> tuple[str, ...]:
        return tuple(member.patient for member in self.members)

    def of_split(self, split: str) -> list[int]:
        """The numbers of the cases of train, val or test."""
        return [index for index, member in enumerate(self.members) if member.split == split]

    def identity(self) -> str:
        """A hash of the source, of the names and sizes of all files and of which slices count; not of the files' bytes."""
        root = Path(self.source.root).expanduser()
        facts = [(path.relative_to(root).as_posix(), path.stat().st_size) for m in self.members for path in m.study.files]
        fields = {name: value for name, value in asdict(self.source).items() if name != "root"}
        return hashlib.sha256(repr((fields, self.names, sorted(set(facts)))).encode()).hexdigest()

    def describe(self) -> str:
        """One sentence: layout, patients, cases, splits."""
        counts = Counter(member.split for member in self.members)
        patients = {split: len({m.patient for m in self.members if m.split == split}) for split in counts}
        parts = ", ".join(
            f"{split} {counts[split]} ({patients[split]} patients)" for split in ("train", "val", "test") if split in counts
        )
        label = f"{self.label} ({', '.join(self.classes)})" if self.label != "none" else "no label"
        return (
            f"{Path(self.source.root).resolve().name} ({self.layout} layout): {len(self)} cases of {len(set(self.patients))} "
            f"patients with {', '.join(self.modalities)} and {label}, normalised by {self._reader.rules()}: {parts}"
        )

    def _fitted(self, member: Member, raw: Raw, fit: Fit) -> Case:
        return Case(
            member.name,
            member.patient,
            member.split or None,
            {name: fit.image(pixels) for name, pixels in raw.images.items()},
            fit.spacing(raw.spacing_mm),
            fit.affine(raw.affine),
            None if raw.mask is None else fit.mask(raw.mask),
            None if member.study.category is None else self.classes.index(member.study.category),
            None if raw.boxes is None else fit.boxes(raw.boxes),
            member.origin,
            member.study.files,
        )
