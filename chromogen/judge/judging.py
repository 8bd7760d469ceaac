"""What a judge measures, and the tools it needs for that."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from chromogen.data.images import list_images, read_image
from chromogen.data.names import comparable
from chromogen.evaluate.distribution.extractors import extractor_named
from chromogen.evaluate.distribution.extractors.extractor import Extractor
from chromogen.evaluate.pixels.protocols import Profile, profile_named
from chromogen.evaluate.pixels.validity import Thresholds
from chromogen.levels import level_from_name, stem_of
from chromogen.tables import read_table

READER_SUFFIX = ".json"
MEAN_OF = 64  # training images whose mean colour is the control: more change it by less than a grey level


@dataclass(frozen=True)
class Judging:
    """What is measured beside PSNR, SSIM and sharpness of one profile.

    also: further profiles, each in columns of its own. staining: DAB and the octaves of detail. mpp: um per pixel of the
    images; without it what the files state is taken, and where they state nothing nuclei are not looked for. extractors: of
    features for FID and the like. training: a folder of the real IHC that models were trained on, with HER2 levels in the
    names: it gives the control "training mean" and trains the level reader; or the JSON file of a reader trained before.
    slides: a CSV file with columns name and slide; intervals are then over slides. workers: processes; they change no number.
    """

    profile: str = "bci2022"
    also: tuple[str, ...] = ()
    staining: bool = True
    mpp: float | None = None
    extractors: tuple[str, ...] = ()
    training: Path | None = None
    slides: Path | None = None
    thresholds: Thresholds = Thresholds()
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        for name in (self.profile, *self.also):
            profile_named(name)
        if profile_named(self.profile).similarity == "multiscale":
            raise ValueError(f"the profile {self.profile} has no PSNR, so it cannot come first; name it among the others")
        if self.mpp is not None and not 0.1 <= self.mpp <= 2:
            raise ValueError(f"um per pixel of tissue images lie between 0.1 and 2, got {self.mpp:g}")
        if self.workers < 1:
            raise ValueError(f"the number of workers is at least 1, got {self.workers}")

    @property
    def others(self) -> tuple[Profile, ...]:
        """The further profiles, each once and without the first."""
        return tuple(profile_named(name) for name in dict.fromkeys(self.also) if name != self.profile)


class Tools:
    """What is made once and used for every image: extractors, and the mean colour of training images."""

    def __init__(self, judging: Judging) -> None:
        self.judging = judging

    @cached_property
    def profile(self) -> Profile:
        return profile_named(self.judging.profile)

    @cached_property
    def extractors(self) -> tuple[Extractor, ...]:
        return tuple(extractor_named(name) for name in self.judging.extractors)

    @cached_property
    def training_mean(self) -> UInt8[np.ndarray, "3"] | None:
        """Mean colour of at most 64 training images, spread over the folder."""
        if self.judging.training is None or self.judging.training.suffix == READER_SUFFIX:
            return None
        paths = training_images(self.judging.training)
        chosen = np.unique(np.linspace(0, len(paths) - 1, MEAN_OF).round().astype(int))
        return np.rint(np.mean([read_image(paths[k]).mean(axis=(0, 1)) for k in chosen], axis=0)).astype(np.uint8)


def training_images(folder: Path) -> list[Path]:
    """The images of a folder of real IHC; ValueError when there are none."""
    if not folder.is_dir() or not (paths := list_images(folder)):
        raise ValueError(f"{folder} holds no training images; name the folder of real IHC that trained the model")
    return paths


def training_levels(paths: list[Path]) -> list[int | None]:
    return [level_from_name(path.name) for path in paths]


def slides_of(table: Path, names: list[str]) -> list[str]:
    """The slide of each image, from a CSV file with the columns name and slide; an image that is not in it is a ValueError."""
    rows = read_table(table).records(casefold=True)
    if not rows or not {"name", "slide"} <= rows[0].keys():
        raise ValueError(f"{table} needs the columns name and slide")
    slide = {comparable(stem_of(row["name"])): row["slide"] for row in rows}
    slide |= {comparable(row["name"]): row["slide"] for row in rows}
    wanted = {name: slide.get(comparable(name)) or slide.get(comparable(stem_of(name))) for name in names}
    missing = [name for name in names if not wanted[name]]
    if missing:
        raise ValueError(f"{table} names no slide for {missing[0]} ({len(missing)} images in all)")
    return [str(wanted[name]) for name in names]
