"""One step of the plain U-Net, with the published setting, as a script would write it."""

import torch.nn.functional as F


def step(nets, optimizers, batch, method, progress):
    optimizers["generator"].zero_grad()
    F.mse_loss(nets["generator"](batch["source"]), batch["target"]).backward()
    optimizers["generator"].step()
