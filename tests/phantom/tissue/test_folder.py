from pathlib import Path

import numpy as np
import pytest

from chromogen.data.images import read_image
from chromogen.data.pairs.layouts import find_pairs
from chromogen.phantom.tissue.folder import write_phantoms
from chromogen.phantom.tissue.phantom import Phantom, draw


def test_written_phantoms_are_a_bci_layout_of_the_drawn_pairs(tmp_path: Path) -> None:
    phantom = Phantom(size_px=64)
    write_phantoms(tmp_path, phantom, pairs=5, seed=7)
    table = find_pairs(tmp_path)
    assert (table.layout, len(table.pairs), [pair.level for pair in table.pairs]) == ("bci", 5, [0, 1, 2, 3, 0])
    third = table.pairs[2]
    drawn = draw(phantom, 2, 9)
    assert third.target is not None
    assert np.array_equal(read_image(third.source), drawn.he) and np.array_equal(read_image(third.target), drawn.ihc)
    with pytest.raises(ValueError, match="already holds"):
        write_phantoms(tmp_path, phantom, pairs=1, seed=0)
