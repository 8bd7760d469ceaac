"""Phantom tissue: H&E and HER2-IHC pairs made by physics, with the truth behind them.

Layout (`architecture`) -> cells (`cells`) -> concentrations of the stains (`staining`) -> Beer-Lambert and
a scanner (`scanner`). Geometry is in um. The HER2 level sets the membrane staining by the ASCO/CAP rule and shows in
the H&E only through the morphology of tumour cells, as strongly as `Phantom.her2_signal` says.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int32

from chromogen.color import H_DAB
from chromogen.levels import LEVELS
from chromogen.phantom.noise import Field, Grid, grain, noise
from chromogen.phantom.tissue.architecture import Tissue, coarse_grid, lay_out
from chromogen.phantom.tissue.cells import Cells, divide, draw_nuclei, populate
from chromogen.phantom.tissue.scanner import H_E_ROSE, Scanner, Slide, scan, slide
from chromogen.phantom.tissue.section import displacement_px, present, shifted
from chromogen.phantom.tissue.staining import (
    Coats,
    coats,
    express,
    haematoxylin_dab,
    haematoxylin_eosin,
    membrane_dab,
    vacuoles,
)
from chromogen.tensors import Uint8Image


@dataclass(frozen=True)
class Phantom:
    """What to draw."""

    size_px: int = 256
    mpp: float = 0.5  # um per pixel
    her2_signal: float = 1.0  # how strongly the level shows in the H&E: 0 not at all, 1 clearly
    displacement_um: float = 0.0  # root mean square shift of the IHC section against the H&E; 0 is the same section
    lost_cells: float = 0.2  # share of cells present in one section only, where there are two sections
    white_spread: float = 0.3  # glass is a grey between 1 - this and 1
    stain_spread: float = 0.2  # deviation of the logarithm of a slide's stain strength
    blur_um: float = 0.3  # deviation of the scanner's point spread
    photons: float = 12000.0  # that a pixel of full light collects; 0 is a noiseless scanner
    jpeg_quality: int | None = None  # of a round trip through JPEG; None is none

    def __post_init__(self) -> None:
        for name, low, high in _LIMITS:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ValueError(f"Phantom.{name} is {value}; it must be from {low} to {high}")


_LIMITS = (
    ("size_px", 8, 8192),
    ("mpp", 0.1, 2.0),
    ("her2_signal", 0.0, 2.0),
    ("displacement_um", 0.0, 100.0),
    ("lost_cells", 0.0, 1.0),
    ("white_spread", 0.0, 0.9),
    ("stain_spread", 0.0, 1.0),
    ("blur_um", 0.0, 10.0),
    ("photons", 0.0, 1e9),
    ("jpeg_quality", 1, 95),
)


@dataclass(frozen=True)
class PhantomTruth:
    """What the images were made from. Instance maps hold nuclei, 0 is none; a cell has the same id in both sections.

    `displacement_px` is (y, x) for each IHC pixel: IHC pixel (i, j) shows what the H&E section shows at
    (i + displacement_px[0, i, j], j + displacement_px[1, i, j]).
    """

    level: int
    cells: Int32[np.ndarray, "height width"]  # in H&E coordinates
    cells_ihc: Int32[np.ndarray, "height width"]  # in IHC coordinates
    tumour: Bool[np.ndarray, "height width"]  # tumour epithelium, in H&E coordinates
    glass: Float32[np.ndarray, "height width"]  # 1 where nothing is on the glass, in H&E coordinates
    membrane_dab: Float32[np.ndarray, "height width"]  # concentration, in IHC coordinates, before the slide's strength
    displacement_px: Float32[np.ndarray, "2 height width"]
    cell_kind: Int8[np.ndarray, " cells"]  # by id: 0 none, 1 tumour, 2 duct, 3 stroma, 4 lymphocyte
    cell_staining: Int8[np.ndarray, " cells"]  # by id: -1 no tumour cell, 0 none, 1 faint incomplete, 2 moderate, 3 intense
    he_slide: Slide
    ihc_slide: Slide


@dataclass(frozen=True)
class PhantomPair:
    """One field of view, stained twice."""

    he: Uint8Image
    ihc: Uint8Image
    level: int  # 0, 1, 2, 3 for HER2 0, 1+, 2+, 3+
    truth: PhantomTruth


@dataclass(frozen=True)
class _Block:
    """The tissue both sections are cut from, on a grid wider than the view by what the displacement may fetch."""

    grid: Grid
    view: tuple[slice, slice]
    tissue: Tissue
    cells: Cells
    coats: Coats
    chromatin: Field  # fine texture
    bend_um: tuple[Field, Field]  # of cell borders

    @property
    def tumour(self) -> Bool[np.ndarray, "height width"]:
        """Tumour epithelium in view."""
        return ((self.tissue.tumour > 0) & (self.tissue.lumen < 0) & (self.tissue.glass < 0))[self.view]


def draw(phantom: Phantom, level: int, seed: int) -> PhantomPair:
    """Draw one pair. The same arguments give the same bytes; one seed is one tissue layout at every level.

    Raises ValueError for a level outside 0-3 or a negative seed.
    """
    if level not in range(4):
        raise ValueError(f"HER2 level {level!r} is not possible; it is 0, 1, 2 or 3 for {', '.join(LEVELS)}")
    if seed < 0:
        raise ValueError(f"seed {seed} is negative; choose a whole number from 0 up")
    streams = [np.random.Generator(np.random.PCG64(child)) for child in np.random.SeedSequence(seed).spawn(7)]
    for_layout, for_cells, for_texture, for_section, for_her2, for_he_scan, for_ihc_scan = streams

    shift_px = displacement_px(for_section, phantom.size_px, phantom.mpp, phantom.displacement_um)
    margin_px = int(np.ceil(np.abs(shift_px).max())) + 1 if phantom.displacement_um else 0
    block = _block(for_layout, for_cells, for_texture, phantom, margin_px, phantom.her2_signal * level / 3)
    apart = phantom.displacement_um > 0
    in_he, in_ihc = present(block.cells, phantom.lost_cells if apart else 0.0)

    nuclei = draw_nuclei(block.cells, in_he, block.grid)
    borders = divide(block.cells, in_he, block.grid, block.bend_um)
    he_stain = haematoxylin_eosin(block.coats, nuclei, borders, block.chromatin)[block.view]
    cells = cells_ihc = nuclei.instances[block.view]
    if apart:
        nuclei, borders = draw_nuclei(block.cells, in_ihc, block.grid), divide(block.cells, in_ihc, block.grid, block.bend_um)
        cells_ihc = shifted(nuclei.instances, shift_px, margin_px, order=0)
    membranes = express(for_her2, block.cells, np.isin(np.arange(len(block.cells)), cells_ihc), level)
    membrane = membrane_dab(membranes, borders, block.tissue, grain(for_her2, block.grid, 1.2))
    ihc_stain = haematoxylin_dab(block.coats, nuclei, borders, membranes, membrane, block.chromatin, level)
    if apart:
        haematoxylin, dab, membrane = (
            shifted(layer, shift_px, margin_px, order=1) for layer in (ihc_stain[..., 0], ihc_stain[..., 1], membrane)
        )
        ihc_stain = np.stack([haematoxylin, dab], axis=-1)

    he_slide = slide(for_he_scan, phantom.white_spread, phantom.stain_spread)
    ihc_slide = slide(for_ihc_scan, phantom.white_spread, phantom.stain_spread / 2, white=None if apart else he_slide.white)
    scanner = Scanner(phantom.mpp, phantom.blur_um, phantom.photons, phantom.jpeg_quality)
    return PhantomPair(
        he=scan(for_he_scan, he_stain, H_E_ROSE, he_slide, scanner),
        ihc=scan(for_ihc_scan, ihc_stain, H_DAB, ihc_slide, scanner),
        level=level,
        truth=PhantomTruth(
            level=level,
            cells=cells,
            cells_ihc=cells_ihc,
            tumour=block.tumour,
            glass=block.coats.blank[block.view],
            membrane_dab=membrane,
            displacement_px=shift_px,
            cell_kind=block.cells.kind.astype(np.int8),
            cell_staining=membranes.staining,
            he_slide=he_slide,
            ihc_slide=ihc_slide,
        ),
    )


def _block(
    for_layout: np.random.Generator,
    for_cells: np.random.Generator,
    for_texture: np.random.Generator,
    phantom: Phantom,
    margin_px: int,
    atypia: float,
) -> _Block:
    grid = Grid(phantom.size_px + 2 * margin_px, phantom.mpp, (0.5 - margin_px) * phantom.mpp)
    coarse = coarse_grid(grid)
    layout = lay_out(for_layout, coarse)
    tissue = layout.on(grid, coarse)
    inner = slice(margin_px, margin_px + phantom.size_px)
    return _Block(
        grid=grid,
        view=(inner, inner),
        tissue=tissue,
        cells=populate(for_cells, layout, coarse, atypia),
        coats=coats(for_texture, tissue, vacuoles(for_texture, tissue, grid), grid),
        chromatin=grain(for_texture, grid, 1.0),
        bend_um=(0.9 * noise(for_texture, grid, 4.5), 0.9 * noise(for_texture, grid, 4.5)),
    )
