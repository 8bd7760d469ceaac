"""One step of our own method as a script would write it."""

import torch
import torch.nn.functional as F

DAB = torch.linalg.inv(torch.tensor([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], dtype=torch.float64))[:, 2]


def step(nets, optimizers, batch, method, progress):
    source, target = batch["source"], batch["target"]
    generator, discriminator = nets["generator"], nets["discriminator"]
    fake, level_map = generator(source)

    discriminator.requires_grad_(True)
    optimizers["discriminator"].zero_grad()
    on_real = discriminator(torch.cat([source, target], 1))
    on_fake = discriminator(torch.cat([source, fake.detach()], 1))
    (0.5 * ((on_real - 1) ** 2).mean() + 0.5 * (on_fake**2).mean()).backward()
    optimizers["discriminator"].step()

    discriminator.requires_grad_(False)
    optimizers["generator"].zero_grad()
    loss = method.weight_gan * ((discriminator(torch.cat([source, fake], 1)) - 1) ** 2).mean()
    loss = loss + method.weight_l1 * F.l1_loss(fake, target)
    difference = fake - target
    for weight in method.weight_octaves:
        difference = halved(difference)
        loss = loss + weight * difference.abs().mean()

    density = dab(fake) - dab(target)
    for size in method.density_boxes_px:
        loss = loss + method.weight_density * (F.avg_pool2d(density, size) ** 2).mean() / len(method.density_boxes_px)
    loss = loss + method.weight_amount * (density.mean((1, 2, 3)) ** 2).mean()

    share = method.weight_contrast / (2 * method.contrast_octaves)
    for octave in range(method.contrast_octaves):
        if octave:
            fake, target = F.avg_pool2d(fake, 2), F.avg_pool2d(target, 2)
        for axis in (2, 3):
            difference = torch.diff(fake, dim=axis).abs() - torch.diff(target, dim=axis).abs()
            sides = [min(method.contrast_window_px >> octave, side) for side in difference.shape[2:]]
            loss = loss + share * F.avg_pool2d(difference, sides, [side // 2 for side in sides]).abs().mean()

    loss = loss + method.weight_level * F.cross_entropy(level_map.mean((2, 3)), batch["level"])
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


def dab(image):
    """Optical density along DAB, the H-E-DAB matrix of Ruifrok & Johnston inverted, under a veil of 2 % stray light."""
    density = -torch.log10(((image + 1) / 2 + 0.02) / 1.02)
    return (density * DAB.to(density).view(1, 3, 1, 1)).sum(1, keepdim=True)
