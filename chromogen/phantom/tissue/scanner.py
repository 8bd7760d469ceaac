"""From concentrations to the bytes of a scanner: stains, light, optics, sensor, file."""

import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from PIL import Image
from scipy import ndimage

from chromogen.color import Stains, combine
from chromogen.tensors import Uint8Image

# The vectors "H&E 2" of ImageJ's Colour Deconvolution (G. Landini): an eosin that also takes blue, as in the BCI scans, whose
# stroma has optical densities of about 0.45 : 0.71 : 0.53. No mixture of Ruifrok & Johnston's H&E reaches that pink.
H_E_ROSE = Stains(("haematoxylin", "eosin"), ((0.490, 0.769, 0.410), (0.046, 0.842, 0.537)))


@dataclass(frozen=True)
class Slide:
    """What varies from slide to slide: the colour of empty glass and how strongly each of its two stains took."""

    white: tuple[float, float, float]  # unit RGB
    strength: tuple[float, float]  # factors on the concentrations


@dataclass(frozen=True)
class Scanner:
    """`blur_um` is the deviation of a Gaussian point spread; a pixel of light 1.0 collects `photons`, 0 for no noise."""

    mpp: float
    blur_um: float
    photons: float
    jpeg_quality: int | None


def slide(
    rng: np.random.Generator, white_spread: float, stain_spread: float, white: tuple[float, float, float] | None = None
) -> Slide:
    """A slide with nearly neutral glass of grey 1 - white_spread to 1 (or the `white` given) and log-normal stain strengths."""
    tint = 0.012 * rng.uniform(-1, 1, 3) - np.array([0.0, 0.012, 0.008])
    red, green, blue = np.clip(1 - white_spread * rng.uniform() + tint, 0.05, 1.0)
    first, second = np.exp(stain_spread * np.clip(rng.standard_normal(2), -2, 2))
    return Slide(white or (float(red), float(green), float(blue)), (float(first), float(second)))


def scan(
    rng: np.random.Generator,
    concentrations: Float32[np.ndarray, "height width 2"],
    stains: Stains,
    on: Slide,
    scanner: Scanner,
) -> Uint8Image:
    """Beer-Lambert, point spread, photon noise, rounding, and a JPEG round trip where the scanner writes JPEG."""
    light = combine(concentrations * np.array(on.strength, np.float32), stains, np.array(on.white, np.float32))
    sigma_px = scanner.blur_um / scanner.mpp
    if sigma_px > 0.05:
        light = ndimage.gaussian_filter(light, (sigma_px, sigma_px, 0), mode="nearest", truncate=3.0)
    if scanner.photons > 0:
        light = light + np.sqrt(light / np.float32(scanner.photons)) * rng.standard_normal(light.shape, dtype=np.float32)
    image = np.clip(np.rint(light * 255), 0, 255).astype(np.uint8)
    if scanner.jpeg_quality is None:
        return image
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=scanner.jpeg_quality)
    with Image.open(file) as reopened:
        return np.asarray(reopened)
