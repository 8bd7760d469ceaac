"""Single pictures of any kind as float32 grey levels: PNG, TIFF, JPEG, NPY, DICOM."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from chromogen.data.cases.dicom import dicom_facts, is_dicom, read_dicom
from chromogen.data.images import MAX_PIXELS, SUFFIXES, image_facts, is_tiff, read_image, read_levels

Pixels = Float[np.ndarray, "height width *colour"]

PLAIN = (".gif", ".ppm", ".pgm")  # of old sets (DRIVE, STARE); everything else is `data.images`'s
_NO_DICOM = (*SUFFIXES, *PLAIN, ".npy")
SAME_GREY = 12  # levels of 255 between the channels of a grey picture kept as colour JPEG


@dataclass(frozen=True, eq=False)
class Picture:
    """Grey levels (H, W) or colours (H, W, 3) as they stand in the file.

    `spacing_mm` (between rows, between columns) and `affine` ((column, row, 0, 1) to mm: right, front, head) where the file
    tells them.
    """

    pixels: Pixels
    spacing_mm: tuple[float, float] | None = None
    affine: Float[np.ndarray, "4 4"] | None = None


def read_picture(path: Path, index: int | None = None) -> Picture:
    """The picture at `path`, or number `index` of a stack in an .npy file. 16-bit PNG and TIFF keep all their bits.

    Raises ValueError with a sentence for what cannot be read (see `data.images`, `data.cases.dicom`); OSError.
    """
    suffix = path.suffix.casefold()
    if suffix not in _NO_DICOM and is_dicom(path):
        slice_ = read_dicom(path)
        return Picture(slice_.pixels, slice_.facts.spacing_mm, slice_.facts.affine)
    if suffix == ".npy":
        return Picture(array_at(path, index).astype(np.float32))
    if suffix in PLAIN and not is_tiff(path):
        return Picture(_by_pillow(path).astype(np.float32))
    found = read_levels(path)
    values = found.values.astype(np.float32)
    if found.kind == "palette":
        values = read_image(path).astype(np.float32)
    elif found.kind == "bilevel":
        values *= 255
    if not np.isfinite(values).all():
        raise ValueError(f"{path} holds grey levels that are not finite; save it without them")
    return Picture(values)


def picture_size(path: Path, index: int | None = None) -> tuple[int, int]:
    """Rows and columns of an image file, of a DICOM slice or of one picture of a stack; from the header where it tells."""
    if path.suffix.casefold() not in _NO_DICOM and is_dicom(path):
        slice_facts = dicom_facts(path)
        return slice_facts.rows, slice_facts.columns
    if path.suffix.casefold() == ".npy":
        height, width = array_at(path, index).shape[:2]
        return height, width
    if path.suffix.casefold() in PLAIN and not is_tiff(path):
        rows, columns = _by_pillow(path).shape[:2]
        return rows, columns
    facts = image_facts(path)
    return facts.height, facts.width


def stack_length(path: Path) -> int:
    """How many pictures an .npy file of shape (N, H, W) or (N, H, W, 1 or 3) holds."""
    stack = _npy(path)
    if stack.ndim not in (3, 4) or stack.shape[0] == 0:
        raise ValueError(f"{path} has the shape {stack.shape}; a stack of pictures is (N, H, W) or (N, H, W, 1 or 3)")
    return int(stack.shape[0])


def as_grey(pixels: Pixels) -> Float[np.ndarray, "height width"]:
    """Luminance (0.299 R + 0.587 G + 0.114 B) of colours; grey levels stay."""
    return pixels if pixels.ndim == 2 else (pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)).astype(np.float32)


def as_colour(pixels: Pixels) -> Float[np.ndarray, "height width 3"]:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def is_grey(pixels: Pixels) -> bool:
    """Whether the channels say the same, up to what JPEG does to a grey picture."""
    if pixels.ndim == 2:
        return True
    white = 255 if pixels.max() > 1 else 1
    return float((pixels.max(axis=2) - pixels.min(axis=2)).max()) <= SAME_GREY / 255 * white


def _by_pillow(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it claims {image.width} x {image.height} px")
            return np.asarray(image if image.mode in ("L", "I", "I;16", "I;16B") else image.convert("RGB"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is damaged or no picture ({error}); save it again as PNG") from error


def _npy(path: Path) -> np.ndarray:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        why = "it holds Python objects, which are never unpickled" if "object" in str(error).casefold() else str(error)
        raise ValueError(f"{path} cannot be read as a NumPy array ({why}); save plain numbers with numpy.save") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        raise ValueError(f"{path} does not hold plain numbers; save an array of grey levels with numpy.save")
    return array


def array_at(path: Path, index: int | None) -> np.ndarray:
    """The array of an .npy file, or picture `index` of it: (H, W) or (H, W, 3). ValueError, FileNotFoundError."""
    array = _npy(path)
    if index is not None:
        if not 0 <= index < len(array):
            raise ValueError(
                f"{path} holds {len(array)} pictures, and number {index} was asked for; give as many labels as images"
            )
        array = array[index]
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or not 0 < array.size <= 3 * MAX_PIXELS:
        raise ValueError(f"{path}: a picture of shape {array.shape} is neither (H, W) nor (H, W, 3)")
    return np.array(array)
