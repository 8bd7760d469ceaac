"""One step of the Performer U-Net with critics on three grids as a script would write it."""

import torch
import torch.nn.functional as F


def step(nets, optimizers, batch, method, progress):
    source, target = batch["source"], batch["target"]
    generator = nets["generator"]
    critics = {grid: nets[f"critic{grid}"] for grid in (1, 2, 4)}
    fake = generator(source)

    for critic in critics.values():
        critic.requires_grad_(True)
    optimizers["critics"].zero_grad()
    loss = 0
    for grid, critic in critics.items():
        he, real, made = cut(source, grid), cut(target, grid), cut(fake.detach(), grid)
        loss = loss + critic(torch.cat([he, made], 1)).mean() - critic(torch.cat([he, real], 1)).mean()
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        between = (real + share * (made - real)).requires_grad_(True)
        scores = critic(torch.cat([he, between], 1))
        gradient = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True)[0]
        loss = loss + 10 * ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    (loss / 3).backward()
    optimizers["critics"].step()

    optimizers["generator"].zero_grad()
    unit, wanted = (fake + 1) / 2, (target + 1) / 2
    ratios = (unit - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    loss = 10 * ratios.mean() + 1 - ssim(unit, wanted)
    for grid, critic in critics.items():
        critic.requires_grad_(False)
        loss = loss - critic(torch.cat([cut(source, grid), cut(fake, grid)], 1)).mean() / 3
    loss.backward()
    optimizers["generator"].step()

    for bridge in generator.bridges:
        bridge.body.advance()  # counts the step; every thousandth draws new random features


def cut(image, grid):
    rows = torch.cat([row[:, None] for row in image.chunk(grid, 2)], 1)
    return torch.cat([tile[:, :, None] for tile in rows.chunk(grid, 4)], 2).flatten(0, 2)


def ssim(x, y):
    taps = torch.exp(-((torch.arange(11, device=x.device) - 5.0) ** 2) / (2 * 1.5**2))
    taps = (taps / taps.sum()).expand(12, 1, 1, 11)
    maps = torch.cat([x, y, x * x + y * y, x * y], 1)
    maps = F.conv2d(F.conv2d(maps, taps, groups=12), taps.mT, groups=12)
    mx, my, squares, product = maps.chunk(4, 1)
    above = (2 * mx * my + 1e-4) * (2 * (product - mx * my) + 9e-4)
    return (above / ((mx * mx + my * my + 1e-4) * (squares - mx * mx - my * my + 9e-4))).mean()
