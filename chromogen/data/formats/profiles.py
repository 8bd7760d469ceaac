"""ICC profiles: what colours the numbers of a file mean, turned into sRGB where that is something else."""

import io
from functools import lru_cache

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

CONVERTED = "ICC profile converted to sRGB"
UNREADABLE = "ICC profile could not be used and was ignored"
SAME = 2  # grey levels: a profile that moves no colour by more is sRGB under another name
_SPACES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}


class Profile:
    """The way from the colours of one ICC profile to sRGB. `mode` is Pillow's name of what it takes: L, RGB or CMYK."""

    def __init__(self, mode: str, transform: ImageCms.ImageCmsTransform) -> None:
        self.mode = mode
        self._transform = transform

    def apply(self, pixels: UInt8[np.ndarray, "height width *channels"]) -> UInt8[np.ndarray, "height width 3"]:
        """sRGB of pixels of (H, W) for L, (H, W, 3) for RGB or (H, W, 4) for CMYK."""
        image = Image.fromarray(np.ascontiguousarray(pixels), self.mode)
        turned = ImageCms.applyTransform(image, self._transform)
        assert turned is not None
        return np.asarray(turned)


def profile_note(content: bytes, mode: str) -> tuple[Profile | None, tuple[str, ...]]:
    """The profile for pixels of `mode`, and what to say: nothing where there is none or where it is sRGB."""
    if not content:
        return None, ()
    found = _read(content)
    if found is None or not (found.mode == mode or (found.mode, mode) == ("RGB", "L")):
        return None, (UNREADABLE,)
    return (None, ()) if _is_srgb(content) else (found, (CONVERTED,))


@lru_cache(maxsize=16)
def _read(content: bytes) -> Profile | None:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        mode = _SPACES[profile.profile.xcolor_space.strip()]
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB", intent)
    except (OSError, KeyError, TypeError, ValueError, ImageCms.PyCMSError):
        return None
    return Profile(mode, transform)


@lru_cache(maxsize=16)
def _is_srgb(content: bytes) -> bool:
    """Whether colours spread over the whole cube (or greys) stay where they are."""
    profile = _read(content)
    if profile is None or profile.mode == "CMYK":
        return False
    steps = np.linspace(0, 255, 16 if profile.mode == "RGB" else 256).round().astype(np.uint8)
    if profile.mode == "L":
        probe, expected = steps[None], np.repeat(steps[None, :, None], 3, axis=2)
    else:
        probe = expected = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(1, -1, 3)
    return int(np.abs(profile.apply(probe).astype(int) - expected).max()) <= SAME
