"""One step of BCIStainer as a script would write it."""

import torch
import torch.nn.functional as F


def step(nets, optimizers, batch, method, progress):
    source, target, level = batch["source"], batch["target"], batch["level"]
    generator, comparator = nets["generator"], nets["comparator"]
    discriminators = [nets["full_size"], nets["half_size"]]
    fake, low, logits = generator(source)

    if progress < 1 / 3:
        comparator.train().requires_grad_(True)
        optimizers["comparator"].zero_grad()
        focal(comparator(target)[0], level).backward()
        optimizers["comparator"].step()
    else:
        comparator.eval().requires_grad_(False)

    for discriminator in discriminators:
        discriminator.requires_grad_(True)
    optimizers["discriminator"].zero_grad()
    loss = 0.5 * (gan(discriminators, target, True) + gan(discriminators, fake.detach(), False))
    loss.backward()
    optimizers["discriminator"].step()

    for discriminator in discriminators:
        discriminator.requires_grad_(False)
    optimizers["generator"].zero_grad()
    small = F.interpolate(target, size=low.shape[-2:], mode="bilinear", align_corners=True)
    loss = 5 * focal(logits, level) + 10 * (F.l1_loss(fake, target) + F.l1_loss(low, small))
    loss = loss + 1 - ssim(fake / 2 + 0.5, target / 2 + 0.5) + gan(discriminators, fake, True)
    if progress >= 1 / 3:
        loss = loss + 1 - F.cosine_similarity(comparator(fake)[1], comparator(target)[1]).mean()
    loss.backward()
    optimizers["generator"].step()


def focal(logits, level):
    """Of the true level alone, as in the authors' code."""
    log_p = logits.log_softmax(1).gather(1, level[:, None])[:, 0]
    alpha = torch.tensor([0.5, 0.2, 0.2, 0.1], device=level.device)[level]
    return (-alpha * (1 - log_p.exp()) ** 2 * log_p).mean()


def gan(discriminators, images, real):
    """Least squares at full and half size, with labels off by up to a tenth."""
    losses = []
    for discriminator in discriminators:
        logits = discriminator(images)
        noise = torch.rand_like(logits) / 10
        losses.append(F.mse_loss(logits, 1 - noise if real else noise))
        images = F.interpolate(images, scale_factor=0.5, mode="bilinear", align_corners=True)
    return sum(losses) / 2


def ssim(x, y):
    """Windows of 9 px, sigma 2.375."""
    taps = torch.exp(-((torch.arange(9, device=x.device) - 4.0) ** 2) / (2 * 2.375**2))
    taps = (taps / taps.sum()).expand(3, 1, 1, 9)

    def blurred(image):
        return F.conv2d(F.conv2d(image, taps, groups=3), taps.transpose(2, 3), groups=3)

    mx, my, xx, yy, xy = blurred(x), blurred(y), blurred(x * x), blurred(y * y), blurred(x * y)
    near = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2)
    return (near * (2 * (xy - mx * my) + 0.03**2) / (xx - mx**2 + yy - my**2 + 0.03**2)).mean()
