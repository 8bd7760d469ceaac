"""The truth of a phantom's membranes, cell by cell, as a read-out of its IHC image should find it."""

import numpy as np
from jaxtyping import Bool, Float64

from chromogen.phantom.tissue.phantom import PhantomTruth


def stained_percent(
    truth: PhantomTruth,
    tumour_only: bool = False,
    within: Bool[np.ndarray, "height width"] | None = None,
    least_px: float = 1,
) -> Float64[np.ndarray, "4"]:
    """Percent of the cells in the IHC section whose membranes were drawn 0 unstained, 1 faint, 2 moderate, 3 intense.

    Cells of stroma, ducts and inflammation are unstained; with `tumour_only` they do not count. `within` keeps the cells with
    the larger part of their visible nucleus in it. With `least_px`, cells of whose nucleus fewer pixels are visible do not
    count: slivers under other nuclei or at the edge, which no reader of the image can find. NaN where no cell is left.
    """
    count = len(truth.cell_staining)
    visible = np.bincount(truth.cells_ihc.ravel(), minlength=count)
    inside = visible if within is None else np.bincount(truth.cells_ihc[within], minlength=count)
    counted = (visible >= max(least_px, 1)) & (2 * inside > visible)
    counted[0] = False
    if tumour_only:
        counted &= truth.cell_staining >= 0
    found = np.bincount(np.maximum(truth.cell_staining[counted], 0), minlength=4)
    return 100 * found / found.sum() if found.sum() else np.full(4, np.nan)
