"""Which prediction and which source belong to a target: files of one name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chromogen.data.images import Decoded, decode_image, list_images
from chromogen.data.names import comparable as comparable
from chromogen.tensors import Uint8Image

MARK = re.compile(r"\.virtual-[a-z0-9]+$")  # `translate` writes NAME.virtual-her2.png for NAME.png
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
    """The image files of a folder by the name of their target; ValueError where there are none."""
    if not folder.is_dir():
        why = "is a file" if folder.exists() else "is not there"
        raise ValueError(f"the {role} folder {folder} {why}; name a folder of images")
    found: dict[str, list[Path]] = {}
    for path in list_images(folder):
        found.setdefault(shown(comparable(MARK.sub("", path.stem))), []).append(path)
    if not found:
        raise ValueError(f"the {role} folder {folder} holds no images; PNG, JPEG, TIFF and BMP files are read")
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
