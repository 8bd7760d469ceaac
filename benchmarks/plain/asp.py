"""One step of ASP as a script would write it."""

import torch
import torch.nn.functional as F

TAPS = (0, 4, 8, 12, 16)


def step(nets, optimizers, batch, method, progress):
    source, target = batch["source"], batch["target"]
    generator, head, discriminator = nets["generator"], nets["head"], nets["discriminator"]
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
    on_real, on_fake = discriminator(torch.cat([target, fake.detach()])).chunk(2)
    loss = 0.5 * (F.mse_loss(on_real, torch.ones_like(on_real)) + F.mse_loss(on_fake, torch.zeros_like(on_fake)))
    loss.backward()
    optimizers["discriminator"].step()

    discriminator.requires_grad_(False)
    optimizers["generator"].zero_grad()
    on_fake = discriminator(fake)
    loss = F.mse_loss(on_fake, torch.ones_like(on_fake))
    queries = [x.flatten(2)[:, :, at].mT for x, at in zip(encode(generator, fake, method.blocks), places, strict=True)]
    with torch.no_grad():
        source_keys, target_keys = head(source_keys), head(target_keys)
    certain = 1.0 if progress < 0.75 else 4 * (1 - progress)
    for query, source_key, target_key in zip(head(queries), source_keys, target_keys, strict=True):
        own = torch.arange(query.shape[1], device=query.device).repeat(len(query))
        logits = torch.bmm(query, source_key.mT).flatten(0, 1) / 0.07
        loss = loss + 10 * F.cross_entropy(logits, own) / len(queries)
        logits = torch.bmm(query, target_key.mT).flatten(0, 1) / 0.07
        agreement = F.relu((query.detach() * target_key).sum(2).flatten())
        weight = certain + (1 - certain) * agreement
        weight = weight / weight.sum() * len(weight)
        loss = loss + 10 * (weight * F.cross_entropy(logits, own, reduction="none")).mean() / len(queries)
    for scale in (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4):
        fake, target = blurred(fake), blurred(target)
        loss = loss + 10 / 6 * scale * F.l1_loss(fake, target)
        fake, target = fake[:, :, ::2, ::2], target[:, :, ::2, ::2]
    loss = loss + 10 / 6 * F.l1_loss(fake, target)
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


def blurred(image):
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=image.device) / 16
    kernel = torch.outer(taps, taps).expand(3, 1, 5, 5)
    return F.conv2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), kernel, groups=3)
