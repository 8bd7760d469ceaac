"""Which prediction and which source belong to a target: files of one name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chromogen.data.images import list_images, read_image
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


def by_stem(folder: Path, role: str) -> dict[str, list[Path]]:
    if not folder.is_dir():
        raise ValueError(f"the {role} folder {folder} is not there; name a folder of images")
    found: dict[str, list[Path]] = {}
    for path in list_images(folder):
        found.setdefault(MARK.sub("", path.stem), []).append(path)
    if not found:
        raise ValueError(f"the {role} folder {folder} holds no images")
    return found


def fitting(paths: Sequence[Path] | None, target: Uint8Image, role: str) -> tuple[Uint8Image | None, str, str]:
    """The one image of the target's size among `paths`, its file name, and why there is none."""
    if paths is None:
        return None, "", NO_SOURCE
    if not paths:
        return None, "", f"there is no {role} of this name"
    if len(paths) > 1:
        return None, paths[0].name, f"several files have this name: {', '.join(path.name for path in paths)}"
    try:
        image = read_image(paths[0])
    except (ValueError, OSError) as error:
        return None, paths[0].name, str(error)
    if image.shape != target.shape:
        sizes = [f"{shape[1]}x{shape[0]} px" for shape in (image.shape, target.shape)]
        return None, paths[0].name, f"the {role} is {sizes[0]}, its target {sizes[1]}"
    return image, paths[0].name, ""
