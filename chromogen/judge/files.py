"""Which prediction and which source belong to a target: files of one name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chromogen.data.images import Decoded, decode_image, list_images
from chromogen.data.names import comparable as comparable
from chromogen.tensors import Uint8Image

MARK = re.compile(r"\.virtual-[a-z0-9]+$")  # `translate` writes NAME.virtual-her2.png for NAME.png
PUBLISHED = {"prediction": "fake_b", "target": "real_b", "source": "real_a"}  # how others' code calls the roles
_WORDS = re.compile(r"[ _.-](?:fake|pred(?:iction|icted)?|output|generated|synthesi[sz]ed(?:_image)?|virtual)$", re.IGNORECASE)
NO_SOURCE = "no source folder was given"


@dataclass(frozen=True)
class Files:
    """What bears the name of one target; `sources` is None when no source folder was given."""

    name: str
    target: Path
    predictions: Sequence[Path]
    sources: Sequence[Path] | None


def shown(name: str) -> str:
    """`name` with backslashes for what is no Unicode, as some file names are not, so that it can be printed and written."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def by_stem(folder: Path, role: str) -> dict[str, list[Path]]:
    """The image files of a folder by the name of their target; ValueError where there are none.

    What pix2pix, CycleGAN and BCI's code write is understood: of NAME_real_A, NAME_real_B and NAME_fake_B in one folder the
    files of the `role` alone are taken, and a folder fake_B, real_A or real_B inside stands for one without images.
    """
    if not folder.is_dir():
        why = "is a file" if folder.exists() else "is not there"
        raise ValueError(f"the {role} folder {folder} {why}; name a folder of images")
    paths = list_images(folder)
    word = PUBLISHED.get(role, "")
    if not paths and word:
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.casefold() == word)
        paths = list_images(inside[0]) if inside else []
    marked = re.compile(rf"(.+)[_-]{word}", re.IGNORECASE) if word else None
    named = {path: match[1] for path in paths if marked and (match := marked.fullmatch(path.stem))}
    found: dict[str, list[Path]] = {}
    for path in named or paths:
        found.setdefault(shown(comparable(MARK.sub("", named.get(path, path.stem)))), []).append(path)
    if not found:
        raise ValueError(f"the {role} folder {folder} holds no images; PNG, JPEG, TIFF and BMP files are read")
    return found


def without_words(predictions: dict[str, list[Path]]) -> dict[str, list[Path]]:
    """Predictions by what stands before a word for them, such as NAME for NAME_fake, NAME_pred and NAME_synthesized_image."""
    found: dict[str, list[Path]] = {}
    for name, paths in predictions.items():
        found.setdefault(_WORDS.sub("", name), []).extend(paths)
    return found


def fitting(paths: Sequence[Path] | None, target: Uint8Image, role: str) -> tuple[Decoded | None, str, str]:
    """The one image of the target's size among `paths`, its file name, and why there is none."""
    if paths is None:
        return None, "", NO_SOURCE
    if not paths:
        return None, "", f"there is no {role} of this name"
    names = [shown(path.name) for path in paths]
    if len(names) > 1:
        return None, names[0], f"several files have this name: {', '.join(names)}"
    try:
        image = decode_image(paths[0])
    except (ValueError, OSError) as error:
        return None, names[0], shown(str(error))
    if image.pixels.shape != target.shape:
        sizes = [f"{shape[1]}x{shape[0]} px" for shape in (image.pixels.shape, target.shape)]
        return None, names[0], f"the {role} is {sizes[0]}, its target {sizes[1]}"
    return image, names[0], ""
