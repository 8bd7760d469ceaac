"""One step of wavelet pix2pix as a script would write it."""

import torch
import torch.nn.functional as F


def step(nets, optimizers, batch, method, progress):
    source, target = batch["source"], batch["target"]
    generator, discriminator = nets["generator"], nets["discriminator"]
    fake = generator(source)

    discriminator.requires_grad_(True)
    optimizers["discriminator"].zero_grad()
    on_real = discriminator(torch.cat([source, target], 1))
    on_fake = discriminator(torch.cat([source, fake.detach()], 1))
    loss = F.binary_cross_entropy_with_logits(on_real, torch.ones_like(on_real))
    loss = loss + F.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))
    loss.backward()
    optimizers["discriminator"].step()

    discriminator.requires_grad_(False)
    optimizers["generator"].zero_grad()
    on_fake = discriminator(torch.cat([source, fake], 1))
    loss = F.binary_cross_entropy_with_logits(on_fake, torch.ones_like(on_fake)) + 100 * F.l1_loss(fake, target)
    loss.backward()
    optimizers["generator"].step()
