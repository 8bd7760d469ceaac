"""Pictures of a made set: what it looks like beside real cases, and what lies between two latent vectors."""

from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from chromogen.nets.line_codec import resized
from chromogen.synthesize.export import picture, write_marked_png
from chromogen.synthesize.made import MadeCase
from chromogen.synthesize.maker import Maker

CASES, SIDE, GAP = 6, 5, 2
LESION = (255, 70, 40)


def write(out: Path, maker: Maker) -> None:
    """overview.png: a row a case, lines, every modality and the lesion's outline, made ones above real ones; grid.png and
    between.png: line maps over two latent numbers, and rendered on the way from one vector to another (figures 14 and 15)."""
    write_marked_png(out / "overview.png", overview(maker), {})
    write_marked_png(out / "grid.png", latent_grid(maker), {})
    write_marked_png(out / "between.png", between(maker), {})


def overview(maker: Maker) -> np.ndarray:
    made, _ = maker.batch(0)
    rows = [row_of(case) for case in made[:CASES]]
    prepared = maker.parts.prepared
    for number in prepared.of_split("train")[np.linspace(0, len(prepared.of_split("train")) - 1, 3).round().astype(int)]:
        arrays = {name: np.asarray(array[number]) for name, array in prepared.arrays.items()}
        mask, boxes = arrays.get("mask"), arrays.get("boxes")
        rows.append(
            row_of(MadeCase("real", arrays["images"].astype(np.float32), arrays["lines"], arrays["organ"], mask, None, boxes))
        )
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    rows.insert(len(rows) - 3, np.full((6, width, 3), 255, np.uint8))
    return np.concatenate(rows)


def row_of(case: MadeCase) -> np.ndarray:
    """Lines, then every modality with the lesion's outline."""
    cells = [_rgb(case.lines * np.uint8(255))]
    for image in case.images:
        cell = _rgb(picture(image))
        cell[_outline(case)] = LESION
        cells.append(cell)
    return np.concatenate([np.pad(cell, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for cell in cells], axis=1)


@torch.inference_mode()
def latent_grid(maker: Maker) -> np.ndarray:
    method, nets = maker.parts.lines_of, maker.parts.sampler.nets
    latents = method.latent_grid(SIDE, torch.Generator().manual_seed(maker.wanted.seed))
    maps = resized(method.decode(nets, latents), *maker.parts.prepared.size_px)[:, 0].cpu().numpy()
    cells = [_rgb(np.rint(255 * one).astype(np.uint8)) for one in maps]
    rows = [np.concatenate(cells[row * SIDE : (row + 1) * SIDE], axis=1) for row in range(SIDE)]
    return np.concatenate(rows)


@torch.inference_mode()
def between(maker: Maker) -> np.ndarray:
    """Three ways from one vector to another, each a row of line maps above its rendered first modality; without lesions."""
    parts, generator = maker.parts, torch.Generator().manual_seed(maker.wanted.seed)
    assert maker.filters.level is not None
    first, second = (parts.lines_of.latents_from(3, generator) for _ in range(2))
    rows = []
    for way in parts.lines_of.between(first, second, 7).transpose(0, 1):
        drawn = parts.lines_of.decode(parts.sampler.nets, way)
        lines = (resized(drawn, *parts.prepared.size_px) > maker.filters.level).float()
        organ = (parts.organ.nets["organ"](lines) > 0.5).float()
        planes = torch.zeros(len(lines), maker.labels.classes if maker.labels.kind != "none" else 0, *lines.shape[-2:]).to(
            lines
        )
        if planes.shape[1]:
            planes[:, 0] = 1
        images = parts.rendering.render(parts.renderer.nets, lines, organ, planes, torch.Generator().manual_seed(0))
        rows.append(np.concatenate([_rgb((one[0] * 255).cpu().numpy().astype(np.uint8)) for one in lines], axis=1))
        rows.append(np.concatenate([_rgb(picture(one[0].float().clamp(0, 1).cpu().numpy())) for one in images], axis=1))
    return np.concatenate(rows)


def _outline(case: MadeCase) -> np.ndarray:
    shape = case.lines.shape
    lesion = np.zeros(shape, bool)
    if case.mask is not None:
        lesion = np.asarray(case.mask) > 0
    for _, x0, y0, x1, y1 in case.boxes if case.boxes is not None else ():
        lesion[max(0, int(y0)) : int(np.ceil(y1)), max(0, int(x0)) : int(np.ceil(x1))] = True
    return lesion & ~ndimage.binary_erosion(lesion)


def _rgb(pixels: np.ndarray) -> np.ndarray:
    return pixels.copy() if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
