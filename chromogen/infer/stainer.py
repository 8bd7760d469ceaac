"""A trained model ready for images of any size: `stain = load("her2-demo"); ihc = stain(he)`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chromogen.checkpoint import DEFAULT_MODEL, Model, load_model
from chromogen.infer.precision import Precision, Prepared, prepare
from chromogen.infer.tiles import Progress, blend, plan
from chromogen.method import Method
from chromogen.tensors import SignedImages, Uint8Image, Uint8Images, signed_from_uint8


@dataclass(frozen=True)
class Stainer:
    """Turns uint8 H&E arrays into uint8 virtual stains of the same size.

    Sides up to `tile_px` are translated in one piece; with a method that needs the whole image (instance norm), every image
    is, up to 4096 x 4096 pixels, and a larger one is a ValueError. `batch_size` tiles go through the network together; it
    changes the speed, and the image by at most one grey level where a value lies between two.
    """

    model: Model
    prepared: Prepared
    tile_px: int = 1024
    batch_size: int = 1

    def __post_init__(self) -> None:
        if self.tile_px < 1 or self.batch_size < 1:
            raise ValueError(f"tile_px and batch_size start at 1, got {self.tile_px} and {self.batch_size}")

    def __call__(self, he: Uint8Image, progress: Progress | None = None) -> Uint8Image:
        """The virtual stain of `he`, uint8 RGB (H, W, 3) of any size from 1 px up.

        `progress` is called with the tiles done and the tiles in all. Raises ValueError for other arrays, and when the model
        gives values that are not finite.
        """
        _check_image(he)
        height, width = he.shape[:2]
        grid = plan(height, width, self.prepared.method.tiling, self.tile_px)
        return blend(he, grid, self._translate, self.batch_size, progress)

    def _translate(self, tiles: Uint8Images) -> SignedImages:
        return self.prepared.translate(signed_from_uint8(tiles))


def load(
    name_or_path: str | Path = DEFAULT_MODEL,
    device: str = "auto",
    precision: Precision = "auto",
    tile_px: int = 1024,
    batch_size: int = 1,
) -> Stainer:
    """Load a shipped model by name, or a model file, in the fastest form that is safe on this machine.

    `device` is auto (CUDA when there), cpu, cuda or cuda:N. `precision` is auto, fp32 or bf16; auto takes bf16 where it is fast
    and changes a probe image by less than one grey level on average. Raises ValueError for a model, device or precision that
    is not there.
    """
    model = load_model(name_or_path)
    if not isinstance(model.method, Method):
        raise ValueError(f"{name_or_path} does not stain images; it is a part of a synthesis, for `chromogen synthesize`")
    return Stainer(model, prepare(model.method, model.nets, device, precision), tile_px, batch_size)


def _check_image(he: object) -> None:
    if not isinstance(he, np.ndarray):
        raise ValueError(
            f"expected a uint8 RGB array (H, W, 3), got {type(he).__name__}; a Pillow image becomes one with "
            "numpy.asarray(image.convert('RGB')), a file with chromogen.data.images.read_image(path)"
        )
    shape = "x".join(map(str, he.shape))
    if he.ndim == 2 or (he.ndim == 3 and he.shape[2] == 1):
        raise ValueError(f"expected an RGB image, got a grey one ({shape}); repeat it with numpy.dstack([grey] * 3)")
    if he.ndim != 3 or he.shape[2] != 3:
        cure = "keep the colours with he[..., :3]" if he.ndim == 3 and he.shape[2] == 4 else "give one image at a time"
        raise ValueError(f"expected an RGB image (H, W, 3), got {shape}; {cure}")
    if he.dtype != np.uint8:
        cure = (
            "16-bit values become uint8 with (he >> 8).astype('uint8')"
            if he.dtype == np.uint16
            else "values in [0, 1] become uint8 with (he * 255).round().astype('uint8')"
        )
        raise ValueError(f"expected uint8 values 0-255, got {he.dtype}; {cure}")
    if he.size == 0:
        raise ValueError(f"expected at least one pixel, got an image of {shape}")
