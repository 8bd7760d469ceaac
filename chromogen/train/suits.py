"""Whether the stages of a chain suit its cases: said before the first stage trains, not when the fifth one begins."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from chromogen.data.cases.prepared import Prepared, PreparedData
from chromogen.method import Measured, Trainable
from chromogen.methods import name_of
from chromogen.train.feed import check_shapes

READ = {"segmenter": "mask", "classifier": "category", "detector": "boxes"}  # the label that a reader learns from
DRAWN = {"segmentation": "mask", "category": "category", "boxes": "boxes"}  # the label that a renderer is told
PROBES = range(16, 2049, 4)


def check_sizes(methods: Mapping[str, Trainable], size_px: tuple[int, int]) -> None:
    """ValueError for rows and columns that some stage cannot take, with the nearest size that all can; `methods` by stage."""
    for stage, method in methods.items():
        if not _takes(method, size_px):
            multiple, least = _sides(method)
            sides = [min((side for side in PROBES if _all(methods, side)), key=lambda side: abs(side - px)) for px in size_px]
            wanted = str(sides[0]) if sides[0] == sides[1] else f"{sides[0]} {sides[1]}"
            raise ValueError(
                f"stage {stage!r} ({name_of(method)}) takes sides that are multiples of {multiple} px, from {least} px, and "
                f"the cases have {size_px[1]} x {size_px[0]} px; set --cases.size-px {wanted}, which all stages take"
            )


def check_stages(methods: Mapping[str, Trainable], prepared: Prepared) -> None:
    """ValueError, naming the stage and the flag, for sizes, modalities, classes or a label that do not fit, and for no case."""
    if not len(prepared.of_split("train")):
        raise ValueError("no case is for training, and every stage learns from such; set --cases.shares 0.8 0.1 0.1")
    check_sizes(methods, prepared.size_px)
    for stage, method in methods.items():
        wanted = READ.get(name_of(method)) or DRAWN.get(getattr(method, "label", ""))
        if wanted and wanted != prepared.index.label:
            raise ValueError(
                f"stage {stage!r} ({name_of(method)}) learns from the label {wanted!r}, and the cases have "
                f"{prepared.index.label!r}; choose a recipe for such cases, or another --cases.root or --cases.layout"
            )
        try:
            if isinstance(method, Measured):
                check_shapes(method, prepared)
        except ValueError as error:
            sentence = str(error).replace("set method.", f"set --stages.{stage}.method.").replace(" cases.", " --cases.")
            raise ValueError(f"stage {stage!r}: {sentence}") from error


def check_only(stage: str, only: tuple[str, ...], prepared: Prepared) -> None:
    """ValueError, naming the flag, where the cases do not have the image classes that a stage learns from, or none to learn."""
    try:
        found = PreparedData("", only=only).members(prepared, "train")
    except ValueError as error:
        raise ValueError(f"stage {stage!r}: {error}; set --stages.{stage}.only, without a name to learn from all") from error
    if not len(found):
        raise ValueError(
            f"stage {stage!r} learns from the image class {' or '.join(only)} alone, and no training case is of it; set "
            f"--stages.{stage}.only, without a name to learn from all, or other --cases.shares"
        )


def told(prepared: Prepared) -> Iterator[str]:
    """Sentences on held-out cases that are missing."""
    if not len(prepared.of_split("val")):
        patients = {prepared.index.cases[int(k)].patient for k in np.asarray(prepared.of_split("train"))}
        audit = "training patients stand in for strangers" if len(patients) > 1 else "nothing says how alike strangers are"
        yield (
            "no validation case: every stage keeps its last weights, and in the audit of made cases "
            f"{audit}; set --cases.shares 0.8 0.1 0.1, or add patients"
        )
    if not len(prepared.of_split("test")):
        yield "no test case: chromogen utility cannot judge; set --cases.shares 0.8 0.1 0.1, or add patients"


def _sides(method: Trainable) -> tuple[int, int]:
    """Multiple and least of the sides, in px, that a method states."""
    sides: tuple[int, int] = getattr(method, "sides_px", (1, 1))
    return sides


def _takes(method: Trainable, size_px: Iterable[int]) -> bool:
    multiple, least = _sides(method)
    return all(side >= least and side % multiple == 0 for side in size_px)


def _all(methods: Mapping[str, Trainable], side: int) -> bool:
    return all(_takes(method, (side,)) for method in methods.values())
