"""One step of CycleGAN as a script would write it."""

import torch
import torch.nn.functional as F


def step(nets, optimizers, batch, method, progress):
    source, target = batch["source"], batch["target"]
    to_target, to_source = nets["to_target"], nets["to_source"]
    discriminator_target, discriminator_source = nets["discriminator_target"], nets["discriminator_source"]

    discriminator_target.requires_grad_(False)
    discriminator_source.requires_grad_(False)
    optimizers["generators"].zero_grad()
    fake_target, same_target = to_target(torch.cat([source, target])).chunk(2)
    fake_source, same_source = to_source(torch.cat([target, source])).chunk(2)
    on_target, on_source = discriminator_target(fake_target), discriminator_source(fake_source)
    loss = F.mse_loss(on_target, torch.ones_like(on_target)) + F.mse_loss(on_source, torch.ones_like(on_source))
    loss = loss + 10 * (F.l1_loss(to_source(fake_target), source) + F.l1_loss(to_target(fake_source), target))
    loss = loss + 5 * (F.l1_loss(same_target, target) + F.l1_loss(same_source, source))
    loss.backward()
    optimizers["generators"].step()

    discriminator_target.requires_grad_(True)
    discriminator_source.requires_grad_(True)
    optimizers["discriminators"].zero_grad()
    for discriminator, pool, real, fake in (
        (discriminator_target, nets["pool_target"], target, fake_target),
        (discriminator_source, nets["pool_source"], source, fake_source),
    ):
        on_real, on_fake = discriminator(real), discriminator(pool(fake))
        loss = 0.5 * (F.mse_loss(on_real, torch.ones_like(on_real)) + F.mse_loss(on_fake, torch.zeros_like(on_fake)))
        loss.backward()
    optimizers["discriminators"].step()
