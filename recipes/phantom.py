"""Training on phantom tissue: no data set needed.

chromogen train recipes/phantom.py:demo --out runs/phantom
"""

from dataclasses import replace

from chromogen.data.pairs import PhantomData
from chromogen.data.phantom import Phantom
from chromogen.method import Optimizer
from chromogen.methods import pyramid_pix2pix
from chromogen.train.run import Loop, Run


def demo() -> Run:
    """Four to five minutes on two cores: long enough to see membranes brown, too short to see them right."""
    method = replace(
        pyramid_pix2pix.VARIANTS["narrow"], width=24, blocks=4, discriminator_width=16, optimizer=Optimizer(lr=5e-4)
    )
    data = PhantomData(phantom=Phantom(size_px=128), train_pairs=512, validation_pairs=8)
    loop = Loop(steps=1_200, batch_size=4, ema=0.99, log_every=20, validate_every=200, save_every=200, validation_images=8)
    return Run(method, data, loop, title="small PyramidPix2pix on phantom tissue")
