"""One step of CUT as a script would write it."""

import torch
import torch.nn.functional as F

TAPS = (0, 4, 8, 12, 16)


def step(nets, optimizers, batch, method, progress):
    source, target = batch["source"], batch["target"]
    generator, head, discriminator = nets["generator"], nets["head"], nets["discriminator"]
    images = len(source)
    features = encode(generator, torch.cat([source, target]), method.blocks)
    made = features[-1]
    for layer in list(generator)[last_tap(method.blocks) :]:
        made = layer(made)
    fake = made[:images]
    places = [torch.randperm(x[0, 0].numel(), device=x.device)[: method.patches] for x in features]
    keys = [x.flatten(2)[:, :, at].mT.detach() for x, at in zip(features, places, strict=True)]
    del features

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
    queries = [x.flatten(2)[:, :, at].mT for x, at in zip(encode(generator, made, method.blocks), places, strict=True)]
    with torch.no_grad():
        keys = head(keys)
    for query, key in zip(head(queries), keys, strict=True):
        # sources and targets are as many, so that one mean over both is half of each
        logits = torch.bmm(query, key.mT).flatten(0, 1) / 0.07
        loss = loss + F.cross_entropy(logits, torch.arange(query.shape[1], device=logits.device).repeat(2 * images)) / len(keys)
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
