"""A plain U-Net, the control of the self-attention report (Ganesh and Zhou, MIT report, 2024): no GAN, one player.

METHOD is the report's setting: the U-Net of Keras' segmentation tutorials without dropout and with fewer blocks, images of
256 px, 10 epochs, a rate of 0.01. It is meant to fail, as the report's did (3.46 dB, "entirely black"). `fixed` learns.

The report concludes that a U-Net does not suit the task. But 3.46 dB, a root-mean-square error of 0.67 of full scale, is what a
flat image of 0.09 in unit RGB scores on BCI (IHC: mean 0.745, deviation 0.164): a training that broke, not a network that
cannot. The rate explains it: 0.01 is the size of the weights themselves, and Adam's first step multiplies the error by hundreds
to billions. A ReLU at the end may then stay at 0 for good (black), a tanh at 1 (white). tests/methods/test_unet.py shows both
settings on phantoms.

What cannot be known: the optimiser, the loss, the last activation, the batch, the scale of the values, and whether scoring was
at fault too. Ours, therefore: Adam as Keras has it, squared error, a ReLU at the end (the report saw "small-valued decimals",
none negative), depth 3, 64 filters, Glorot weights, batch 8. Ours too: all of `fixed` (absolute error, tanh, 2e-4, falling in
the second half).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from chromogen.losses import reconstruction
from chromogen.method import Optimizer, Player, Practice, Schedule, Source, Tiling, Update
from chromogen.nets.pooling_unet import Output, PoolingUNet
from chromogen.tensors import Batch, SignedImages

ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"squared": F.mse_loss, "absolute": reconstruction.absolute}


@dataclass(frozen=True)
class UNet:
    width: int = 64
    depth: int = 3  # max-poolings; image sizes are multiples of 2 ** depth
    output: Output = "relu"
    error: Literal["squared", "absolute"] = "squared"
    weight_error: float = 1.0
    optimizer: Optimizer = Optimizer(lr=0.01, betas=(0.9, 0.999))
    schedule: Schedule = Schedule()

    def __post_init__(self) -> None:
        if not (1 <= self.width <= 512 and 1 <= self.depth <= 6):
            raise ValueError(f"unet: width is 1-512 and depth 1-6, got {self.width} and {self.depth}")

    @property
    def released(self) -> tuple[str, ...]:
        return ("generator",)

    @property
    def tiling(self) -> Tiling:
        return Tiling(multiple_px=2**self.depth, context_px=PoolingUNet.reach_px(self.depth))

    def networks(self) -> nn.ModuleDict:
        return nn.ModuleDict({"generator": PoolingUNet(self.width, self.depth, self.output)})

    def players(self) -> dict[str, Player]:
        return {"generator": Player(("generator",), self.optimizer, self.schedule)}

    def step(self, nets: nn.ModuleDict, batch: Batch, progress: float) -> Iterator[Update]:
        fake, target = nets["generator"](batch["source"]), batch["target"]
        error = ERRORS[self.error](fake.float(), target)
        yield {"generator": {self.error: self.weight_error * error}}

    def translate(self, nets: nn.ModuleDict, source: SignedImages) -> SignedImages:
        return nets["generator"](source).clamp(-1, 1)


SOURCE = Source("U-Net control, Ganesh and Zhou, MIT report, 2024", 2024, "pairs")
PRACTICE = Practice(crop_px=256, resize_px=256, batch_size=8, epochs=10)  # whole images, made smaller; the batch is ours
METHOD = UNet()
FIXED = UNet(output="tanh", error="absolute", optimizer=Optimizer(), schedule=Schedule(decay_start=0.5))
VARIANTS = {"literal": METHOD, "fixed": FIXED}
