"""Training on the BCI data set (Liu et al., CVPRW 2022): 3,896 training and 977 test pairs of 1024x1024 px.

Get it from its authors (non-commercial licence), unpack it, and point --data.root at the folder with HE/ and IHC/:

    chromogen train recipes/bci.py:pyramid_pix2pix --data.root ~/BCI --out runs/pyramid

Every method has a recipe of its name, with the crop, batch, length and draws its authors used (PRACTICE in the method's file,
which marks what is ours). The sources count epochs, we count steps: an epoch is 3,506 pairs (a tenth is held out for
validation; the names carry no patient, so it is a split by file). No score is stated here because nobody has run these at full
length with this code yet; every field can be changed on the command line, and --help lists them. docs/memory.md says what each
needs; --loop.recompute trades time for memory.
"""

from dataclasses import replace
from pathlib import Path

from chromogen import methods
from chromogen.data.pairs.sets import FolderData
from chromogen.methods import pyramid_pix2pix as pyramid_method
from chromogen.train.run import Loop, Run

LICENCE = "BCI: non-commercial use only, cite Liu et al. 2022 (BCI_LICENSE.md of the data set)"
PAIRS_IN_AN_EPOCH = 3_506


def _published(name: str, epochs: float | None = None) -> Run:
    """The run of a method's PRACTICE; `epochs` where a variant has a length of its own."""
    practice = methods.practice_of(name)
    data = FolderData(
        root=Path("BCI"), layout="bci", crop_px=practice.crop_px, resize_px=practice.resize_px, flip_only=practice.flip_only,
        unpaired=practice.unpaired, class_balanced=practice.class_balanced, sampling=practice.sampling,
        drop_worst=practice.drop_worst, licence=LICENCE,
    )  # fmt: skip
    pairs = PAIRS_IN_AN_EPOCH - int(practice.drop_worst * PAIRS_IN_AN_EPOCH)
    steps = round((epochs or practice.epochs) * pairs / practice.batch_size)
    loop = Loop(
        steps=steps, batch_size=practice.batch_size, workers=4, ema=practice.ema, validate_every=max(1, steps // 70),
        save_every=1_000,
    )  # fmt: skip
    return Run(methods.load(name), data, loop, title=f"{name} on BCI")


def tiny() -> Run:
    """Minutes on a laptop: a narrow PyramidPix2pix on 128 px crops, to try the commands on a handful of pairs of any set."""
    data = FolderData(root=Path("BCI"), crop_px=128)
    loop = Loop(steps=200, batch_size=2, log_every=10, validate_every=100, save_every=50, validation_px=256)
    return Run(pyramid_method.VARIANTS["narrow"], data, loop, title="tiny PyramidPix2pix")


def pix2pix() -> Run:
    """pix2pix with the U-Net."""
    return _published("pix2pix")


def pyramid_pix2pix() -> Run:
    """PyramidPix2pix, the baseline of BCI."""
    return _published("pyramid_pix2pix")


def pix2pix_resized() -> Run:
    """pix2pix as its code loads images: resized to 286 px, then cropped to 256."""
    run = _published("pix2pix")
    return replace(run, data=replace(run.data, resize_px=286), title="pix2pix on BCI resized to 286 px")


def pyramid_pix2pix_whole() -> Run:
    """PyramidPix2pix on whole images of 1024 px, the default of its code; four times the memory."""
    run = _published("pyramid_pix2pix")
    return replace(run, data=replace(run.data, crop_px=None), title="pyramid_pix2pix on whole images of BCI")


def performer_unet() -> Run:
    """Seed 000: attention U-Net with linear attention, three critics."""
    return _published("performer_unet")


def performer_unet_fast() -> Run:
    """The same at a learning rate of 2e-4, with which it moves."""
    return _published("performer_unet:fast")


def attention_pyramid() -> Run:
    """PyramidPix2pix with self-attention after every change of size."""
    return _published("attention_pyramid")


def unet() -> Run:
    """A plain U-Net with the published setting, which fails."""
    return _published("unet")


def unet_fixed() -> Run:
    """The same U-Net with a setting that learns."""
    return _published("unet:fixed")


def variance_pyramid() -> Run:
    """PyramidPix2pix with the variance penalty."""
    return _published("variance_pyramid")


def cyclegan() -> Run:
    """CycleGAN, unpaired."""
    return _published("cyclegan")


def cut() -> Run:
    """CUT, unpaired."""
    return _published("cut")


def fastcut() -> Run:
    """FastCUT, unpaired: 150 + 50 epochs."""
    return _published("cut:fast", epochs=200)


def paired_cut() -> Run:
    """CUT with the paired contrastive loss and a class head: challenge team lifangda02."""
    return _published("paired_cut")


def asp() -> Run:
    """Adaptive supervised PatchNCE."""
    return _published("asp")


def wecrest() -> Run:
    """WeCREST on U-GAT-IT: challenge team stan9."""
    return _published("wecrest")


def bcistainer() -> Run:
    """The level-aware stainer of challenge team Just4Fun."""
    return _published("bcistainer")


def quarter_pyramid() -> Run:
    """PyramidPix2pix at a quarter of the size: challenge team arpitdec5."""
    return _published("quarter_pyramid")


def wavelet_pix2pix() -> Run:
    """pix2pix on wavelet bands: challenge team vivek23."""
    return _published("wavelet_pix2pix")


def chromogen() -> Run:
    """Our own method."""
    return _published("chromogen")
