"""One step of CUT with pairs (team lifangda02) as a script would write it."""

import torch
import torch.nn.functional as F

TAPS = (0, 4, 8, 12, 16)


def step(nets, optimizers, batch, method, progress):
    source, target, level = batch["source"], batch["target"], batch["level"]
    generator, head, discriminator = nets["generator"], nets["head"], nets["discriminator"]
    images = len(source)
    features = encode(generator, source, method.blocks)
    fake = features[-1]
    for layer in list(generator)[last_tap(method.blocks) :]:
        fake = layer(fake)
    places = [torch.randperm(x[0, 0].numel(), device=x.device)[: method.patches] for x in features]
    source_keys = [x.flatten(2)[:, :, at].mT.detach() for x, at in zip(features, places, strict=True)]
    del features
    with torch.no_grad():
        target_features = encode(generator, target, method.blocks)
        target_keys = [x.flatten(2)[:, :, at].mT for x, at in zip(target_features, places, strict=True)]
        del target_features

    discriminator.requires_grad_(True)
    optimizers["discriminator"].zero_grad()
    answers = discriminator(torch.cat([target, fake.detach()]))
    on_real, on_fake = answers[:images, :1], answers[images:, :1]
    loss = 0.5 * (F.mse_loss(on_real, torch.ones_like(on_real)) + F.mse_loss(on_fake, torch.zeros_like(on_fake)))
    loss = loss + 2 * F.cross_entropy(answers[:images, 1:].mean((2, 3)), level, ignore_index=-1)
    loss.backward()
    optimizers["discriminator"].step()

    discriminator.requires_grad_(False)
    optimizers["generator"].zero_grad()
    answers = discriminator(fake)
    loss = F.mse_loss(answers[:, :1], torch.ones_like(answers[:, :1]))
    loss = loss + 2 * F.cross_entropy(answers[:, 1:].mean((2, 3)), level, ignore_index=-1)
    queries = [x.flatten(2)[:, :, at].mT for x, at in zip(encode(generator, fake, method.blocks), places, strict=True)]
    with torch.no_grad():
        source_keys, target_keys = head(source_keys), head(target_keys)
    for query, *keys in zip(head(queries), source_keys, target_keys, strict=True):
        own = torch.arange(query.shape[1], device=query.device).repeat(images)
        for key in keys:
            logits = torch.bmm(query, key.mT).flatten(0, 1) / 0.07
            loss = loss + 10 * F.cross_entropy(logits, own) / len(queries)
    for _ in range(3):
        fake, target = halved(fake), halved(target)
        loss = loss + 20 * F.l1_loss(fake, target)
    loss.backward()
    optimizers["generator"].step()


def last_tap(blocks):
    return TAPS[min(blocks, 5) // 5 + 3]


def encode(generator, x, blocks):
    features = [x]
    for number, layer in enumerate(list(generator)[: last_tap(blocks)], start=1):
        x = layer(x)
        if number in TAPS:
            features.append(x)
    return features


def halved(image):
    """Four blurs of 3x3, sigma 1, then every second pixel."""
    side = torch.exp(torch.tensor(-0.5))
    taps = torch.stack([side, torch.tensor(1.0), side]) / (1 + 2 * side)
    kernel = torch.outer(taps, taps).expand(3, 1, 3, 3).to(image)
    for _ in range(4):
        image = F.conv2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), kernel, groups=3)
    return image[:, :, ::2, ::2]
