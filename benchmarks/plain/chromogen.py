"""One step of our own method as a script would write it."""

import torch
import torch.nn.functional as F

INVERSE = torch.linalg.inv(torch.tensor([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], dtype=torch.float64))
HAEMATOXYLIN, DAB = INVERSE[:, 0], INVERSE[:, 2]


def step(nets, optimizers, batch, method, progress):
    source, target = batch["source"], batch["target"]
    generator, discriminator = nets["generator"], nets["discriminator"]
    fold = [int(number * 2654435761 % 2**32 / 2**32 * method.grader_folds) for number in batch["index"].tolist()]
    believed = [nets["grader"][k](source[n : n + 1]).detach().softmax(1) for n, k in enumerate(fold)]  # by who never sees it
    fake = generator(source, torch.cat(believed))

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

    density = stain(fake, DAB) - stain(target, DAB)
    for size in method.density_boxes_px:
        loss = loss + method.weight_density * (F.avg_pool2d(density, size) ** 2).mean() / len(method.density_boxes_px)
    loss = loss + method.weight_amount * (density.mean((1, 2, 3)) ** 2).mean()

    side = method.nuclei_window_px
    a, b = stain(fake, HAEMATOXYLIN), stain(source, HAEMATOXYLIN)
    windows = [F.avg_pool2d(x, side, side // 2) for x in (a, b, a * a, b * b, a * b)]
    mean_a, mean_b = windows[0], windows[1]
    deviation_a = ((windows[2] - mean_a**2).clamp(min=0) + 1e-4).sqrt()
    deviation_b = ((windows[3] - mean_b**2).clamp(min=0) + 1e-4).sqrt()
    kept = ((windows[4] - mean_a * mean_b) / deviation_a).sum() / deviation_b.sum()
    loss = loss + method.weight_nuclei * (1 - kept)
    loss.backward()
    optimizers["generator"].step()

    optimizers["grader"].zero_grad()
    for k, grader in enumerate(nets["grader"]):
        others = [n for n in range(len(source)) if fold[n] != k]
        if others:
            (F.cross_entropy(grader(source[others]).mean((2, 3)), batch["level"][others]) / method.grader_folds).backward()
    optimizers["grader"].step()


def halved(image):
    """Four blurs of 3x3, sigma 1, then every second pixel."""
    side = torch.exp(torch.tensor(-0.5))
    taps = torch.stack([side, torch.tensor(1.0), side]) / (1 + 2 * side)
    kernel = torch.outer(taps, taps).expand(3, 1, 3, 3).to(image)
    for _ in range(4):
        image = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), kernel, groups=3)
    return image[:, :, ::2, ::2]


def stain(image, column):
    """Optical density along a stain of the H-E-DAB matrix of Ruifrok & Johnston, under a veil of 2 % stray light."""
    density = -torch.log10(((image + 1) / 2 + 0.02) / 1.02)
    return (density * column.to(density).view(1, 3, 1, 1)).sum(1, keepdim=True)
