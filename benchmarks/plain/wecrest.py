"""One step of WeCREST (team stan9) as a script would write it."""

import torch
import torch.nn.functional as F


def step(nets, optimizers, batch, method, progress):
    source, target, level = batch["source"], batch["target"], batch["level"]
    to_target, to_source = nets["to_target"], nets["to_source"]
    on_target = (nets["local_target"], nets["global_target"])
    on_source = (nets["local_source"], nets["global_source"])
    style = batch["index"] % 64 + 1
    n = len(source)

    made_target, cam_target = to_target(torch.cat([source, target]))
    made_source, cam_source = to_source(torch.cat([target, source]))
    fake_target, fake_source = made_target[:n], made_source[:n]

    for judge in on_target + on_source:
        judge.requires_grad_(True)
    optimizers["discriminators"].zero_grad()
    for judges, real, fake in ((on_target, target, fake_target), (on_source, source, fake_source)):
        for judge in judges:
            seen = judge(torch.cat([real, fake.detach()]))
            loss = patches(seen.style[:n], style) + patches(seen.style[n:], torch.zeros_like(style))
            loss = loss + F.cross_entropy(seen.level[:n], level, ignore_index=-1)
            loss = loss + F.mse_loss(seen.cam[:n], torch.ones_like(seen.cam[:n]))
            loss = loss + F.mse_loss(seen.cam[n:], torch.zeros_like(seen.cam[n:]))
            loss.backward()
    optimizers["discriminators"].step()

    for judge in on_target + on_source:
        judge.requires_grad_(False)
    optimizers["generators"].zero_grad()
    loss = 0.0
    for judges, fake in ((on_target, fake_target), (on_source, fake_source)):
        for judge in judges:
            seen = judge(fake)
            loss = loss + patches(seen.style, style) + F.cross_entropy(seen.level, level, ignore_index=-1)
            loss = loss + F.mse_loss(seen.cam, torch.ones_like(seen.cam))
    for cam in (cam_target, cam_source):
        domain = torch.cat([torch.ones_like(cam[:n]), torch.zeros_like(cam[n:])])
        loss = loss + 2000 * F.binary_cross_entropy_with_logits(cam, domain)  # the mean of two means, twice
    loss = loss + 10 * (F.l1_loss(to_source(fake_target)[0], source) + F.l1_loss(to_target(fake_source)[0], target))
    loss = loss + 10 * (F.l1_loss(made_target[n:], target) + F.l1_loss(made_source[n:], source))
    loss.backward()
    optimizers["generators"].step()
    with torch.no_grad():
        for generator in (to_target, to_source):
            for name, parameter in generator.named_parameters():
                if name.endswith("rho"):
                    parameter.clamp_(0, 1)


def patches(logits, style):
    return F.cross_entropy(logits, style[:, None, None].expand(-1, *logits.shape[2:]))
