"""Training on the BCI data set (Liu et al., CVPRW 2022): 3,896 training and 977 test pairs of 1024x1024 px.

Get it from its authors (non-commercial licence), unpack it, and point --data.root at the folder with HE/ and IHC/:

    chromogen train recipes/bci.py:pyramid_pix2pix --data.root ~/BCI --out runs/pyramid

The sources count epochs, we count steps: an epoch of 3,506 pairs (a tenth is held out for validation; the names carry no
patient, so it is a split by file) is 1,753 steps of batch 2. No score is stated here because nobody has run these at full
length with this code yet; every field can be changed on the command line, and --help lists them.
"""

from pathlib import Path

from chromogen.data.pairs import FolderData
from chromogen.methods import pix2pix as pix2pix_method
from chromogen.methods import pyramid_pix2pix as pyramid_method
from chromogen.train.run import Loop, Run

LICENCE = "BCI: non-commercial use only, cite Liu et al. 2022 (BCI_LICENSE.md of the data set)"


def _bci(crop_px: int) -> FolderData:
    return FolderData(root=Path("BCI"), layout="bci", crop_px=crop_px, flip_only=True, licence=LICENCE)


def pyramid_pix2pix() -> Run:
    """PyramidPix2pix as published: 512 px crops mirrored half of the time, batch 2, 100 + 100 epochs (350,600 steps)."""
    loop = Loop(steps=350_600, batch_size=2, workers=4, validate_every=5_000, save_every=1_000)
    return Run(pyramid_method.METHOD, _bci(512), loop, title="PyramidPix2pix on BCI")


def pix2pix() -> Run:
    """pix2pix with the U-Net: 256 px crops mirrored half of the time, batch 1, 100 + 100 epochs (701,200 steps)."""
    loop = Loop(steps=701_200, batch_size=1, workers=4, validate_every=10_000, save_every=2_000)
    return Run(pix2pix_method.METHOD, _bci(256), loop, title="pix2pix on BCI")


def tiny() -> Run:
    """Minutes on a laptop: a narrow PyramidPix2pix on 128 px crops, to try the commands on a handful of pairs of any set."""
    data = FolderData(root=Path("BCI"), crop_px=128)
    loop = Loop(steps=200, batch_size=2, log_every=10, validate_every=100, save_every=50, validation_px=256)
    return Run(pyramid_method.VARIANTS["narrow"], data, loop, title="tiny PyramidPix2pix")
