"""Reading the images and labels of one study: which slices count, grey or colour, what becomes 0 and 1."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Bool, Float, UInt8

from chromogen.data.cases.backgrounds import GreyRange, grey_range, robust_range
from chromogen.data.cases.boxes import NamedBoxes, read_boxes, read_coco
from chromogen.data.cases.dicom import dicom_facts, is_dicom
from chromogen.data.cases.fit import Boxes, Normalise, range_by
from chromogen.data.cases.masks import Coding, coding_of, read_layer, read_mask
from chromogen.data.cases.pictures import Picture, as_colour, as_grey, is_grey, picture_size, read_picture
from chromogen.data.cases.provenance import Origin, origin_of
from chromogen.data.cases.studies import Found, Study
from chromogen.data.cases.volumes import SAME_MM, Axis, Volume, open_volume
from chromogen.data.cases.voxels import voxel_classes, voxel_coding

Plane = Float[np.ndarray, "height width *colour"]
Kind = Literal["volume", "ct", "dicom", "picture"]
Rule = Literal["minmax", "percentile", "window"]


@dataclass(frozen=True)
class SliceRule:
    """Which slices of a volume are cases. Numbers count from the feet (axial), the front (coronal), the right (sagittal).

    The thesis of this task takes the axial slices 55 to 104 of BRATS.
    """

    axis: Axis = "axial"
    first: int = 0
    last: int | None = None  # inclusive; None: to the end
    share: tuple[float, float] = (0.0, 1.0)  # of the slices from end to end, such as (0.35, 0.65) for the middle
    every: int = 1  # 2 takes every second one of those in reach
    min_foreground: float = (
        0.05  # share of the slice that is tissue: above a tenth of the volume's range, in the first modality
    )
    lesion_only: bool = False  # only slices (and pictures) with a label

    def __post_init__(self) -> None:
        low, high = self.share
        if self.first < 0 or (self.last is not None and self.last < self.first) or self.every < 1 or not 0 <= low < high <= 1:
            raise ValueError(
                f"slices from {self.first} to {self.last}, every {self.every}, share {self.share} is not possible; "
                "write for example first 55, last 104, every 1, share (0.0, 1.0)"
            )
        if not 0 <= self.min_foreground < 1:
            raise ValueError(f"slices.min_foreground is {self.min_foreground}; it must be from 0 to below 1")

    def reach(self, count: int) -> range:
        """The numbers that first, last, share and every leave of `count` slices."""
        low, high = round(self.share[0] * count), round(self.share[1] * count)
        end = count if self.last is None else min(count, self.last + 1)
        return range(max(low, self.first), min(high, end), self.every)


class Source(Protocol):
    """What reading needs of a `CaseSource`."""

    @property
    def root(self) -> str: ...
    @property
    def slices(self) -> SliceRule: ...
    @property
    def neighbours(self) -> bool: ...
    @property
    def colour(self) -> Literal["auto", "grey", "colour"]: ...
    @property
    def normalise(self) -> Normalise: ...
    @property
    def window_hu(self) -> tuple[float, float]: ...


@dataclass(frozen=True, eq=False)
class Raw:
    """A case in the size of its files, images in [0, 1]. `tissue` is what is brighter than air in any modality."""

    images: dict[str, Plane]
    tissue: Bool[np.ndarray, "height width"]
    spacing_mm: tuple[float, float] | None
    affine: Float[np.ndarray, "4 4"] | None
    mask: UInt8[np.ndarray, "height width"] | None = None
    boxes: Boxes | None = None


class Reader:
    """Reads the studies of one set; keeps the volumes of the latest one.

    `classes` () are those that the layout or the masks themselves tell: then the masks are looked at first.
    """

    def __init__(self, source: Source, found: Found, classes: tuple[str, ...] = ()) -> None:
        self.source, self.label, self.found = source, found.label, found
        self._latest: tuple[Study, dict[str, Volume]] | None = None
        self._colour = {"auto": found.colour, "grey": False, "colour": True}[source.colour]
        self._undecided = found.studies
        self._rules = set[str]()
        self.doubts: dict[str, list[Path]] = {}  # sentences on volumes, and the files they are about
        self.ignored = 0  # slices and pictures left out because nobody judged a part of them
        self.coding = self._coding(found)
        if found.label == "mask" and classes:
            found.classes = classes
        elif found.label == "mask" and not found.classes:
            found.classes = self._own_classes()
        self.classes = found.classes
        if self.coding:
            found.ignore = self.coding.ignore if found.ignore is None else found.ignore
            found.notes += [note for note in self.coding.notes if not classes]

    def rules(self) -> str:
        """What `normalise` came to for what was looked at; windows with their ends."""
        centre, width = self.source.window_hu
        window = f"window from {centre - width / 2:g} to {centre + width / 2:g} HU"
        return ", ".join(sorted(window if rule == "window" else rule for rule in self._rules))

    def look(self, study: Study) -> tuple[Origin, list[int] | None]:
        """Where a study comes from, and which of its slices count; None for a picture, [] for one that does not.

        Raises ValueError for images that do not lie alike, OSError for a file that is not there.
        """
        for path in study.files:
            if not path.exists():
                raise FileNotFoundError(f"{path} does not exist")
        origin = origin_of(study.files, Path(self.source.root).expanduser(), study.name)
        if study.is_volume:
            self._rule("volume")
            return origin, self._slices(study)
        first = picture_size(study.images[0][1], study.index)
        masks = [path for path in (study.mask, *(path for path, _ in study.layers)) if path]
        for path in [path for _, path in study.images[1:]] + masks:
            if path != study.images[0][1]:
                _check_size(path, picture_size(path, study.index), study.images[0][1], first)
        self._rule(_kind(study.images[0][1]))
        if self.source.slices.lesion_only and not self._has_label(study):
            return origin, []
        if self._is_ignored(study):
            self.ignored += 1
            return origin, []
        return origin, None

    def notes(self) -> list[str]:
        """Sentences on what was read and is worth knowing: doubtful headers, cases left out."""
        files = lambda paths: f"{len(paths)} file{'s' if len(paths) > 1 else ''}, for example {paths[0]}"  # noqa: E731
        found = [f"{files(paths)}, {doubt}" for doubt, paths in self.doubts.items()]
        if self.ignored:
            why = "marked as difficult" if self.label == "boxes" else "labelled to be ignored"
            found.append(
                f"{self.ignored} slices or pictures with something {why} are left out: they neither show it nor lack it"
            )
        return found

    def read(self, study: Study, number: int | None) -> Raw:
        """A picture, or slice `number` of volumes. ValueError with a sentence, OSError."""
        return self._picture(study) if number is None else self._slice(study, number)

    def volumes(self, study: Study) -> dict[str, Volume]:
        """The volumes of a study by modality, its label as "": opened once, checked to lie alike; voxels come when asked."""
        if self._latest is None or self._latest[0] != study:
            self._latest = None  # let go before the next are read
            opened = {name: open_volume(path, study.channel(name), is_ct(name)) for name, path in study.images}
            first = next(iter(opened.values()))
            if study.mask is not None:
                opened[""] = open_volume(study.mask)
            for volume in opened.values():
                first.check_same_place(volume)
                for doubt in volume.doubts:
                    self.doubts.setdefault(doubt, []).append(volume.path)
            self._latest = (study, opened)
        return self._latest[1]

    def _slices(self, study: Study) -> list[int]:
        rule, volumes, ignore = self.source.slices, self.volumes(study), self.found.ignore
        first = next(iter(volumes.values()))
        numbers = list(rule.reach(first.count(rule.axis)))
        if rule.lesion_only:
            if "" not in volumes:
                raise ValueError(f"{study.name} has no mask, and slices.lesion_only asks for lesions; leave it out")
            numbers = [number for number in numbers if np.any(volumes[""].slice(rule.axis, number) > 0.5)]
        if ignore is not None and "" in volumes:
            judged = [number for number in numbers if not np.any(np.rint(volumes[""].slice(rule.axis, number)) == ignore)]
            self.ignored += len(numbers) - len(judged)
            numbers = judged
        if rule.min_foreground > 0:
            numbers = [n for n in numbers if first.grey.tissue(first.slice(rule.axis, n)).mean() >= rule.min_foreground]
        return numbers

    def _slice(self, study: Study, number: int) -> Raw:
        volumes, axis, rule = self.volumes(study), self.source.slices.axis, self._rule("volume")
        first = next(iter(volumes.values()))
        tissue = np.zeros(first.slice(axis, number).shape, dtype=bool)
        around = [number]
        if self.source.neighbours:
            around = [max(number - 1, 0), number, min(number + 1, first.count(axis) - 1)]
        images = {}
        for name, _ in study.images:
            volume = volumes[name]
            here = volume.slice(axis, number)
            scale = range_by(rule, here, volume.grey, self.source.window_hu)
            planes = [scale.unit(volume.slice(axis, n)) for n in around]
            images[name] = np.stack(planes, axis=2) if self.source.neighbours else planes[0]
            tissue |= volume.grey.tissue(here)
        mask = voxel_classes(volumes[""].slice(axis, number), study.mask, self.coding) if "" in volumes else None
        self._check_classes(mask, study)
        return Raw(images, tissue, first.spacing(axis), first.slice_affine(axis, number), mask)

    def _picture(self, study: Study) -> Raw:
        shown = {name: _channel(read_picture(path, study.index), study, name) for name, path in study.images}
        (_, path), first = study.images[0], next(iter(shown.values()))
        tissue = np.zeros(first.pixels.shape[:2], dtype=bool)
        images = {}
        for name, picture in shown.items():
            where = dict(study.images)[name]
            _check_size(where, picture.pixels.shape[:2], path, first.pixels.shape[:2])
            _check_spacing(where, picture, path, first)
            grey = _grey_of(picture.pixels, is_ct(name))
            scale = range_by(self._rule(_kind(where)), picture.pixels, grey, self.source.window_hu)
            images[name] = self._shown(picture, study, scale)
            tissue |= grey_range(as_grey(picture.pixels)).tissue(as_grey(picture.pixels))
        mask = self._mask(study)
        if mask is not None and study.mask is not None:
            _check_size(study.mask, mask.shape, path, first.pixels.shape[:2])
        self._check_classes(mask, study)
        return Raw(images, tissue, first.spacing_mm, first.affine, mask, self._boxes(study, first))

    def _mask(self, study: Study) -> UInt8[np.ndarray, "height width"] | None:
        if study.layers:
            drawn: UInt8[np.ndarray, "height width"] | None = None
            for path, number in study.layers:
                inside = read_layer(path, study.index)
                drawn = np.zeros(inside.shape, dtype=np.uint8) if drawn is None else drawn
                _check_size(path, inside.shape, study.layers[0][0], drawn.shape)
                drawn[inside > 0] = number
            return drawn
        return None if study.mask is None else read_mask(study.mask, study.index, self.coding)

    def _coding(self, found: Found) -> Coding | None:
        masked = [study for study in found.studies if study.mask is not None and not study.is_volume and not study.layers]
        if found.label != "mask":
            return None
        volumes = [study.mask for study in found.studies if study.mask is not None and study.is_volume]
        if volumes and not found.classes:
            return voxel_coding(volumes)
        if not masked:
            return None
        return coding_of([study.mask for study in masked if study.mask], [study.index for study in masked])

    def _own_classes(self) -> tuple[str, ...]:
        """Names where the layout has none: what the masks are coded by."""
        return (self.coding.classes if self.coding else ()) or ("none", "label")

    def _is_ignored(self, study: Study) -> bool:
        """Whether nobody judged a part of it: a label to be ignored, or nothing but boxes marked as difficult."""
        if self.label == "boxes" and study.boxes is not None:
            found = self._named_boxes(study)
            return bool(found.difficult) and not found.names
        if self.found.ignore is None or study.mask is None:
            return False
        return bool((read_mask(study.mask, study.index, self.coding) == self.found.ignore).any())

    def _shown(self, picture: Picture, study: Study, scale: GreyRange) -> Plane:
        if self.source.neighbours:
            here = study.images[0][1]
            below, above = (
                as_grey(picture.pixels if path == here else read_picture(path).pixels) for path in study.between or (here, here)
            )
            if below.shape != above.shape or below.shape != picture.pixels.shape[:2]:
                raise ValueError(f"{here} and the slices beside it differ in size; leave neighbours out")
            return scale.unit(np.stack([below, as_grey(picture.pixels), above], axis=2))
        return scale.unit(as_colour(picture.pixels) if self._has_colour() else as_grey(picture.pixels))

    def _has_colour(self) -> bool:
        """Whether the pictures have colours: what the source or the layout says, else the first one that can be read."""
        for study in self._undecided if self._colour is None else ():
            try:
                self._colour = not is_grey(read_picture(study.images[0][1], study.index).pixels)
                break
            except (ValueError, OSError):
                continue  # whoever reads this one hears why
        return bool(self._colour)

    def _named_boxes(self, study: Study) -> NamedBoxes:
        assert study.boxes is not None
        return read_coco(study.boxes)[study.entry] if study.entry else read_boxes(study.boxes)

    def _boxes(self, study: Study, picture: Picture) -> Boxes | None:
        if self.label != "boxes":
            return None
        if study.boxes is None:
            return np.zeros((0, 5), dtype=np.float32)
        found = self._named_boxes(study)
        rows, columns = picture.pixels.shape[:2]
        if fault := found.outside(columns, rows):
            raise ValueError(f"{study.boxes} {fault}; draw the boxes on the image of the same name")
        return found.numbered(self.classes, study.boxes)

    def _check_classes(self, mask: UInt8[np.ndarray, "height width"] | None, study: Study) -> None:
        if mask is not None and mask.max() >= len(self.classes):
            raise ValueError(
                f"{study.mask} holds class {mask.max()}, but the classes are 0 to {len(self.classes) - 1} "
                f"({', '.join(self.classes)}); name them all in classes"
            )

    def _has_label(self, study: Study) -> bool:
        if study.category is not None:
            raise ValueError("slices.lesion_only asks for masks or boxes, and this set has classes; leave it out")
        if study.mask is not None:
            mask = self._mask(study)
            return mask is not None and bool(mask.any())
        return study.boxes is not None and bool(self._named_boxes(study).names)

    def _rule(self, kind: Kind) -> Rule:
        usual: dict[Kind, Rule] = {"volume": "percentile", "ct": "window", "dicom": "percentile", "picture": "minmax"}
        rule = usual[kind] if self.source.normalise == "auto" else self.source.normalise
        self._rules.add(rule)
        return rule


def is_ct(modality: str) -> bool:
    """Whether a modality is called so that its values are Hounsfield units."""
    return bool(re.search(r"(?<![a-z])(?:ce|nc)?ct(?![a-z])", modality.casefold()))


def _kind(path: Path) -> Kind:
    if not is_dicom(path):
        return "picture"
    return "ct" if dicom_facts(path).hounsfield else "dicom"


def _grey_of(pixels: np.ndarray, ct: bool) -> GreyRange:
    """The range of a picture; of colours the range of all their values, and no background."""
    return grey_range(pixels, ct) if pixels.ndim == 2 else GreyRange(*robust_range(pixels))


def _channel(picture: Picture, study: Study, modality: str) -> Picture:
    channel = study.channel(modality)
    if channel is None or picture.pixels.ndim == 2:
        return picture
    return replace(picture, pixels=picture.pixels[..., channel])


def _check_size(path: Path, size: tuple[int, ...], first_path: Path, first: tuple[int, ...]) -> None:
    if tuple(size) != tuple(first):
        sizes = f"{first[1]} x {first[0]} px, {path} has {size[1]} x {size[0]}"
        raise ValueError(
            f"{first_path} has {sizes}; the images and the label of a case have one size: register or cut them alike"
        )


def _check_spacing(path: Path, picture: Picture, first_path: Path, first: Picture) -> None:
    if picture.spacing_mm is None or first.spacing_mm is None:
        return
    if np.abs(np.subtract(picture.spacing_mm, first.spacing_mm)).max() > SAME_MM:
        raise ValueError(
            f"{first_path} has pixels of {first.spacing_mm[0]:.3g} x {first.spacing_mm[1]:.3g} mm, {path} of "
            f"{picture.spacing_mm[0]:.3g} x {picture.spacing_mm[1]:.3g}; resample them to one grid"
        )
