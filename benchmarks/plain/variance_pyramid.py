"""One step of the variance-penalised PyramidPix2pix as a script would write it."""

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
    loss = 0.5 * (loss + F.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake)))
    loss.backward()
    optimizers["discriminator"].step()

    discriminator.requires_grad_(False)
    optimizers["generator"].zero_grad()
    on_fake = discriminator(torch.cat([source, fake], 1))
    loss = F.binary_cross_entropy_with_logits(on_fake, torch.ones_like(on_fake)) + 25 * F.l1_loss(fake, target)
    loss = loss + 80 * F.l1_loss(torch.var(fake, 0, unbiased=False), torch.var(target, 0, unbiased=False))
    for _ in range(3):
        fake, target = halved(fake), halved(target)
        loss = loss + 25 * F.l1_loss(fake, target)
    loss.backward()
    optimizers["generator"].step()


def halved(image):
    """Four blurs of 3x3, sigma 1, then every second pixel."""
    side = torch.exp(torch.tensor(-0.5))
    taps = torch.stack([side, torch.tensor(1.0), side]) / (1 + 2 * side)
    kernel = torch.outer(taps, taps).expand(3, 1, 3, 3).to(image)
    for _ in range(4):
        image = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), kernel, groups=3)
    return image[:, :, ::2, ::2]
